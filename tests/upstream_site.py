"""A site that follows an upstream: its netboot process, and boards that are to install the first image there.

python tests/upstream_site.py URL TOKEN FOLDER CACHE BOARDS

It prints ``ready INDEX``, and each trace event as JSON; it ends with its standard input. The boards' rack is
http://127.0.0.1:8067 in the same network namespace, their tokens are t0, t1, …
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.images.store import ImageStore
from hostler.images.upstream import Upstream
from hostler.images.upstream_link import UpstreamPlace
from hostler.model.boot import BootIntent
from hostler.netboot.child import NetbootChild
from hostler.netboot.setup import NetbootSetup
from hostler.netboot.table import DhcpMode, NetworkConfig, Target
from hostler.rack.chunk_supply import ChunkSupply

if TYPE_CHECKING:
    from hostler.model.trace import TraceEvent

NETWORK = NetworkConfig("site", "lo", IPv4Interface("127.0.0.1/8"), None, None, dhcp=DhcpMode.OFF)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tell(event: TraceEvent) -> None:
    say(json.dumps(event.to_json()))


async def taken(*_: object) -> int:
    return 204


async def main(url: str, token: str, folder: Path, cache: int, boards: int) -> None:
    store = ImageStore(folder / "images")
    upstream = Upstream(folder / "upstream", store)
    upstream.follow(UpstreamPlace(url, token), cache, {})
    images = {str(one["index"]): str(one["name"]) for one in upstream.images() if isinstance(one, dict)}
    upstream.offers(images)
    index = next(iter(images))
    supply = ChunkSupply(upstream)
    setup = NetbootSetup((NETWORK,), store.root, folder / "netboot", cache=supply.cache)
    child = NetbootChild(
        setup, on_event=tell, on_seen=lambda *_: None, on_request=taken, on_fetch=supply.fetch,
        on_read=supply.read,
    )  # fmt: skip
    for number in range(boards):
        child.put_target(
            Target(
                f"b{number}", "x86-uefi", "amd64", (f"52:54:00:00:00:{number:02x}",), intent=BootIntent.STEP,
                boot=f"boot-{number}", token=f"t{number}",
                step={"run": "r", "step": 0, "kind": "install", "params": {"index": index}},
            )
        )  # fmt: skip
    async with child:
        say(f"ready {index}")
        await asyncio.to_thread(sys.stdin.read)
    upstream.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
