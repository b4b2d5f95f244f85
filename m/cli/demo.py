"""``metrics-hub demo``: trains a small Mixture of Experts and shows it on every display."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

# as in the example, which would load NumPy
FAULTS = (
    "non_finite_loss",
    "loss_spike",
    "divergence",
    "dead_experts",
    "collapsed_routing",
    "throughput_drop",
    "stall",
)


def add_to(commands: Any) -> None:
    """Add the command and its options to an argument parser's commands."""
    parser = commands.add_parser(
        "demo",
        help="train a small Mixture of Experts with the terminal, plots and journal on",
        description=(
            "Train a small Mixture of Experts (NumPy only) to predict 3-D trajectories, with the terminal display, the "
            "plots and the journal subscribed to one hub. Takes about 15 s; leaves the figure and the journal in a "
            "folder below runs/."
        ),
    )
    parser.add_argument("--steps", type=_positive, default=None, metavar="N", help="training steps (default: 1000)")
    parser.add_argument("--experts", type=_positive, default=8, metavar="N", help="experts (default: 8)")
    parser.add_argument(
        "--out", type=Path, default=None, metavar="DIR", help="folder for the results (default: runs/<time>)"
    )
    parser.add_argument("--no-plots", action="store_true", help="leave the plotting sink out")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the data and the model (default: 0)")
    parser.add_argument(
        "--fault",
        choices=FAULTS,
        default=None,
        help="let something go wrong after six tenths of the run, to see what the displays make of it",
    )
    parser.set_defaults(command=run)


def run(given: argparse.Namespace) -> int:
    """Run the demo; 0 when it ran to its end, 1 when its figure could not be saved, 130 when it was interrupted, 2 when
    it cannot be as it is asked for."""
    from m.examples.trajectory_3d.demo import folder_for, run_demo  # loads NumPy: only when it is wanted

    if given.experts < 2:
        print("metrics-hub demo: a mixture needs 2 experts or more", file=sys.stderr)
        return 2
    try:
        folder = folder_for(given.out)
    except OSError as error:
        wanted = "runs/<time>" if given.out is None else repr(str(given.out))
        print(
            f"metrics-hub demo: --out must be a folder that can be made and written to; got {wanted} "
            f"({error.strerror or error})",
            file=sys.stderr,
        )
        return 2
    try:
        return run_demo(
            steps=given.steps,
            experts=given.experts,
            out=folder,
            plots=not given.no_plots,
            seed=given.seed,
            fault=given.fault,
        )
    except KeyboardInterrupt:  # while the flights were made, or at the end
        return 130


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _seed(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more; got {text!r}")
    return number
