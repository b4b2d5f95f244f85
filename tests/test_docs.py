"""Every example of the README and of the pages in docs/ runs; every link leads somewhere; every image is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_blocks import DOCS, Block, blocks_of

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
TESTED_ELSEWHERE = ("rich_trainer_viz.md", "training_viz.md")  # test_document_*: they need the reader's functions
EXAMPLES = [block for page in PAGES if page.name not in TESTED_ELSEWHERE for block in blocks_of(page)]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: f"{block.page.name}:{block.line}")
def test_the_example_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block.run({"__name__": "__main__"})


def test_the_examples_of_the_journal_run_one_after_the_other_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pasted.py").touch()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(DOCS / "journal.md"):
        block.run(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_and_image_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_the_readme_has_both_commands_as_they_are_run_by_the_ci() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    test_command = "python3 -m venv .venv && .venv/bin/pip install -q '.[test]' && .venv/bin/python -m pytest"
    assert "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/python -m m demo" in readme
    assert test_command in readme
    assert test_command in ci
