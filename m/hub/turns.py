"""One call at a time, in the order in which they were asked for, and never one inside another.

Every call that a hub makes to its sinks goes through here. Whoever finds nobody at work does the call itself; whoever
finds somebody at work, another thread or itself further up its own stack, leaves the call to that one. Nobody waits
for a lock, so an emit from a sink, a finaliser or a signal handler cannot wait for itself. This file does not know
what the calls do.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final, Literal

MAX_NESTING: Final = 16
"""A call asked for during a call asked for during a call ... is made this deep; past it, refused."""
BACKLOG_LIMIT: Final = 1024
"""Calls that may be left to whoever is at work. Past it a thread waits for room, and is refused when there is none."""
ROOM_WAIT_S: Final = 1.0
"""How long a thread waits for room in a full backlog in which no call ends; as long as some do, it has only been slower
than others. When it was in vain, nobody waits again until a call ended."""

Refusal = Literal["too deep", "full"]
_WORKER: Final = "thread"


class Turns:
    """See the module. An exception of a call reaches the thread that made the call, after its turn has ended."""

    def __init__(self) -> None:
        # The thread at work, or empty. A dict, because setdefault takes the turn and notes whose it is in one step
        # that no interrupt can split: after Lock.acquire, a Ctrl-C can come before anybody knows of the lock.
        self._at_work: dict[str, int] = {}
        self._backlog: deque[tuple[Callable[[Any], object], Any, int]] = deque()  # the first may be running
        self._afterwards: deque[tuple[int, Callable[[], object]]] = deque()
        self._working_off = False  # the first of the backlog is running
        self._stuck = False
        self._ended = 0  # calls of the backlog so far
        self.busy_with: object = None
        """What the call that is running is busy with, for whoever finds it stuck. Noted by the calls."""
        self.depth = 0
        """How deep the call that is running was asked for: 0 from outside, 1 from within such a call ..."""
        self.depth_on: dict[int, int] = {}
        """By thread, how deep it is in something that a call set off elsewhere; kept by background workers."""

    def take(self, call: Callable[[Any], object], argument: Any, always: bool = False) -> Refusal | None:
        """Make the call now, or leave it to whoever is at work. None, or why it will not be made.

        ``always`` is for what must happen: it is never refused and never waits.
        """
        at_work = self._at_work
        me = get_ident()
        if at_work or self._backlog or (self.depth_on and me in self.depth_on):
            return self._leave(call, argument, always)
        try:
            if at_work.setdefault(_WORKER, me) != me:
                return self._leave(call, argument, always)
            call(argument)
        except BaseException:
            if at_work.get(_WORKER) == me:
                at_work.clear()
            self.settle()
            raise
        at_work.clear()
        if self._backlog or self._afterwards:
            self.settle()
        return None

    def is_mine(self) -> bool:
        """This thread is making a call just now."""
        return self._at_work.get(_WORKER) == get_ident()

    def is_free(self) -> bool:
        """Nobody is making a call just now."""
        return not self._at_work

    def when_free(self, action: Callable[[], object]) -> None:
        """Run ``action()`` on this thread: now, or right after the call that it is in the middle of."""
        if self.is_mine():
            self._afterwards.append((get_ident(), action))
        else:
            action()

    def settle(self) -> None:
        """Look after what was asked for during a turn. Whoever ends one comes here, so nothing is forgotten."""
        try:
            self._work_off()
        finally:
            me = get_ident()
            for _ in range(len(self._afterwards)):
                thread, action = self._afterwards.popleft()
                if thread == me:
                    action()
                else:
                    self._afterwards.append((thread, action))

    def _work_off(self) -> None:
        """Make the calls that were left, unless somebody is at it. Ends after `BACKLOG_LIMIT` of them.

        The limit keeps threads that emit without pause from holding this one for ever. They carry on themselves; what
        is left when they stop just then is taken up by the next call.
        """
        me = get_ident()
        left = BACKLOG_LIMIT
        raised: Exception | None = None
        while self._backlog and left > 0 and not self._at_work:
            try:
                if self._at_work.setdefault(_WORKER, me) != me:
                    break
                while self._backlog and left > 0:
                    left -= 1
                    first = self._backlog[0]
                    call, argument, self.depth = first
                    self._working_off = True
                    try:
                        call(argument)
                    except Exception as error:  # a strict hub; an interrupt ends the turn and leaves the rest
                        raised = raised or error
                    finally:
                        if self._backlog and self._backlog[0] is first:  # not given up meanwhile
                            self._backlog.popleft()
                        self._working_off = self._stuck = False
                        self._ended += 1
            finally:
                self.depth = 0
                if self._at_work.get(_WORKER) == me:
                    self._at_work.clear()
        if raised is not None:
            raise raised

    def left(self) -> list[Callable[[Any], object]]:
        """The calls that were left and have not begun."""
        return [call for call, _, _ in list(self._backlog)[self._working_off :]]

    def give_up_backlog(self) -> list[Callable[[Any], object]]:
        """Take away and give back the calls that were left and will not be made: somebody is stuck at work."""
        given_up = self.left()
        self._backlog.clear()
        return given_up

    def _leave(self, call: Callable[[Any], object], argument: Any, always: bool) -> Refusal | None:
        mine = self.is_mine()
        depth = self.depth + 1 if mine else self.depth_on.get(get_ident(), 0)
        if not always:
            if depth > MAX_NESTING:
                return "too deep"
            if len(self._backlog) >= BACKLOG_LIMIT and (mine or not self._wait_for_room()):
                return "full"
        self._backlog.append((call, argument, depth))
        if not mine:  # whoever was at work may have left between our look and our append
            self.settle()
        return None

    def _wait_for_room(self) -> bool:
        deadline, ended = time.monotonic() + ROOM_WAIT_S, self._ended
        while len(self._backlog) >= BACKLOG_LIMIT:
            if not self._at_work:
                self.settle()
            elif self._stuck:
                return False
            elif time.monotonic() <= deadline:
                time.sleep(0.001)
            elif self._ended == ended:
                self._stuck = True
                return False
            else:
                deadline, ended = time.monotonic() + ROOM_WAIT_S, self._ended
        return True
