"""How people reach a console through the link: join it, read its log, be told something, be sent away."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from hostler.consoles.screen import COLUMNS, LINES, render
from hostler.consoles.search import MOST_MATCHES, search, select, size, tail
from hostler.link.frames import FrameError
from hostler.link.port import LinkError, RequestRefusedError
from hostler.model.search_pattern import SearchPatternError
from hostler.rack.console_sessions import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hostler.link.port import Stream
    from hostler.model.json import Document
    from hostler.rack.console import RackConsole

HEARD_SECONDS = 5.0
"""How long who joins waits for the rack to hear of their claim; it is on its way."""
_LOG_LIMIT = 16 << 20
"""Most bytes of a log handed out at once; whoever wants older ones asks for them."""


async def serve_console(
    console: RackConsole | None, body: Document, stream: Stream, *, patience: float = HEARD_SECONDS
) -> None:
    """Join a viewer and the console until either leaves.

    Args:
        console: The board's console, or None.
        body: ``principal``; ``mode`` (``write`` or ``read``); ``may_write``; ``claim``: the claim under which
            they may; ``admin``: they need none, and stay when the board changes hands; ``replay``: whether to
            show the screen as it stands, on a terminal of ``columns`` and ``lines``.
        stream: The viewer, in frames of ``link.frames``.
        patience: How long the rack may take to hear of the claim.

    Raises:
        RequestRefusedError: The board has no console, or another holder.
    """
    if console is None:
        raise RequestRefusedError("the board has no console")
    claim, admin = body.get("claim"), body.get("admin") is True
    if not admin and not await console.held_by(str(claim), patience):
        raise RequestRefusedError("the board has another holder now; claim it to see its console")
    past, whole = console.seen(everything=admin)
    viewer = console.broker.view(0)
    session = Session(
        console.broker,
        console.sessions,
        stream,
        str(body.get("principal")),
        admin=admin,
        may_write=body.get("may_write") is True,
    )
    try:
        replay = b""
        if past and body.get("replay", True):
            columns, lines = _whole(body, "columns", COLUMNS), _whole(body, "lines", LINES)
            replay = await asyncio.to_thread(render, past, whole=whole, columns=columns, lines=lines)
        writer = body.get("mode") == "write" and session.take()
        keyboard = console.broker.writer
        await session.tell(
            event="attached", writer=writer, replay=len(replay), viewer=session.number, keyboard=keyboard
        )
        async with asyncio.TaskGroup() as tasks:
            both = {tasks.create_task(session.show(viewer, replay)), tasks.create_task(session.hear())}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
    except* (LinkError, FrameError):
        pass  # the viewer is gone, or speaks something else
    finally:
        viewer.close()
        await session.leave()


async def read_log(console: RackConsole, body: Document) -> Document:
    """Return what the board printed, or its last ``tail`` bytes, as ``{"data": base64}``.

    ``boot`` (id), ``claims`` (ids) and ``since`` (Unix time) say which part; None: all.
    """
    parts = _parts(console, body)
    limit = min(_whole(body, "tail", _LOG_LIMIT), _LOG_LIMIT)
    data = await asyncio.to_thread(lambda: tail(console.log, parts(), limit))
    return {"data": base64.b64encode(data).decode()}


async def search_log(console: RackConsole, body: Document) -> Document:
    """Return the lines that match ``search``, of the part of the log that ``read_log`` would return."""
    parts = _parts(console, body)
    most = min(_whole(body, "most", MOST_MATCHES), MOST_MATCHES)
    pattern = str(body.get("search"))
    try:
        found = await asyncio.get_running_loop().run_in_executor(
            console.searchers, lambda: search(console.log, parts(), pattern, most=most)
        )
    except SearchPatternError as error:
        raise RequestRefusedError(str(error)) from error
    matches: list[Any] = [
        {"time": match.at, "boot": match.boot, "offset": match.offset, "line": match.line}
        for match in found.matches
    ]
    return {"matches": matches, "complete": found.complete}


async def list_claims(console: RackConsole, body: Document) -> Document:
    """Return under which claims a boot (None: any) printed, ``{"claims": [id, …]}``; None: under none."""
    boot = body.get("boot")
    extents = [extent for extent in console.marks.extents() if boot is None or extent.boot == boot]

    def printed() -> list[Any]:
        sizes = {name: size(console.log, name) for name in {extent.boot for extent in extents}}
        return [extent.claim for extent in extents if extent.start < sizes[extent.boot]]

    return {"claims": list(dict.fromkeys(await asyncio.to_thread(printed)))}


async def kick(console: RackConsole, body: Document) -> Document:
    """End the sessions of ``principal``, or with None of everybody but admins; ``text`` says why."""
    principal = body.get("principal")
    why = str(body.get("text") or "you may not use this console any more")
    return {"closed": await console.sessions.send_away(None if principal is None else str(principal), why)}


async def notice(console: RackConsole, body: Document) -> Document:
    """Show ``text`` to everybody joined."""
    return {"told": await console.sessions.notice(str(body.get("text") or ""))}


REQUESTS: dict[str, Callable[[RackConsole, Document], Awaitable[Document]]] = {
    "console-log": read_log,
    "console-search": search_log,
    "console-claims": list_claims,
    "console-kick": kick,
    "console-notice": notice,
}
"""What the hub may ask of one board's console, by kind; each body names the ``board``."""


def _parts(console: RackConsole, body: Document) -> Callable[[], list[tuple[str, int, int | None]]]:
    """Return what selects the part that was asked for; it reads files, so not on the event loop."""
    extents = console.marks.extents()
    boot, claims, since = body.get("boot"), body.get("claims"), body.get("since")
    return lambda: select(
        console.log,
        extents,
        boot=None if boot is None else str(boot),
        claims={str(claim) for claim in claims} if isinstance(claims, list) else None,
        since=float(since) if isinstance(since, (int, float)) else None,
    )


def _whole(body: Document, key: str, default: int) -> int:
    value = body.get(key)
    return value if isinstance(value, int) and value >= 0 else default
