"""The hub: a training loop says once what happened, every subscribed sink hears of it, and nothing comes back.

This file knows no sink. What a sink is stands in ``abilities``, how one is called in ``subscription``, the thread of a
slow one in ``background``, what happens at exit, fork and on signals in ``process``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

from m.hub import process
from m.hub.abilities import Sink, name_of, record_of
from m.hub.background import Background, background_of
from m.hub.signals import HubSignal
from m.hub.subscription import SinkStats, Subscription
from m.metrics.alerts import Alert
from m.metrics.run import Run, check_total_steps
from m.metrics.snapshot import PendingSnapshot, TrainingSnapshot, snapshot_of
from m.metrics.values import unconvertible_count

logger = logging.getLogger("m.hub")
T = TypeVar("T")

CLOSE_BUDGET_S: Final = 3.0
"""How long ``close`` may wait, for all sinks together, unless the hub was made with another ``close_timeout``."""
MAX_NESTING: Final = 16
"""An emit made by a sink while it handles an emit made by a sink ... is delivered this deep; past it, dropped."""
BACKLOG_LIMIT: Final = 1024
"""Snapshots that threads may leave for the thread that is delivering, before they wait for it."""

_clock = time.perf_counter


@dataclass(slots=True, frozen=True)
class HubStats:
    """What a hub has done so far."""

    emitted: int
    """Snapshots given to ``emit`` and accepted."""
    refused: int
    """Emits that were no snapshot, came after ``close``, or were nested too deep."""
    unconvertible: int
    """Values in this process that were not one number and were left out of their snapshot."""
    sinks: dict[str, SinkStats]
    """By name of the subscription; sinks that were taken away are no longer listed."""


class MetricsHub:
    """Publishes each snapshot to every subscribed sink, in the order in which they were subscribed, one at a time.

    ``sinks`` are subscribed at once. After construction nothing raises into the training loop: a sink that fails is
    reported once through ``logging``, counted, and after many failures in a row left alone for a while; only a real
    ``KeyboardInterrupt`` passes. With ``strict=True``, meant for tests, exceptions of inline sinks are raised.
    ``close_timeout`` is the time in seconds that `close` may wait for sinks in the background, all together.

    ``emit`` may be called from any thread, from a sink, a finaliser and a signal handler. It never waits for another
    thread's emit unless more than `BACKLOG_LIMIT` snapshots are waiting; a snapshot that comes while another is being
    delivered is delivered right after it, by the thread that is delivering.
    """

    run_started: HubSignal
    """Sent with ``run=`` a `Run`, after the sinks have heard of it."""
    snapshot_emitted: HubSignal
    """Sent with ``snapshot=``. The sinks hang on this signal too, as one receiver."""
    alert_raised: HubSignal
    """Sent with ``alert=`` an `Alert`, after the sinks have heard of it."""
    run_closed: HubSignal
    """Sent with ``run=`` when a run ends: at ``close``, and before the next ``start``."""

    def __init__(
        self, sinks: Iterable[Sink] = (), *, strict: bool = False, close_timeout: float = CLOSE_BUDGET_S
    ) -> None:
        if isinstance(close_timeout, bool) or not isinstance(close_timeout, (int, float)):
            raise TypeError(f"close_timeout must be a number of seconds; got {close_timeout!r:.80}")
        if not 0 <= close_timeout < float("inf"):
            raise ValueError(f"close_timeout must be 0 or more seconds and finite; got {close_timeout}")
        self.strict = bool(strict)
        self.run_started = HubSignal("A run starts.")
        self.snapshot_emitted = HubSignal("A snapshot was emitted.")
        self.alert_raised = HubSignal("Somebody raised an alert.")
        self.run_closed = HubSignal("A run is over.")
        self._close_timeout = float(close_timeout)
        self._change = threading.RLock()  # guards the list of subscriptions; never taken by emit
        self._subscriptions: tuple[Subscription, ...] = ()
        self._active: tuple[Subscription, ...] = ()  # those that are not resting after failures
        self._resting = False
        self._run: Run | None = None
        self._closed = False
        self._emitted = 0
        self._refused = 0
        self._next_step = 0
        self._late: PendingSnapshot | None = None
        self._delivering = threading.Lock()  # only ever tried, so an emit cannot wait on itself
        self._deliverer: int | None = None  # the thread that holds it
        self._depth = 0
        self._backlog: deque[tuple[TrainingSnapshot, int]] = deque()
        self._when_delivered: list[Any] = []
        self._complaints: set[str] = set()
        if isinstance(sinks, (str, bytes)) or not isinstance(sinks, Iterable):
            raise TypeError(f"sinks must be a list of sinks; got {sinks!r:.80} ({type(sinks).__name__})")
        for sink in sinks:
            self.subscribe(sink)
        process.register(self)

    # -- sinks ----------------------------------------------------------------------------------------------------

    def subscribe(
        self, sink: Sink, *, name: str | None = None, background: Background | bool | str | None = None
    ) -> Subscription:
        """Deliver every snapshot from now on to ``sink`` as well: a function, or an object with ``record(snapshot)``.

        ``background`` moves it to a thread of its own behind a bounded queue: True, an overflow policy by name
        (``"block"``, ``"drop_oldest"``, ``"latest"``) or a `Background`; False keeps it inline; None takes what the
        sink's class asks for in its attribute ``background``, as a rule inline. When a run has already started, the
        sink's ``start(run)`` is called at once.

        Raises ``TypeError`` for what is no sink (a coroutine function, a class, any other object) and ``ValueError``
        for a sink that is subscribed already and for a closed hub.
        """
        record_of(sink)  # raises for what is no sink, before anything changes
        wanted = getattr(sink, "background", None) if background is None else background
        settings = background_of(wanted)
        with self._change:
            if self._closed:
                raise ValueError("cannot subscribe to a closed hub; make a new MetricsHub")
            if any(_same(existing.sink, sink) for existing in self._subscriptions):
                raise ValueError(f"sink {name_of(sink)} is subscribed to this hub already")
            taken = {existing.name for existing in self._subscriptions}
            subscription = Subscription(self, sink, _free_name(name or name_of(sink), taken), settings)
            if self._run is not None:
                subscription.do("start", self._run)
            if not self._subscriptions:
                self.snapshot_emitted.connect(self._fan_out, weak=False)
            self._subscriptions = (*self._subscriptions, subscription)
            self.refresh_active()
        return subscription

    def unsubscribe(self, sink: Sink) -> None:
        """Deliver nothing more to ``sink``. What it has queued is still delivered and flushed; it is not closed.

        Waits for a sink in the background, at most the close budget. A sink that is not subscribed is no error.
        """
        with self._change:
            gone = [existing for existing in self._subscriptions if _same(existing.sink, sink)]
            if not gone:
                return
            self._subscriptions = tuple(existing for existing in self._subscriptions if existing not in gone)
            if not self._subscriptions:
                self.snapshot_emitted.disconnect(self._fan_out)
            self.refresh_active()
        for subscription in gone:
            subscription.do("flush")
            self._end_workers([subscription], time.monotonic() + self._close_timeout)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The sinks' places, in order."""
        return self._subscriptions

    # -- a run ----------------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        """The run that is going on or was closed last; None before the first."""
        return self._run

    def start(
        self, total_steps: int | None = None, description: str = "Training", initial_step: int = 0
    ) -> Run | None:
        """Announce a run to every sink; gives the `Run`.

        ``total_steps`` None means unknown. ``initial_step`` is the step to start at, above 0 after resuming from a
        checkpoint. Calling it again ends the run before (sinks sum it up) and begins another on the same sinks. After
        ``close`` it does nothing and gives None. Raises ``TypeError``/``ValueError`` for a bad ``total_steps``.
        """
        total = check_total_steps(total_steps)
        first = check_total_steps(initial_step) or 0
        if self._closed:
            self._refuse("start() after close() does nothing; make a new MetricsHub")
            return None
        self._settle()
        if self._run is not None:
            self._send(self.run_closed, run=self._run)
        run = Run(description=str(description), total_steps=total, initial_step=first)
        self._run = run
        self._next_step = first
        for subscription in self._subscriptions:
            subscription.do("start", run)
        self._send(self.run_started, run=run)
        return run

    def emit(self, snapshot: TrainingSnapshot) -> None:
        """Hand ``snapshot`` to every sink. Microseconds; never raises unless ``strict``; a no-op after ``close``.

        Before ``start`` it starts a run of unknown length. A snapshot that holds numbers still on their way from a
        device is delivered one step late, or by ``flush`` or ``close``.
        """
        if self._closed or type(snapshot) is not TrainingSnapshot or self._late is not None:
            self._emit_special(snapshot)
            return
        self._emitted += 1
        self._next_step = snapshot.step + 1
        if self._run is None:
            self.start(initial_step=max(snapshot.step, 0))
        if not self.snapshot_emitted.receivers:
            return
        if not self._delivering.acquire(False):
            self._leave(snapshot)
            return
        self._deliverer = threading.get_ident()
        try:
            if self._active is self._subscriptions and len(self.snapshot_emitted.receivers) == 1 and self._active:
                self._fan_out(self, snapshot)  # all that publishing would do here
            else:
                self._publish(snapshot)
        finally:
            self._deliverer = None
            self._delivering.release()
            if self._backlog or self._when_delivered:
                self._deliver_backlog()

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Emit ``metrics`` by name: names of snapshot fields become those, the rest custom metrics.

        None values are skipped. Without ``step`` it is the one after the newest (inside ``track``, the item's).
        """
        try:
            snapshot = snapshot_of(metrics, self._next_step if step is None else step)
        except Exception as error:
            if self.strict:
                raise
            self._refuse(f"log() left out metrics that make no snapshot: {type(error).__name__}: {error}")
            return
        self.emit(snapshot)

    def track(
        self, iterable: Iterable[T], total: int | None = None, description: str = "Training", initial_step: int = 0
    ) -> Iterator[T]:
        """Yield the items of ``iterable`` and show the progress through them as a run of their number.

        ``total`` defaults to ``len(iterable)``, where it has one. An item during which nothing was emitted counts as
        a step without metrics. The run goes on after the last item until ``close`` or the next ``start``.
        """
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except TypeError:
                total = None
            if total is not None:
                total += initial_step
        self.start(total, description, initial_step)
        for step, item in enumerate(iterable, start=initial_step):
            self._next_step = step
            before = self._emitted
            yield item
            if self._emitted == before:
                self.emit(snapshot_of({}, step))

    def alert(self, alert: Alert) -> None:
        """Tell every sink that takes alerts. Never raises unless ``strict``."""
        if self._closed or not isinstance(alert, Alert):
            self._refuse(f"alert() takes an Alert before close(); got {alert!r:.80}", TypeError)
            return
        for subscription in self._subscriptions:
            subscription.do("alert", alert)
        self._send(self.alert_raised, alert=alert)

    def flush(self, timeout: float | None = None) -> bool:
        """Have every sink write out what it has; True when all did within ``timeout`` seconds (the close budget)."""
        if self._closed:
            return True
        self._settle()
        deadline = time.monotonic() + (self._close_timeout if timeout is None else timeout)
        done = []
        for subscription in self._subscriptions:
            subscription.do("flush")
            if subscription.worker is not None:
                event = threading.Event()
                subscription.worker.call(lambda done: done.set(), event)
                done.append(event)
        return all(event.wait(max(deadline - time.monotonic(), 0.0)) for event in done)

    def close(self) -> None:
        """End the run: sinks get what is still waiting, are flushed and closed, the newest first. Idempotent.

        Sinks in the background are waited for within one budget for all (``close_timeout``); what they had not taken
        by then counts as dropped. Whatever a sink missed is said once, through ``logging``.
        """
        with self._change:
            if self._closed:
                return
            self._settle()
            self._closed = True
        deadline = time.monotonic() + self._close_timeout
        raised: BaseException | None = None
        for subscription in reversed(self._subscriptions):
            try:
                subscription.do("flush")
                subscription.do("close")
            except BaseException as error:  # strict, or Ctrl-C: the other sinks are closed all the same
                raised = raised or error
        self._end_workers(self._subscriptions, deadline)
        if self._run is not None:
            self._send(self.run_closed, run=self._run)
        for subscription in self._subscriptions:
            line = subscription.closing_line()
            if line is not None:
                logger.warning("%s", line)
        process.forget(self)
        if raised is not None:
            raise raised

    def stats(self) -> HubStats:
        """What was emitted, and what became of it at each sink."""
        return HubStats(
            emitted=self._emitted,
            refused=self._refused,
            unconvertible=unconvertible_count(),
            sinks={subscription.name: subscription.stats() for subscription in self._subscriptions},
        )

    def close_on(self, signal_number: int) -> None:
        """Close the hub when the process gets this signal, then do what would have been done without the hub.

        A handler that is installed already is called afterwards; the default action happens afterwards. Only from the
        main thread (``ValueError`` otherwise). No handler is installed unless this is called.
        """
        process.close_on(self, signal_number)

    def __enter__(self) -> MetricsHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(subscription.name for subscription in self._subscriptions) or "no sinks"
        return f"<MetricsHub {names}; {self._emitted} emitted{'; closed' if self._closed else ''}>"

    def __copy__(self) -> MetricsHub:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> MetricsHub:
        return self  # a model that holds its hub can be copied, for an EMA say; the copy reports to the same hub

    def __reduce__(self) -> tuple[Any, ...]:
        return (_closed_hub, ())  # in another process there is nothing to report to

    # -- delivery -------------------------------------------------------------------------------------------------

    def _fan_out(self, hub: object, snapshot: TrainingSnapshot) -> None:
        """Hand ``snapshot`` to each sink in turn. The one receiver through which all sinks hang on the signal."""
        raised: BaseException | None = None
        if self._resting:
            self._wake_rested()
        before = _clock()
        for subscription in self._active:
            try:
                subscription.deliver(snapshot)
            except BaseException as error:
                subscription.failed += 1
                try:
                    subscription.report(error, snapshot.step)
                except BaseException as passing:  # Ctrl-C, or strict: raised once every sink has the snapshot
                    raised = raised or passing
            else:
                subscription.taken += 1
                if subscription.failures_in_row and subscription.worker is None:
                    subscription.recovered()
            now = _clock()
            subscription.seconds += now - before
            before = now
        if raised is not None:
            raise raised

    def _publish(self, snapshot: TrainingSnapshot) -> None:
        """Send ``snapshot`` to every receiver of the signal, each under a guard, which ``Signal.send`` has not."""
        self._send(self.snapshot_emitted, snapshot=snapshot)

    def _send(self, signal: HubSignal, **arguments: Any) -> None:
        if signal.is_muted:
            return
        raised: BaseException | None = None
        for receiver in list(signal.receivers_for(self)):
            try:
                receiver(self, **arguments)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or self.strict:
                    raised = raised or error
                else:
                    name = getattr(receiver, "__name__", repr(receiver))
                    self._complain(f"receiver {name} of {signal.__doc__!r} failed: {type(error).__name__}: {error}")
        if raised is not None:
            raise raised

    def _emit_special(self, snapshot: Any) -> None:
        """The rare emits: after close, no snapshot, or with numbers that are still on a device."""
        if self._closed:
            self._refuse("emit() after close() does nothing")
            return
        if not isinstance(snapshot, TrainingSnapshot):
            self._refuse(
                f"emit() takes a TrainingSnapshot; got {type(snapshot).__name__}. "
                "For a mapping of names to numbers there is hub.log(metrics)",
                TypeError,
            )
            return
        late, self._late = self._late, None
        if late is not None:
            self.emit(late.resolve())
        if isinstance(snapshot, PendingSnapshot):
            self._late = snapshot
            self._next_step = snapshot.step + 1
            return
        if type(snapshot) is not TrainingSnapshot:  # a user's subclass: sinks get the class they know
            snapshot = TrainingSnapshot(**{name: getattr(snapshot, name) for name in TrainingSnapshot.__slots__})
        self.emit(snapshot)

    def _leave(self, snapshot: TrainingSnapshot) -> None:
        """Somebody is delivering: another thread, or this one further up its stack. Leave the snapshot to it."""
        depth = 0
        if self._deliverer == threading.get_ident():
            depth = self._depth + 1
            if depth > MAX_NESTING:
                self._emitted -= 1
                self._refuse(f"a sink emits for each snapshot it gets; past {MAX_NESTING} deep it is dropped")
                return
        self._backlog.append((snapshot, depth))
        if depth == 0 and len(self._backlog) > BACKLOG_LIMIT:
            time.sleep(0.001)  # the others keep up only if we let them
        if self._delivering.acquire(False):  # it finished between our try and our append
            self._delivering.release()
            self._deliver_backlog()

    def _deliver_backlog(self) -> None:
        """Deliver what was left while somebody was delivering. Whoever lets go of the lock looks here afterwards."""
        while self._backlog and self._delivering.acquire(False):
            self._deliverer = threading.get_ident()
            try:
                while self._backlog:
                    snapshot, self._depth = self._backlog.popleft()
                    self._publish(snapshot)
            finally:
                self._depth = 0
                self._deliverer = None
                self._delivering.release()
        while self._when_delivered and self._deliverer is None:
            self._when_delivered.pop()()

    def _settle(self) -> None:
        """Deliver what is late or was left by other threads; waits a moment for a thread that is delivering."""
        late, self._late = self._late, None
        if late is not None:
            self.emit(late.resolve())
        deadline = time.monotonic() + min(self._close_timeout, 1.0)
        while self._deliverer not in (None, threading.get_ident()) and time.monotonic() < deadline:
            time.sleep(0.0005)
        self._deliver_backlog()

    def _end_workers(self, subscriptions: Iterable[Subscription], deadline: float) -> None:
        workers = [subscription.worker for subscription in subscriptions if subscription.worker is not None]
        for worker in workers:
            worker.stop()
        for worker in workers:
            if not worker.join(deadline - time.monotonic()):
                worker.abandon()

    # -- failures -------------------------------------------------------------------------------------------------

    def refresh_active(self) -> None:
        """Sort out which sinks rest after failures. Called by a subscription when it goes to rest."""
        with self._change:
            awake = tuple(each for each in self._subscriptions if each.rests_until is None)
            self._resting = len(awake) != len(self._subscriptions)
            self._active = awake if self._resting else self._subscriptions

    def _wake_rested(self) -> None:
        now = time.monotonic()
        for subscription in self._subscriptions:
            if subscription.rests_until is None:
                continue
            if now >= subscription.rests_until:
                subscription.rests_until = None
                self.refresh_active()
            else:
                subscription.missed += 1

    def _refuse(self, message: str, error: type[Exception] = RuntimeError) -> None:
        self._refused += 1
        if self.strict and not self._closed:
            raise error(message)
        self._complain(message)

    def _complain(self, message: str) -> None:
        """Say it once. What differs only past the first 60 characters counts as the same."""
        key = message[:60]
        if key not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(key)
            logger.warning("%s", message)

    # -- process --------------------------------------------------------------------------------------------------

    def go_inert(self) -> None:
        """In a forked child: never touch the parent's files, terminal and threads. Emits are only counted."""
        self._closed = True
        self._change = threading.RLock()
        self._complaints.add("emit() after close() does nothing")
        self._subscriptions = self._active = ()

    def run_when_delivered(self, action: Any) -> None:
        """Run ``action()`` now, or right after the delivery that this thread is in the middle of."""
        if self._deliverer == threading.get_ident():
            self._when_delivered.append(action)
        else:
            action()


def _same(one: Any, other: Any) -> bool:
    """The same sink. Bound methods are made anew at each access, so those are compared by what they bind."""
    return one is other or (hasattr(one, "__self__") and hasattr(one, "__func__") and bool(one == other))


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}-{number}"
        number += 1
    return free


def _closed_hub() -> MetricsHub:
    hub = MetricsHub()
    hub.close()
    return hub
