"""What every call of a power driver begins with: a wish that can be granted, and a hard deadline."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hostler.drivers.errors import DriverTimeout
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def wants_on(state: PowerState) -> bool:
    """Return whether ON is asked for.

    Raises:
        ValueError: For UNKNOWN, which is an answer and no wish.
    """
    if state is PowerState.UNKNOWN:
        raise ValueError("a supply can be switched on or off, not to unknown")
    return state is PowerState.ON


@asynccontextmanager
async def deadline(name: str, seconds: float) -> AsyncIterator[None]:
    """End a call after that time, whatever hangs below it; ``name`` is the equipment's, for the message.

    Raises:
        DriverTimeout: When the time is over.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DriverTimeout(f"{name}: not done within {seconds:g} s; look at it, it may hang") from error
