"""The command line: ``python -m m`` or ``metrics-hub``."""
