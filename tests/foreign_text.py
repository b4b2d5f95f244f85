"""Text as it comes from strangers: a corpus, a strategy that mixes it with anything, and what must not be left."""

from __future__ import annotations

import unicodedata
from typing import Final

from hypothesis import strategies as st

CORPUS: Final = (
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b[1;31mred",
    "\x1b[",  # a sequence cut in the middle: what follows would complete it
    "\x1b",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x07",  # writes the clipboard
    "\x1b]52;c;aGk=",  # never ended: swallows what follows
    "\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\",  # asks the terminal something, and the answer is typed into the shell
    "\x1b[6n",
    "\x1bc",
    "\x9b31m",  # the same in one character
    "\x9d0;title\x9c",
    "\x90",
    "\x84\x85\x8d",
    "\x00\x07\x08\x0b\x0c\x0e\x0f\x7f",
    "a\nb\rc\td",
    "\r\x1b[1Aover the line before",
    "\u2028\u2029",
    "\u202eolleh\u202c",  # right to left
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
    "\u200b\u200c\u200d\u2060\ufeff\u00ad",
    "\ud800",
    "\udcff\udc80",
    "\ufffe\uffff",
    "\U000e0001\U000e0041",  # tags
    "e\u0301\u0300" * 30,
    "👩\u200d👩\u200d👧 ❤\ufe0f 🏳",
    "损失函数 خسارة",
    "acc[/] [red]x[/red] :fire: [link=http://example.com]x[/link]",
    r"$\frac$ $\undefined{x}$ $$ { } \n % _x ^y #z &amp; ~",
    "_hidden",
    "<script>alert(1)</script>]]></style>&#27;",
    "=1+1",
    "../../etc/passwd",
    "/etc/passwd\0",
    "",
    " ",
    "x" * 700,
    "%s %d %(name)s {0} {name}",
)
"""One danger each."""

foreign: Final = st.lists(
    st.sampled_from(CORPUS) | st.text(st.characters(exclude_categories=()), max_size=20), min_size=1, max_size=4
).map("".join)
"""Any text, lone surrogates included, with pieces of the corpus in it."""


def obeyed_in(text: str, *allowed: str) -> str:
    """The characters of ``text`` that a terminal obeys, or that change how their neighbours are read."""
    return "".join(
        each for each in text if each not in allowed and unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
