"""The page docs/reliability.md and the tests say the same: every row names the tests that carry its marker."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"

SECTIONS: Final = {"A": 23, "B": 17, "C": 11, "D": 19, "E": 22, "F": 18, "G": 12, "H": 4, "I": 4}
"""Rows of each section of the catalogue; E has an E9b besides."""


def rows() -> dict[str, str]:
    """The last cell of each row of the catalogue, by id."""
    found: dict[str, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| ([A-I]\d+b?) \|.*\| (.*?) \|$", line)
        if match:
            assert match[1] not in found, f"{match[1]} is there twice"
            found[match[1]] = match[2]
    return found


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert named <= set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))


def markers() -> dict[str, set[str]]:
    """The tests that carry each row's marker."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
                        for argument in decorator.args:
                            found[ast.literal_eval(argument)].add(node.name)
    return found


ROWS = rows()
MARKERS = markers()


def test_no_row_of_the_catalogue_is_left_out() -> None:
    expected = {f"{section}{number}" for section, last in SECTIONS.items() for number in range(1, last + 1)} | {"E9b"}
    assert set(ROWS) == expected
    assert set(MARKERS) <= expected


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_the_tests_that_prove_it(row: str) -> None:
    cell = ROWS[row]
    if cell.startswith("does not apply: "):
        assert len(cell) > len("does not apply: ") + 10
        assert row not in MARKERS
    else:
        assert set(re.findall(r"`(test_\w+)`", cell)) == MARKERS[row]
        assert MARKERS[row]
