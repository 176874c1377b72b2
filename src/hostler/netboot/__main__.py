"""``python -m hostler.netboot --pipe-fd N``: started by the rack, see `hostler.netboot.child`."""

import sys

from hostler.netboot.process import main

sys.exit(main())
