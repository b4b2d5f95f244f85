"""The terminal sink: keeps what a snapshot says and lets the display draw in its own time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from m.metrics.alerts import Alert
from m.metrics.pickled import say_that_it_was_pickled
from m.metrics.rank import check_on_rank, is_to_show
from m.metrics.run import Run, run_begun_by
from m.metrics.snapshot import TrainingSnapshot
from sinks.terminal.config import VisualizationConfig, check, smoothed
from sinks.terminal.dashboard import Dashboard
from sinks.terminal.look import look_for
from sinks.terminal.outputs import InMemory, Nowhere, Output, is_in_memory, output_for
from sinks.terminal.past import Past
from sinks.terminal.state import State


class TerminalSink:
    """A live dashboard on the terminal; plain text where the output is none.

    ``config`` None takes the defaults. ``console`` is the Rich console to write to, None a new one on standard
    output; a console in memory is written to in the call, every other by a thread that starts with the first run.
    Of a training in several processes only the one of rank ``on_rank`` shows anything, or with None each of them; the
    rank is looked up when a run starts (see `m.metrics.rank`), and a console in memory belongs to its process alone.
    ``clock`` gives monotonic seconds. Raises ``TypeError``/``ValueError`` for a configuration that cannot work.

    On an interactive terminal ``print``, ``logging`` and warnings appear above the dashboard while it is there, and
    ``input`` has the terminal for itself while it waits for an answer.
    """

    def __init__(
        self,
        config: VisualizationConfig | None = None,
        *,
        console: Console | None = None,
        on_rank: int | None = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = VisualizationConfig() if config is None else config
        check(self.config)
        if console is not None and not isinstance(console, Console):
            raise TypeError(
                f"console must be a rich.console.Console or None; got {console!r:.80} ({type(console).__name__})"
            )
        check_on_rank(on_rank)
        self.console = Console() if console is None else console
        self._on_rank = on_rank
        self.background: bool | None = False if is_in_memory(self.console) else None
        """What the hub is asked for: a console in memory is written to by the caller's thread up to the end."""
        self._state = self._new_state(Run())
        colors = None if self.console.no_color else self.console.color_system
        look = look_for(self.config.theme, self.console.encoding, colors)
        self._dashboard = Dashboard(self.config, self._state, look, clock)
        self._output: Output | None = None
        self._at_once: InMemory | None = None  # the output, where it is written to in the call
        self._shown = True
        self._files: list[str] = []
        self._closed = False
        self._was_pickled = False

    def start(self, run: Run) -> None:
        """Show ``run``. One that was shown before is summed up first."""
        if self._closed:
            return
        self._end_run()
        self._state = self._new_state(run)
        self._dashboard.begin(self._state)
        self._shown = is_in_memory(self.console) or is_to_show(self._on_rank)
        self._output = output = output_for(self._dashboard, self.console) if self._shown else Nowhere()
        self._at_once = output if isinstance(output, InMemory) else None

    def record(self, snapshot: TrainingSnapshot) -> None:
        """Keep ``snapshot`` for the thread that draws, and nothing more, unless the console is in memory."""
        if self._output is None:
            if self._closed:
                if self._was_pickled:
                    say_that_it_was_pickled("sink")
                return
            self.start(run_begun_by(snapshot.step))
        if self._at_once is not None:
            if self._state.take(snapshot):
                self._at_once.tables_due()
        elif self._shown:
            self._state.note(snapshot)

    def alert(self, alert: Alert) -> None:
        """Show ``alert`` with the next frame."""
        self._state.add_alert(alert)

    def wrote(self, *paths: str | os.PathLike[str]) -> None:
        """Name ``paths`` in the closing summary of the run, as files that it has left. For whoever writes some."""
        self._files += [os.fspath(path) for path in paths if os.fspath(path) not in self._files]

    def close(self) -> None:
        """Show the last state and a summary, and give the terminal back. Idempotent; about 1.5 s at the most."""
        self._closed = True
        self._end_run()

    def __copy__(self) -> TerminalSink:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TerminalSink:
        return self  # as with the hub: the copy of a model that holds its display shows on the same one

    def __reduce__(self) -> tuple[Any, ...]:
        return (_closed_sink, ())  # in another process there is nothing to show

    def _new_state(self, run: Run) -> State:
        return State(self.config.table_update_interval, run, past=Past(smoothed(self.config)))

    def _end_run(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            try:
                self._dashboard.finish()
            finally:
                files, self._files = self._files, []
                output.end(files)


def _closed_sink() -> TerminalSink:
    sink = TerminalSink()
    sink.close()
    sink._was_pickled = True
    return sink
