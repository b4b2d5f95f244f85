"""All sinks of a hub: who is on the list, and how one thing is said to each of them in order.

Whatever one sink does, the others hear of it too; what must not be swallowed is raised when all have. Except for the
list itself this is called in turn only (see ``turns``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any, Final

from m.hub.abilities import is_same, name_of, written_by
from m.hub.closing import LEAST_S, Aside, do_each, ending_of
from m.hub.reporting import graver, logger, tell
from m.hub.stats import SinkStats
from m.hub.subscription import Subscription
from m.hub.turns import Turns
from m.metrics.snapshot import TrainingSnapshot

MOST_LEFT: Final = 100
"""The losses of so many sinks that were taken away are kept by name; those of all others under one more name."""
OTHERS: Final = "others"

_clock = time.perf_counter


class Roster:
    """The subscriptions in order. The tuple is replaced, never changed, so whoever goes through it is undisturbed."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.change = threading.RLock()
        """Held while the list changes; never while a sink is called, and never taken by emit."""
        self.subscriptions: tuple[Subscription, ...] = ()
        self._leaving: tuple[Subscription, ...] = ()  # taken away; what they had queued may still be on its way
        self._losses: dict[str, SinkStats] = {}  # of those that have left, by name
        self._endings: dict[int, Aside] = {}  # of inline sinks, by identity of the subscription

    def add(self, sink: Any, name: str, make: Callable[[str], Subscription]) -> Subscription:
        """Put the subscription that ``make`` gives for a free name on the list.

        ``ValueError`` for a known sink, ``TypeError`` for a name that is no text.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, or None for the sink's own; got {name!r:.80} ({type(name).__name__})")
        with self.change:
            if any(is_same(existing.sink, sink) for existing in self.subscriptions):
                raise ValueError(f"sink {name_of(sink)} is subscribed to this hub already")
            taken = {existing.name for existing in self.subscriptions}
            free, number = name, 2
            while free in taken:
                free, number = f"{name}-{number}", number + 1
            subscription = make(free)
            self.subscriptions = (*self.subscriptions, subscription)
            return subscription

    def remove(self, sink: Any) -> Subscription | None:
        """Take ``sink`` off the list and give its subscription, detached; None when it is not there."""
        with self.change:
            for subscription in self.subscriptions:
                if is_same(subscription.sink, sink):
                    self.subscriptions = tuple(each for each in self.subscriptions if each is not subscription)
                    subscription.detach()
                    self._settle_leaving()
                    self._leaving = (*self._leaving, subscription)
                    return subscription
            return None

    def losses(self) -> dict[str, SinkStats]:
        """By name, the accounts of the sinks that were taken away and had missed snapshots or failed."""
        with self.change:
            self._settle_leaving()
            losses = dict(self._losses)
            for subscription in self._leaving:
                _add_loss(losses, subscription)
            return losses

    def _settle_leaving(self) -> None:
        """Let go of the sinks that have taken what they had queued, or of the oldest when there are too many."""
        for subscription in self._leaving:
            is_at_work = subscription.stats().waiting or self._turns.busy_with is subscription
            if not is_at_work or len(self._leaving) >= MOST_LEFT:
                self._leaving = tuple(each for each in self._leaving if each is not subscription)
                _add_loss(self._losses, subscription)

    def go_inert(self) -> None:
        """In a forked child: nobody is on the list, and who is in the middle of going through it skips the rest."""
        self.change = threading.RLock()
        for subscription in self.subscriptions:
            subscription.go_inert()
        self.subscriptions = self._leaving = ()

    def hand_out(self, snapshot: TrainingSnapshot) -> None:
        """Hand ``snapshot`` to each sink in turn."""
        turns = self._turns
        raised: BaseException | None = None
        before = _clock()
        subscriptions = iter(self.subscriptions)
        while True:
            try:
                for subscription in subscriptions:
                    if subscription.aside_until is not None and subscription.is_aside():
                        continue
                    turns.busy_with = subscription
                    try:
                        subscription.deliver(snapshot)
                    except BaseException as error:
                        raised = graver(raised, subscription.failed_to_take(error, snapshot.step))
                    else:
                        subscription.taken += 1
                        if subscription.failures_in_row and subscription.worker is None:
                            subscription.recovered()
                    now = _clock()
                    subscription.seconds += now - before
                    before = now
                break
            except BaseException as error:  # Ctrl-C between two sinks: the rest of them get the snapshot all the same
                raised = graver(raised, error)
        turns.busy_with = None
        if raised is not None:
            raise raised

    def miss(self) -> None:
        """A snapshot was emitted that no sink will see."""
        for subscription in self.subscriptions:
            subscription.missed += 1

    def say(self, ability: str, *arguments: Any, then: Callable[[bool], object] | None = None) -> None:
        """Call an ability of each attached sink that has it; ``then(succeeded)`` follows for every one on the list."""
        raised: BaseException | None = None
        for subscription in self.subscriptions:
            try:
                if subscription.is_attached:
                    subscription.do(ability, *arguments, then=then)
                elif then is not None:
                    then(True)
            except BaseException as error:
                raised = graver(raised, error)
        if raised is not None:
            raise raised

    def tell_files(self, stuck: object = None) -> BaseException | None:
        """Tell the sinks that ask, but for ``stuck``, which files all of them have written. Gives what must not
        be swallowed."""
        files = [path for each in self.subscriptions for path in written_by(each.sink)]
        raised: BaseException | None = None
        for subscription in self.subscriptions if files else ():
            try:
                if subscription.is_attached and subscription is not stuck:
                    subscription.do("wrote", *files)
            except BaseException as error:
                raised = graver(raised, error)
        return raised

    def close(self, deadline: float, stuck: object, said_first: Iterable[tuple[int, str]] = ()) -> BaseException | None:
        """Flush and close every sink but ``stuck``, the newest first, and wait for them until ``deadline``; before that
        each hears which files there are. Gives what must not be swallowed.

        Those in the background are told first, since they work at the same time; then come the inline ones that are
        to be closed on this thread, so that no other can keep them from it. The last thing is a line of the log on how
        each of them fared, after ``said_first``, lines with their levels. When a Ctrl-C comes out of here, another
        call does what is left; no sink is closed twice.
        """
        newest_first = [each for each in reversed(self.subscriptions) if each is not stuck]
        inline = [each for each in newest_first if each.worker is None and each.has_an_end]
        inline.sort(key=lambda each: not each.stays_here)
        endings = [self._endings.setdefault(id(each), ending_of(each)) for each in inline]
        raised = self.tell_files(stuck)
        for subscription in (*newest_first, *newest_first):  # again, since a Ctrl-C may have come between
            try:
                subscription.end_on_worker()
            except BaseException as error:
                raised = graver(raised, error)
        raised = graver(raised, do_each(endings, deadline))
        soon = time.monotonic() + LEAST_S
        interrupted = not deadline or isinstance(raised, KeyboardInterrupt)
        for until in (soon if interrupted else deadline, soon, 0.0):
            try:
                end_workers(self.subscriptions, until)
                break
            except BaseException as error:  # Ctrl-C: hardly any more waiting; and another: none
                raised = graver(raised, error)
        lines = [(level, line) for level, line in said_first if logger.isEnabledFor(level)]
        for subscription in self.subscriptions:
            subscription.detach(closed=True)
            level, line = subscription.closing_line()
            if logger.isEnabledFor(level):
                lines.append((level, line))
        for name, stats in self.losses().items():
            because = f"; last error: {stats.last_error}" if stats.last_error else ""
            missed = f"missed {stats.emitted - stats.delivered} of {stats.emitted} snapshots"
            if logger.isEnabledFor(logging.WARNING):
                lines.append((logging.WARNING, f"sink {name}, which was taken away: {missed}{because}"))
        if lines:  # not on this thread: what takes them may be a terminal that is stopped
            raised = graver(raised, do_each([Aside(lambda: _say_all(lines), "says how it went")], deadline))
        return raised

    def is_on_worker(self) -> bool:
        """The caller runs on the thread of one of the sinks, or on one that closes a sink."""
        me = get_ident()
        return any(
            each.closing_on == me or (each.worker is not None and each.worker.is_current())
            for each in self.subscriptions
        )


def _add_loss(losses: dict[str, SinkStats], subscription: Subscription) -> None:
    stats = subscription.stats()
    superseded = 0 if subscription.worker is None else subscription.worker.superseded
    if stats.emitted - stats.delivered > superseded or stats.last_error:
        name = subscription.name if subscription.name in losses or len(losses) < MOST_LEFT else OTHERS
        losses[name] = stats if name not in losses else losses[name].with_more(stats)


def _say_all(lines: Iterable[tuple[int, str]]) -> None:
    for level, line in lines:
        tell(level, "%s", line)


def end_workers(subscriptions: Iterable[Subscription], deadline: float) -> bool:
    """Have the sinks' threads finish, all by ``deadline``. False when the caller is one of them and goes on."""
    workers = [subscription.worker for subscription in subscriptions if subscription.worker is not None]
    for worker in workers:
        worker.stop()
    ended = [worker.join(deadline) for worker in workers]  # every one, whatever the first says
    return all(ended)
