"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from netns import Lan, joined

if TYPE_CHECKING:
    from collections.abc import Iterator


# A run in the background ignores Ctrl-C, and all it starts would inherit that; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("without-clock", settings(), deadline=None)
settings.load_profile("without-clock")


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A server's and a client's network namespace on one cable; the server is 10.77.0.1/24."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with joined() as made:
        yield made
