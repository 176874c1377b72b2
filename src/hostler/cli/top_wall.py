"""The wall as rows: what is known of each board, which of them are shown, and in which order. No terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from hostler.cli.power import board_power
from hostler.cli.progress import Rate, run_text
from hostler.cli.words import plain
from hostler.client.documents import ENDED, Board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostler.client.documents import Event
    from hostler.client.wall import BoardNews

COLUMNS: Final = ("board", "lifecycle", "power", "owner", "run", "last")
SORTS: Final = ("name", "lifecycle", "owner", "run", "news")
GROUPS: Final = ("none", "class", "lifecycle", "owner")

_TROUBLE: Final = ("quarantined", "releasing", "claimed", "discovered", "maintenance", "available", "retired")
"""Who is to be looked at first."""


class Row(NamedTuple):
    """A line of the wall: a board's, or with an empty ``name`` the head of a group."""

    name: str
    cells: tuple[str, ...]
    group: str = ""


@dataclass(slots=True)
class Wall:
    """All boards as they were told last.

    Attributes:
        boards: By name.
        changes: Grows with everything that is shown otherwise now.
    """

    boards: dict[str, Board] = field(default_factory=dict)
    changes: int = 0
    _last: dict[str, tuple[int, str]] = field(default_factory=dict)
    _rates: dict[str, tuple[str, Rate]] = field(default_factory=dict)
    _told: set[str] | None = None

    def begin(self) -> None:
        """Take note that all boards are told anew: who is not told again is gone."""
        self._told = set()

    def hear(self, news: BoardNews, now: float) -> None:
        """Take over what is told of boards; ``now`` in seconds of any clock that only goes forward."""
        if news.kind == "board" and news.board is not None:
            if self._told is not None:
                self._told.add(news.name)
            self.boards[news.name] = news.board
            self._measure(news.board, now)
        elif news.kind == "gone":
            self._forget(news.name)
        elif news.kind == "complete" and self._told is not None:
            for name in self.boards.keys() - self._told:
                self._forget(name)
            self._told = None
        elif news.kind == "said" and news.line:
            self._last[news.name] = (self.changes, f"> {plain(news.line)}")
        self.changes += 1

    def happened(self, event: Event) -> None:
        """Take over an event; the last one about a board is shown."""
        board = event.get("board")
        if board:
            self.changes += 1
            self._last[board] = (self.changes, plain(f"{event['kind']}: {event['text']}"))

    def _forget(self, name: str) -> None:
        self.boards.pop(name, None)
        self._last.pop(name, None)
        self._rates.pop(name, None)

    def _measure(self, board: Board, now: float) -> None:
        run = board["run"]
        if run is None or run["state"] in ENDED:
            self._rates.pop(board["name"], None)
            return
        key = f"{run['id']} {run['step']} {run['phase']}"
        old, rate = self._rates.get(board["name"], ("", Rate()))
        if old != key:
            rate = Rate()
        rate.add(now, run["done"])
        self._rates[board["name"]] = (key, rate)

    def rows(self, wanted: str = "", sort: str = "name", group: str = "none") -> list[Row]:
        """Return what is shown.

        Args:
            wanted: Words that a board must all have somewhere: name, class, labels, owner, states, run.
            sort: One of ``SORTS``.
            group: One of ``GROUPS``; each group has a head that counts its boards.
        """
        words = wanted.lower().split()
        shown = [board for board in self.boards.values() if _fits(self._words(board), words)]
        shown.sort(key=self._order(sort))
        if group == "none":
            return [self._row(board) for board in shown]
        groups: dict[str, list[Board]] = {}
        for board in shown:
            groups.setdefault(_group(board, group), []).append(board)
        found: list[Row] = []
        for name in sorted(groups):
            head = f"{name or '(nobody)'} · {len(groups[name])}"
            found.append(Row("", (head, *[""] * (len(COLUMNS) - 1)), name))
            found += [self._row(board, name) for board in groups[name]]
        return found

    def count(self) -> str:
        """Return how many boards there are and what they do, in a few words."""
        states: dict[str, int] = {}
        for board in self.boards.values():
            states[board["lifecycle"]] = states.get(board["lifecycle"], 0) + 1
        running = sum(1 for board in self.boards.values() if _runs(board))
        parts = [f"{states[state]} {state}" for state in _TROUBLE if state in states]
        return f"{len(self.boards)} boards: {', '.join([*parts, f'{running} at work'])}"

    def _row(self, board: Board, group: str = "") -> Row:
        cells = (
            board["name"], board["lifecycle"], board_power(board), owner(board), self._run(board),
            self._last.get(board["name"], (0, ""))[1],
        )  # fmt: skip
        return Row(board["name"], tuple(map(plain, cells)), group)

    def _run(self, board: Board) -> str:
        run = board["run"]
        if run is None:
            return ""
        text = run_text(run)
        if run["state"] in ENDED:
            return text
        if run["total"]:
            text = f"{run['done'] / run['total']:.0%} {text}"
        rate = self._rates.get(board["name"])
        if rate is not None and rate[1].speed > 0:
            text = f"{rate[1].speed / 1e6:.1f} MB/s {text}"
        return text

    def _words(self, board: Board) -> str:
        labels = " ".join(f"{name}={value}" for name, value in board["labels"].items())
        power = board["power"]["observed"]
        shown = " ".join(self._row(board).cells[:5])
        return f"{shown} {board['class']} {labels} {power} {board['network']}".lower()

    def _order(self, sort: str) -> Callable[[Board], tuple[object, ...]]:
        def key(board: Board) -> tuple[object, ...]:
            name = board["name"]
            match sort:
                case "lifecycle":
                    state = board["lifecycle"]
                    return (_TROUBLE.index(state) if state in _TROUBLE else len(_TROUBLE), name)
                case "owner":
                    return (not owner(board), owner(board), name)
                case "run":
                    return (not _runs(board), board["run"] is None, name)
                case "news":
                    return (-self._last.get(name, (0, ""))[0], name)
                case _:
                    return (name,)

        return key


def owner(board: Board) -> str:
    """Return who holds a board, or nothing."""
    return board["claim"]["principal"] if board["claim"] else ""


def _runs(board: Board) -> bool:
    return board["run"] is not None and board["run"]["state"] not in ENDED


def _group(board: Board, group: str) -> str:
    if group == "owner":
        return owner(board)
    return board["class"] if group == "class" else board["lifecycle"]


def _fits(text: str, words: Iterable[str]) -> bool:
    return all(word in text for word in words)
