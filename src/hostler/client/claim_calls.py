"""The calls about claims: ask for boards, watch the queue, change a claim while it lasts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypedDict, cast

from hostler.client.transport import part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hostler.client.transport import Transport

Want = TypedDict(
    "Want", {"class": "str | None", "board": "str | None", "labels": list[str], "count": int}, total=False
)
"""What is asked for: of a class, with labels, or one board by name; ``count`` of them."""

Claim = TypedDict(
    "Claim",
    {
        "id": str,
        "principal": str,
        "project": str,
        "state": str,
        "boards": list[str],
        "board": "str | None",
        "created": str,
        "granted": "str | None",
        "expires": "str | None",
        "closed": "str | None",
        "name": str,
        "class": "str | None",
        "wants": list[Want],
        "image": "str | None",
        "ttl": "float | None",
        "priority": "int | None",
        "shares": dict[str, str],
        "start": "str | None",
        "keep_alive": "float | None",
        "origin": "str | None",
        "reason": str,
        "unclean": dict[str, str],
        "position": "int | None",
        "estimate": "str | None",
    },
)
"""A claim; of another project's only what it holds. ``board`` and ``class`` are those of its first board."""


def want(text: str) -> Want:
    """Read what people ask for: a class, labels as in ``arch=arm64,ram>=4096``, or both: ``pi4,ram>=4G``."""
    words = [word.strip() for word in text.split(",")]
    terms = [word for word in words if any(sign in word for sign in "=<>")]
    classes = [word for word in words if word not in terms]
    # Two classes make no sense; the server says so of the whole text.
    return {"class": ",".join(classes) or None, "labels": terms}


class ClaimCalls:
    """Calls of the client; see ``client.Client``."""

    _http: Transport

    def claim(
        self,
        board_class: str | None = None,
        *,
        wants: Sequence[Want] = (),
        image: str | None = None,
        name: str = "",
        ttl: str | float | None = None,
        power: bool = False,
        wait: bool = False,
        project: str | None = None,
        priority: int = 0,
        at: str | None = None,
        keep_alive: float | None = None,
    ) -> Claim:
        """Claim boards, all or none.

        Args:
            board_class: Name of a class, for one board of it.
            wants: More boards, or boards asked for otherwise.
            image: Image to deploy on each as soon as they are held.
            name: Your own name for the claim.
            ttl: How long, as seconds or as ``90s`` ``10m`` ``2h`` ``1d``; None: as the server likes.
            power: Power the boards on as soon as they are held.
            wait: Queue when they are not free; otherwise that is a refusal.
            project: On whose account; None: your only project.
            priority: Higher ones are served first, as far as the project may.
            at: Book them for later: ISO 8601 with a zone, or ``+2h`` from now.
            keep_alive: Seconds without ``keep_alive`` after which the claim ends; None: it needs none.
        """
        body: dict[str, Any] = {
            "class": board_class,
            "wants": list(wants),
            "image": image,
            "name": name,
            "power": power,
            "wait": wait,
            "project": project,
            "priority": priority,
            "at": at,
            "keep_alive": keep_alive,
        }
        if ttl is not None:
            body["ttl"] = ttl
        return cast("Claim", self._http.call("POST", "claims", body=body))

    def claims(self, state: str = "open") -> list[Claim]:
        """Return the ``open`` claims, or ``all``."""
        return cast("list[Claim]", self._http.call("GET", "claims", query={"state": state}))

    def get_claim(self, claim: str) -> Claim:
        """Return a claim by its id or name."""
        return cast("Claim", self._http.call("GET", f"claims/{part(claim)}"))

    def watch_claim(self, claim: str, seconds: float = 20.0) -> Iterator[Claim]:
        """Yield a claim now and after each change of it, its place in the queue and its estimate.

        Args:
            claim: Its id or name.
            seconds: Longest silence; the server says something at least every 15 s.
        """
        import httpx2

        headers = {"Accept": "text/event-stream"}
        path = f"claims/{part(claim)}/watch"
        with self._http.stream("GET", path, headers=headers, seconds=seconds) as response:
            for message in httpx2.EventSource(response):
                if message.data:
                    yield json.loads(message.data)

    def release(self, claim: str) -> Claim:
        """Begin to give a claim's boards back; the claim has closed when its state says so."""
        return cast("Claim", self._http.call("DELETE", f"claims/{part(claim)}"))

    def extend(self, claim: str, by: str | float) -> Claim:
        """Let a claim end later, by seconds or ``1h``."""
        return cast("Claim", self._http.call("POST", f"claims/{part(claim)}/extend", body={"by": by}))

    def keep_alive(self, claim: str) -> Claim:
        """Tell that whoever a claim is for still lives."""
        return cast("Claim", self._http.call("POST", f"claims/{part(claim)}/alive", seconds=10.0))

    def share(self, claim: str, user: str, sharing: str = "write") -> Claim:
        """Let somebody else use a claim's boards (``write``) or look on (``read``)."""
        path = f"claims/{part(claim)}/shares/{part(user)}"
        return cast("Claim", self._http.call("PUT", path, body={"sharing": sharing}))

    def unshare(self, claim: str, user: str) -> Claim:
        """Take back what was shared."""
        return cast("Claim", self._http.call("DELETE", f"claims/{part(claim)}/shares/{part(user)}"))

    def hand_over(self, claim: str, user: str) -> Claim:
        """Make somebody else a claim's owner."""
        return cast("Claim", self._http.call("POST", f"claims/{part(claim)}/hand-over", body={"to": user}))

    def kick(self, claim: str, reason: str = "") -> Claim:
        """End somebody's claim at once (admins)."""
        return cast("Claim", self._http.call("POST", f"claims/{part(claim)}/kick", body={"reason": reason}))
