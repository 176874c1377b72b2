"""How large the blocks may be that a client is sent: less where large packets were lost on the way."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from hostler.netboot.tftp_transfer import Transfer

STALLED_TRIES: Final = 3
"""A first block that was sent so often again and never taken is too large rather than unlucky."""

LADDER: Final = (1280, 1024, 512)
"""Sizes that are tried, one after the other: what fits a tunnel in a tunnel, and what fits everywhere."""

_REMEMBERED: Final = 4096


class BlockLimits:
    """What was found out about the clients since the server started, the latest of them."""

    def __init__(self) -> None:
        self._largest: OrderedDict[IPv4Address | IPv6Address, int] = OrderedDict()

    def largest(self, client: IPv4Address | IPv6Address, most: int) -> int:
        """Return the largest block for a client on a link that carries blocks of ``most`` bytes."""
        return min(most, self._largest.get(client, most))

    def stalled(self, transfer: Transfer) -> int | None:
        """Note a transfer whose first block does not come through.

        Returns:
            The largest block from now on; None: it did come through, or nothing smaller is left.
        """
        session, client = transfer.session, transfer.client
        block = session.agreement.block
        if session.blocks_lost < STALLED_TRIES or self.largest(client, block) < block:
            return None
        smaller = next((size for size in LADDER if size < block), None)
        if smaller is None:
            return None
        self._largest[client] = smaller
        self._largest.move_to_end(client)
        if len(self._largest) > _REMEMBERED:
            self._largest.popitem(last=False)
        return smaller
