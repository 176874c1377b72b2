"""One types at a time: who has a console's keyboard, who asks for it, and how it changes hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hostler.wire.rfc2217 import LineSettings


class WriterTakenError(Exception):
    """Somebody else writes; the message names who, and ``steal`` takes it from them."""


class KeyboardLentError(WriterTakenError):
    """It is lent for a moment and comes back by itself; the message names to whom."""


class Line(Protocol):
    """What a keyboard is on; see `ConsoleBroker`, whose errors they raise."""

    board: str

    async def type(self, data: bytes) -> None:
        """Send bytes to the board."""
        ...

    async def send_break(self) -> None:
        """Send BREAK."""
        ...

    async def set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Switch the modem lines."""
        ...

    async def set_line(self, settings: LineSettings) -> LineSettings | None:
        """Set the line up; returns how it is."""
        ...

    def note(self, text: str) -> None:
        """Say something to those who read."""
        ...


class Writer:
    """The right to type on a console, until it is given back or taken away.

    Args:
        keyboard: What it is a right to.
        who: Whose it is, for people.
    """

    def __init__(self, keyboard: Keyboard, who: str) -> None:
        self._keyboard = keyboard
        self.who = who
        self.taken_by: str | None = None
        """Who has the right now, if it was taken away or handed over."""

    async def write(self, data: bytes) -> None:
        """Type.

        Raises:
            WriterTakenError: The right was taken away.
            ConsoleDownError: The line is not connected.
        """
        await self._keyboard.line_for(self).type(data)

    async def send_break(self) -> None:
        """Send BREAK: the line into a boot loader or the kernel's SysRq.

        Raises:
            WriterTakenError: The right was taken away.
            ConsoleDownError: The line is not connected, or cannot carry BREAK now.
        """
        await self._keyboard.line_for(self).send_break()

    async def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Switch DTR and RTS on or off; None leaves a line as it is. Raises like ``send_break``."""
        await self._keyboard.line_for(self).set_lines(dtr=dtr, rts=rts)

    async def set_line(self, settings: LineSettings) -> LineSettings | None:
        """Ask for speed, parity and the like; return what holds, None where nobody can say or set it.

        Raises:
            WriterTakenError: The right was taken away.
            ConsoleDownError: The line is not connected.
        """
        return await self._keyboard.line_for(self).set_line(settings)

    def release(self) -> None:
        """Give the right back; harmless if it was taken away."""
        self._keyboard.release(self)


class Keyboard:
    """Who may type on one console."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.writer: Writer | None = None
        """Who may type now."""
        self._lender: Writer | None = None

    def take(self, who: str, *, steal: bool = False) -> Writer:
        """Take the right to type.

        Raises:
            WriterTakenError: Somebody has it, and it was not to be stolen.
        """
        if self.writer is not None:
            if not steal:
                raise WriterTakenError(f"{self.writer.who} writes on the console of {self._line.board}")
            self._line.note(f"{who} took the console from {self.writer.who}")
        return self._give(who)

    def borrow(self, who: str) -> Writer:
        """Take the right to type for a while: whoever had it has it again when this writer releases it."""
        lender = self.writer
        self._line.note(f"{who} has the console now" + (f", lent by {lender.who}" if lender else ""))
        borrower = self._give(who)
        self._lender = lender
        if lender is not None:
            lender.taken_by = None
        return borrower

    def hand_over(self, writer: Writer, who: str) -> Writer:
        """Give the right of one to another.

        Raises:
            WriterTakenError: It is not theirs to give.
        """
        self.line_for(writer)
        self._line.note(f"{writer.who} handed the console over to {who}")
        return self._give(who)

    def release(self, writer: Writer) -> None:
        """Give the right to type back."""
        if self._lender is writer:
            self._lender = None
        if self.writer is writer:
            self.writer, self._lender = self._lender, None

    def line_for(self, writer: Writer) -> Line:
        """Return the line for one who may type.

        Raises:
            WriterTakenError: They may not any more.
        """
        if self._lender is writer and self.writer is not None:
            raise KeyboardLentError(f"{self.writer.who} has the console of {self._line.board} for a moment")
        if self.writer is not writer:
            raise WriterTakenError(f"{writer.taken_by or 'nobody'} has the console of {self._line.board} now")
        return self._line

    def _give(self, who: str) -> Writer:
        if self.writer is not None:
            self.writer.taken_by = who
        self.writer, self._lender = Writer(self, who), None
        return self.writer
