"""A board's console over WebSocket.

Every message is binary; its first byte is the channel: 0 carries a JSON notice or command, 1 the console's
own bytes, both ways.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hostler.client.errors import ClientError, DeadlineError, RefusedError, UnreachableError, refusal
from hostler.client.transport import API, is_local, part

if TYPE_CHECKING:
    from types import TracebackType

    from websockets.sync.client import ClientConnection

    from hostler.client.settings import Settings

_CONTROL = 0
_BYTES = 1
_TAIL = 64 * 1024  # bytes kept for ``tail`` and for patterns that span messages
_REFUSALS = {4401: 401, 4403: 403, 4404: 404, 4409: 409}


class ConsoleClosedError(ClientError):
    """The server has closed the console."""


class ConsoleSession:
    """One attachment to a board's console.

    Args:
        settings: The server and who asks.
        board: The board's name.
        write: Whether to take the keyboard, if nobody has it.
        replay: Whether to begin with the screen as it stands.
        size: Columns and lines of the terminal that shows it, if there is one.

    The bytes replayed at the start come first, as ``attached["replay"]`` tells how many.

    Attributes:
        attached: The server's first notice: ``{"event": "attached", "writer": bool, "replay": n}``.
        notices: Notices that came later, oldest first; take them out as they are read.
    """

    def __init__(
        self,
        settings: Settings,
        board: str,
        *,
        write: bool,
        replay: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._settings = settings
        self._board = board
        self._query = {"mode": "write" if write else "read", "replay": str(replay).lower()}
        if size is not None:
            self._query |= {"columns": str(size[0]), "lines": str(size[1])}
        self._socket: ClientConnection | None = None
        self._tail = bytearray()
        self._unread = b""
        self.attached: dict[str, Any] = {}
        self.notices: list[dict[str, Any]] = []

    def __enter__(self) -> ConsoleSession:
        """Attach.

        Raises:
            RefusedError: no such board, no console, or no right to it.
            UnreachableError: the server does not answer.
        """
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        from hostler.client.tls import context_of, untrusted

        base = self._settings.url.replace("http", "ws", 1)
        query = urlencode(self._query)
        try:
            self._socket = connect(
                f"{base}{API}/boards/{part(self._board)}/console?{query}",
                additional_headers={"Authorization": f"Bearer {self._settings.token}"},
                compression=None,
                proxy=None if is_local(base) else True,
                ssl=context_of(self._settings),
                open_timeout=10,
                close_timeout=2,
                max_size=16 * 1024 * 1024,
                legacy=True,
            )
        except InvalidStatus as error:
            raise self._refused(error.response.status_code, bytes(error.response.body or b"")) from None
        except (OSError, WebSocketException) as error:
            raise untrusted(self._settings, error) or UnreachableError(
                f"cannot open the console at {self._settings.url}: {error}",
                "start `hostler serve` there, or correct HOSTLER_URL",
            ) from None
        end = time.monotonic() + 15
        try:
            while not self.attached and time.monotonic() < end:
                self.read(0.5)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def board(self) -> str:
        """The board's name."""
        return self._board

    @property
    def tail(self) -> bytes:
        """The last bytes read, at most 64 KiB."""
        return bytes(self._tail)

    @property
    def open(self) -> bool:
        """Whether it is attached."""
        return self._socket is not None

    def close(self) -> None:
        """Detach; harmless when detached already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def read(self, seconds: float | None) -> bytes:
        """Return the next bytes of the console, or none if nothing came in time; notices are put aside.

        Raises:
            ConsoleClosedError: the server closed it.
            RefusedError: it was closed because it is not ours to see.
        """
        from websockets.exceptions import ConnectionClosed

        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            message = self._open().recv(timeout=seconds)
        except TimeoutError:
            return b""
        except ConnectionClosed as error:
            raise self._closed(
                error.rcvd.code if error.rcvd else 0, error.rcvd.reason if error.rcvd else ""
            ) from None
        if isinstance(message, str) or not message:
            return b""
        if message[0] == _BYTES:
            data = bytes(message[1:])
            self._tail += data
            del self._tail[:-_TAIL]
            return data
        if message[0] == _CONTROL:
            notice = json.loads(message[1:])
            if notice.get("event") == "attached":
                self.attached = notice
            else:
                self.notices.append(notice)
        return b""

    def send(self, data: bytes) -> None:
        """Type these bytes; raises ConsoleClosedError when the server has closed the console."""
        self._message(_BYTES, data)

    def command(self, name: str, **words: object) -> None:
        """Tell the console something; the answer comes as a notice, with the ``id`` given.

        ``take`` the keyboard, ``request`` it of who has it, ``give`` it (``to``: a viewer's number; without,
        to who asked), ``release`` it; ``viewers`` lists who is joined; ``break``, ``lines`` (``dtr``,
        ``rts``) and ``line`` (``baud``, ``data_bits``, ``parity``, ``stop_bits``, ``flow``) are about the
        wire.
        """
        self._message(_CONTROL, json.dumps({"cmd": name, **words}).encode())

    def take(self) -> None:
        """Become the one who types; whoever did until now is told."""
        self.command("take")

    def send_break(self) -> None:
        """Send BREAK; a notice tells when the board's wire cannot carry it."""
        self.command("break")

    def expect(self, pattern: str, *, seconds: float, ignore: int = 0) -> re.Match[bytes]:
        """Read until a pattern shows in what was not read before, and return the match.

        What follows the match is left for the next read.

        Args:
            pattern: Regular expression, matched against bytes.
            seconds: Deadline.
            ignore: This many bytes are let pass first, for example the replay.

        Raises:
            DeadlineError: it did not show; the text ends with what did.
            ConsoleClosedError: the server closed the console.
        """
        wanted = re.compile(pattern.encode())
        end = time.monotonic() + seconds
        seen = bytearray()
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineError(
                    f'{self._board}: "{pattern}" did not show on the console within {seconds:.0f} s; '
                    f"last was {readable(bytes(seen or self._tail))[-200:]!r}"
                )
            data = self.read(left)
            passed = min(ignore, len(data))
            ignore -= passed
            seen += data[passed:]
            if match := wanted.search(bytes(seen)):
                self._unread = bytes(seen[match.end() :])
                return match
            del seen[:-_TAIL]

    def _message(self, channel: int, data: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._open().send(bytes((channel,)) + data)
        except ConnectionClosed as error:
            raise self._closed(
                error.rcvd.code if error.rcvd else 0, error.rcvd.reason if error.rcvd else ""
            ) from None

    def _open(self) -> ClientConnection:
        if self._socket is None:
            raise ConsoleClosedError(f"the console of {self._board} is not attached")
        return self._socket

    def _closed(self, code: int, reason: str) -> ClientError:
        if code in _REFUSALS:
            return self._refused(_REFUSALS[code], reason.encode())
        return ConsoleClosedError(f"the server closed the console of {self._board}{reason and ': ' + reason}")

    def _refused(self, status: int, body: bytes) -> RefusedError:
        try:
            problem = json.loads(body)
        except ValueError:
            problem = None
        if isinstance(problem, dict):
            return refusal(status, problem)  # type: ignore[arg-type]  # any object with text keys will do
        title = {
            401: "the token is not known",
            403: f'the console of "{self._board}" is not yours to use',
            404: f'there is no board "{self._board}", or it has no console',
        }.get(status, "the server refused the console")
        return refusal(
            status, {"title": title, "status": status, "detail": body.decode(errors="replace") or title}
        )


_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHM])"
)


def readable(data: bytes) -> str:
    """Return console bytes as text for people: no terminal controls, plain line ends."""
    text = _ESCAPES.sub(b"", data).decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in text if sign in "\n\t" or sign.isprintable())
