"""What a hub does behind its door: the run, the calls to sinks and receivers, and the end of it all.

Everything that reaches a sink goes through ``turns``, one call after the other. What a user may call stands in ``hub``.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any, Final

from m.health.rule import Rule
from m.health.watcher import Watcher
from m.hub import process
from m.hub.abilities import name_of
from m.hub.lookout import Lookout
from m.hub.reporting import graver, one_line, tell, trace_of
from m.hub.roster import Roster, end_workers
from m.hub.signals import HubSignal
from m.hub.subscription import Subscription
from m.hub.turns import MAX_NESTING, Turns
from m.metrics.alerts import Alert
from m.metrics.run import Run, run_begun_by
from m.metrics.snapshot import FIELDS, PendingSnapshot, TrainingSnapshot
from m.metrics.text import harmless

SHARE_FOR_CLOSING: Final = 0.25
"""Of the time that ``close`` has, this much is kept for the sinks when it waits for a call that does not come back."""
MOST_ALERTS: Final = 1000
"""So many of a run's newest alerts are kept."""
MOST_NAMED: Final = 20
LONGEST_NAME: Final = 60
"""So many rules are named at the end, with so many characters each."""
MOST_INTERRUPTS: Final = 20
"""So many times is an end that is interrupted gone on with."""


