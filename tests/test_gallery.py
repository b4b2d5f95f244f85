"""The gallery shows what its script makes, all of it; and a screen is recorded as a terminal would show it."""

from __future__ import annotations

import re
import sys
import time
import xml.etree.ElementTree
from collections.abc import Iterator

import pytest
from markdown_blocks import DOCS

sys.path.insert(0, str(DOCS))

from recorded_screen import BACKGROUNDS, RecordedScreen


@pytest.fixture
def screen() -> Iterator[RecordedScreen]:
    screen = RecordedScreen(30, 4)
    yield screen
    screen.close()


def written(screen: RecordedScreen, text: str) -> None:
    screen.console.file.write(text)
    screen.console.file.flush()
    deadline = time.monotonic() + 10
    while not any(screen.lines_shown()) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_every_picture_is_shown_and_every_one_shown_is_there() -> None:
    shown = set()
    for page in (DOCS / "gallery.md", DOCS.parent / "README.md"):
        shown |= set(re.findall(r"images/([\w.-]+)\)", page.read_text(encoding="utf-8")))
    assert shown == {path.name for path in (DOCS / "images").iterdir()}


def test_a_screen_shows_what_is_left_after_moves_and_erasing(screen: RecordedScreen) -> None:
    written(screen, "first\nsecond\n\x1b[2A\x1b[2Kanew\n")
    assert screen.lines_shown() == ["anew", "second", "", ""]


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_its_picture_has_the_text_and_the_colours_and_needs_no_network(screen: RecordedScreen, background: str) -> None:
    written(screen, "\x1b[38;5;196;1mdead\x1b[0m and \x1b[7mreverse\x1b[0m")
    picture = screen.svg("8 experts", background)
    xml.etree.ElementTree.fromstring(picture)
    assert ">dead</text>" in picture
    assert "#ff0000" in picture
    assert re.match(r"<svg [^>]*width=\"[0-9.]+\" height=\"[0-9.]+\"", picture)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", picture)
    assert "http" not in picture.replace("http://www.w3.org/", "")
    assert re.findall(r"\.([0-9][\w-]*)", re.sub(r"[0-9]\.[0-9]", "", picture)) == [], "no class begins with a digit"
