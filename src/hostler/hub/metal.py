"""Asking the racks about one board at this moment: its console, its log, its wires."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from hostler.hub import access
from hostler.hub.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from hostler.link.port import LinkError, RackUnreachableError, RequestRefusedError
from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import BoardRecord, Principal
    from hostler.link.port import HubLink, Stream
    from hostler.model.json import Document

# A check asks every switch, and one that does not answer takes its whole timeout.
CHECK_SECONDS = 110.0
LOG_SECONDS = 30.0

NETBOOT_SECONDS = 180.0
"""Longest time from power-on until a board asks for an address: servers count their memory first."""

SWITCHING_SECONDS = 400.0
"""What the switching of one check may take at worst, three times through its equipment's queue."""

IN_LINE = 32
"""Boards that may be checked side by side: they are switched on one after the other."""


class Metal:
    """What only a rack knows."""

    def __init__(self, hub: Hub, link: HubLink) -> None:
        self._hub = hub
        self._link = link

    async def console(self, by: Principal, board: str, *, write: bool) -> Stream:
        """Open a board's console for its holder or an admin; frames as in ``link/frames.py``."""
        record = self._wired(by, board)
        claim = self._hub.state.claims.get(record.claim or "")
        body: Document = {
            "board": board,
            "mode": "write" if write else "read",
            "principal": by.name,
            # A new holder must not be shown what the last one's session left in the ring.
            "since": claim.granted if claim and not by.admin else None,
        }
        try:
            return await self._link.open_stream("console", body)
        except LinkError as error:
            raise refusal(error) from error

    async def console_log(self, by: Principal, board: str, number: int | None, tail: int | None) -> bytes:
        """Return what the console printed in a boot (None: the last), or only its last ``tail`` bytes."""
        self._hub.reading.board(board)
        trace = await self._hub.history.trace(board, number)
        if trace.boot is None:
            which = f"boot {number}" if number is not None else "any boot"
            raise NotFoundError(f'nothing is known of {which} of board "{board}"', kind="unknown-boot")
        if not by.admin:
            claim = await self._hub.history.boot_claim(trace.boot.id)
            if claim is None or (await self._hub.reading.claim(by, claim)).principal != by.name:
                raise ForbiddenError("what a console printed is for whoever held the board then")
        body: Document = {"board": board, "boot": trace.boot.id, "tail": tail}
        answer = await self._request("console-log", body, LOG_SECONDS)
        return base64.b64decode(str(answer.get("data", "")))

    async def open_tcp(self, by: Principal, board: str, port: int) -> Stream:
        """Open a TCP connection to a board one may use, where it is on its network.

        Frames as in ``link/frames.py``: bytes, and ``{"event": "eof"}`` from who has said its last.
        """
        self.refuse_unheld(by, board)
        try:
            return await self._link.open_stream("tcp", {"board": board, "port": port})
        except LinkError as error:
            raise refusal(error) from error

    def refuse_unheld(self, by: Principal, board: str) -> None:
        """Raise a Refusal unless somebody may use a board at this moment."""
        record = self._hub.reading.board(board)
        claim = self._hub.state.claims.get(record.claim or "")
        held = record.lifecycle is Lifecycle.CLAIMED and claim is not None
        if not by.admin and not (held and claim is not None and access.may_use(by, claim)):
            raise ForbiddenError(f'board "{board}" is for whoever has claimed it')

    async def check(self, board: str | None) -> Document:
        """Have the racks look at every wire, or at those of one board."""
        if board is not None:
            self._hub.reading.board(board)
        return await self._request("check", {"board": board}, CHECK_SECONDS)

    async def active_check(
        self, board: str, *, test: str = "", seconds: float = NETBOOT_SECONDS
    ) -> Document:
        """Have a board's wires tried by switching it; whoever calls sees to it that nobody else has it.

        Args:
            board: The board's name.
            test: Comes back in the events ``check.step`` that tell of each wire.
            seconds: Longest time from power-on until it asks for an address.

        Returns:
            ``{"ok", "checks": [{"what", "ok", "text", "advice"}], "crossed": [board]}``.

        Raises:
            ConflictError: The rack cannot try it: it is at work, or has no power wire.
            UnavailableError: The rack is away, or something else was wanted of the board: no verdict.
        """
        record = self._hub.reading.board(board)
        body: Document = {
            "board": board, "check": test, "seconds": seconds,
            "lifecycle": record.lifecycle, "reason": record.reason,
        }  # fmt: skip
        report = await self._request("active-check", body, (seconds + SWITCHING_SECONDS) * IN_LINE)
        if report.get("interrupted"):
            raise UnavailableError(
                f'the check of board "{board}" was interrupted: {report["interrupted"]}', kind="interrupted"
            )
        return report

    async def _request(self, kind: str, body: Document, deadline: float) -> Document:
        try:
            return await self._link.request(kind, body, deadline=deadline)
        except LinkError as error:
            raise refusal(error) from error

    def _wired(self, by: Principal, board: str) -> BoardRecord:
        record = self._hub.reading.board(board)
        claim = self._hub.state.claims.get(record.claim or "")
        if not by.admin and (claim is None or claim.principal != by.name):
            raise ForbiddenError(f'the console of board "{board}" is for whoever has claimed it')
        if not by.admin and record.lifecycle is not Lifecycle.CLAIMED:
            # Who types while the agent boots could boot something else that says that the disk is clean.
            raise ForbiddenError(f'board "{board}" is being given back; nobody types on its console any more')
        if record.lifecycle is Lifecycle.DISCOVERED or record.board.console is None:
            raise NotFoundError(f'board "{board}" has no console in lab.toml', kind="no-console")
        return record


def refusal(error: LinkError) -> ConflictError | UnavailableError:
    """Say what a rack's no means to whoever asked."""
    if isinstance(error, RequestRefusedError):
        return ConflictError(str(error), kind="rack-refused")
    kind = "rack-unreachable" if isinstance(error, RackUnreachableError) else "link"
    return UnavailableError(str(error), kind=kind)
