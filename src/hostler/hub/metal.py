"""Asking the racks about one board at this moment: its console, its log, its wires."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

from hostler.hub import access
from hostler.hub.console_hands import WhileAllowed
from hostler.hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Refusal,
    UnavailableError,
)
from hostler.link.port import LinkError, RackUnreachableError, RequestRefusedError
from hostler.model.board import Lifecycle
from hostler.model.search_pattern import SearchPatternError, compiled

if TYPE_CHECKING:
    from hostler.hub.hub import Hub
    from hostler.hub.records import Principal
    from hostler.link.port import HubLink, Stream
    from hostler.model.json import Document

# A check asks every switch, and one that does not answer takes its whole timeout.
CHECK_SECONDS = 110.0
LOG_SECONDS = 30.0
PANEL_SECONDS = 35.0
LINES_SECONDS = 5.0
"""A rack has them in memory: one that takes longer has other troubles."""

NETBOOT_SECONDS = 180.0
"""Longest time from power-on until a board asks for an address: servers count their memory first."""

SWITCHING_SECONDS = 400.0
"""What the switching of one check may take at worst, three times through its equipment's queue."""

SEARCH_SECONDS = 6 * 3600.0
"""Longest search: some switches have a hundred ports that feed nothing we know."""

IN_LINE = 32
"""Boards that may be checked side by side: they are switched on one after the other."""


