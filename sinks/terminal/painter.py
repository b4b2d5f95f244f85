"""From rows to bytes: draws a frame at the bottom of a terminal, afterwards only the rows that changed.

Knows nothing of descriptors and threads. It keeps to relative moves and erasing, which every terminal has. Nothing that
it sends has to be taken back: the cursor is never hidden, since Ctrl-C makes a terminal throw away what it has not
shown yet, the bytes that would show the cursor again among it. Against flicker a frame is marked as one update, which
terminals that know the mark show at once and end by themselves.
"""

from __future__ import annotations

from typing import Final

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from sinks.terminal.look import Row
from sinks.terminal.rows import row_width

_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
_ERASE_LINE: Final = "\x1b[2K"
_ERASE_BELOW: Final = "\x1b[J"
_MOST_MARKS: Final = 500
_COLOR_SYSTEMS: Final = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}


class Painter:
    """Draws frames for one terminal; remembers what is on the screen."""

    def __init__(self, console: Console) -> None:
        self._system = _COLOR_SYSTEMS.get(console.color_system or "")
        self._no_color = console.no_color
        self._shown: list[str] = []
        self._shown_rows: list[Row] = []
        self._columns = 0
        self._marks: dict[int, tuple[Style, str, str]] = {}  # by identity of the style, which it holds

    def forget(self) -> None:
        """Nothing of ours is on the screen any more, or nobody knows where."""
        self._shown = []
        self._shown_rows = []

    def paint(self, rows: list[Row], columns: int, above: str = "") -> str:
        """What to send so that the terminal shows ``rows`` as its last lines, below ``above``.

        ``above`` is the user's own output in whole lines, the last one ended by a newline. Gives the empty string when
        nothing has to be sent.
        """
        if above or columns != self._columns or len(rows) != len(self._shown):
            return self._paint_all(rows, columns, above)
        texts = [
            shown if row is shown_row else self.text(row)
            for row, shown_row, shown in zip(rows, self._shown_rows, self._shown, strict=True)
        ]
        changed = [index for index, text in enumerate(texts) if text != self._shown[index]]
        if 2 * len(changed) > len(rows):
            # A new table is drawn from scratch: whatever others have written into the frame meanwhile, a C library or
            # a forked worker past Python, goes with the old one.
            return self._paint_all(rows, columns, above)
        self._shown, self._shown_rows = texts, list(rows)
        if not changed:
            return ""
        out = [_BEGIN]
        at = len(rows) - 1  # the cursor rests in the last row
        for index in changed:
            out += [_move(index - at), "\r", _ERASE_LINE, texts[index]]
            at = index
        return "".join([*out, _move(len(rows) - 1 - at), _END])

    def anew(self) -> str:
        """What to send after others had the terminal, and nobody knows what is where: the next frame begins here."""
        self.forget()
        return "\r" + _ERASE_BELOW

    def erase(self) -> str:
        """What to send so that the frame is gone and the cursor stands where it began."""
        if not self._shown:
            return ""
        lines = self._lines_on_screen(self._columns)
        self.forget()
        return _erase_up(lines)

    def leave(self) -> str:
        """What to send so that the frame stays as it is and the cursor goes below it."""
        if not self._shown:
            return ""
        self.forget()
        return "\r\n"

    def _paint_all(self, rows: list[Row], columns: int, above: str) -> str:
        out = [_BEGIN]
        if self._shown:
            out.append(_erase_up(self._lines_on_screen(columns)))
        out.append(above.replace("\r\n", "\n").replace("\n", "\r\n"))
        self._shown_rows = list(rows)
        self._shown = [self.text(row) for row in rows]
        self._columns = columns
        out.append("\r\n".join(self._shown))
        out.append(_END)
        return "".join(out)

    def _lines_on_screen(self, columns: int) -> int:
        """Lines that the frame takes now: a terminal that became narrower has folded its rows."""
        if columns >= self._columns:
            return len(self._shown)
        return sum(max(-(-row_width(row) // max(columns, 1)), 1) for row in self._shown_rows)

    def text(self, row: Row) -> str:
        """``row`` with the escape sequences of its styles, as far as the terminal has colours."""
        out: list[str] = []
        marks = self._marks
        for text, style in row:
            known = marks.get(id(style))
            if known is None:
                known = self._marks_of(style)
            _, begin, end = known
            out += (begin, text, end)
        return "".join(out)

    def _marks_of(self, style: Style) -> tuple[Style, str, str]:
        """What goes before and behind text of this style; remembered, since a look has few styles."""
        shown = style.without_color if self._no_color else style
        begin, _, end = shown.render("\n", color_system=self._system).partition("\n")
        if len(self._marks) >= _MOST_MARKS:  # styles of tables that a user's function makes anew each time
            self._marks.clear()
        known = self._marks[id(style)] = (style, begin, end)
        return known


def _erase_up(lines: int) -> str:
    """Erase so many lines, from the cursor's upwards, and stay in the uppermost.

    One by one: tmux and others take erasing all that is below for clearing the screen when the frame begins at its top,
    and keep a copy of the frame in what can be scrolled back to.
    """
    return "\r" + (_ERASE_LINE + "\x1b[1A") * (lines - 1) + _ERASE_LINE


def _move(lines: int) -> str:
    """Down by ``lines``, or up when negative."""
    if lines == 0:
        return ""
    return f"\x1b[{lines}B" if lines > 0 else f"\x1b[{-lines}A"
