"""The seam between hub and rack, as each side sees it.

Both sides are level-triggered: the hub writes what it desires under a key, the rack writes what it
observes under a key, and each watches the other's documents. A watcher first gets every document
there is and then each change; of several changes to one key it may see only the last. A lost message,
a restart or a cut line costs time, never truth. Whatever a side asks of the link may raise LinkError, after
which it asks again.

Keys: ``rack`` for the rack's own plan, ``board/NAME`` for a board,
``stranger/MAC`` for a machine nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostler.model.json import Document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class LinkError(Exception):
    """Something between hub and rack did not work."""


class RackUnreachableError(LinkError):
    """No rack answered within the deadline; look whether it runs."""


class RequestRefusedError(LinkError):
    """The rack answered no; its text says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One document as it now is; ``document`` None: it is gone."""

    key: str
    document: Document | None


class Stream(Protocol):
    """A two-way byte stream to something on the rack, for example a console."""

    async def read(self) -> bytes:
        """Return the next bytes; empty when the other side has closed."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; raises LinkError when the other side has closed."""
        ...

    async def close(self) -> None:
        """Close; harmless when closed already."""
        ...


class HubLink(Protocol):
    """The hub's end."""

    async def desire(self, key: str, document: Document | None) -> None:
        """Set what the rack is to bring about; durable when it returns."""
        ...

    def observed(self) -> AsyncIterator[Change]:
        """Watch what racks see: everything there is, then every change."""
        ...

    def events(self, after: int) -> AsyncIterator[tuple[int, Document]]:
        """Follow the racks' events in order from the one after ``after``; never skips one."""
        ...

    async def forget(self, upto: int) -> None:
        """Tell that events up to and with ``upto`` are safely kept by the hub."""
        ...

    async def request(self, kind: str, body: Document, *, deadline: float) -> Document:
        """Ask the rack something; raises RackUnreachableError or RequestRefusedError."""
        ...

    async def open_stream(self, kind: str, body: Document) -> Stream:
        """Open a byte stream to something on the rack; raises like ``request``."""
        ...


class RackLink(Protocol):
    """A rack's end."""

    def desired(self) -> AsyncIterator[Change]:
        """Watch what is wanted: everything there is, ``rack`` first, then every change."""
        ...

    async def observe(self, key: str, document: Document | None) -> None:
        """Set what is seen; may be coalesced with what follows it."""
        ...

    async def publish(self, event: Document) -> None:
        """Append an event to history; durable when it returns."""
        ...

    def serve(
        self,
        requests: Callable[[str, Document], Awaitable[Document]],
        streams: Callable[[str, Document, Stream], Awaitable[None]],
    ) -> None:
        """Answer the hub's requests and streams with these from now on.

        ``requests`` raises RequestRefusedError to say no. ``streams`` returns when the stream is over; it
        raises RequestRefusedError before its first read or write to say no.
        """
        ...