class Delivery:
    """The inner side of a `MetricsHub`, which is the only class derived from it."""

    run_started: HubSignal
    """Sent with ``run=`` a `Run`, after the sinks have heard of it."""
    snapshot_emitted: HubSignal
    """Sent with ``snapshot=``. The sinks hang on this signal too, as one receiver."""
    alert_raised: HubSignal
    """Sent with ``alert=`` an `Alert`, after the sinks have heard of it."""
    run_closed: HubSignal
    """Sent with ``run=`` when a run ends: at ``close``, and before the next ``start``."""

    def __init__(self, strict: bool, close_timeout: float, rules: Iterable[Rule]) -> None:
        self.strict = strict
        self.close_timeout = close_timeout
        self.run_started = HubSignal("run_started", "A run starts.")
        self.snapshot_emitted = HubSignal("snapshot_emitted", "A snapshot was emitted.")
        self.alert_raised = HubSignal("alert_raised", "Somebody raised an alert.")
        self.run_closed = HubSignal("run_closed", "A run is over.")
        self._turns = Turns()
        self._take_turn = self._turns.take
        self._roster = Roster(self._turns)
        self._watcher = Watcher(rules, self._rule_failed)
        self._lookout: Lookout | None = None
        self._is_looking = False
        self._alerts: tuple[Alert, ...] = ()  # replaced, never changed: any thread may read it
        self._alert_counts: Counter[str] = Counter()
        self._stop_reason: str | None = None
        self._run: Run | None = None
        self._announced: Run | None = None  # where it has not begun yet, see `MetricsHub.start`
        self._flows = False  # a run has begun, nothing waits for its device, the hub is open: emit need not look closer
        self._emitted = 0
        self._refused = 0
        self._newest_step = -1
        self._late: PendingSnapshot | None = None
        self._closed = False
        self._finisher: dict[str, int] = {}  # the thread that finishes; by setdefault, as in ``turns``
        self._stuck: object = None  # the sink that a call does not come back from
        self._gave_up = False  # the last deliveries are over, made or not
        self._finished = False
        self._inert = False
        self._complaints: set[str] = set()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The sinks' places, in order."""
        return self._roster.subscriptions

    def close_by(self, deadline: float | None) -> None:
        """`close`, waiting no longer than ``deadline`` (monotonic seconds); None: what ``close_timeout`` allows."""
        now = time.monotonic()
        latest = now + self.close_timeout
        deadline = latest if deadline is None else min(deadline, latest)
        patience = now + (1 - SHARE_FOR_CLOSING) * max(deadline - now, 0.0)
        self._closed = True
        self._flows = False
        raised: BaseException | None = None
        try:
            if not self._finished:
                self._take_turn(self._finish, deadline, True)
            if self._turns.is_mine() or self._roster.is_on_worker():
                return  # it is finished right after this call
            while not self._finished and time.monotonic() < (deadline if self._finisher else patience):
                time.sleep(0.0005)
                self._turns.settle()
        except BaseException as error:  # hardly any more waiting after Ctrl-C, but whatever can be closed is
            raised = error
            deadline = 0.0 if isinstance(error, KeyboardInterrupt) else deadline
        for _ in range(MOST_INTERRUPTS):
            try:
                if not self._finished and self._turns.is_free():
                    self._take_turn(self._finish, deadline, True)
                if not self._finished:
                    self._finish(deadline)
                elif end_workers(self._roster.subscriptions, deadline):  # for a sink that closed the hub itself
                    process.forget(self)
                break
            except BaseException as error:
                raised = graver(raised, error)
                deadline = 0.0 if isinstance(error, KeyboardInterrupt) else deadline
        if raised is not None:
            raise raised

    # -- calls that are made in turn -------------------------------------------------------------------------------

    def _publish(self, snapshot: TrainingSnapshot) -> None:
        """Send ``snapshot`` to every receiver of the signal."""
        if self.snapshot_emitted.is_muted:
            self._roster.miss()
        else:
            try:
                self.snapshot_emitted.send_guarded(self, self._receiver_failed, snapshot=snapshot)
            finally:
                self._watch(snapshot)

    def _hand_out(self, snapshot: TrainingSnapshot) -> None:
        """The same where the sinks are all that hangs on the signal."""
        try:
            self._roster.hand_out(snapshot)
        finally:
            self._watch(snapshot)

    def _watch(self, snapshot: TrainingSnapshot) -> None:
        """Ask the rules about ``snapshot``, and raise what alerts they have."""
        for alert in self._watcher.watch(snapshot):
            self._raise_alert(alert)
        if self._lookout is None and not self._emitted & 15 and self._watcher.next_look < math.inf and not self._closed:
            self._lookout = Lookout(self)

    def _catch_up(self) -> None:
        """Ask the rules about the snapshots that they have not heard of yet, for no other follows soon."""
        for alert in self._watcher.catch_up():
            self._raise_alert(alert)

    def _fan_out(self, hub: object, snapshot: TrainingSnapshot) -> None:
        """The one receiver through which all sinks hang on the signal."""
        self._roster.hand_out(snapshot)

    def _attach(self, subscription: Subscription) -> None:
        try:
            if self._run is not None and not self._closed and not subscription.gone:
                subscription.do("start", self._run)
        finally:
            subscription.attach()

    def _flush_one(self, subscription: Subscription) -> None:
        subscription.do("flush")

    def _begin(self, run: Run) -> None:
        try:
            self._catch_up()
        finally:
            self._begin_anew(run)

    def _begin_anew(self, run: Run) -> None:
        ended, self._run = self._run, run
        self._alerts = ()
        self._stop_reason = None
        if ended is not None:
            self.run_closed.send_guarded(self, self._receiver_failed, run=ended)
        must_pass = None if ended is None else self._roster.tell_files()
        try:
            self._roster.say("start", run)
        finally:
            try:
                self._watcher.start(run)
            finally:
                self.run_started.send_guarded(self, self._receiver_failed, run=run)
        if must_pass is not None:
            raise must_pass

    def _begin_unless_begun(self, run: Run) -> None:
        if self._run is None:
            self._begin(run)

    def _raise_alert(self, alert: Alert) -> None:
        self._alerts = (*self._alerts[1 - MOST_ALERTS :], alert)
        if alert.rule in self._alert_counts or len(self._alert_counts) < MOST_ALERTS:
            self._alert_counts[alert.rule] += 1
        try:
            self._roster.say("alert", alert)
        finally:
            self.alert_raised.send_guarded(self, self._receiver_failed, alert=alert)

    def _finish(self, deadline: float) -> None:
        """What ``close`` does, once. Out of turn when somebody is stuck in a sink, which is then left alone.

        After a Ctrl-C in the middle of it, the same thread goes on with what is left when it calls this again.
        """
        me = get_ident()
        if self._finished or self._finisher.setdefault("thread", me) != me:
            return
        raised: BaseException | None = None
        try:
            if not self._gave_up:
                self._gave_up = True
                self._end_deliveries(deadline)
        except BaseException as error:
            raised = error
        raised = graver(raised, self._roster.close(deadline, self._stuck, self._alert_lines()))
        if self._lookout is not None:
            self._lookout.stop(deadline)
        if not self._roster.is_on_worker():
            process.forget(self)
        self._finished = True
        if self._run is not None:
            self.run_closed.send_guarded(self, self._receiver_failed, run=self._run)
        if raised is not None:
            raise raised

    def _end_deliveries(self, deadline: float) -> None:
        """Pass on what is still on a device, or give up what waits for a call that does not come back."""
        if self._turns.is_mine():
            self._pass_on_late_here(deadline)
            self._catch_up()
            return
        self._stuck = self._turns.busy_with
        self._complain("close() waited in vain for a call to come back; what was waiting for it is dropped")
        for call in self._turns.give_up_backlog():
            if self._is_delivery(call):
                self._roster.miss()

    def _alert_lines(self) -> list[tuple[int, str]]:
        """What the end says of the alerts: nothing when there were none, no warning where a sink sums the run up."""
        if not self._alert_counts:
            return []
        most = self._alert_counts.most_common(MOST_NAMED)
        counts = [f"{count} {harmless(rule[:LONGEST_NAME]).replace('_', ' ')}" for rule, count in most]
        others = self._alert_counts.total() - sum(count for _, count in most)
        if others:
            counts.append(f"{others} others")
        summed_up = any(each.abilities["wrote"] is not None for each in self._roster.subscriptions)
        return [(logging.INFO if summed_up else logging.WARNING, f"alerts: {', '.join(counts)}")]

    def _rule_failed(self, name: str, error: BaseException) -> bool:
        if self.strict or process.is_from_outside(error):
            return True
        tell(logging.ERROR, "rule %s failed and is set aside; training goes on\n%s", name, trace_of(error))
        return False

    def _receiver_failed(self, receiver: Any, error: BaseException) -> bool:
        if self.strict or process.is_from_outside(error):
            return True
        self._complain(f"a receiver failed: {name_of(receiver)}: {one_line(error)}")
        return False

    # -- looking when no snapshot comes ----------------------------------------------------------------------------

    def next_look(self) -> float:
        """When the rules want to be asked unless a snapshot comes before, in monotonic seconds."""
        return math.inf if self._closed else self._watcher.next_look

    def look(self) -> None:
        """Ask the rules now; called from a thread of the hub's own."""
        if self._is_looking:
            return  # it is left to whoever is at work, who does not come back
        self._is_looking = True
        try:
            self._take_turn(self._look, None, True)
        except BaseException as error:
            self._complain(f"an alert without a snapshot failed: {one_line(error)}")

    def _rest(self, _: object) -> None:
        self._catch_up()
        self._watcher.rest()

    def _look(self, _: object) -> None:
        self._is_looking = False
        if not self._closed:
            for alert in self._watcher.look(time.monotonic()):
                self._raise_alert(alert)

    # -- emits that are not plain ----------------------------------------------------------------------------------

    def _admit(self, snapshot: Any) -> TrainingSnapshot | None:
        """The rare emits: after close, no snapshot, or with numbers that are still on a device."""
        if self._closed:
            self._refuse("emit() after close() does nothing")
            return None
        if not isinstance(snapshot, TrainingSnapshot):
            self._refuse(
                f"emit() takes a TrainingSnapshot; got {type(snapshot).__name__}. "
                "For a mapping of names to numbers there is hub.log(metrics)",
                TypeError,
            )
            return None
        if not isinstance(snapshot, PendingSnapshot) and type(snapshot) is not TrainingSnapshot:
            try:  # a user's subclass: sinks get the class they know
                snapshot = TrainingSnapshot(**{name: getattr(snapshot, name) for name in FIELDS})
            except Exception as error:
                self._refuse(f"emit() cannot read this {type(snapshot).__name__}: {one_line(error)}", TypeError)
                return None
        self._pass_on_late()
        if self._run is None:
            self._take_turn(self._begin_unless_begun, self._announced or run_begun_by(snapshot.step), True)
        if isinstance(snapshot, PendingSnapshot):
            self._emitted += 1
            self._newest_step = snapshot.step
            self._late = snapshot
            self._flows = False
            return None
        checked: TrainingSnapshot = snapshot
        return checked

    def _pass_on_late(self) -> None:
        """Deliver the snapshot that waited for its device."""
        late, self._late = self._late, None
        self._see_whether_it_flows()
        if late is not None:
            refusal = self._take_turn(self._publish, self._resolved(late))
            if refusal is not None:
                self._drop(refusal)

    def _pass_on_late_here(self, deadline: float) -> bool:
        """The same in the middle of a turn, and not waiting past ``deadline``; False when the device was not ready."""
        late, self._late = self._late, None
        self._see_whether_it_flows()
        if late is None:
            return True
        while not late.is_ready():
            if time.monotonic() >= deadline:
                if self._closed:
                    self._roster.miss()
                    self._complain("the last snapshot is left out, its numbers did not arrive from the device in time")
                else:
                    self._late = late
                    self._flows = False
                return False
            time.sleep(0.0005)
        self._publish(self._resolved(late))
        return True

    def _resolved(self, late: PendingSnapshot) -> TrainingSnapshot:
        try:
            return late.resolve()
        except BaseException:  # Ctrl-C while waiting for the device: close delivers it
            self._late = late
            self._flows = False
            raise

    def _see_whether_it_flows(self) -> None:
        self._flows = self._run is not None and self._late is None and not self._closed

    def _drop(self, refusal: str) -> None:
        if refusal == "too deep":
            self._emitted -= 1
            self._refuse(f"a sink emits for each snapshot it gets; past {MAX_NESTING} deep it is dropped")
            return
        self._roster.miss()
        self._complain("snapshots are dropped because too many are waiting; a sink is slow or does not come back")

    def _is_delivery(self, call: Callable[[Any], object]) -> bool:
        return call in (self._publish, self._hand_out)

    def on_their_way(self) -> int:
        """Snapshots that were emitted and have not been handed to anybody: left to a busy thread, or on a device."""
        left = self._turns.left()
        return sum(self._is_delivery(call) for call in left) + (self._late is not None)

    # -- failures and process --------------------------------------------------------------------------------------

    def _refuse(self, message: str, error: type[Exception] = RuntimeError) -> None:
        self._refused += 1
        if self.strict and not self._closed:
            raise error(message)
        self._complain(message)

    def _complain(self, message: str) -> None:
        """Say it once. What differs only past the first 60 characters counts as the same."""
        key = message[:60]
        if key not in self._complaints and len(self._complaints) < 100 and not self._inert:
            self._complaints.add(key)
            tell(logging.WARNING, "%s", message)

    def go_inert(self) -> None:
        """In a forked child: never touch the parent's files, terminal and threads. Emits are only counted."""
        self._closed = self._finished = self._inert = True
        self._flows = False
        self._late = None
        self._lookout = None
        self._turns.give_up_backlog()
        self._roster.go_inert()

    def run_when_delivered(self, action: Callable[[], object]) -> None:
        """Run ``action()`` now, or right after the delivery that this thread is in the middle of."""
        self._turns.when_free(action)
