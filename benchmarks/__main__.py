"""python -m benchmarks [emit|experts|frame|health|history|import|loop|plots|redraw|work ...]

Runs those that are named, or all, and prints one table of ratios. benchmarks/README.md says how to read it.
"""

from __future__ import annotations

import sys

from benchmarks import emit, experts, frame, health, history, imports, loop, own_work, plot_update, redraw
from benchmarks.measure import begin, machine, summary

SUITES = {
    "emit": emit.run,
    "experts": experts.run,
    "frame": frame.run,
    "health": health.run,
    "history": history.run,
    "import": imports.run,
    "loop": loop.run,
    "plots": plot_update.run,
    "redraw": redraw.run,
    "work": own_work.run,
}


def main(names: list[str]) -> int:
    if {"-h", "--help"} & {*names}:
        print(__doc__)
        return 0
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    print(machine())
    for name in names or SUITES:
        begin(name)
        SUITES[name]()
    summary()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
