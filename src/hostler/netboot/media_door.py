"""The way in of agents that a medium brought: they ask who they are and what they are to do.

A board that netboots gets its agent's configuration by the loader's hands. One that boots from a stick or a
CD asks here instead, and gets the same by the same right: who asks is who holds the lease of the asking
address, or the MAC that the kernel sees behind it. Where neither is known, behind a router on which another
server gives the addresses, all there is to go by is what the machine says of itself. There a board's
configuration is given once per boot: a second machine that says the same is refused, and the trace says so.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs, web

from hostler.model.boot import BootIntent
from hostler.model.identity import is_junk, normal_mac
from hostler.model.trace import TraceEvent, printable
from hostler.netboot.config_cpio import boot_config
from hostler.netboot.holding import why_held
from hostler.netboot.neighbours import neighbour_mac
from hostler.netboot.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostler.model.json import Document
    from hostler.netboot.table import Address, BootTable, NetworkConfig, Target

PATH = "/boot/join"
WAIT_SECONDS, LEAVE_SECONDS = 10.0, 60.0
"""When to ask again: a board that waits, and one that was to leave for its disk and is still there."""
MOST_MACS = 16
"""Interfaces one machine may name; more are a mistake or worse."""
_LONGEST = 200
_REMEMBERED = 4096
"""Boots remembered at most, of those that were told something: the latest ones."""


class _Asker(NamedTuple):
    """What a machine says of itself."""

    macs: tuple[str, ...]
    uuid: str | None
    serial: str | None
    failed: str

    def facts_of(self, target: Target) -> list[str]:
        """Return what it says that is a board's, for people."""
        facts = [f"MAC {mac}" for mac in self.macs if mac in target.macs]
        if self.uuid is not None and self.uuid.lower() == (target.uuid or "").lower():
            facts.append(f"UUID {self.uuid}")
        if self.serial is not None and self.serial.lower() == (target.serial or "").strip().lower():
            facts.append(f"serial {self.serial}")
        return facts

    def to_json(self) -> Document:
        named = {"uuid": self.uuid, "serial": self.serial}
        return {"macs": list(self.macs), **{name: value for name, value in named.items() if value}}


