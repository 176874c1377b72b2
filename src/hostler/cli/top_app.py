"""The live wall: a table of boards that follows the lab, and keys for the chosen one (Textual)."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Footer, Input, Static

from hostler.cli.top_feed import Feed
from hostler.cli.top_screens import Question, Reading
from hostler.cli.top_wall import COLUMNS, GROUPS, SORTS, Row, Wall
from hostler.cli.trace import timeline, verdict
from hostler.cli.words import plain
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostler.client.settings import Settings

LOOK_SECONDS: Final = 0.25
"""How often the table is made anew, when something changed: as often as somebody can read."""

_STYLES: Final = {
    "available": "green", "claimed": "cyan", "releasing": "yellow", "quarantined": "bold red", "on": "green",
    "unknown": "yellow", "maintenance": "magenta", "discovered": "yellow",
}  # fmt: skip
_WIDTHS: Final = (16, 11, 8, 10, 30)
"""Of all columns but the last, which has the rest of the line."""
_NARROW: Final = (12, 11, 7, 8, 16)
"""The same for less than 100 columns."""


class TopApp(App[None]):
    """The wall.

    Args:
        settings: The server.
        wall: What is known already.
        words: What boards must have to be shown.
        sort: One of ``SORTS``.
        group: One of ``GROUPS``.
    """

    TITLE = "hostler top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state { height: 1; background: $panel; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    #filter.shown { display: block; }
    #wall { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("s", "sort", "sort"),
        Binding("g", "group", "group"),
        Binding("p", "power", "power"),
        Binding("c", "console", "console"),
        Binding("w", "why", "why"),
        Binding("t", "trace", "trace"),
        Binding("escape", "all", "all", show=False),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self, settings: Settings, wall: Wall, words: str = "", *, sort: str = "name", group: str = "none"
    ) -> None:
        super().__init__()
        self._settings = settings
        self._wall = wall
        self._words, self._sort, self._group = words, sort, group
        self._feed = Feed(settings)
        self._away = ""
        self._shown = -1
        self._rows: list[Row] = []

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static("", id="state", markup=False)
        yield DataTable[Text](id="wall", cursor_type="row", zebra_stripes=False)
        yield Input(self._words, placeholder="words that boards must have; Enter", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self._lay_out()
        self._table.focus()
        self._feed.start()
        self.set_interval(LOOK_SECONDS, self._look)

    def on_unmount(self) -> None:
        """Follow no more."""
        self._feed.stop()

    def on_resize(self) -> None:
        """Give the columns the room there is now."""
        if self.query("#wall"):
            self._lay_out()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#wall", DataTable)

    @property
    def _board(self) -> str | None:
        """The chosen board."""
        row = self._table.cursor_row
        return self._rows[row].name or None if 0 <= row < len(self._rows) else None

    # The table.

    def _lay_out(self) -> None:
        """Make the columns fit the width, and fill them."""
        widths = _WIDTHS if self.size.width >= 100 else _NARROW
        last = max(8, self.size.width - sum(widths) - 2 * len(COLUMNS))
        table = self._table
        chosen = self._board
        table.clear(columns=True)
        for name, width in zip(COLUMNS, (*widths, last), strict=True):
            table.add_column(name, key=name, width=width)
        self._rows = []
        self._fill(chosen)

    def _look(self) -> None:
        """Take over what was told, and show it if it is news."""
        if not self.query("#state"):  # it is being left: the screen goes before the clock that calls this
            return
        now = time.monotonic()
        told = self._feed.take()
        self._away = told.away
        if told.anew:
            self._wall.begin()
        for news in told.news:
            self._wall.hear(news, now)
        for event in told.events:
            self._wall.happened(event)
        if self._shown != self._wall.changes:
            self._fill(self._board)
        else:
            self._tell_state()

    def _fill(self, chosen: str | None) -> None:
        """Show the rows: cell by cell where they are the same boards, so that nothing jumps."""
        self._shown = self._wall.changes
        rows = self._wall.rows(self._words, self._sort, self._group)
        table = self._table
        if [(row.name, row.group) for row in rows] == [(row.name, row.group) for row in self._rows]:
            for at, (new, old) in enumerate(zip(rows, self._rows, strict=True)):
                for column, (cell, before) in enumerate(zip(new.cells, old.cells, strict=True)):
                    if cell != before:
                        table.update_cell_at(Coordinate(at, column), _cell(new, cell))
            self._rows = rows
            self._tell_state()
            return
        place = table.cursor_row
        table.clear()
        for row in rows:
            table.add_row(*(_cell(row, cell) for cell in row.cells))
        self._rows = rows
        names = [row.name for row in rows]
        # Whoever is chosen stays so wherever it is now; of one that is gone the place is kept.
        table.move_cursor(row=names.index(chosen) if chosen in names else min(place, max(0, len(rows) - 1)))
        self._tell_state()

    def _tell_state(self) -> None:
        text = f"{self._wall.count()} · by {self._sort}"
        if self._group != "none":
            text += f", grouped by {self._group}"
        if self._words:
            text += f' · only "{plain(self._words)}"'
        state = Text(text, no_wrap=True, overflow="ellipsis")
        if self._away:
            state = Text(f"AWAY: {plain(self._away)}; trying again", style="bold red", no_wrap=True)
        self.query_one("#state", Static).update(state)

    # Keys.

    def action_filter(self) -> None:
        """Let the words be typed."""
        typed = self.query_one("#filter", Input)
        typed.add_class("shown")
        typed.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        """Show what has these words, with each letter."""
        self._words = changed.value
        self._fill(self._board)

    def on_input_submitted(self) -> None:
        """Go back to the table; the words stay in force."""
        self.query_one("#filter", Input).remove_class("shown")
        self._table.focus()

    def action_all(self) -> None:
        """Show all boards again."""
        self.query_one("#filter", Input).value = ""
        self.on_input_submitted()

    def action_sort(self) -> None:
        """Order by the next key."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._fill(self._board)

    def action_group(self) -> None:
        """Group by the next key."""
        self._group = GROUPS[(GROUPS.index(self._group) + 1) % len(GROUPS)]
        self._fill(self._board)

    @work(exclusive=True)
    async def action_power(self) -> None:
        """Ask what is to be done to the chosen board's power, and whether it is meant."""
        board = self._board
        if board is None:
            return
        chosen = await self.push_screen_wait(
            Question(f"Power of {board}", {"o": "on", "f": "off", "c": "cycle"})
        )
        if chosen is None:
            return
        meant = await self.push_screen_wait(
            Question(f"Switch {board}: power {chosen}?", {"y": "yes", "n": "no"})
        )
        if meant == "yes":
            self._ask(
                board, lambda client: f"power {client.set_power(board, chosen)['desired']} is asked for"
            )

    def action_why(self) -> None:
        """Read why the chosen board came no further."""
        if (board := self._board) is not None:
            self._read(f"why {board}", lambda client: verdict(client.why(board)))

    def on_data_table_row_selected(self) -> None:
        """Read the same after Enter, which is the table's own key."""
        self.action_why()

    def action_trace(self) -> None:
        """Read what happened during its last boot."""
        if (board := self._board) is not None:
            self._read(f"trace of {board}", lambda client: timeline(client.trace(board)))

    def action_console(self) -> None:
        """Leave the screen to its console until that is left."""
        if (board := self._board) is None:
            return
        with self.suspend():
            subprocess.run([sys.executable, "-m", "hostler.cli.main", "console", board], check=False)
        self.refresh()

    @work(thread=True)
    def _ask(self, board: str, call: Callable[[Client], str]) -> None:
        """Call the server beside the screen, and say what came of it."""
        try:
            with Client(self._settings) as client:
                said, severity = call(client), "information"
        except ClientError as error:
            said, severity = str(error), "error"
        self.call_from_thread(
            self.notify, plain(said), title=board, severity=severity, markup=False, timeout=10
        )

    @work(thread=True)
    def _read(self, title: str, call: Callable[[Client], Iterable[str]]) -> None:
        """Fetch a text beside the screen, and show it."""
        try:
            with Client(self._settings) as client:
                text = "\n".join(call(client))
        except ClientError as error:
            text = str(error)
        self.call_from_thread(self.push_screen, Reading(title, plain(text)))


def _cell(row: Row, text: str) -> Text:
    if not row.name:
        return Text(text, style="bold", no_wrap=True)
    return Text(text, style=_STYLES.get(text.split(" ", 1)[0], ""), no_wrap=True, overflow="ellipsis")
