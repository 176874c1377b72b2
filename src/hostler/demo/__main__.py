"""``python -m hostler.demo``."""

from __future__ import annotations

import sys

from hostler.demo.main import main

sys.exit(main())
