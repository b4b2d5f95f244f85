"""A daemon thread that does something at a steady pace, sooner when woken."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

logger = logging.getLogger("sinks.terminal")

LEAST_GAP_S: Final = 0.05
"""However often it is woken, it acts at most this often."""
FAILURES_BEFORE_END: Final = 5
AFFORDED_S: Final = 0.0003
"""CPU time of an action that is usual: at four a second 0.12 % of a core. Those that take more come less often, in
proportion, ..."""
LONGEST: Final = 4.0
"""... until they are so many times as far apart as was asked for."""
_USUAL_OF: Final = 16
"""What is usual is an average over about so many actions ..."""
_MOST_S: Final = 10 * AFFORDED_S
"""... of which none counts for more than this: the first ones load what they need."""


class Ticker:
    """Calls ``act()`` every ``interval_s`` seconds on a thread of its own; less often where it takes much CPU time, see
    `AFFORDED_S`.

    ``act`` may raise: the first failure is logged. After `FAILURES_BEFORE_END` in a row ``instead()`` is called from
    then on; when that keeps failing too, or there is none, the thread ends.
    Waking goes through a ``SimpleQueue``, the only kind of wait that a finaliser on the same thread may enter again.
    """

    def __init__(
        self, act: Callable[[], object], interval_s: float, name: str, instead: Callable[[], object] | None = None
    ) -> None:
        self._act = act
        self._instead = instead
        self._interval_s = interval_s
        self._name = name
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self.cpu_s = 0.0
        """CPU time that the thread has used, in seconds."""
        self._usual_s = 0.0  # CPU time of an action
        self._pid = os.getpid()

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive() and os.getpid() == self._pid

    def start(self) -> bool:
        """Start the thread; False when the interpreter gives none any more."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def wake(self) -> None:
        """Act soon rather than at the next turn. Never waits."""
        if self._wakes.empty():
            self._wakes.put(True)

    def stop(self, within_s: float) -> bool:
        """End the thread; False when it is still busy after ``within_s`` seconds."""
        self._stopping = True
        self._wakes.put(False)
        thread = self._thread
        if thread is None or thread is threading.current_thread() or os.getpid() != self._pid:
            return True
        thread.join(within_s)
        return not thread.is_alive()

    def _run(self) -> None:
        failures = 0
        acted = 0.0
        while not self._stopping:
            try:
                self._wakes.get(timeout=self._interval_s * min(max(self._usual_s / AFFORDED_S, 1.0), LONGEST))
                early = LEAST_GAP_S - (time.monotonic() - acted)
                if early > 0 and not self._stopping:
                    time.sleep(early)
            except Empty:
                pass
            if self._stopping:
                return
            acted = time.monotonic()
            try:
                self._act()
                failures = 0
            except BaseException:  # a SystemExit of somebody's code would end the thread without a word
                failures += 1
                if failures == 1:
                    logger.exception("the terminal display could not be drawn; training goes on")
                if failures >= FAILURES_BEFORE_END:
                    if self._instead is None:
                        logger.error("the terminal display failed %d times in a row and stays as it is", failures)
                        return
                    logger.error("the terminal display failed %d times in a row; plain lines from now on", failures)
                    self._act, self._instead = self._instead, None
                    failures = 1  # what fails from now on is known
                    self.wake()
            used = time.thread_time()
            self._usual_s += (min(used - self.cpu_s, _MOST_S) - self._usual_s) / _USUAL_OF
            self.cpu_s = used
