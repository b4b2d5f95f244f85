"""One sink's place at a hub: how it is called, what it took, what it missed, and how to take it away."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from m.hub.abilities import OPTIONAL_ABILITIES, Sink, ability, record_of
from m.hub.background import Background, Worker
from m.metrics.snapshot import TrainingSnapshot

if TYPE_CHECKING:
    from m.hub.hub import MetricsHub

logger = logging.getLogger("m.hub")

FAILURES_BEFORE_REST: Final = 10
"""So many failures in a row, and a sink is left alone for a while."""
FIRST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 300.0
SLOW_INLINE_S: Final = 0.001
"""An inline sink that takes longer than this per snapshot on average is named when the hub closes."""


@dataclass(slots=True, frozen=True)
class SinkStats:
    """What became of every snapshot that was emitted while a sink was subscribed.

    emitted = delivered + dropped + waiting, always.
    """

    emitted: int
    """Snapshots emitted while it was subscribed."""
    delivered: int
    """Snapshots that it took."""
    dropped: int
    """Snapshots that it did not get or failed on: ``failed``, queue overflow, set aside, abandoned at close."""
    failed: int
    """Of the dropped, those on which it raised."""
    waiting: int
    """Snapshots in its queue now; 0 for an inline sink."""
    seconds: float
    """Time that the training thread spent in it, or in queueing for it."""
    last_error: str | None
    """The newest exception as one line; None if it never raised."""


class Subscription:
    """A sink at a hub. ``cancel()`` takes it away; as a context manager it is taken away at the end of the block."""

    def __init__(self, hub: MetricsHub, sink: Sink, name: str, background: Background | None) -> None:
        self._hub = hub
        self.sink = sink
        self.name = name
        self.record: Callable[[TrainingSnapshot], object] = record_of(sink)
        self.abilities = {ability_name: ability(sink, ability_name) for ability_name in OPTIONAL_ABILITIES}
        self.worker = None if background is None else Worker(name, background, self.guarded)
        self.deliver: Callable[[TrainingSnapshot], object] = self.record if self.worker is None else self._offer
        """What the hub calls with each snapshot; may raise when inline."""
        self.taken = 0
        self.failed = 0
        self.missed = 0
        self.seconds = 0.0
        self.failures_in_row = 0
        self.rests_until: float | None = None
        self.last_error: str | None = None
        self.last_step: int | None = None
        self._reported = False
        self._rest_s = FIRST_REST_S
        self.closed = False

    # -- what its owner may do ------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Take the sink away from the hub. It is flushed, not closed: it may be subscribed elsewhere."""
        self._hub.unsubscribe(self.sink)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<Subscription {self.name}: {self.stats()}>"

    def stats(self) -> SinkStats:
        """What became of the snapshots so far."""
        worker = self.worker
        if worker is None:
            delivered, waiting, failed, dropped = self.taken, 0, self.failed, self.failed + self.missed
        else:
            delivered, waiting, failed = worker.delivered, worker.waiting, worker.failed
            dropped = worker.dropped + worker.failed + self.missed
            waiting = self.taken + self.missed - delivered - dropped  # one may be in the sink's hands
        return SinkStats(
            emitted=delivered + dropped + waiting,
            delivered=delivered,
            dropped=dropped,
            failed=failed,
            waiting=waiting,
            seconds=self.seconds,
            last_error=self.last_error,
        )

    # -- what the hub does ----------------------------------------------------------------------------------------

    def do(self, ability_name: str, *arguments: Any) -> None:
        """Call an optional ability, here or on the sink's thread, under the guard."""
        method = self.abilities[ability_name]
        if method is None:
            return
        if self.worker is not None:
            self.worker.call(lambda given: method(*given), arguments)
        else:
            self.guarded(lambda given: method(*given), arguments)

    def guarded(self, function: Callable[[Any], object], argument: Any) -> bool:
        """Call ``function(argument)``; an exception is reported, not raised. True when there was none."""
        try:
            function(argument)
        except BaseException as error:
            self.report(error, argument.step if isinstance(argument, TrainingSnapshot) else None)
            return False
        if self.failures_in_row:
            self.recovered()
        return True

    def report(self, error: BaseException, step: int | None) -> None:
        """Count one failure; the first is logged with its traceback. After many in a row the sink gets a rest.

        Raises only what must not be swallowed: a ``KeyboardInterrupt``, and anything when the hub is strict.
        """
        self.failures_in_row += 1
        self.last_error = f"{type(error).__name__}: {error}"[:300]
        self.last_step = step
        if isinstance(error, KeyboardInterrupt):
            raise error
        if self._hub.strict and self.worker is None:
            raise error
        if not self._reported:
            self._reported = True
            where = "" if step is None else f" at step {step}"
            logger.error(
                "sink %s failed%s and training goes on; further failures are only counted\n%s",
                self.name,
                where,
                "".join(traceback.format_exception(error)).rstrip(),
            )
        if self.failures_in_row >= FAILURES_BEFORE_REST:
            logger.warning(
                "sink %s failed %d times in a row and is left alone for %.0f s",
                self.name,
                self.failures_in_row,
                self._rest_s,
            )
            self.rests_until = time.monotonic() + self._rest_s
            self._rest_s = min(self._rest_s * 2, LONGEST_REST_S)
            self.failures_in_row = FAILURES_BEFORE_REST - 1  # one more failure after the rest, and it rests again
            self._hub.refresh_active()

    def recovered(self) -> None:
        """A snapshot was taken again after failures."""
        self.failures_in_row = 0
        self._rest_s = FIRST_REST_S

    def closing_line(self) -> str | None:
        """What a person should know about this sink when the hub closes; None when all went well."""
        stats = self.stats()
        parts = []
        if stats.dropped:
            parts.append(f"missed {stats.dropped} of {stats.emitted} snapshots ({stats.failed} of them by failing)")
        if stats.last_error:
            where = "" if self.last_step is None else f" at step {self.last_step}"
            parts.append(f"last error{where}: {stats.last_error}")
        if self.worker is None and self.taken and self.seconds / self.taken > SLOW_INLINE_S:
            parts.append(
                f"took {1e3 * self.seconds / self.taken:.1f} ms a snapshot on the training thread, "
                f"{self.seconds:.1f} s in all; subscribe it with background=True"
            )
        return f"sink {self.name}: {'; '.join(parts)}" if parts else None

    def _offer(self, snapshot: TrainingSnapshot) -> None:
        assert self.worker is not None  # deliver is this method only when there is one
        self.worker.offer(self.record, snapshot)
