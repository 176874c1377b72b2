"""The agent's side of the HTTP protocol with its rack.

Every thread has a keep-alive connection of its own. What must arrive is tried until it does: a lost rack
costs time, never the run. Meanwhile the console says so, for that is the only way left to say it.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import random
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from hostler.agent.work import ImageFaultError, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostler.agent.console import Console
    from hostler.model.json import Document

T = TypeVar("T")

TIMEOUT_SECONDS = 15.0  # the rack answers a POST within 10
FIRST_DELAY = 0.25
LAST_DELAY = 10.0
LOST_AGAIN_SECONDS = 30.0
_MAX_DOCUMENT = 1024 * 1024
_MOST_WORDS = 1024
_PIECE = 1 << 20


class BootConfigError(Exception):
    """The boot's configuration is absent or not what it should be; the message names the file."""


class RefusedError(StepError):
    """The rack answered that it will not have this request (4xx)."""

    def __init__(self, path: str, status: int, why: str = "") -> None:
        super().__init__(f"the rack refused {path} with status {status}" + (f": {why}" if why else ""))
        self.status = status


class StoppedError(Exception):
    """The agent was told to stop while it waited for its rack."""


class _UnavailableError(Exception):
    """The rack answered, but not with what was asked for; later it may."""


@dataclass(frozen=True, slots=True)
class BootConfig:
    """What the rack gave this boot: where to report, and the right to do so.

    Attributes:
        rack: ``http://HOST:PORT`` of the boot listener.
        token: The boot's secret; never printed.
        board: The board's name.
        boot: The boot's id.
        network_first: Whether the firmware is to ask the network first from now on.
    """

    rack: str
    token: str
    board: str
    boot: str
    network_first: bool = False

    @classmethod
    def read(cls, path: Path) -> BootConfig:
        """Read ``boot.json``; raises BootConfigError."""
        try:
            document = json.loads(path.read_text())
        except OSError as error:
            raise BootConfigError(f"{path}: {error.strerror}") from None
        except ValueError as error:
            raise BootConfigError(f"{path}: not a boot configuration ({error})") from None
        return cls.of(document, str(path))

    @classmethod
    def of(cls, document: object, source: str) -> BootConfig:
        """Take a configuration out of JSON from ``source``; raises BootConfigError."""
        try:
            values = cast("Document", document)
            rack, token, board, boot = (str(values[key]) for key in ("rack", "token", "board", "boot"))
            config = cls(rack, token, board, boot, values.get("network_first") is True)
        except (KeyError, TypeError) as error:
            raise BootConfigError(
                f"{source}: not a boot configuration ({type(error).__name__} {error})"
            ) from None
        return config.checked(source)

    def checked(self, source: str) -> BootConfig:
        """Return it if its URL is one; raises BootConfigError."""
        parts = urlsplit(self.rack)
        if parts.scheme != "http" or not parts.hostname:
            raise BootConfigError(f"{source}: rack {self.rack!r} is not http://HOST:PORT")
        return self


