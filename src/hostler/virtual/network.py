"""The lab's own network: a namespace with a bridge, the server's address on it, and a tap per switch port.

The namespace belongs to a holder process that does nothing but wait for its standard input to close,
so it ends whenever this process ends, however that happens. Others join it by its pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Interface, IPv6Interface
    from pathlib import Path

_DEADLINE = 10.0
_TUN = "/dev/net/tun"


class NetworkUnavailable(Exception):  # noqa: N818 - a state of the world
    """The lab's network cannot be made here; the text says why and what to do."""


class LabNetwork:
    """A network namespace while it lasts. Made by ``open_network``.

    Attributes:
        pid: Of the holder process.
    """

    def __init__(self, holder: asyncio.subprocess.Process, *, rootless: bool) -> None:
        self._holder = holder
        self._rootless = rootless
        self.pid = holder.pid

    def enter(self, command: Iterable[str]) -> list[str]:
        """Return a command that runs ``command`` inside and dies with the process that starts it."""
        user = ["--user", "--preserve-credentials"] if self._rootless else []
        # The signal is set inside: joining a user namespace gains capabilities, and that clears it.
        return [
            *("nsenter", "--target", str(self.pid), *user, "--net", "--"),
            *("setpriv", "--pdeathsig", "KILL", "--", *command),
        ]

    async def wait(self) -> None:
        """Return when the holder has ended."""
        await self._holder.wait()

    async def close(self) -> None:
        """End the holder; the namespace goes when the last process in it has gone."""
        with contextlib.suppress(ProcessLookupError):
            self._holder.kill()
        await self._holder.wait()

    async def configure(
        self, bridge: str, server: IPv4Interface, taps: Iterable[str], server6: IPv6Interface | None = None
    ) -> None:
        """Make the bridge with the server's addresses, and the taps on it.

        Raises:
            NetworkUnavailable: With the words of ``ip``.
        """
        lines = [
            "link set lo up",
            # Else the bridge takes the lowest MAC of its ports, and the server's changes with every board.
            f"link add {bridge} address 02:48:4f:53:54:01 type bridge forward_delay 0 mcast_snooping 0",
            f"address add {server} dev {bridge}",
            f"link set {bridge} up",
        ]
        for tap in taps:
            lines += [f"tuntap add dev {tap} mode tap", f"link set {tap} master {bridge} up"]
        await self._ip(lines)
        # Answers to router solicitations need a link-local address at once, before any port is up. A kernel
        # without IPv6 does without: iPXE then waits for a router, nothing else.
        with contextlib.suppress(NetworkUnavailable):
            await self._ip([f"address add fe80::1/64 dev {bridge} scope link nodad"])
        if server6 is not None:
            await self._ip([f"address add {server6} dev {bridge} nodad"])

    async def learned(self, bridge: str) -> dict[str, str]:
        """Return on which of the bridge's ports each MAC was last heard: MAC to the port's interface.

        Raises:
            NetworkUnavailable: With the words of ``bridge``.
        """
        entries = await self._list(["bridge", "-json", "fdb", "show", "br", bridge, "dynamic"])
        return {entry["mac"]: entry["ifname"] for entry in entries if {"mac", "ifname"} <= entry.keys()}

    async def forwarding(self) -> dict[str, tuple[bool, str]]:
        """Return of each port's interface whether it is up, and its state in the bridge's spanning tree.

        Raises:
            NetworkUnavailable: With the words of ``bridge``.
        """
        entries = await self._list(["bridge", "-json", "link", "show"])
        ports = [entry for entry in entries if {"ifname", "flags", "state"} <= entry.keys()]
        return {port["ifname"]: ("UP" in port["flags"], port["state"]) for port in ports}

    async def _list(self, command: list[str]) -> list[dict[str, Any]]:
        """Run a command inside and return the JSON that it printed."""
        try:
            entries: list[dict[str, Any]] = json.loads(await self._run(command) or "[]")
        except ValueError as error:
            raise NetworkUnavailable(f"{command[0]} did not print JSON: {error}") from None
        return entries

    async def _ip(self, lines: list[str]) -> None:
        try:
            await self._run(["ip", "-batch", "-"], "\n".join([*lines, ""]))
        except NetworkUnavailable as error:
            raise NetworkUnavailable(f"the lab's network cannot be made: {error}") from None

    async def _run(self, command: list[str], text: str = "") -> str:
        """Run a command inside and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self.enter(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_DEADLINE):
                output, wrong = await process.communicate(text.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NetworkUnavailable(f"{command[0]} did not finish within {_DEADLINE:g} s") from None
        said = output.decode("utf-8", "replace").strip()
        if process.returncode:
            words = wrong.decode("utf-8", "replace").strip()
            raise NetworkUnavailable(words or said or f"{command[0]} ended with {process.returncode}")
        return said


async def open_network(
    bridge: str, server: IPv4Interface, taps: Iterable[str], server6: IPv6Interface | None = None
) -> LabNetwork:
    """Make the namespace, the bridge and the taps; without root in a user namespace.

    Raises:
        NetworkUnavailable: Says what is missing and what to do.
    """
    rootless = os.geteuid() != 0
    if not os.access(_TUN, os.R_OK | os.W_OK):
        there = os.access(_TUN, os.F_OK)
        what = "is not open to this user" if there else "does not exist; load the kernel module tun"
        raise NetworkUnavailable(
            f"{_TUN} {what}; run the lab as root, or let this user read and write {_TUN}"
        )
    network = LabNetwork(await _hold(rootless=rootless), rootless=rootless)
    try:
        await network.configure(bridge, server, taps, server6)
    except BaseException:
        await network.close()
        raise
    return network


async def _hold(*, rootless: bool) -> asyncio.subprocess.Process:
    user = ["--user", "--map-root-user"] if rootless else []
    holder = await asyncio.create_subprocess_exec(
        *("unshare", *user, "--net", "--", "sh", "-c", "echo ready; exec cat >/dev/null"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us; we end the holder last
    )
    if holder.stdout is None or holder.stderr is None:
        raise NetworkUnavailable("the holder process has no pipes")
    try:
        async with asyncio.timeout(_DEADLINE):
            if await holder.stdout.readline() == b"ready\n":
                return holder
            why = (await holder.stderr.read()).decode("utf-8", "replace").strip()
    except TimeoutError:
        why = f"no answer within {_DEADLINE:g} s"
    with contextlib.suppress(ProcessLookupError):
        holder.kill()
    await holder.wait()
    advice = (
        "run the lab as root, or allow unprivileged user namespaces" if rootless else "is this a container?"
    )
    raise NetworkUnavailable(f"cannot make a network namespace: {why}; {advice}")


def write_pid_file(path: Path, pid: int) -> None:
    """Write a pid file in one step: a reader sees the old pid or the new one, never half of it."""
    partial = path.with_suffix(".partial")
    partial.write_text(f"{pid}\n")
    partial.replace(path)
