"""What is told, and what is not told again."""

from __future__ import annotations

from sinks.plotting.said import Said


def test_only_what_differs_from_the_last_time_is_new() -> None:
    said = Said()
    given = [("title", "a", 1.0), ("title", "a", 1.0), ("title", "b", 1.0), ("size", "b", 1.0)]
    assert [said.new(*each) for each in given] == [True, False, True, True]
    assert said.new("title", "a", 1.0)


def test_what_is_forgotten_is_new_again() -> None:
    said = Said()
    said.new("title", "a")
    said.new("size", 1)
    said.forget("title", "never told")
    assert (said.new("title", "a"), said.new("size", 1)) == (True, False)
