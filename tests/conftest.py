"""No test opens a window by chance on the screen of whoever runs the suite: those that want one say so."""

from __future__ import annotations

import os

os.environ["MPLBACKEND"] = "agg"
