"""What the tests of the two documents share."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from m.hub.hub import MetricsHub


def remember_hubs(monkeypatch: pytest.MonkeyPatch) -> list[MetricsHub]:
    """A list that gets every hub that is made from now on."""
    hubs: list[MetricsHub] = []
    created = MetricsHub.__init__

    def remember(self: MetricsHub, *given: Any, **named: Any) -> None:
        hubs.append(self)
        created(self, *given, **named)

    monkeypatch.setattr(MetricsHub, "__init__", remember)
    return hubs


def emitted(names: dict[str, Any]) -> list[int]:
    """How many snapshots went through each hub that the block made."""
    return [hub.stats().emitted for hub in names["hubs"]]


def assert_nothing_was_missed(names: dict[str, Any]) -> None:
    for hub in names["hubs"]:
        stats = hub.stats()
        assert stats.refused == 0
        for sink in stats.sinks.values():
            assert (sink.delivered, sink.dropped, sink.last_error) == (stats.emitted, 0, None)


def same_fields(documented: type, real: type, *, and_more: bool = False) -> None:
    """``real`` has the fields of ``documented`` in the same order; with ``and_more`` others with defaults follow."""
    ours = dataclasses.fields(real)
    theirs = dataclasses.fields(documented)
    if and_more:
        assert len(ours) > len(theirs)
        assert all(each.default is not dataclasses.MISSING for each in ours[len(theirs) :])
        ours = ours[: len(theirs)]
    assert [each.name for each in ours] == [each.name for each in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.default == other.default
        assert callable(one.default_factory) == callable(other.default_factory)
        if callable(one.default_factory) and callable(other.default_factory):
            assert one.default_factory() == other.default_factory()
        written = other.type if isinstance(other.type, str) else inspect.formatannotation(other.type)
        if callable(one.default_factory) or "Callable" in str(one.type):
            continue  # spelled with the modules of the names by formatannotation
        assert str(one.type).replace(" ", "") == written.replace(" ", "")
    assert getattr(real, "__slots__", None) is not None
    assert real.__dataclass_params__.frozen == documented.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not hasattr(real, "__dict__") or "__dict__" not in dir(real)


def documented_parameters(text: str) -> list[tuple[str, str]]:
    """Names and defaults of a printed signature, which is no complete statement."""
    inside = text[text.index("(") + 1 : text.rindex(")")]
    (function,) = ast.parse(f"def f({inside}): ...").body
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    return [
        (argument.arg, "" if default is None else ast.unparse(default))
        for argument, default in zip(arguments.args, defaults, strict=True)
    ]


def real_parameters(function: Callable[..., Any]) -> list[tuple[str, str]]:
    """Names and defaults of a function's parameters, without those that are given by name only."""
    return [
        (name, "" if parameter.default is parameter.empty else repr(parameter.default))
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
    ]