class Metal:
    """What only a rack knows."""

    def __init__(self, hub: Hub, link: HubLink) -> None:
        self._hub = hub
        self._link = link

    async def console(
        self,
        by: Principal,
        board: str,
        *,
        write: bool,
        replay: bool = True,
        columns: int | None = None,
        lines: int | None = None,
    ) -> Stream:
        """Open a board's console; frames as in ``link/frames.py``, words as in ``rack/console_sessions.py``.

        Args:
            by: Who asks: the claim's holder, whom it is shared with, or an admin.
            board: The board's name.
            write: Whether they want the keyboard, if nobody has it.
            replay: Whether to begin with the screen as it stands.
            columns: Width of their terminal; None: not known.
            lines: Its height.
        """
        may_write = self._console_right(by, board)
        body: Document = {
            "board": board,
            "mode": "write" if write and may_write else "read",
            "may_write": may_write,
            "principal": by.name,
            "admin": by.admin,
            # The rack shows nobody what was said before this claim had the board.
            "claim": self._hub.state.boards[board].claim,
            "replay": replay,
            "columns": columns,
            "lines": lines,
        }
        try:
            stream = await self._link.open_stream("console", body)
        except LinkError as error:
            raise refusal(error) from error
        return WhileAllowed(stream, lambda: self._may_type(by, board)) if may_write else stream

    async def console_log(
        self,
        by: Principal,
        board: str,
        *,
        boot: int | None = None,
        claim: str | None = None,
        since: float | None = None,
        tail: int | None = None,
    ) -> bytes:
        """Return what the console printed, as far as it is this principal's to read.

        Args:
            by: Who asks.
            board: The board's name.
            boot: Number of a boot; None, with no claim and no time: the last one.
            claim: Only under this claim.
            since: Only from this Unix time on.
            tail: Only the last bytes of that.
        """
        body, _ = await self._log_part(by, board, boot, claim, since)
        answer = await self._request("console-log", {**body, "tail": tail}, LOG_SECONDS)
        return base64.b64decode(str(answer.get("data", "")))

    async def search_console(
        self,
        by: Principal,
        board: str,
        pattern: str,
        *,
        boot: int | None = None,
        claim: str | None = None,
        since: float | None = None,
        most: int | None = None,
    ) -> Document:
        """Return the lines of that part of the log that match a regular expression (RE2's)."""
        try:
            compiled(pattern)
        except SearchPatternError as error:
            raise InvalidError(str(error), kind="bad-pattern") from error
        body, numbers = await self._log_part(by, board, boot, claim, since)
        answer = await self._request("console-search", {**body, "search": pattern, "most": most}, LOG_SECONDS)
        matches = answer.get("matches")
        for match in matches if isinstance(matches, list) else []:
            if isinstance(match, dict):
                match["boot"] = numbers.get(str(match.get("boot")))
        return answer

    async def last_lines(self) -> list[dict[str, Any]]:
        """Return the last line of each console that said something: ``board``, ``line``, ``at``, ``claim``.

        They are not for everybody; see ``hub/last_lines.py``.
        """
        answer = await self._request("console-lines", {}, LINES_SECONDS)
        return cast("list[dict[str, Any]]", answer.get("lines", []))

    def may_watch(self, by: Principal, board: str, claim: str | None) -> bool:
        """Tell whether somebody may read now what a board says under this claim (None: nobody's)."""
        record = self._hub.state.boards.get(board)
        if record is None or record.claim != claim:
            return by.admin
        held = self._hub.state.claims.get(claim or "")
        if by.admin or held is None:
            return by.admin
        return record.lifecycle is Lifecycle.CLAIMED and access.may_watch(by, held)

    async def packets(self, by: Principal, board: str, number: int | None) -> tuple[bytes, int]:
        """Return the packets of a boot (None: of the last) as a pcapng file, and the boot's number.

        Raises:
            NotFoundError: There is no such board or boot.
            ForbiddenError: The boot belonged to a claim that is not for them to see.
            ConflictError: No packets of it are kept.
        """
        self._hub.reading.board(board)
        await self._hub.journal.settled()
        trace = await self._hub.history.trace(board, number)
        if trace.boot is None:
            which = f"boot {number}" if number is not None else "any boot"
            raise NotFoundError(f'nothing is known of {which} of board "{board}"', kind="unknown-boot")
        claim = await self._hub.history.boot_claim(trace.boot.id)
        await self._hub.sight.refuse_stranger(by, claim, f"the packets of boot {trace.boot.number}")
        answer = await self._request("packets", {"board": board, "boot": trace.boot.id}, LOG_SECONDS)
        return base64.b64decode(str(answer.get("data", ""))), trace.boot.number

    async def notice(self, board: str, text: str) -> None:
        """Tell everybody who is joined to a board's console something."""
        await self._request("console-notice", {"board": board, "text": text}, LOG_SECONDS)

    async def kick(self, board: str, principal: str | None, text: str = "") -> int:
        """End the console sessions of somebody on a board (None: of all but admins); returns how many."""
        body: Document = {"board": board, "principal": principal, "text": text}
        answer = await self._request("console-kick", body, LOG_SECONDS)
        closed = answer.get("closed")
        return closed if isinstance(closed, int) else 0

    async def _log_part(
        self, by: Principal, board: str, number: int | None, claim: str | None, since: float | None
    ) -> tuple[Document, dict[str, int]]:
        """Return what to ask the rack for, and the boots' numbers by id."""
        self._hub.reading.board(board)
        trace = await self._hub.history.trace(board, number)
        numbers = {boot.id: boot.number for boot in trace.boots}
        boot: str | None = None
        if number is not None or (claim is None and since is None):
            if trace.boot is None:
                which = f"boot {number}" if number is not None else "any boot"
                raise NotFoundError(f'nothing is known of {which} of board "{board}"', kind="unknown-boot")
            boot = trace.boot.id
        body: Document = {"board": board, "boot": boot, "claims": None, "since": since}
        if claim is not None:
            found = await self._hub.reading.claim(by, claim)
            if not by.admin and not access.may_watch(by, found):
                raise ForbiddenError(f"what was said under claim {found.id} is for {found.principal}")
            body["claims"] = [found.id]
        elif not by.admin:
            body["claims"] = [*await self._readable_claims(by, board, boot)]
        return body, numbers

    async def _readable_claims(self, by: Principal, board: str, boot: str | None) -> list[str]:
        """Return the claims under which a boot printed that somebody may read; a boot may see several."""
        answer = await self._request("console-claims", {"board": board, "boot": boot}, LOG_SECONDS)
        there = answer.get("claims")
        found: list[str] = []
        for claim in there if isinstance(there, list) else []:
            if claim is None:
                continue
            try:
                if access.may_watch(by, await self._hub.reading.claim(by, str(claim))):
                    found.append(str(claim))
            except NotFoundError:
                continue  # of a lab before this one
        if not found:
            raise ForbiddenError("what a console printed is for whoever held the board then")
        return found

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

    async def check(self, board: str) -> Document:
        """Have the racks look at the wires of one board, and at what it needs of the lab."""
        self._hub.reading.board(board)
        return await self._request("check", {"board": board}, CHECK_SECONDS)

    async def check_lab(self) -> Document:
        """Have the racks look at what all boards need: networks, agents, boot files."""
        return await self._request("check", {"board": None}, CHECK_SECONDS)

    async def check_wires(self, boards: list[str]) -> Document:
        """Have the racks look at the wires of these boards only."""
        return await self._request("check", {"board": None, "boards": list(boards)}, CHECK_SECONDS)

    async def leases(self, board: str | None, network: str | None) -> list[dict[str, Any]]:
        """Return the addresses on the racks' networks, of one board or one network if given.

        Raises:
            NotFoundError: There is no such board or network.
        """
        if board is not None:
            self._hub.reading.board(board)
        known = self._hub.state.inventory.networks
        if network is not None and network not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise NotFoundError(f'there is no network "{network}"; known: {names}', kind="no-network")
        answer = await self._request("leases", {"board": board, "network": network}, CHECK_SECONDS)
        return cast("list[dict[str, Any]]", answer["leases"])

    async def panel(self, equipment: str) -> Document:
        """Have a rack read the front of an equipment; see ``rack/front_panel.py``."""
        return await self._request("panel", {"equipment": equipment}, PANEL_SECONDS)

    async def active_check(self, board: str, *, test: str = "", seconds: float = NETBOOT_SECONDS) -> Document:
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

    async def find_wires(self, mac: str, board: str, search: str, seconds: float) -> Document:
        """Have the rack search for a machine's wires; ``board`` and ``search`` come back in its events.

        Returns:
            ``{"ok", "mac", "power", "console", "checks"}``; a wire is ``{"equipment", "params"}`` or None.

        Raises:
            ConflictError: The machine is a board's.
            UnavailableError: The rack is away, or it takes longer than a night.
        """
        body: Document = {"mac": mac, "board": board, "search": search, "seconds": seconds}
        return await self._request("find-wires", body, SEARCH_SECONDS)

    async def _request(self, kind: str, body: Document, deadline: float) -> Document:
        try:
            return await self._link.request(kind, body, deadline=deadline)
        except LinkError as error:
            raise refusal(error) from error

    def _may_type(self, by: Principal, board: str) -> bool:
        try:
            return self._console_right(by, board)
        except Refusal:
            return False

    def _console_right(self, by: Principal, board: str) -> bool:
        """Tell whether somebody may type on a board's console; raises a Refusal if they may not even look."""
        record = self._hub.reading.board(board)
        claim = self._hub.state.claims.get(record.claim or "")
        if not by.admin and (claim is None or not access.may_watch(by, claim)):
            raise ForbiddenError(f'the console of board "{board}" is for whoever has claimed it')
        if not by.admin and record.lifecycle is not Lifecycle.CLAIMED:
            # Who types while the agent boots could boot something else that says that the disk is clean.
            raise ForbiddenError(f'board "{board}" is being given back; nobody types on its console any more')
        if record.lifecycle is Lifecycle.DISCOVERED or record.board.console is None:
            raise NotFoundError(f'board "{board}" has no console in lab.toml', kind="no-console")
        return by.admin or (claim is not None and access.may_use(by, claim))


def refusal(error: LinkError) -> ConflictError | UnavailableError:
    """Say what a rack's no means to whoever asked."""
    if isinstance(error, RequestRefusedError):
        return ConflictError(str(error), kind="rack-refused")
    kind = "rack-unreachable" if isinstance(error, RackUnreachableError) else "link"
    return UnavailableError(str(error), kind=kind)
