"""What the tests of drivers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from silent import SilentPort

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def silent_port() -> Iterator[SilentPort]:
    port = SilentPort()
    yield port
    port.close()
