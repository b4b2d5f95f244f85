"""What is a sink is recognised when it is subscribed, and what is none is refused with a message that helps."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from m.hub.abilities import ability, is_same, name_of, record_of, written_by
from m.metrics.snapshot import TrainingSnapshot


class Full:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def record(self, snapshot: TrainingSnapshot) -> None:
        self.seen.append(snapshot)

    def flush(self) -> None:
        self.seen.append("flush")

    close = "not a method"


def test_an_object_records_with_its_method_and_a_function_with_itself() -> None:
    sink = Full()
    seen: list[Any] = []
    record_of(sink)("one")  # type: ignore[arg-type]
    record_of(seen.append)("two")  # type: ignore[arg-type]
    assert sink.seen == ["one"]
    assert seen == ["two"]


def test_a_list_can_collect_through_its_append_and_a_partial_works() -> None:
    seen: dict[str, Any] = {}
    record_of(functools.partial(seen.__setitem__, "newest"))("one")  # type: ignore[arg-type]
    assert seen == {"newest": "one"}


def test_only_methods_are_abilities_and_a_function_has_none() -> None:
    sink = Full()
    flush = ability(sink, "flush")
    assert flush is not None
    flush()
    assert sink.seen == ["flush"]
    assert ability(sink, "close") is None
    assert ability(sink, "start") is None

    def function(snapshot: TrainingSnapshot) -> None: ...

    function.close = lambda: None  # type: ignore[attr-defined]
    assert ability(function, "close") is None


async def coroutine(snapshot: TrainingSnapshot) -> None: ...


class AsyncSink:
    async def record(self, snapshot: TrainingSnapshot) -> None: ...


class AsyncCallable:
    async def __call__(self, snapshot: TrainingSnapshot) -> None: ...


@pytest.mark.fault("A16", "A22")
@pytest.mark.parametrize(
    ("sink", "message"),
    [
        (Full, r"got the class Full; write Full\(\.\.\.\)"),
        (3, r"a function that takes a TrainingSnapshot.*got 3 \(int\)"),
        (None, r"got None \(NoneType\)"),
        ("run.jsonl", r"got 'run.jsonl' \(str\)"),
        ([], r"got \[\] \(list\)"),
        (coroutine, r"coroutine is a coroutine function: nothing would await it"),
        (AsyncSink(), r"AsyncSink is a coroutine function"),
        (AsyncCallable(), r"AsyncCallable is a coroutine function"),
    ],
    ids=["class", "number", "none", "path", "list", "coroutine", "async record", "async call"],
)
def test_what_is_no_sink_is_refused(sink: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        record_of(sink)


def test_messages_call_a_function_by_its_name_and_an_object_by_its_class() -> None:
    assert name_of(test_messages_call_a_function_by_its_name_and_an_object_by_its_class).startswith("test_messages")
    assert name_of(Full()) == "Full"


def test_a_bound_method_is_the_same_sink_each_time_it_is_looked_up() -> None:
    first: list[Any] = []
    second: list[Any] = []
    sink = Full()
    assert is_same(first.append, first.append)
    assert not is_same(first.append, second.append), "two empty lists are equal, and two sinks all the same"
    assert is_same(sink.record, sink.record)
    assert not is_same(sink.record, sink.flush)
    assert is_same(sink, sink)
    assert not is_same(sink, Full())


def test_sinks_that_compare_strangely_are_told_apart_by_identity() -> None:
    class Equal(Full):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    assert not is_same(Equal(), Equal())
    assert not is_same(Equal().record, Equal().record)


class Broken:
    @property
    def written(self) -> list[str]:
        raise OSError("gone")


@pytest.mark.parametrize(
    ("written", "paths"),
    [(["a.csv", Path("b.csv")], ["a.csv", "b.csv"]), ((), []), (3, []), ("a.csv", []), ([3], []), (lambda: ["a"], [])],
)
def test_what_a_sink_says_it_has_written_is_a_list_of_paths_or_nothing(written: object, paths: list[str]) -> None:
    assert written_by(SimpleNamespace(written=written)) == paths


def test_a_sink_that_cannot_say_what_it_has_written_has_written_nothing() -> None:
    assert written_by(Broken()) == []
    assert written_by(print) == []
