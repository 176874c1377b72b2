"""Claims and releases boards over HTTP, or follows the lab's events; a client that costs as little as it can.

python claim_load.py URL TOKEN watch --clients N
python claim_load.py URL TOKEN load --classes N --clients N --seconds S
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit


class Connection:
    """One HTTP/1.1 connection that is kept."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(self._host, self._port)

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Write a request."""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{method} /api/v1{path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + body)

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Make a request and return status and body."""
        self.send(method, path, body)
        head = await self.reader.readuntil(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at : head.index(b"\r", at)])
        return int(head[9:12]), await self.reader.readexactly(length)


async def watch(url: str, token: str, clients: int) -> None:
    """Follow every event until killed."""

    async def one() -> None:
        connection = Connection(url, token)
        await connection.open()
        connection.send("GET", "/events?follow=true")
        while await connection.reader.read(1 << 16):
            pass

    watching = [asyncio.ensure_future(one()) for _ in range(clients)]
    await asyncio.sleep(1.0)
    print("watching", flush=True)
    await asyncio.gather(*watching)


async def load(url: str, token: str, classes: int, clients: int, seconds: float) -> dict[str, Any]:
    """Claim and release as fast as the server answers."""
    grants: list[float] = []
    refused = 0
    begun = time.monotonic()
    end = begun + seconds

    async def one(number: int) -> None:
        nonlocal refused
        connection = Connection(url, token)
        await connection.open()
        body = json.dumps({"class": f"c{number % classes}"}).encode()
        while time.monotonic() < end:
            asked = time.perf_counter()
            status, answer = await connection.call("POST", "/claims", body)
            if status != 201:
                refused += 1
                await asyncio.sleep(0.01)
                continue
            grants.append(time.perf_counter() - asked)
            claim = json.loads(answer)["id"]
            status, answer = await connection.call("DELETE", f"/claims/{claim}")
            if status != 202:
                raise RuntimeError(answer.decode())

    await asyncio.gather(*(one(number) for number in range(clients)))
    return {"seconds": time.monotonic() - begun, "grants": grants, "refused": refused}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("part", choices=("watch", "load"))
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args()
    if args.part == "watch":
        asyncio.run(watch(args.url, args.token, args.clients))
    else:
        print(json.dumps(asyncio.run(load(args.url, args.token, args.classes, args.clients, args.seconds))))


if __name__ == "__main__":
    main()
