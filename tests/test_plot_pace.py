"""How often the process that draws may draw."""

from __future__ import annotations

import pytest

from sinks.plotting.pace import Pace, Share


class Clocks:
    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 5.0
        self.of_others = 7.0

    def pace(self) -> Pace:
        return Pace(
            Share(free=0.04, crowded=0.01),
            clock=lambda: self.now,
            thread=lambda: self.cpu,
            process=lambda: self.cpu + self.of_others,
        )

    def draw(self, pace: Pace, took_s: float, waited_s: float = 0.0, every_s: float = 0.0) -> float:
        """Seconds from the end of a drawing to the next."""
        with pace.drawing(every_s):
            self.cpu += took_s
            self.now += took_s + waited_s
        return pace.next_s - self.now


def test_the_first_drawing_says_nothing_about_the_next() -> None:
    clocks = Clocks()
    pace = clocks.pace()
    assert pace.next_s == 0.0
    assert clocks.draw(pace, 2.0) == 0.0
    assert clocks.draw(pace, 0.1) == pytest.approx(2.5)


def test_it_is_no_more_often_than_it_is_wanted() -> None:
    clocks = Clocks()
    pace = clocks.pace()
    assert clocks.draw(pace, 2.0, every_s=3.0) == pytest.approx(3.0)
    assert clocks.draw(pace, 0.01, every_s=3.0) == pytest.approx(3.0)
    assert clocks.draw(pace, 0.2, every_s=3.0) == pytest.approx(5.0)


def test_where_no_core_is_free_it_takes_a_small_part_of_its_share() -> None:
    clocks = Clocks()
    pace = clocks.pace()
    clocks.draw(pace, 1.0)
    assert clocks.draw(pace, 0.1, waited_s=0.01) == pytest.approx(2.5)
    assert clocks.draw(pace, 0.1, waited_s=0.3) == pytest.approx(10.0)
    assert clocks.draw(pace, 0.1) == pytest.approx(2.5), "a core is free again"


def test_what_the_process_computes_besides_counts_up_to_as_much_again() -> None:
    clocks = Clocks()
    pace = clocks.pace()
    clocks.draw(pace, 1.0)
    clocks.of_others += 0.05  # reading what it is told
    assert clocks.draw(pace, 0.1) == pytest.approx(0.15 / 0.04)
    clocks.of_others += 30.0  # the user zooms and zooms
    assert clocks.draw(pace, 0.1) == pytest.approx(0.2 / 0.04)


def test_a_drawing_that_fails_counts_too() -> None:
    clocks = Clocks()
    pace = clocks.pace()
    clocks.draw(pace, 1.0)

    def fail() -> None:
        with pace.drawing():
            clocks.cpu += 0.1
            clocks.now += 0.1
            raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        fail()
    assert pace.next_s == pytest.approx(clocks.now + 2.5)
