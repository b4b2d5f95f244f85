"""``python -m m`` is the command line."""

import sys

from m.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
