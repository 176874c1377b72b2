"""Where the distribution measurement runs: a server and receivers in namespaces, on links that are shaped."""

from __future__ import annotations

import subprocess
import time
from typing import Any


class Site:
    """A server, a bridge and receivers, each in a namespace.

    Args:
        receivers: How many.
        rate: Of the uplink and each port, Mbit/s.
        loss: Percent of packets that each port loses.
        slow: Whether the last receiver's port has a tenth of the rate.
    """

    def __init__(self, receivers: int, rate: int, loss: float, *, slow: bool) -> None:
        self.stem = f"hd{time.time_ns() % 10**6}"
        self.server = f"{self.stem}s"
        self.bridge = f"{self.stem}b"
        self.receivers = [f"{self.stem}r{number}" for number in range(receivers)]
        self._rate, self._loss, self._slow = rate, loss, slow

    def __enter__(self) -> Site:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        for name in (self.server, self.bridge, *self.receivers):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.bridge, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", self.bridge, "link", "set", "br0", "up")
        self._cable(self.server, "uplink", "10.99.0.1/16", self._rate)
        for number, name in enumerate(self.receivers):
            last = 0 < number == len(self.receivers) - 1
            rate = self._rate // 10 if self._slow and last else self._rate
            self._cable(name, f"p{number}", f"10.99.1.{number + 1}/16", rate)
            if self._loss:
                self._lose(f"p{number}")
        if self._loss:  # single packets are lost, so single packets must leave
            self.run(self.server, "ethtool", "-K", "e0", "tx-udp-segmentation", "off", "gso", "off")
            for number, name in enumerate(self.receivers):
                self.run(name, "ethtool", "-K", "e0", "gro", "on")
                # A veth puts together only what its other end could not have sent as one.
                self.run(self.bridge, "ethtool", "-K", f"p{number}", "tso", "off")

    def __exit__(self, *_: object) -> None:
        for name in (*self.receivers, self.bridge, self.server):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30, check=False)

    def argv(self, namespace: str, *command: str) -> list[str]:
        """Return the argument list that runs a command in a namespace."""
        return ["ip", "netns", "exec", namespace, *command]

    def sending(self, *command: str) -> list[str]:
        """Return the argument list that runs a sender on the server, before all receivers."""
        return self.argv(self.server, "nice", "-n", "-10", *command)

    def run(self, namespace: str, *command: str) -> None:
        """Run a command in a namespace."""
        subprocess.run(self.argv(namespace, *command), check=True, capture_output=True, timeout=30)

    def _cable(self, name: str, port: str, address: str, rate: int) -> None:
        ip("-n", self.bridge, "link", "add", port, "type", "veth", "peer", "name", "e0", "netns", name)
        ip("-n", self.bridge, "link", "set", port, "master", "br0", "up")
        ip("-n", name, "address", "add", address, "broadcast", "+", "dev", "e0")
        ip("-n", name, "link", "set", "e0", "up")
        ip("-n", name, "route", "add", "224.0.0.0/4", "dev", "e0")
        shape = ("root", "tbf", "rate", f"{rate}mbit", "burst", "256k", "limit", "4m")
        self.run(self.bridge, "tc", "qdisc", "add", "dev", port, *shape)
        self.run(name, "tc", "qdisc", "add", "dev", "e0", *shape)

    def _lose(self, port: str) -> None:
        chain = f"{{ type filter hook egress device {port} priority 0 ; }}"
        self.run(self.bridge, "nft", "add", "table", "netdev", port)
        self.run(self.bridge, "nft", f"add chain netdev {port} c {chain}")
        share = round(self._loss * 100)
        self.run(self.bridge, "nft", f"add rule netdev {port} c numgen random mod 10000 < {share} drop")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class started:  # noqa: N801 - used like a function
    """A process that is ended with the block."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def __enter__(self) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._process = subprocess.Popen(self._command, text=True, errors="replace", **pipes)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
