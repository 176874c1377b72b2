"""Acquires and releases labgrid places, or watches them; runs in labgrid's own environment.

python labgrid_load.py ADDRESS prepare --places N
python labgrid_load.py ADDRESS watch --clients N
python labgrid_load.py ADDRESS load --places N --clients N --seconds S
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from labgrid.remote.generated import labgrid_coordinator_pb2 as pb
from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def session(address: str, name: str, *, subscribe: bool) -> AsyncIterator[tuple[Any, Any]]:
    """Connect as ``labgrid-client`` does: a stream that names us, and calls on the same channel."""
    # A channel of its own: labgrid knows its clients by their connection.
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = pb_grpc.CoordinatorStub(channel)
        out: asyncio.Queue[Any] = asyncio.Queue()

        async def messages() -> AsyncIterator[Any]:
            while True:
                yield await out.get()

        stream = stub.ClientStream(messages())
        first = pb.ClientInMessage()
        first.startup.version = "1"
        first.startup.name = name
        out.put_nowait(first)
        if subscribe:
            for every in ("all_places", "all_resources"):
                message = pb.ClientInMessage()
                setattr(message.subscribe, every, True)
                out.put_nowait(message)
        sync = pb.ClientInMessage()
        sync.sync.id = 1
        out.put_nowait(sync)
        async for message in stream:
            if message.HasField("sync"):
                break
        yield stub, stream


async def prepare(address: str, places: int) -> None:
    """Make places, each with the one resource of its name."""
    async with session(address, "bench/prepare", subscribe=False) as (stub, _):
        for number in range(places):
            await stub.AddPlace(pb.AddPlaceRequest(name=f"p{number:04d}"))
            pattern = f"*/p{number:04d}/*"
            await stub.AddPlaceMatch(pb.AddPlaceMatchRequest(placename=f"p{number:04d}", pattern=pattern))


async def watch(address: str, clients: int) -> None:
    """Follow every place and resource until killed."""

    async def one(number: int) -> None:
        async with session(address, f"bench/watch{number}", subscribe=True) as (_, stream):
            async for _ in stream:
                pass

    watching = [asyncio.ensure_future(one(number)) for number in range(clients)]
    await asyncio.sleep(2.0)
    print("watching", flush=True)
    await asyncio.gather(*watching)


async def load(address: str, places: int, clients: int, seconds: float) -> dict[str, Any]:
    """Acquire and release as fast as the coordinator answers; each client has places of its own."""
    grants: list[float] = []
    begun = time.monotonic()
    end = begun + seconds

    async def one(number: int) -> None:
        async with session(address, f"bench/load{number}", subscribe=False) as (stub, _):
            place = number
            while time.monotonic() < end:
                asked = time.perf_counter()
                await stub.AcquirePlace(pb.AcquirePlaceRequest(placename=f"p{place:04d}"))
                grants.append(time.perf_counter() - asked)
                await stub.ReleasePlace(pb.ReleasePlaceRequest(placename=f"p{place:04d}"))
                place = (place + clients) % (places // clients * clients)

    await asyncio.gather(*(one(number) for number in range(clients)))
    return {"seconds": time.monotonic() - begun, "grants": grants}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("part", choices=("prepare", "watch", "load"))
    parser.add_argument("--places", type=int, default=0)
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    args = parser.parse_args()
    if args.part == "prepare":
        asyncio.run(prepare(args.address, args.places))
    elif args.part == "watch":
        asyncio.run(watch(args.address, args.clients))
    else:
        print(json.dumps(asyncio.run(load(args.address, args.places, args.clients, args.seconds))))


if __name__ == "__main__":
    main()
