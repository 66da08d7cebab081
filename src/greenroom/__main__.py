"""`python -m greenroom` is the command `greenroom`."""

from __future__ import annotations

import sys

from greenroom.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
