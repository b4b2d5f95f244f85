"""Runs Python code on a pseudo-terminal of a given size and reads the screen back through a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]

_SETTINGS_OF_TERMINALS = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES")

PREAMBLE = """
import faulthandler, os, sys, time
faulthandler.dump_traceback_later(40, exit=True)
from m.hub.hub import MetricsHub
from m.rich_trainer_viz import RichTrainerVisualizer, TrainingSnapshot, VisualizationConfig

def snapshot(step, experts=8, **more):
    loads = {i: (1 + (i * 7 + step) % 5) / experts / 3 for i in range(experts)}
    fields = dict(
        step=step, train_loss=2.3 / (1 + step / 20), val_loss=2.4 / (1 + step / 20) if step % 20 == 0 else None,
        learning_rate=3e-4, aux_loss=0.012, expert_utilization=loads, batch_size=32, sequence_length=512,
        gpu_memory_mb=41200.0, gradient_norm=0.87 + step / 1000,
        custom_metrics={"position_error": 0.134 + step / 1e4, "velocity_error": 0.044, "accuracy": 0.5 + step / 1e4,
                        "routing_entropy": 2.01, "load_balance": 0.95},
    )
    return TrainingSnapshot(**{**fields, **more})
"""


@dataclass
class Outcome:
    """What a run left: exit status, every byte it sent, and the screen at the end."""

    status: int | None
    raw: bytes
    screen: pyte.HistoryScreen
    seconds: float
    screens: list[list[str]] = field(default_factory=list)
    """The screen after each chunk of bytes, as lines; not in the middle of a frame, which terminals show whole."""

    @property
    def lines(self) -> list[str]:
        """The lines of the screen at the end, without trailing blanks, without the empty lines below the last."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def everything(self) -> list[str]:
        """What has scrolled away, and then the screen."""
        scrolled = [
            "".join(row[column].data for column in range(self.screen.columns)).rstrip()
            for row in self.screen.history.top
        ]
        return scrolled + self.lines


def set_size(descriptor: int, columns: int, lines: int) -> None:
    """Tell the terminal its size, as a terminal window does when it is resized."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def run_on_terminal(
    code: str,
    columns: int = 80,
    lines: int = 24,
    *,
    env: dict[str, str] | None = None,
    during: Callable[[int, subprocess.Popen[bytes], float], object] | None = None,
    reading: Callable[[float], bool] = lambda seconds: True,
    within_s: float = 30.0,
) -> Outcome:
    """Run ``code`` after `PREAMBLE` in a fresh interpreter whose standard streams are a new terminal.

    ``during(master, process, seconds)`` is called about 50 times a second; ``reading(seconds)`` says whether the
    terminal takes output at that time.
    """
    master, slave = pty.openpty()
    set_size(master, columns, lines)

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    environment = {
        **{name: value for name, value in os.environ.items() if name not in _SETTINGS_OF_TERMINALS},
        "TERM": "xterm-256color",
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
        **(env or {}),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(code)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        preexec_fn=own_terminal,
        close_fds=True,
    )
    os.close(slave)
    screen = pyte.HistoryScreen(columns, lines, history=5000)
    stream = pyte.ByteStream(screen)
    raw = b""
    screens: list[list[str]] = []
    began = time.monotonic()
    status: int | None = None
    try:
        while time.monotonic() - began < within_s:
            now = time.monotonic() - began
            if during is not None:
                during(master, process, now)
            chunk = b""
            if reading(now):
                try:
                    if select.select([master], [], [], 0.02)[0]:
                        chunk = os.read(master, 65536)
                except OSError:  # the other side is closed, or ours is
                    chunk = b""
            else:
                time.sleep(0.02)
            if chunk:
                raw += chunk
                stream.feed(chunk)
                if raw.rfind(b"\x1b[?2026h") <= raw.rfind(b"\x1b[?2026l"):
                    screens.append(list(screen.display))
            elif process.poll() is not None:
                status = process.returncode
                break
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        try:
            os.close(master)
        except OSError:
            pass
    return Outcome(status, raw, screen, time.monotonic() - began, screens)
