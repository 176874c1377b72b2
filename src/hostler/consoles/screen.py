"""What a terminal shows after some bytes, as bytes that bring another terminal there.

Who joins late must not be given half an escape sequence, nor the questions that programs asked of an
earlier terminal: theirs would answer, and the answer would be typed on the board.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyte.screens import Char

COLUMNS, LINES = 80, 24
"""A serial line does not tell its size; what programs on one believe (VT100)."""
LEAST, MOST = 2, 500
FEED_BYTES: Final = 32 << 10
"""How much is looked at: pyte takes one sign at a time, so this costs a viewer some 50 ms, once."""
HISTORY_LINES: Final = 200

_ESCAPE = re.compile(
    rb"\x1b(?:\[(?P<csi>[0-?]*[ -/]*[@-~])|\](?:[^\x07\x1b]{0,4096})(?:\x07|\x1b\\)|P[^\x1b]{0,4096}\x1b\\"
    rb"|[()*+][0-9A-Za-z]|#[0-9]|%[@G8]|[ -/]?[0-Z\\^-~])"
)
_UNFINISHED = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|[()*+#%]|[\]P][^\x07\x1b]{0,4096}\x1b?)?|[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?"
    rb"|[\xf0-\xf4][\x80-\xbf]{0,2})\Z"
)
_IN_LINE = re.compile(rb"[0-9;]*[mKCDP@]|0?J|\?(?:1|7|25|2004)[hl]")
"""What prompts and colours need: these leave a stream a text of lines, which is replayed as it came."""
_DRAWING = re.compile(rb"[0-9;]{0,40}[@ABCDEFGHJKLMPXadefgmr]|[0-9;]{1,20}[hl]|\?[0-9;]{1,20}[hl]")
"""What a screen is drawn with; anything else (questions, keys, sounds) is left out."""
_COLOURS: Final = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_PLAIN: Final = "\x1b[0m"
_STYLES: Final = (
    ("bold", 1), ("italics", 3), ("underscore", 4), ("blink", 5), ("reverse", 7), ("strikethrough", 9),
)  # fmt: skip


def render(data: bytes, *, whole: bool, columns: int = COLUMNS, lines: int = LINES) -> bytes:
    """Return bytes that show on a fresh terminal what ``data`` shows on one.

    Args:
        data: What the board said last.
        whole: Whether it begins where the line began; else it begins anywhere, even in an escape sequence.
        columns: Width of the terminal.
        lines: Its height.
    """
    if len(data) > FEED_BYTES:
        data, whole = data[-FEED_BYTES:], False
    if not whole:
        data = _from_boundary(data)
    torn = _UNFINISHED.search(data)
    data, rest = (data[: torn.start()], torn[0]) if torn else (data, b"")
    if all(_IN_LINE.fullmatch(match["csi"] or b"") for match in _ESCAPE.finditer(data)):
        return data.replace(b"\x05", b"") + rest  # ENQ is a question, too
    return _drawn(data, columns, lines) + rest


def _from_boundary(data: bytes) -> bytes:
    """Begin behind a line's end, since no escape sequence and no letter spans one."""
    end = data.find(b"\n")
    if end >= 0:
        return data[end + 1 :]
    escape = data.find(b"\x1b")
    return data[escape:] if escape >= 0 else data.lstrip(bytes(range(0x80, 0xC0)))


def _drawn(data: bytes, columns: int, lines: int) -> bytes:
    import pyte

    class Screen(pyte.Screen):
        """A screen that keeps the lines which leave it at its top."""

        def index(self) -> None:
            top, bottom = self.margins or (0, self.lines - 1)
            if self.cursor.y == bottom and top == 0:
                scrolled.append(_line(self.buffer[0], self.columns))
            super().index()

    scrolled: deque[str] = deque(maxlen=HISTORY_LINES)
    screen = Screen(min(max(columns, LEAST), MOST), min(max(lines, LEAST), MOST))
    stream = pyte.Stream(screen)
    stream.use_utf8 = False  # else the line drawing of menus comes out as letters; we decode ourselves
    for piece in _known(data):
        try:
            stream.feed(piece.decode(errors="replace"))
        except (TypeError, ValueError, IndexError, KeyError):
            stream = pyte.Stream(screen)  # its parser does not survive parameters nobody has
            stream.use_utf8 = False
    shown = [_line(screen.buffer[y], screen.columns) for y in range(screen.lines)]
    said = [_PLAIN, *(line + "\r\n" for line in scrolled), "\x1b[H\x1b[2J"]
    said += [f"\x1b[{y};1H{line}" for y, line in enumerate(shown, 1) if line]
    if screen.margins is not None:
        said.append(f"\x1b[{screen.margins.top + 1};{screen.margins.bottom + 1}r")
    cursor = screen.cursor
    if screen.charset == 0 and screen.g0_charset == pyte.charsets.VT100_MAP:
        said.append("\x1b(0")
    said.append(f"\x1b[{cursor.y + 1};{cursor.x + 1}H{_style(cursor.attrs)}")
    if pyte.modes.DECAWM not in screen.mode:
        said.append("\x1b[?7l")
    if cursor.hidden:
        said.append("\x1b[?25l")
    return "".join(said).encode()


def _known(data: bytes) -> list[bytes]:
    """Cut into pieces of which each begins with at most one escape sequence that draws."""
    pieces: list[bytes] = []
    place, kept = 0, b""
    for match in _ESCAPE.finditer(data):
        pieces.append(kept + data[place : match.start()])
        csi = match["csi"]
        plain = csi is None and match[0][1:2] in b"()78DEHMc"
        kept = match[0] if plain or (csi is not None and _DRAWING.fullmatch(csi)) else b""
        place = match.end()
    return [*pieces, kept + data[place:]]


def _line(row: dict[int, Char], columns: int) -> str:
    """Return one line in colours, without the blanks at its end."""
    last = max((x for x, char in row.items() if x < columns and _seen(char)), default=-1)
    said, style = [], _PLAIN
    for x in range(last + 1):
        char = row[x]
        if (wanted := _style(char)) != style:
            said.append(wanted)
            style = wanted
        said.append(char.data)
    return "".join(said) + (_PLAIN if style != _PLAIN else "")


def _seen(char: Char) -> bool:
    return char.data != " " or char.bg != "default" or char.reverse or char.underscore


def _style(char: Char) -> str:
    codes = ["0", *(str(code) for name, code in _STYLES if getattr(char, name))]
    for colour, base in ((char.fg, 30), (char.bg, 40)):
        bright = colour.startswith(("bright", "bfight"))  # pyte 0.8.2 spells one of its names so
        name = colour[6:] if bright else colour
        if name in _COLOURS:
            codes.append(str(base + _COLOURS.index(name) + (60 if bright else 0)))
        elif re.fullmatch("[0-9a-f]{6}", colour):
            red, green, blue = bytes.fromhex(colour)
            codes.append(f"{base + 8};2;{red};{green};{blue}")
    return f"\x1b[{';'.join(codes)}m"