class MediaDoor:
    """Answers ``/boot/join``.

    Args:
        table: What every board is to do.
        networks: The networks served.
        mac_of: MAC that holds the lease of an address, or None.
        emit: Takes trace events; never blocks.
        neighbour: MAC the kernel sees behind an address of a network of this host, or None.
    """

    def __init__(
        self,
        table: BootTable,
        networks: Iterable[NetworkConfig],
        mac_of: Callable[[Address], str | None],
        emit: Callable[[TraceEvent], None],
        neighbour: Callable[[str], str | None] = neighbour_mac,
    ) -> None:
        self._table = table
        self._networks = tuple(networks)
        self._mac_of = mac_of
        self._emit = emit
        self._neighbour = neighbour
        # By boot: whether its configuration was given on a machine's mere word, and how often the disk was
        # named.
        self._taken: OrderedDict[str, str] = OrderedDict()
        self._told: OrderedDict[str, tuple[str, int]] = OrderedDict()

    @staticmethod
    def answers(path: str) -> bool:
        """Tell whether a path is this door's."""
        return path == PATH

    def handle(self, request: web.BaseRequest, client: Address, base: str) -> web.Response:
        """Answer a request.

        Args:
            request: The request; its query names ``mac`` (each interface), ``uuid``, ``serial``, ``failed``.
            client: Who asks.
            base: URL by which it reached us, without a slash at the end.

        Raises:
            Refused: It is to be answered with an error.
        """
        if request.method != hdrs.METH_GET:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "use GET")
        asker = _asker(request)
        mac = self._mac_of(client) or self._neighbour(str(client))
        known = self._table.by_mac(mac) if mac else None
        target, conflict = self._target(asker, known)
        if conflict:
            self._trace("refused", f"a medium's agent at {client}: {conflict}", known, mac)
            raise Refused(HTTPStatus.FORBIDDEN, conflict)
        if target is None:
            return self._stranger(asker, client, mac)
        if asker.failed:
            text = f"{target.board}: cannot leave its medium for its disk: {asker.failed}"
            self._trace("failed", text, target, mac)
        return self._answer(target, client, mac, base, by_address=known is not None)

    def _target(self, asker: _Asker, known: Target | None) -> tuple[Target | None, str]:
        """Return the board that asks, or why it cannot be told which it is."""
        found = {known.board: known} if known is not None else {}
        says = [f"its address belongs to {known.board}"] if known is not None else []
        for target in self._table.boards():
            if facts := asker.facts_of(target):
                found[target.board] = target
                says.append(f"{', '.join(facts)} to {target.board}")
        if len(found) > 1:
            return None, f"its facts belong to different boards: {'; '.join(says)}"
        return next(iter(found.values()), None), ""

    def _answer(
        self, target: Target, client: Address, mac: str | None, base: str, *, by_address: bool
    ) -> web.Response:
        boot = boot_config(target, base)
        if target.intent is BootIntent.STEP and target.netboot is None and boot is not None:
            if not by_address and not self._take(target, client):
                text = "the configuration of this boot was given to another machine that says the same"
                self._trace("refused", f"{target.board}: {client}: {text}", target, mac)
                raise Refused(HTTPStatus.FORBIDDEN, text)
            self._say(target, mac, "step")
            return web.json_response({"answer": "step", "boot": boot})
        if target.intent is BootIntent.LOCAL:
            self._say(target, mac, "local")
            message = f"{target.board} boots from its disk"
            return web.json_response({"answer": "local", "message": message, "seconds": LEAVE_SECONDS})
        message = why_held(target)
        if target.intent is BootIntent.STEP and target.netboot is not None:
            message = f"{target.netboot.image} comes over the network, which this board does not boot from"
        self._say(target, mac, "wait", message)
        return _wait(message)

    def _take(self, target: Target, client: Address) -> bool:
        """Note who gets the configuration of this boot; False: somebody else has it."""
        assert target.boot is not None
        holder = self._taken.setdefault(target.boot, str(client))
        while len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        return holder == str(client)

    def _say(self, target: Target, mac: str | None, answer: str, message: str = "") -> None:
        """Trace what was answered: once while it stays the same, each time for what makes a board move."""
        said, times = self._told.pop(target.board, ("", 0))
        now = f"{target.boot} {answer} {message}"
        times = times + 1 if now == said else 1
        self._told[target.board] = now, times
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        if answer == "wait" and times > 1:
            return
        again = f" ({times} times in this boot)" if times > 1 else ""
        text = f"{target.board}: agent from a medium asks; told: {answer}{again}"
        data: Document = {"file": "join", "intent": str(target.intent), "answer": answer, "times": times}
        self._trace("get", f"{text}: {message}" if message else text, target, mac, data)

    def _stranger(self, asker: _Asker, client: Address, mac: str | None) -> web.Response:
        network = next((network for network in self._networks if client in network.subnet), None)
        data: Document = {**asker.to_json(), "firmware": "agent from a medium"}
        if network is not None:
            data["network"] = network.name
        seen = mac or (asker.macs[0] if asker.macs else None)
        self._trace("stranger", f"unknown machine {client}: agent from a medium asks", None, seen, data)
        return _wait(f"Hostler: {why_held(None)}")

    def _trace(
        self, kind: str, text: str, target: Target | None, mac: str | None, data: Document | None = None
    ) -> None:
        board, boot = (target.board, target.boot) if target else (None, None)
        self._emit(TraceEvent(time.time(), "http", kind, text, board, mac, boot, data or {}))


def _wait(message: str) -> web.Response:
    return web.json_response({"answer": "wait", "message": message, "seconds": WAIT_SECONDS})


def _asker(request: web.BaseRequest) -> _Asker:
    query = request.query
    macs = query.getall("mac", [])
    if len(macs) > MOST_MACS:
        raise Refused(HTTPStatus.BAD_REQUEST, f"a machine may name {MOST_MACS} MACs")
    try:
        normal = tuple(dict.fromkeys(normal_mac(mac) for mac in macs))
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, printable(str(error), _LONGEST)) from None
    said = {name: printable(query.get(name, ""), _LONGEST) for name in ("uuid", "serial", "failed")}
    uuid, serial = (None if is_junk(said[name]) else said[name].strip() for name in ("uuid", "serial"))
    return _Asker(normal, uuid, serial, said["failed"])
