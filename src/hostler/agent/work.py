"""A step being carried out: how far it has come, and whether to go on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class StepError(Exception):
    """The step cannot be done; the message tells the operator why.

    Attributes:
        cause: The same as one word for programs, out of ``hostler.model.cause``.
    """

    cause = "step-failed"


class NoDiskError(StepError):
    """The board has no disk for it, or too many to choose from: look at its wiring, or name one."""

    cause = "no-disk"


class TooLargeError(StepError):
    """The image is larger than the disk: take another image or another disk."""

    cause = "image-too-large"


class ImageFaultError(StepError):
    """The image, or what came of it, is not what it should be: import it again."""

    cause = "image-damaged"


class DiskFaultError(StepError):
    """The disk does not do what it is told: replace it."""

    cause = "disk-fault"


class CancelledError(StepError):
    """The agent or the rack ended the step before it was done."""


class Work:
    """Progress of one step, fed by its worker threads and read by the one that reports.

    Args:
        say: Takes a line for the step's log.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._lock = threading.Lock()
        self._phase = "executing"
        self._done = 0
        self._total = 0
        self._cancelled: str | None = None

    def begin(self, phase: str, total: int) -> None:
        """Start a phase (``executing`` or ``verifying``) of ``total`` bytes."""
        with self._lock:
            self._phase, self._done, self._total = phase, 0, total

    def advance(self, count: int) -> None:
        """Count bytes done; raises CancelledError if the step is to end."""
        with self._lock:
            self._done += count
        self.check()

    def check(self) -> None:
        """Raise CancelledError if the step is to end."""
        if self._cancelled is not None:
            raise CancelledError(self._cancelled)

    def cancel(self, why: str) -> None:
        """Make every thread of the step end at its next ``advance`` or ``check``."""
        self._cancelled = why

    def progress(self) -> tuple[str, int, int]:
        """Return phase, bytes done and bytes in all."""
        with self._lock:
            return self._phase, min(self._done, self._total), self._total
