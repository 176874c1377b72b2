"""Noticing that a step goes on and does not come forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.model.json import Document

STUCK_SECONDS = 120.0
"""How long the same number of bytes may be told: a slow SD card may flush for a minute."""


class Standstill:
    """Told of every progress report; says when there has been none for long, and when it goes on."""

    def __init__(self) -> None:
        self._what: object = None
        self._done = 0
        self._since = 0.0
        self._told = False

    def note(self, what: object, done: int, total: int, now: float) -> tuple[str, str, Document] | None:
        """Take a report; return an event's kind (``stuck`` or ``moves``), its line and its data, or None.

        Args:
            what: Which step and phase it is of.
            done: Bytes done.
            total: Bytes in all.
            now: Seconds of any clock that runs evenly.
        """
        if what != self._what or done != self._done:
            moves = self._told and what == self._what
            seconds, self._since = now - self._since, now
            self._what, self._done, self._told = what, done, False
            return ("moves", f"it goes on after {seconds:.0f} s", {}) if moves else None
        if self._told or now - self._since < STUCK_SECONDS:
            return None
        self._told = True
        share = f"at {100 * done / total:.0f} %" if total else "at its beginning"
        where = f"it stands {share} ({done} of {total} bytes)"
        text = f"nothing has come forward for {now - self._since:.0f} s: {where}"
        return "stuck", text, {"done": done, "total": total}
