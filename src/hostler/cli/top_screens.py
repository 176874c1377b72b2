"""What the wall shows over itself: a question of a few keys, a text to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.events import Key


class Question(ModalScreen[str | None]):
    """A question that one key answers; any other key but Escape does nothing.

    Args:
        text: The question.
        answers: What each key means; that is the result, None for Escape.
    """

    CSS = """
    Question { align: center middle; }
    Question Vertical { width: 60; max-width: 95%; height: auto; border: round $warning; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave")]

    def __init__(self, text: str, answers: Mapping[str, str]) -> None:
        super().__init__()
        self._text = text
        self._answers = answers

    def compose(self) -> ComposeResult:
        """Lay the question out."""
        keys = "  ".join(f"[{key}] {meaning}" for key, meaning in self._answers.items())
        with Vertical():
            yield Static(self._text, id="question", markup=False)
            yield Static(f"{keys}  [Esc] leave", markup=False)

    def on_key(self, event: Key) -> None:
        """Take an answer."""
        if event.key in self._answers:
            event.stop()
            self.dismiss(self._answers[event.key])


class Reading(ModalScreen[None]):
    """A text, to be scrolled and left.

    Args:
        title: What it is.
        text: Plain text.
    """

    CSS = """
    Reading VerticalScroll { border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss(None)", "back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay the text out."""
        with VerticalScroll() as scroll:
            scroll.border_title = Text(self._title).plain.replace("[", "(")
            yield Static(self._text, id="text", markup=False)
        yield Footer()
