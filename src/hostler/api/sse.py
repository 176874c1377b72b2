"""Server-sent events."""

from __future__ import annotations

from typing import Any

from fastapi.responses import StreamingResponse


class EventStream(StreamingResponse):
    """A stream of server-sent events that no proxy holds back."""

    media_type = "text/event-stream"

    def init_headers(self, headers: object = None) -> None:
        """Set the headers that keep proxies from buffering."""
        super().init_headers(headers)  # type: ignore[arg-type]
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"


ALSO_A_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {EventStream.media_type: {}}}}
"""Responses of a route that answers with events when it is asked to."""


def message(data: str = "", event: str = "", number: int | None = None) -> str:
    """Return one message of single-line data; without data a comment that keeps the connection alive."""
    if not data:
        return ": still here\n\n"
    head = f"event: {event}\n" if event else ""
    if number is not None:
        head += f"id: {number}\n"
    return f"{head}data: {data}\n\n"
