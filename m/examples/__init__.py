"""Runnable examples: real training, small enough to watch from start to end."""
