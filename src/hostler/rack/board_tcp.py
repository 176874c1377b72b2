"""TCP to a board on its own network, for its holder: how ``ssh`` to what runs there gets through the lab.

The stream carries frames of ``link.frames``: bytes, and ``{"event": "eof"}`` when one side has said its last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from typing import TYPE_CHECKING

from hostler.link.frames import BYTES, COMMAND, FrameError, Unpacker, pack
from hostler.link.port import LinkError, RequestRefusedError
from hostler.netboot.lease_journal import LeaseJournalError, read_journal
from hostler.netboot.leases import IN_USE, read_records

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from hostler.link.port import Stream
    from hostler.model.json import Document

CONNECT_SECONDS = 10.0
"""A board on the next switch answers in milliseconds; one that is booting does not answer at all."""

_START_SECONDS = 20.0  # until the process in another namespace runs: seconds on a host with much else to do

_BLOCK = 64 * 1024

# Runs inside the boards' network namespace and hands back the connected socket: a socket belongs for ever
# to the namespace it was made in, and only a process of one thread may enter another user's (setns(2)).
_CONNECT = """
import socket, sys
pipe = socket.socket(fileno=int(sys.argv[1]))
try:
    made = socket.create_connection((sys.argv[2], int(sys.argv[3])), float(sys.argv[4]))
except OSError as error:
    pipe.sendall(str(error.strerror or error).encode())
else:
    socket.send_fds(pipe, [b"+"], [made.fileno()])
"""


def leased_address(journal: Path | None, macs: Collection[str]) -> str | None:
    """Return the address the netboot services gave one of these MACs last, or None.

    Raises:
        RequestRefusedError: the leases cannot be read.
    """
    if journal is None:
        return None
    try:
        records = read_journal(journal)
    except LeaseJournalError as error:
        raise RequestRefusedError(str(error)) from error
    found: dict[str, str] = {}
    for lease in read_records(records):
        # Another machine may have got the address since.
        found = {address: mac for address, mac in found.items() if address != lease.text}
        if lease.mac in macs and lease.state in IN_USE:
            found[lease.text] = lease.mac
    return next(reversed(found), None)


async def connect(address: str, port: int, pidfile: Path | None) -> socket.socket:
    """Connect to a board.

    Args:
        address: Its IPv4 address.
        port: TCP port.
        pidfile: File with the pid of a process in the network namespace of its network; None: our own.

    Raises:
        RequestRefusedError: it does not answer, or refuses; the text says which.
    """
    where = f"{address} port {port}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS + _START_SECONDS):
            if pidfile is None:
                return await _connect_here(address, port)
            return await _connect_inside(address, port, pidfile)
    except TimeoutError:
        raise RequestRefusedError(f"the board does not answer at {where}; has it booted?") from None
    except (OSError, ValueError) as error:
        # asyncio puts words of its own where the system's would say more.
        text = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise RequestRefusedError(f"the board cannot be reached at {where}: {text}") from None


async def _connect_here(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


async def _connect_inside(address: str, port: int, pidfile: Path) -> socket.socket:
    pid = int(await asyncio.to_thread(pidfile.read_text))
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                "nsenter", "--target", str(pid), *user, "--net", "--", sys.executable, "-I", "-S",
                "-c", _CONNECT, str(theirs.fileno()), address, str(port), str(CONNECT_SECONDS),
                pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        try:
            await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        try:
            said, files, _, _ = socket.recv_fds(ours, 1024, 1)
        except BlockingIOError:
            said, files = b"", []
    if not files:
        raise ValueError(said.decode(errors="replace") or "its network namespace is not there")
    made = socket.socket(fileno=files[0])
    made.setblocking(False)
    return made


async def serve_tcp(
    body: Document, fixed: str | None, macs: Collection[str], journal: Path | None, pidfile: Path | None,
    stream: Stream,
) -> None:  # fmt: skip
    """Connect to a board and carry bytes until the holder closes the stream.

    Args:
        body: ``port``.
        fixed: The board's own address, or None: the one it has leased.
        macs: The MACs it boots with.
        journal: File of the leases of its network, or None.
        pidfile: See ``connect``.
        stream: The holder's end.

    Raises:
        RequestRefusedError: it has no address or does not answer there.
    """
    port = body.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 1 << 16:
        raise RequestRefusedError(f"{port} is no TCP port")
    address = fixed or await asyncio.to_thread(leased_address, journal, macs)
    if address is None:
        raise RequestRefusedError("the board has no address yet: nothing on it has asked for one by DHCP")
    await carry(await connect(address, port, pidfile), stream)


async def carry(made: socket.socket, stream: Stream) -> None:
    """Carry bytes between a board's socket and the stream until both have said their last."""
    reader, writer = await asyncio.open_connection(sock=made)
    try:
        up = asyncio.ensure_future(_up(reader, stream))
        down = asyncio.ensure_future(_down(stream, writer))
        try:
            # The stream's end is the end of all; the board's end is only its own.
            await asyncio.wait((up, down), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
    finally:
        writer.close()


async def _up(reader: asyncio.StreamReader, stream: Stream) -> None:
    """Board to holder."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_BLOCK):
            await stream.write(pack(BYTES, data))
    await stream.write(pack(COMMAND, json.dumps({"event": "eof"}).encode()))


async def _down(stream: Stream, writer: asyncio.StreamWriter) -> None:
    """Holder to board; raises LinkError when the holder has gone."""
    unpacker = Unpacker()
    ended = False
    while data := await stream.read():
        try:
            frames = list(unpacker.feed(data))
        except FrameError as error:
            raise LinkError(str(error)) from error
        for channel, payload in frames:
            if channel == BYTES and not ended:
                writer.write(payload)
                await writer.drain()
            elif channel == COMMAND and not ended:
                ended = True
                writer.write_eof()
    raise LinkError("the holder has closed the connection")
