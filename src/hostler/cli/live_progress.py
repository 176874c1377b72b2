"""Progress bars on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hostler.cli.progress import Rate, run_text
from hostler.cli.words import size_text
from hostler.client.documents import ENDED

if TYPE_CHECKING:
    from types import TracebackType

    from hostler.client.documents import Run


class LiveProgress:
    """One bar a board, drawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[name]}"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=console or Console(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._rates: dict[str, tuple[str, Rate]] = {}

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def run(self, board: str, run: Run) -> None:
        """Draw how far a run is."""
        if run["state"] in ENDED:
            good = run["state"] == "succeeded"
            self._draw(board, run_text(run), int(good), 1, "")
            return
        self.bytes(board, run_text(run), run["done"], run["total"] or None)

    def bytes(self, name: str, text: str, done: int, total: int | None) -> None:
        """Draw how far something is; without a total the bar only pulses."""
        before, rate = self._rates.get(name, ("", Rate()))
        if before != text:
            rate = Rate()
            self._rates[name] = (text, rate)
        rate.add(time.monotonic(), done)
        amount = f"{size_text(done)} of {size_text(total)}" if total else size_text(done) if done else ""
        speed = rate.text(total or 0)
        self._draw(name, text, done, total, f"{amount}{speed and '  ' + speed}")

    def part(self, name: str, text: str, done: int, total: int) -> None:
        """Draw how far something is."""
        self._draw(name, text, done, total or None, "")

    def say(self, name: str, text: str) -> None:
        """Draw one line in place of the bar's text."""
        self._draw(name, text, 0, None, "")

    def _draw(self, name: str, text: str, done: int, total: int | None, amount: str) -> None:
        task = self._tasks.get(name)
        if task is None:
            task = self._progress.add_task(text, total=None, name=name, amount="")
            self._tasks[name] = task
        self._progress.update(task, description=text, completed=done, total=total, amount=amount)
