"""A rack's HTTP listener and carousels for N boards that install one image.

python benchmarks/distribution_server.py STORE INDEX N RATE WAY    prints "ready"; at the end of its standard
                                                                   input prints how many bytes it sent

WAY is what boards are offered: carousel, peers, or http for neither.
"""

from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.model.boot import BootIntent
from hostler.netboot.http_server import BootHttp
from hostler.netboot.multicast_group import MulticastGroup
from hostler.netboot.table import BootTable, NetworkConfig, Target

if TYPE_CHECKING:
    from hostler.model.json import Document


class Silent:
    """A rack that takes everything."""

    def seen(self, board: str, boot: str, at: float) -> None:
        """Take a sign of life."""
        del board, boot, at

    async def report(self, kind: str, board: str, boot: str, body: Document) -> int:
        """Take a report."""
        del kind, board, boot, body
        return 204


async def serve(store: Path, index: str, boards: int, rate: float, way: str) -> None:
    group = MulticastGroup(IPv4Address("239.255.77.1"), 7707, rate, 1, min(2, boards))
    network = NetworkConfig(
        "lab",
        "e0",
        IPv4Interface("10.99.0.1/16"),
        None,
        None,
        http_port=8067,
        multicast=group if way == "carousel" else None,
        peers=way == "peers",
    )
    table = BootTable()
    for number in range(boards):
        table.put(
            Target(
                f"b{number}", "x86-uefi", "amd64", (f"52:54:00:00:00:{number:02x}",), intent=BootIntent.STEP,
                boot=f"boot-{number}", token=f"t{number}",
                step={"run": "r", "step": 0, "kind": "install", "params": {"index": index}},
            )
        )  # fmt: skip
    http = BootHttp(table, [network], lambda _: None, lambda _: None, Silent(), store, lambda *_: None)
    await http.start()
    before = sent()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(sent() - before, flush=True)
    await http.close()


def sent() -> int:
    """Bytes that left by the uplink."""
    return int(Path("/sys/class/net/e0/statistics/tx_bytes").read_text())


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
