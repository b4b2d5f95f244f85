"""Reads the command line and hands over to the command; knows no command's inside."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from m.cli import demo

VERSION: Final = "0.1.0"
"""As it stands in ``pyproject.toml``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` name (None: those of the process); gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="metrics-hub", description="Emit training metrics once; see them in the terminal, in plots and in files."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo.add_to(commands)
    given = parser.parse_args(arguments)
    if "command" not in given:
        parser.print_help(sys.stderr)
        parser.exit(2)
    status: int = given.command(given)
    return status
