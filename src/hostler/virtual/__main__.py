"""``python -m hostler.virtual``."""

import sys

from hostler.virtual.main import main

if __name__ == "__main__":
    sys.exit(main())
