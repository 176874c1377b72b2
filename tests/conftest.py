"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from netns import Lan, joined

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A server's and a client's network namespace on one cable; the server is 10.77.0.1/24."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with joined() as made:
        yield made
