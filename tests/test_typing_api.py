"""The public API is typed: realistic calls pass a strict checker, and mistakes do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import m

ROOT = Path(__file__).parents[1]


def test_realistic_calls_pass_a_strict_type_check(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--follow-imports=silent",
         "tests/typing_api.py"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert outcome.stdout.strip() == "Success: no issues found in 1 source file", outcome.stdout + outcome.stderr


def test_every_public_name_is_among_them() -> None:
    text = (ROOT / "tests" / "typing_api.py").read_text(encoding="utf-8")
    assert [name for name in m.__all__ if name not in text] == []
