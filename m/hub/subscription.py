"""One sink's place at a hub: how it is called, what it took, what it missed, and how to take it away."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Any, Final, Protocol

from m.hub.abilities import OPTIONAL_ABILITIES, Sink, ability, record_of
from m.hub.background import Background, Worker
from m.hub.process import is_from_outside
from m.hub.reporting import graver, one_line, tell, trace_of
from m.hub.stats import SinkStats
from m.hub.turns import Turns
from m.metrics.snapshot import TrainingSnapshot

ENDING: Final = ("flush", "close")
"""What happens to a sink at the end, in this order."""
FAILURES_BEFORE_REST: Final = 10
"""So many failures in a row, and a sink is left alone for a while."""
FIRST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 300.0
SLOW_INLINE_S: Final = 0.001
SLOW_IN_ALL_S: Final = 0.5
"""An inline sink that takes longer than this per snapshot, and in all, is named when the hub closes."""


class Owner(Protocol):
    """What a subscription needs of the hub that it belongs to."""

    strict: bool

    def unsubscribe(self, sink: Sink, /) -> None: ...

    def on_their_way(self) -> int:
        """Snapshots that were emitted and have not been handed to anybody yet."""
        ...


class Subscription:
    """A sink at a hub. ``cancel()`` takes it away; as a context manager it is taken away at the end of the block."""

    def __init__(
        self,
        hub: Owner,
        turns: Turns,
        sink: Sink,
        name: str,
        background: Background | None,
        stays_here: bool = False,
    ) -> None:
        self._hub = weakref.ref(hub)  # the thread of a sink must not keep a hub that its owner has let go of
        self._turns = turns
        self.sink = sink
        self.name = name
        self.record: Callable[[TrainingSnapshot], object] = record_of(sink)
        self.abilities = {ability_name: ability(sink, ability_name) for ability_name in OPTIONAL_ABILITIES}
        self.stays_here = stays_here
        """It is closed on the thread that closes the hub, as it was asked for."""
        self.closing_on: int | None = None
        """The thread that is closing it, while it is."""
        self.worker = None if background is None else Worker(name, background, self._record_on_worker)
        self.deliver: Callable[[TrainingSnapshot], object] = self.record if self.worker is None else self._offer
        """What the hub calls with each snapshot; may raise when inline."""
        self.taken = 0
        self.failed = 0
        self.missed = 0
        self.seconds = 0.0
        self.failures_in_row = 0
        self.aside_until: float | None = math.inf
        """None: it gets snapshots. A time: it rests after failures. Infinite: not yet attached, or taken away."""
        self.last_error: str | None = None
        self.last_step: int | None = None
        self.gone = False
        """Taken away, or its hub is closed."""
        self._closed = False
        self._to_end = [True]  # taken by whoever flushes and closes it on its worker
        self._reported = False
        self._rest_s = FIRST_REST_S

    # -- what its owner may do ------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Take the sink away from the hub. It is flushed, not closed: it may be subscribed elsewhere."""
        hub = self._hub()
        if hub is not None:
            hub.unsubscribe(self.sink)

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
        if self.worker is None:
            delivered, failed, dropped, waiting = self.taken, self.failed, self.failed, 0
        else:
            delivered, failed, dropped, waiting = self.worker.counts()
        dropped += self.missed
        hub = self._hub()
        if self.is_attached and hub is not None:
            waiting += hub.on_their_way()
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

    @property
    def is_attached(self) -> bool:
        """It belongs to the hub and has heard of the run, if there is one."""
        return self.aside_until != math.inf

    def attach(self) -> None:
        """Snapshots from now on are for it."""
        if not self.gone:
            self.aside_until = None

    def detach(self, closed: bool = False) -> None:
        """It gets no snapshot from now on. With ``closed`` those that are on their way to it count as missed."""
        self.gone = True
        self._closed = closed
        self.aside_until = math.inf

    def is_aside(self) -> bool:
        """This snapshot is not for it: it is not attached, or it rests, in which case the snapshot counts as missed."""
        until = self.aside_until
        if until is None:
            return False
        if until == math.inf:
            self.missed += self._closed
            return True
        if time.monotonic() >= until:
            self.aside_until = None
            return False
        self.missed += 1
        return True

    def do(self, ability_name: str, *arguments: Any, then: Callable[[bool], object] | None = None) -> None:
        """Call an optional ability, here or on the sink's thread, under the guard; ``then(succeeded)`` follows.

        Raises what must pass, see `failed_on`, when the call is made here.
        """
        if self.worker is not None:
            if self.abilities[ability_name] is not None or then is not None:
                self.worker.call(lambda: self._act(ability_name, *arguments, then=then))
        else:
            self._turns.busy_with = self
            must_pass = self._act(ability_name, *arguments, then=then)
            self._turns.busy_with = None
            if must_pass is not None:
                raise must_pass

    def _act(
        self, ability_name: str, *arguments: Any, then: Callable[[bool], object] | None = None
    ) -> BaseException | None:
        method = self.abilities[ability_name]
        must_pass = None
        succeeded = True
        if method is not None:
            try:
                method(*arguments)
            except BaseException as error:
                succeeded = False
                must_pass = self.failed_on(error, None)
        if then is not None:
            then(succeeded)
        return must_pass

    @property
    def has_an_end(self) -> bool:
        """There is something to flush or to close; a plain function has nothing."""
        return any(self.abilities[name] is not None for name in ENDING)

    def end(self) -> BaseException | None:
        """Flush and close an inline sink, on whatever thread this is; gives what must pass, see `failed_on`."""
        raised: BaseException | None = None
        self.closing_on = get_ident()
        for ability_name in ENDING:
            try:
                self.do(ability_name)
            except BaseException as error:
                raised = graver(raised, error)
        self.closing_on = None
        return raised

    def end_on_worker(self) -> None:
        """Have a sink in the background flushed and closed when it has taken what waits for it. Once, however often
        this is called."""
        if self.worker is not None and self._to_end and self.has_an_end:
            self.worker.call(self._end_once)

    def _end_once(self) -> None:
        if self._to_end:
            self._to_end.pop()
            for ability_name in ENDING:
                self._act(ability_name)

    def failed_to_take(self, error: BaseException, step: int) -> BaseException | None:
        """`failed_on` for a snapshot that was being handed to it, which is counted."""
        if self.worker is not None or is_from_outside(error):
            self.missed += 1
        else:
            self.failed += 1
        return self.failed_on(error, step)

    def failed_on(self, error: BaseException, step: int | None) -> BaseException | None:
        """Note one failure; the first is logged with its traceback. After many in a row the sink gets a rest.

        Never raises. Gives ``error`` back when it must not be swallowed: what is not the sink's doing, such as a
        ``KeyboardInterrupt``, and anything inline when the hub is strict.
        """
        if is_from_outside(error):
            return error
        self.failures_in_row += 1
        self.last_error = one_line(error)
        self.last_step = step
        hub = self._hub()
        if self.worker is None and hub is not None and hub.strict:
            return error
        if not self._reported:
            self._reported = True
            tell(
                logging.ERROR,
                "sink %s failed%s and training goes on; further failures are only counted\n%s",
                self.name,
                "" if step is None else f" at step {step}",
                trace_of(error),
            )
        if self.failures_in_row >= FAILURES_BEFORE_REST and self.aside_until is None:
            tell(
                logging.WARNING,
                "sink %s failed %d times in a row and is left alone for %.0f s",
                self.name,
                self.failures_in_row,
                self._rest_s,
            )
            self.aside_until = time.monotonic() + self._rest_s
            self._rest_s = min(self._rest_s * 2, LONGEST_REST_S)
        return None

    def recovered(self) -> None:
        """A snapshot was taken again after failures."""
        self.failures_in_row = 0
        self._rest_s = FIRST_REST_S

    def closing_line(self) -> tuple[int, str]:
        """How it went, for a person when the hub closes: a line and its level in the log, a warning when not well."""
        stats = self.stats()
        parts = []
        # with "latest" an older snapshot that makes room for a newer one is what was asked for
        missed = stats.dropped - (0 if self.worker is None else self.worker.superseded)
        if missed:
            failing = f", {stats.failed} of them by failing" if stats.failed else ""
            parts.append(f"missed {missed} of {stats.emitted} snapshots{failing}")
        if stats.last_error:
            where = "" if self.last_step is None else f" at step {self.last_step}"
            parts.append(f"last error{where}: {stats.last_error}")
        if self.closing_on is not None:
            parts.append("was not closed in time and is left to itself")
        calls = max(self.taken + self.failed, 1)
        if self.worker is None and self.seconds > max(SLOW_IN_ALL_S, SLOW_INLINE_S * calls):
            parts.append(
                f"took {1e3 * self.seconds / calls:.1f} ms a snapshot on the training thread, "
                f"{self.seconds:.1f} s in all; subscribe it with background=True"
            )
        made_room = f", {stats.dropped - missed} made room for newer ones" if stats.dropped > missed else ""
        taken = f"{stats.delivered} of {stats.emitted} snapshots delivered{made_room}, {stats.seconds:.3f} s here"
        level = logging.WARNING if parts else logging.INFO
        return level, f"sink {self.name}: {'; '.join([*parts, taken])}"

    def go_inert(self) -> None:
        """In a forked child: whoever is in the middle of handing out a snapshot skips this sink."""
        self.detach()
        if self.worker is not None:
            self.worker.go_inert()

    # -- a sink in the background ---------------------------------------------------------------------------------

    def _offer(self, snapshot: TrainingSnapshot) -> None:
        assert self.worker is not None  # deliver is this method only when there is one
        self.worker.offer(snapshot, self._turns.depth)

    def _record_on_worker(self, snapshot: TrainingSnapshot, depth: int) -> bool | None:
        """On the sink's thread: True when it took the snapshot, False when it failed, None when it rests."""
        if self.aside_until is not None and time.monotonic() < self.aside_until < math.inf:
            return None
        me = get_ident()
        self._turns.depth_on[me] = depth + 1  # what the sink emits is a consequence of this snapshot
        try:
            self.record(snapshot)
        except BaseException as error:
            self.failed_on(error, snapshot.step)
            return False
        finally:
            self._turns.depth_on.pop(me, None)
        if self.failures_in_row:
            self.recovered()
        return True
