"""TFTP packets and the rules between them: requests, options, names, text mode. No I/O, no clock.

RFC 1350 (protocol), 2347 (options), 2348 (blksize), 2349 (timeout, tsize), 7440 (windowsize).
The transfer itself is ``hostler.wire.tftp_session``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

DEFAULT_BLOCK: Final = 512
SMALLEST_BLOCK: Final = 8  # RFC 2348
LARGEST_BLOCK: Final = 65464  # RFC 2348
LARGEST_WINDOW: Final = 64  # also the most segments an older kernel takes in one UDP_SEGMENT send
WINDOW_BYTES: Final = 128 * 1024  # a window above this overruns the socket buffer of most clients
LONGEST_NAME: Final = 512  # RFC 1350 packets end there; no firmware asks for more

HEADER_BYTES: Final = 4


class Opcode(IntEnum):
    """First two bytes of every packet (RFC 1350 §5, RFC 2347)."""

    READ = 1
    WRITE = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OPTIONS = 6


class ErrorCode(IntEnum):
    """Codes of an ERROR packet (RFC 1350 appendix, RFC 2347 §3)."""

    UNDEFINED = 0
    NOT_FOUND = 1
    ACCESS = 2
    DISK_FULL = 3
    ILLEGAL = 4
    UNKNOWN_TRANSFER = 5
    EXISTS = 6
    NO_SUCH_USER = 7
    OPTIONS_REFUSED = 8


class TftpError(Exception):
    """A datagram that is not a read request we serve; ``code`` is what the client is told.

    ``code`` is None where an answer would be wrong: RFC 1350 forbids answering an ERROR, and a
    stray DATA or ACK on the listening port belongs to a transfer that ended.
    """

    code: ErrorCode | None = ErrorCode.ILLEGAL


class NotARequestError(TftpError):
    """Something other than a request arrived on the listening port."""

    code = None


class MalformedRequestError(TftpError):
    """A request without a name or a mode, each ended by a zero byte."""


class UnknownModeError(TftpError):
    """A mode other than octet and netascii."""


class WriteRefusedError(TftpError):
    """Nothing is ever written over TFTP."""

    code = ErrorCode.ACCESS


class UnsafeNameError(TftpError):
    """A name that climbs out, is empty, or holds characters no file of ours has."""

    code = ErrorCode.ACCESS


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A client asks for a file.

    Attributes:
        name: As asked for; not yet cleaned.
        text: True for netascii: the client wants network line ends.
        options: Lower-case name and value as sent, in the client's order; a repeated name counts once.
    """

    name: str
    text: bool
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a server agreed to for one transfer.

    Attributes:
        block: Bytes in each full block.
        window: Blocks in flight before an acknowledgement is waited for.
        timeout: Seconds between retransmissions as the client asked, or None.
        options: The options to acknowledge, in the client's order; empty: no OACK is sent.
    """

    block: int
    window: int
    timeout: int | None
    options: tuple[tuple[str, str], ...]


def parse_request(datagram: bytes) -> ReadRequest:
    """Read a datagram that came to the listening port.

    Raises:
        TftpError: One of its leaves, for every datagram that is not a read request.
    """
    if len(datagram) < 2:
        raise NotARequestError("shorter than an opcode")
    opcode = int.from_bytes(datagram[:2])
    if opcode == Opcode.WRITE:
        raise WriteRefusedError("this server is read only")
    if opcode != Opcode.READ:
        raise NotARequestError(f"opcode {opcode} on the listening port")
    fields = datagram[2:].split(b"\0")
    # What follows the last zero byte is not ended and therefore not a field; some ROMs leave garbage there.
    fields.pop()
    if len(fields) < 2 or not fields[0]:
        raise MalformedRequestError("a read request is a name and a mode, each ended by a zero byte")
    if len(fields[0]) > LONGEST_NAME:
        raise MalformedRequestError(f"the name is longer than {LONGEST_NAME} bytes")
    mode = fields[1].lower()
    if mode not in {b"octet", b"netascii"}:
        raise UnknownModeError(f"mode {_printable(fields[1][:20])!r} is not served; use octet")
    options: dict[str, str] = {}
    for key, value in zip(fields[2::2], fields[3::2], strict=False):
        if key:
            options.setdefault(_printable(key).lower(), _printable(value))
    return ReadRequest(_printable(fields[0]), mode == b"netascii", tuple(options.items()))


def clean_name(name: str) -> str:
    """Bring the many spellings firmware uses for one file to one: ``a/b``.

    Backslashes (Windows loaders), leading, trailing and double slashes and ``.`` are forgiven.

    Raises:
        UnsafeNameError: ``..`` as a component, control characters, or nothing left.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in {"", "."}]
    if ".." in parts:
        raise UnsafeNameError("names with .. are refused")
    if not parts or not name.isprintable():
        raise UnsafeNameError("the name is empty or has characters that no file here has")
    return "/".join(parts)


def agree(
    request: ReadRequest, size: int, max_block: int = LARGEST_BLOCK, max_window: int = LARGEST_WINDOW
) -> Agreement:
    """Choose what to accept of the options asked for; unknown and invalid ones are ignored (RFC 2347).

    A block is never larger than asked for (RFC 2348), a window never wider (RFC 7440).
    """
    block, window, timeout = DEFAULT_BLOCK, 1, None
    accepted: list[str] = []
    for name, value in request.options:
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else -1
        if name == "blksize" and number >= SMALLEST_BLOCK:
            block = min(number, LARGEST_BLOCK, max(max_block, SMALLEST_BLOCK))
        elif name == "windowsize" and number >= 1:
            window = number
        elif name == "timeout" and 1 <= number <= 255:  # RFC 2349
            timeout = number
        elif name != "tsize" or number < 0:
            continue
        accepted.append(name)
    window = max(1, min(window, max_window, LARGEST_WINDOW, WINDOW_BYTES // block))
    values = {"blksize": block, "windowsize": window, "timeout": timeout, "tsize": size}
    return Agreement(block, window, timeout, tuple((name, str(values[name])) for name in accepted))


def option_acknowledgement(agreement: Agreement) -> bytes:
    """Encode an OACK (RFC 2347)."""
    fields = [text for option in agreement.options for text in option]
    return struct.pack("!H", Opcode.OPTIONS) + b"".join(text.encode() + b"\0" for text in fields)


def error_packet(code: ErrorCode, text: str) -> bytes:
    """Encode an ERROR; the text is cut so that the packet is never larger than a default block."""
    return struct.pack("!HH", Opcode.ERROR, code) + text.encode("ascii", "replace")[:200] + b"\0"


def parse_error(datagram: bytes) -> tuple[int, str]:
    """Return code and text of an ERROR packet; total: what is missing reads as 0 and an empty text."""
    return int.from_bytes(datagram[2:4]), _printable(datagram[4:].split(b"\0")[0][:200])


def to_netascii(data: bytes) -> bytes:
    """Convert to network text (RFC 1350 §1, RFC 764): LF becomes CR LF, CR becomes CR NUL."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


def _printable(raw: bytes) -> str:
    """Decode what a client sent; what is no UTF-8 becomes U+FFFD, which no name of ours holds."""
    return raw.decode("utf-8", "replace")
