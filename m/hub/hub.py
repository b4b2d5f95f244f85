"""The hub: a training loop says once what happened, every subscribed sink hears of it, and nothing comes back.

This file knows no sink. What a sink is stands in ``abilities``, how one is called in ``subscription``, the thread of a
slow one in ``background``, how calls are kept apart in ``turns``, what happens at exit, fork and on signals in
``process``.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

from m.health.defaults import default_rules
from m.health.rule import Rule, watch_of
from m.hub import process
from m.hub.abilities import Sink, name_of, record_of
from m.hub.background import Background, background_of
from m.hub.delivery import Delivery
from m.hub.reporting import one_line, tell
from m.hub.roster import end_workers
from m.hub.stats import HubStats
from m.hub.subscription import Subscription
from m.metrics.alerts import Alert
from m.metrics.pickled import say_that_it_was_pickled
from m.metrics.rank import imports_the_script_again
from m.metrics.run import Run, check_initial_step, check_total_steps
from m.metrics.snapshot import TrainingSnapshot, snapshot_of
from m.metrics.values import unconvertible_count

T = TypeVar("T")
Callback = TypeVar("Callback", bound=Callable[[Alert], object])

CLOSE_BUDGET_S: Final = 3.0
"""How long ``close`` may wait, for all sinks together, unless the hub was made with another ``close_timeout``."""
LONGEST_BUDGET_S: Final = threading.TIMEOUT_MAX / 2
"""More than this is as much as this: a longer wait for a thread would raise ``OverflowError``."""


class MetricsHub(Delivery):
    """Publishes each snapshot to every subscribed sink, in the order in which they were subscribed, one at a time.

    ``sinks`` are subscribed at once. After construction nothing raises into the training loop: a sink that fails is
    reported once through ``logging``, counted, and after many failures in a row left alone for a while; only a real
    ``KeyboardInterrupt`` passes. With ``strict=True``, meant for tests, exceptions of inline sinks are raised.
    ``close_timeout`` is the time in seconds that `close` may wait for its sinks, all together.

    ``rules`` look at every snapshot after the sinks and raise alerts: functions that take a snapshot and give an
    `Alert`, a sentence or None, or objects with ``watch(snapshot)``. None takes those of ``m.default_rules()``, and an
    empty list none. They are asked while there is a sink, a receiver of ``snapshot_emitted`` or one of
    ``alert_raised``. A rule that fails is reported once and set aside.

    ``emit`` may be called from any thread, from a sink, a finaliser and a signal handler. A snapshot that comes while
    another is being delivered is delivered right after it, by the thread that is delivering. Emit waits for another
    thread only when more than a thousand snapshots are waiting, and only while some of them are delivered: after a
    second without any, what finds no room is dropped and counted.
    """

    _closed = True  # until there is something to close

    def __init__(
        self,
        sinks: Iterable[Sink] = (),
        *,
        rules: Iterable[Rule] | None = None,
        strict: bool = False,
        close_timeout: float = CLOSE_BUDGET_S,
    ) -> None:
        if isinstance(close_timeout, bool) or not isinstance(close_timeout, (int, float)):
            raise TypeError(f"close_timeout must be a number of seconds; got {close_timeout!r:.80}")
        if not 0 <= close_timeout < float("inf"):
            raise ValueError(f"close_timeout must be 0 or more seconds and finite; got {close_timeout}")
        if isinstance(sinks, (str, bytes)) or not isinstance(sinks, Iterable):
            raise TypeError(f"sinks must be a list of sinks; got {sinks!r:.80} ({type(sinks).__name__})")
        if rules is not None and (isinstance(rules, (str, bytes)) or not isinstance(rules, Iterable)):
            raise TypeError(f"rules must be a list of rules, or None for the default ones; got {rules!r:.80}")
        asked = default_rules() if rules is None else tuple(rules)
        for rule in asked:
            watch_of(rule)  # raises for what is no rule
        super().__init__(bool(strict), min(float(close_timeout), LONGEST_BUDGET_S), asked)
        self._tracking: list[int] | None = None
        self._unconvertible_before = unconvertible_count()
        try:
            for sink in sinks:
                self.subscribe(sink)
        except BaseException:
            self._closed = True  # the sinks stay their owner's, to be closed or used in another hub
            raise
        process.register(self)

    # -- sinks ----------------------------------------------------------------------------------------------------

    def subscribe(
        self, sink: Sink, *, name: str | None = None, background: Background | bool | str | None = None
    ) -> Subscription:
        """Deliver every snapshot from now on to ``sink`` as well: a function, or an object with ``record(snapshot)``.

        ``background`` moves it to a thread of its own behind a bounded queue: True, an overflow policy by name
        (``"block"``, ``"drop_oldest"``, ``"latest"``) or a `Background`; None takes what the sink asks for in its
        attribute ``background``, as a rule inline. False keeps it inline to the end: it is closed on the thread that
        closes the hub as well, which then waits for it however long it takes. When a run has already started, the
        sink's ``start(run)`` is called at once; from inside a sink, right after the snapshot being delivered.

        Raises ``TypeError`` for what is no sink (a coroutine function, a class, any other object) and ``ValueError``
        for a sink that is subscribed already and for a closed hub.
        """
        record_of(sink)  # raises for what is no sink, before anything changes
        wanted = getattr(sink, "background", None) if background is None else background
        settings = background_of(wanted)
        if self._inert:
            return Subscription(self, self._turns, sink, name or name_of(sink), None)  # it will never hear of anything
        if self._closed:
            raise ValueError("cannot subscribe to a closed hub; make a new MetricsHub")
        if self._late is not None:
            self._pass_on_late()  # it was emitted before

        def make(free_name: str) -> Subscription:
            self.snapshot_emitted.connect(self._fan_out, weak=False)
            return Subscription(self, self._turns, sink, free_name, settings, wanted is False)

        subscription = self._roster.add(sink, name or name_of(sink), make)
        self._take_turn(self._attach, subscription, True)
        return subscription

    def unsubscribe(self, sink: Sink) -> None:
        """Deliver nothing more to ``sink``. What it has queued is still delivered and flushed; it is not closed.

        Waits for a sink in the background, at most the close budget, and for a snapshot whose numbers are still on
        their way from a device. A sink that is not subscribed is no error.
        """
        if self._closed:
            return
        if self._late is not None:
            self._pass_on_late()
        with self._roster.change:
            subscription = self._roster.remove(sink)
            if not self._roster.subscriptions:
                self.snapshot_emitted.disconnect(self._fan_out)
        if subscription is None:
            return
        if subscription.worker is None:
            self._take_turn(self._flush_one, subscription, True)
        else:
            subscription.do("flush")
            end_workers([subscription], time.monotonic() + self.close_timeout)

    # -- a run ----------------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        """The run that is going on or was closed last; None before the first."""
        return self._run or self._announced

    def start(self, total_steps: int | None = None, description: str = "Training", initial_step: int = 0) -> Run | None:
        """Announce a run to every sink; gives the `Run`.

        ``total_steps`` None means unknown. ``initial_step`` is the step to start at, above 0 after resuming from a
        checkpoint. Calling it again ends the run before (sinks sum it up) and begins another on the same sinks. After
        ``close`` it does nothing and gives None. In a spawned worker that imports the script again the run begins with
        the first snapshot, if there is one. Raises ``TypeError``/``ValueError`` for a bad ``total_steps`` or
        ``initial_step``.
        """
        total = check_total_steps(total_steps)
        first = check_initial_step(initial_step)
        if self._closed:
            self._refuse("start() after close() does nothing; make a new MetricsHub")
            return None
        self._pass_on_late()
        self._newest_step = first - 1
        self._tracking = None
        run = Run(description=str(description), total_steps=total, initial_step=first)
        if self._run is None and imports_the_script_again():
            self._announced = run
        else:
            self._take_turn(self._begin, run, True)
        return run

    def emit(self, snapshot: TrainingSnapshot) -> None:
        """Hand ``snapshot`` to every sink. Microseconds; never raises unless ``strict``; a no-op after ``close``.

        Before ``start`` it starts a run of unknown length. A snapshot that holds numbers still on their way from a
        device is delivered one step late, or by ``flush`` or ``close``.
        """
        if not self._flows or type(snapshot) is not TrainingSnapshot:
            admitted = self._admit(snapshot)
            if admitted is None:
                return
            snapshot = admitted
        self._emitted += 1
        self._newest_step = snapshot.step
        signal = self.snapshot_emitted
        if signal.receivers:
            if len(signal.receivers) == 1 and self._roster.subscriptions and not signal.is_muted:
                refusal = self._take_turn(self._hand_out, snapshot)  # all that publishing would do here
            else:
                refusal = self._take_turn(self._publish, snapshot)
            if refusal is not None:
                self._drop(refusal)
        elif self.alert_raised.receivers and self._watcher:
            self._take_turn(self._watch, snapshot)

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Emit ``metrics`` by name: names of snapshot fields become those, the rest custom metrics.

        None values are skipped. Without ``step`` it is ``metrics["step"]`` if there is one, else inside ``track`` the
        item's, else the one after the newest.
        """
        if self._closed:
            self._refuse("emit() after close() does nothing")
            return
        try:
            if step is None:
                step = metrics.get("step")
            if step is None:
                step = self._newest_step + 1 if self._tracking is None else self._tracking[0]
            snapshot = snapshot_of(metrics, step)
        except Exception as error:
            if self.strict:
                raise
            if hasattr(metrics, "items"):
                self._refuse(f"log() left out metrics that make no snapshot: {one_line(error)}")
            else:
                self._refuse(
                    f"log() takes a mapping of names to numbers; got {type(metrics).__name__}. "
                    "For a TrainingSnapshot there is hub.emit(snapshot)"
                )
            return
        self.emit(snapshot)

    def track(
        self, iterable: Iterable[T], total: int | None = None, description: str = "Training", initial_step: int = 0
    ) -> Iterator[T]:
        """Yield the items of ``iterable`` and show the progress through them as a run of their number.

        ``total`` defaults to ``len(iterable)``, where it has one, plus ``initial_step``. An item during which nothing
        was emitted counts as a step without metrics. After `stop` no further item comes. The run begins with the first
        item and goes on after the last until ``close`` or the next ``start``; so one ``track`` inside another begins a
        run each time. Raises ``TypeError``/``ValueError`` for what is no iterable and for a bad ``total`` or
        ``initial_step``.
        """
        first = check_initial_step(initial_step)
        if total is None:
            try:
                total = len(iterable) + first  # type: ignore[arg-type]
            except Exception:  # a stream has no length; some data loaders have one that raises
                total = None
        return self._track(iter(iterable), check_total_steps(total, "total"), description, first)

    def _track(self, items: Iterator[T], total: int | None, description: str, first: int) -> Iterator[T]:
        outer = self._tracking
        self.start(total, description, first)
        here = [first]
        try:
            for step, item in enumerate(items, start=first):
                here[0] = step
                self._tracking = here
                before = self._emitted
                yield item
                if self._emitted == before:
                    self.emit(snapshot_of({}, step))
                if self.should_stop:
                    break
        finally:
            if self._tracking is here:  # else somebody has started another run meanwhile
                self._tracking = outer
                self._take_turn(self._rest, None, True)

    def alert(self, alert: Alert) -> None:
        """Tell every sink that takes alerts. Never raises unless ``strict``."""
        if self._closed:
            self._refuse("alert() after close() does nothing")
        elif not isinstance(alert, Alert):
            self._refuse(f"alert() takes an Alert; got {type(alert).__name__}", TypeError)
        elif self._take_turn(self._raise_alert, alert) is not None:
            self._refuse("alert() finds no room: too much is waiting for a sink")

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The alerts of this run so far, in order; the newest 1000 of them.

        The default rules for divergence, a plateau and a drop in throughput are told of many snapshots at a time, once
        a second; `flush` has them told of all that was emitted.
        """
        return self._alerts

    def on_alert(self, callback: Callback) -> Callback:
        """Call ``callback(alert)`` at each alert, after the sinks have heard of it; gives it back, as a decorator does.

        It is held strongly. What it raises is said once through ``logging``. It runs on the thread that emits; for
        what is noticed while no snapshot comes, on a thread of the hub's own. ``alert_raised`` is the same for those
        who want blinker's ways.
        """
        if not callable(callback):
            raise TypeError(f"on_alert() takes a function of one alert; got {callback!r:.80}")

        @functools.wraps(callback, updated=())
        def receive(hub: object, alert: Alert) -> None:
            callback(alert)

        self.alert_raised.connect(receive, weak=False)
        return callback

    def stop(self, reason: str = "") -> None:
        """Ask the training loop to end: `should_stop` is true from now on, and `track` gives no further item.

        From any thread, a callback or a signal handler. Nothing is interrupted. ``reason`` is for people: it is logged
        and kept as `stop_reason`. Only the first counts; the next ``start`` forgets it.
        """
        if self._stop_reason is None:
            self._stop_reason = str(reason)
            tell(logging.WARNING, "the run was asked to stop%s", f": {reason}" if reason else "")

    @property
    def should_stop(self) -> bool:
        """Somebody has asked this run to stop."""
        return self._stop_reason is not None

    @property
    def stop_reason(self) -> str | None:
        """The reason that was given to `stop`; None while nobody has asked."""
        return self._stop_reason

    def flush(self, timeout: float | None = None) -> bool:
        """Have every sink write out what it has; True when all did within ``timeout`` seconds (the close budget).

        From inside a sink it cannot wait for itself: the flush follows, and the answer is False. Raises ``TypeError``
        for a ``timeout`` that is no number.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
            raise TypeError(f"timeout must be a number of seconds, or None for the close budget; got {timeout!r:.80}")
        if self._closed:
            return True
        deadline = time.monotonic() + (self.close_timeout if timeout is None else timeout)
        results: list[bool] = []
        asked: list[int] = []

        def flush_all(_: object) -> None:
            here = self._pass_on_late_here(deadline)
            self._catch_up()
            asked.append(len(self._roster.subscriptions) + (not here))
            if not here:
                results.append(False)
            self._roster.say("flush", then=results.append)

        self._take_turn(flush_all, None, True)
        waits = not self._turns.is_mine() and not self._roster.is_on_worker()
        while waits and (not asked or len(results) < asked[0]) and time.monotonic() < deadline:
            time.sleep(0.0005)
            self._turns.settle()
        return bool(asked) and len(results) >= asked[0] and all(results)

    def close(self) -> None:
        """End the run: sinks get what is still waiting, are flushed and closed, the newest first. Idempotent.

        All of them are waited for within one budget (``close_timeout``); what those in the background had not taken by
        then counts as dropped. How it went is said through ``logging``, one line a sink: a warning when it missed
        anything, else at the level INFO; ``print(hub.stats())`` says it at any time. From inside a sink it takes effect
        right after the snapshot being delivered. So that a close which hangs costs no more than the budget, and
        Ctrl-C does not strike in the middle of one, inline sinks are closed on threads made for that; see `subscribe`
        for those that must not. (At the exit of Python 3.12 and newer, which starts no threads then, a hub that nobody
        has closed closes them on the main thread.)
        """
        self.close_by(None)

    def stats(self) -> HubStats:
        """What was emitted, and what became of it at each sink."""
        return HubStats(
            emitted=self._emitted,
            refused=self._refused,
            unconvertible=unconvertible_count() - self._unconvertible_before,
            sinks={subscription.name: subscription.stats() for subscription in self.subscriptions},
            alerts=dict(self._alert_counts),
            taken_away=self._roster.losses(),
        )

    def close_on(self, signal_number: int) -> None:
        """Close the hub when the process gets this signal, then do what would have been done without the hub.

        A handler that is installed already is called afterwards; the default action happens afterwards. While a sink
        is being called the closing waits for it to return; a second signal does not wait. Only from the main thread
        (``ValueError`` otherwise). No handler is installed unless this is called.
        """
        process.close_on(self, signal_number)

    def __enter__(self) -> MetricsHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            process.keep_to_close(self)

    def __repr__(self) -> str:
        names = ", ".join(subscription.name for subscription in self.subscriptions) or "no sinks"
        return f"<MetricsHub {names}; {self._emitted} emitted{'; closed' if self._closed else ''}>"

    def __copy__(self) -> MetricsHub:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> MetricsHub:
        return self  # a model that holds its hub can be copied, for an EMA say; the copy reports to the same hub

    def __reduce__(self) -> tuple[Any, ...]:
        return (_inert_hub, ())  # in another process there is nothing to report to


class _PickledHub(MetricsHub):
    """What a hub is in another process."""

    def _refuse(self, message: str, error: type[Exception] = RuntimeError) -> None:
        super()._refuse(message, error)
        say_that_it_was_pickled("hub")


def _inert_hub() -> MetricsHub:
    hub = _PickledHub(rules=())
    process.forget(hub)
    hub.go_inert()
    return hub
