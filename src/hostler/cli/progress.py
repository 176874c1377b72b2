"""How far runs are: bars on a terminal, plain lines anywhere else; one row a board."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hostler.cli.words import seconds_text, size_text
from hostler.client.documents import ENDED

if TYPE_CHECKING:
    from types import TracebackType

    from hostler.client.documents import Run

_LINE_SECONDS = 10.0  # a plain line at least this often while bytes move
_WINDOW_SECONDS = 10.0  # the rate is that of the last seconds, not of the whole phase


@dataclass(slots=True)
class Rate:
    """Bytes a second over the last seconds, and what that means for the rest."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        """Note that ``done`` bytes are done at ``now``; fewer than before starts anew."""
        if self.samples and done < self.samples[-1][1]:
            self.samples.clear()
        self.samples.append((now, done))
        while len(self.samples) > 2 and now - self.samples[0][0] > _WINDOW_SECONDS:
            self.samples.popleft()

    @property
    def speed(self) -> float:
        """Bytes a second; 0 while unknown."""
        if len(self.samples) < 2:
            return 0.0
        (then, before), (now, done) = self.samples[0], self.samples[-1]
        return (done - before) / (now - then) if now > then else 0.0

    def text(self, total: int) -> str:
        """Return speed and time left, as far as they are known."""
        if self.speed <= 0:
            return ""
        left = (total - self.samples[-1][1]) / self.speed
        speed = f"{self.speed / 1e6:.1f} MB/s"
        return f"{speed}, {seconds_text(left)} left" if total else speed


class Progress(Protocol):
    """Shows how far several boards' runs are; may be told from several threads."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, board: str, run: Run) -> None:
        """Show how far a run is."""
        ...

    def bytes(self, name: str, text: str, done: int, total: int | None) -> None:
        """Show how far something counted in bytes is."""
        ...

    def part(self, name: str, text: str, done: int, total: int) -> None:
        """Show how far something is that is not counted in bytes."""
        ...

    def say(self, name: str, text: str) -> None:
        """Show one line about a board."""
        ...


def progress(*, live: bool, quiet: bool = False) -> Progress:
    """Return what suits: bars when somebody watches, nothing when ``quiet``, else plain lines."""
    if live:
        from hostler.cli.live_progress import LiveProgress

        return LiveProgress()
    return QuietProgress() if quiet else PlainProgress()


def run_text(run: Run) -> str:
    """Return what a run is doing, in words."""
    if run["state"] in ENDED:
        return f"{run['plan']} {run['state'].replace('_', ' ')}" + (
            f": {run['error']}" if run["error"] else ""
        )
    if run["state"] == "queued" or not run["steps"]:
        return f"{run['plan']} {run['state']}"
    step = min(run["step"], len(run["steps"]) - 1)
    place = f" ({step + 1}/{len(run['steps'])})" if len(run["steps"]) > 1 else ""
    again = f", attempt {run['attempt']}" if run["attempt"] > 1 else ""
    return f"{run['steps'][step]}{place} {run['phase']}{again}"


class QuietProgress:
    """Shows nothing."""

    def __enter__(self) -> QuietProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def run(self, board: str, run: Run) -> None:
        """Show nothing."""

    def bytes(self, name: str, text: str, done: int, total: int | None) -> None:
        """Show nothing."""

    def part(self, name: str, text: str, done: int, total: int) -> None:
        """Show nothing."""

    def say(self, name: str, text: str) -> None:
        """Show nothing."""


@dataclass(slots=True)
class _Row:
    text: str = ""
    said: float = 0.0
    rate: Rate = field(default_factory=Rate)


class PlainProgress:
    """Prints a line when something changes, and every ten seconds while bytes move."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def run(self, board: str, run: Run) -> None:
        """Print how far a run is if that is news."""
        total = 0 if run["state"] in ENDED else run["total"]
        self._show(board, run_text(run), run["done"], total)

    def bytes(self, name: str, text: str, done: int, total: int | None) -> None:
        """Print how far something is if that is news."""
        self._show(name, text, done, total or 0)

    def part(self, name: str, text: str, done: int, total: int) -> None:
        """Print what is being done if that is news, and how far it is now and then."""
        now = time.monotonic()
        with self._lock:
            row = self._rows.setdefault(name, _Row())
            if text != row.text or now - row.said >= _LINE_SECONDS:
                row.text, row.said = text, now
                self._print(name, f"{text}: {done / total:.0%}" if done and total else text)

    def say(self, name: str, text: str) -> None:
        """Print one line."""
        with self._lock:
            self._print(name, text)

    def _show(self, name: str, text: str, done: int, total: int) -> None:
        now = time.monotonic()
        with self._lock:
            row = self._rows.setdefault(name, _Row())
            if text != row.text:
                row.text, row.rate = text, Rate()
                row.said = now
                row.rate.add(now, done)
                self._print(name, text)
                return
            row.rate.add(now, done)
            if done and now - row.said >= _LINE_SECONDS:
                row.said = now
                part = f" of {size_text(total)} ({done / total:.0%})" if total else ""
                rate = row.rate.text(total)
                self._print(name, f"{text}: {size_text(done)}{part}{rate and ', ' + rate}")

    def _print(self, name: str, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {name:<10}  {text}", flush=True)