class Rack:
    """A client of the rack for one boot. Safe to use from any thread.

    Args:
        config: Where the rack is and the boot's token.
        console: Where to say that the rack cannot be reached.
        stop: Once set, every wait ends with StoppedError.
    """

    def __init__(self, config: BootConfig, console: Console, stop: threading.Event) -> None:
        parts = urlsplit(config.rack)
        self._host, self._port = cast("str", parts.hostname), parts.port or 80
        self._headers = {"Authorization": f"Bearer {config.token}"} if config.token else {}
        self._console = console
        self._stop = stop
        self._local = threading.local()
        self._lock = threading.Lock()
        self._lost_since: float | None = None
        self._told = 0.0

    def step(self) -> Document | None:
        """Ask for the step to do now; None: nothing. Waits for the rack as long as it takes."""

        def ask() -> Document | None:
            try:
                status, body = self._request("GET", "/agent/step")
            except RefusedError as error:
                # With a token that is not taken nothing is left to do but wait for the power to be cut.
                raise _UnavailableError(str(error)) from None
            if status == http.HTTPStatus.NO_CONTENT:
                return None
            try:
                document = json.loads(body)
            except ValueError:
                raise _UnavailableError("the rack's step is not JSON") from None
            if not isinstance(document, dict):
                raise _UnavailableError("the rack's step is not a JSON object")
            return document

        return self._persist(ask)

    def ask(self, path: str) -> Document:
        """Fetch a JSON object; waits for the rack as long as it takes.

        Raises:
            RefusedError: the rack will not have it.
        """

        def fetch() -> Document:
            _, body = self._request("GET", path)
            try:
                document = json.loads(body)
            except ValueError:
                document = None
            if not isinstance(document, dict):
                raise _UnavailableError("the rack's answer is not a JSON object")
            return document

        return self._persist(fetch)

    def post(self, kind: str, document: Document) -> None:
        """Deliver a report (``hello``, ``done``, ``fail``); waits for the rack as long as it takes.

        Raises:
            RefusedError: the rack will not have it.
        """
        body = json.dumps(document).encode()
        self._persist(lambda: self._request("POST", f"/agent/{kind}", body))

    def try_post(self, kind: str, document: Document) -> bool:
        """Deliver a report if the rack can be reached at once; return whether it was taken.

        Raises:
            RefusedError: the rack will not have it.
        """
        try:
            self._request("POST", f"/agent/{kind}", json.dumps(document).encode())
        except (OSError, http.client.HTTPException, _UnavailableError) as error:
            self._drop()
            self._lost(error)
            return False
        self._found()
        return True

    def index(self, artefact: str) -> bytes:
        """Fetch a chunk index and check it against its id.

        Raises:
            RefusedError: the rack does not have it.
            ImageFaultError: its bytes are not those of its id.
        """
        _, data = self._persist(lambda: self._request("GET", f"/agent/index/{artefact}", limit=2**40))
        if hashlib.sha256(data).hexdigest() != artefact:
            raise ImageFaultError(f"the chunk index {artefact} arrived with other bytes than its id says")
        return data

    def chunk(self, digest: str, into: memoryview) -> int:
        """Fetch the zstd frame of a chunk into a buffer and return its length.

        Raises:
            RefusedError: the rack does not have it.
            StepError: it is larger than the buffer.
        """

        def fetch() -> int:
            response = self._send("GET", f"/agent/chunk/{digest}", None)
            length = response.length
            if length is None or length > len(into):
                self._drop()
                raise StepError(f"the frame of chunk {digest} has {length} bytes, more than it may")
            at = 0
            while at < length:
                count = response.readinto(into[at:length])
                if not count:
                    raise _UnavailableError(f"the rack closed the connection within chunk {digest}")
                at += count
            response.read()  # marks the response as finished, so that the connection can be used again
            return length

        return self._persist(fetch)

    def file(self, artefact: str, into: Path) -> None:
        """Fetch a file that the present step names, and check it against its id.

        Raises:
            RefusedError: the rack does not have it.
            StepError: its bytes are not those of its id.
        """

        def fetch() -> str:
            response = self._send("GET", f"/agent/file/{artefact}", None)
            digest = hashlib.sha256()
            with into.open("wb") as file:
                while piece := response.read(_PIECE):
                    digest.update(piece)
                    file.write(piece)
            return digest.hexdigest()

        if self._persist(fetch) != artefact:
            raise StepError(f"the file {artefact} arrived with other bytes than its id says")

    def send(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Deliver bytes; waits for the rack as long as it takes. Returns status and body of its answer.

        Raises:
            RefusedError: the rack will not have it.
        """
        return self._persist(lambda: self._request("POST", path, body))

    def carousel(self, artefact: str, body: Document) -> Document | None:
        """Ask for the multicast carousel of an image and tell what is lacking of it; None: there is none.

        A rack that cannot be reached, or knows of no such thing, has none.
        """
        try:
            status, data = self._request("POST", f"/agent/carousel/{artefact}", json.dumps(body).encode())
            answer = json.loads(data) if status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException, _UnavailableError, RefusedError, ValueError):
            self._drop()
            return None
        return answer if isinstance(answer, dict) else None

    def peers(self, artefact: str, body: Document, *, wait: bool) -> Document | None:
        """Report what this board has of an image, and ask what to fetch from which other board.

        Args:
            artefact: Id of the image's index.
            body: What to report.
            wait: Whether to wait for a rack that is lost; otherwise the answer is {}.

        Returns:
            The answer; None: the rack knows of no such thing.
        """
        path, data = f"/agent/peers/{artefact}", json.dumps(body).encode()
        try:
            status, answer = self.send(path, data) if wait else self._request("POST", path, data)
            document = json.loads(answer) if status == http.HTTPStatus.OK else None
        except (RefusedError, ValueError):
            return None
        except (OSError, http.client.HTTPException, _UnavailableError):
            self._drop()
            return {}
        return document if isinstance(document, dict) else None

    def address_here(self) -> str:
        """Return the board's own address on the network by which the rack is reached."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self._host, self._port))  # sends nothing
            return str(probe.getsockname()[0])

    def _request(
        self, method: str, path: str, body: bytes | None = None, limit: int = _MAX_DOCUMENT
    ) -> tuple[int, bytes]:
        response = self._send(method, path, body)
        data = response.read(limit)
        if not response.isclosed():
            self._drop()
            raise _UnavailableError(f"the rack's answer to {path} is longer than {limit} bytes")
        return response.status, data

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        """Send a request and return the response, its body unread; status 4xx raises, 5xx too."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                kept.request(method, path, body, headers)
                response = kept.getresponse()
            except (OSError, http.client.HTTPException):
                # A server may close an idle connection at any time; all our requests may be repeated.
                self._drop()
                kept = None
        if kept is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
            self._local.connection = connection
            connection.request(method, path, body, headers)
            response = connection.getresponse()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            words = response.read(_MOST_WORDS).decode(errors="replace")
            if not response.isclosed():
                self._drop()
            slow = response.status == http.HTTPStatus.REQUEST_TIMEOUT  # a body on a link that stalled
            if slow or response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _UnavailableError(f"the rack answered {path} with status {response.status}")
            raise RefusedError(path, response.status, " ".join(words.split()))
        return response

    def _drop(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _persist(self, attempt: Callable[[], T]) -> T:
        delay = FIRST_DELAY
        while not self._stop.is_set():
            try:
                result = attempt()
            except (OSError, http.client.HTTPException, _UnavailableError) as error:
                self._drop()
                self._lost(error)
            except StepError:
                self._found()
                raise
            else:
                self._found()
                return result
            # Spread out, or a whole rack of boards comes back in the same instant.
            self._stop.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(2 * delay, LAST_DELAY)
        raise StoppedError

    def _lost(self, error: Exception) -> None:
        now = time.monotonic()
        with self._lock:
            if self._lost_since is None:
                self._lost_since = now
            elif now - self._told < LOST_AGAIN_SECONDS:
                return
            self._told = now
            seconds = round(now - self._lost_since)
        told: Document = {"error": str(error) or type(error).__name__, "seconds": seconds}
        if isinstance(error, OSError):
            told["cause"] = "no-route" if error.errno == errno.ENETUNREACH else "unreachable"
        self._console.mark("lost", rack=f"{self._host}:{self._port}", **told)

    def _found(self) -> None:
        if self._lost_since is None:
            return
        with self._lock:
            since, self._lost_since = self._lost_since, None
        if since is not None:
            self._console.say(f"the rack can be reached again after {time.monotonic() - since:.0f} s")
