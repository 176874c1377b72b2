"""What the conformance tests need to know of a power driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from hostler.drivers.power.protocol import PowerDriver


@dataclass(frozen=True)
class PowerCase:
    """One driver beside something that speaks its protocol.

    Attributes:
        make: Starts the peer and yields the driver bound to it.
        equipment: A valid table; nothing is reached through it.
        binding: A valid table.
    """

    make: Callable[[], AbstractAsyncContextManager[PowerDriver]]
    equipment: Mapping[str, object]
    binding: Mapping[str, object]
