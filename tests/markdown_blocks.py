"""The code blocks of a Markdown page, with the heading they stand under and the line where they begin."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    heading: str
    language: str
    text: str

    def run(self, names: dict[str, object]) -> None:
        """Execute the block as it stands, in ``names``; a traceback points into the page."""
        padded = "\n" * self.line + self.text
        exec(compile(padded, str(self.page), "exec"), names)


def blocks_of(page: Path, language: str = "python") -> list[Block]:
    """Every block of ``language`` in ``page``, in order."""
    blocks: list[Block] = []
    heading, fence, kind, started = "", "", "", 0
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                text = textwrap.dedent("\n".join(lines))
                blocks.append(Block(page, started, heading, kind, text))
                fence = ""
            else:
                lines.append(line)
        elif stripped.startswith("```"):
            fence, kind, started, lines = "```", stripped[3:].strip(), number, []
        elif line.startswith("#"):
            heading = line.lstrip("# ").strip()
    return [block for block in blocks if block.language == language]
