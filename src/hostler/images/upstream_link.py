"""One connection to the upstream server: its catalogue, indexes, and chunks, many to a request.

Blocking, for a thread of its own; the connection is kept and made anew when it is lost.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from hostler.images.store_errors import StoreError
from hostler.model.chunk_stream import HEADER, ChunkStreamError, length_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SILENT_SECONDS = 10.0
"""A server that says nothing for so long is lost."""
_MOST_CATALOGUE = 256 << 20
_MOST_INDEX = 1 << 30
_MOST_WORDS = 2048


class LinkError(Exception):
    """The upstream cannot be reached, or does not answer as it should; later it may. Says why."""


class BrokenOffError(LinkError):
    """It answered, and the answer broke off."""


class GoneError(StoreError):
    """The upstream answers, and has no such thing."""


@dataclass(frozen=True, slots=True)
class UpstreamPlace:
    """Where the upstream is, and by what right it is asked.

    Attributes:
        url: ``https://HOST[:PORT]`` without a path.
        token: The secret; never printed.
        ca: Certificates (PEM) that vouch for it; None: those the system believes.
    """

    url: str
    token: str
    ca: str | None = None

    def __repr__(self) -> str:
        return f"UpstreamPlace({self.url!r})"

    def context(self) -> ssl.SSLContext | None:
        """Return what its certificate is checked with, None for plain HTTP.

        Raises:
            LinkError: the CA cannot be read.
        """
        if not self.url.startswith("https://"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca)
        except (ssl.SSLError, ValueError) as error:
            raise LinkError(f"the CA of {self.url} cannot be read: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca is not None:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # who names a certificate means it
        return context


class UpstreamLink:
    """A connection; for one thread at a time, save ``abort``.

    Args:
        place: Where to.
    """

    def __init__(self, place: UpstreamPlace) -> None:
        self._place = place
        self._connection: http.client.HTTPConnection | None = None

    def images(self) -> list[object]:
        """Return the documents of all its images; raises LinkError."""
        data = self._whole("/api/v1/images", _MOST_CATALOGUE)
        try:
            found = json.loads(data)
        except ValueError as error:
            raise LinkError(f"its list of images is not JSON: {error}") from None
        if not isinstance(found, list):
            raise LinkError("its list of images is none")
        return found

    def index(self, image: str) -> bytes:
        """Return the encoded index of an image; raises LinkError, GoneError."""
        return self._whole(f"/api/v1/images/{quote(image, safe='')}/index", _MOST_INDEX)

    def chunks(self, image: str, digests: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield each chunk of an image as it arrives: name and frame, unchecked; None: it does not have it.

        Raises:
            GoneError: there is no such image.
            BrokenOffError: the answer broke off; what was yielded is good.
            LinkError: there was no answer.
        """
        query = urlencode([("sha256", one) for one in digests])
        response = self._ask(f"/api/v1/images/{quote(image, safe='')}/chunks?{query}")
        try:
            for digest in digests:
                length = length_of(_exactly(response, HEADER))
                yield digest, _exactly(response, length) if length else None
            response.read()  # marks it as finished, so that the connection can be used again
        except (OSError, http.client.HTTPException, ChunkStreamError) as error:
            raise BrokenOffError(str(self._lost(error))) from error
        except GeneratorExit:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """End what another thread waits for: it raises LinkError there."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def _whole(self, path: str, most: int) -> bytes:
        response = self._ask(path)
        try:
            data = response.read(most)
            if response.isclosed():
                return data
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        self.close()
        raise LinkError(f"its answer to {path} has more than {most} bytes")

    def _ask(self, path: str) -> http.client.HTTPResponse:
        fresh = self._connection is None
        try:
            response = self._sent(path)
        except (OSError, http.client.HTTPException) as error:
            lost = self._lost(error)
            if fresh or isinstance(error, TimeoutError):
                raise lost from error
            try:  # a server may close an idle connection at any time
                response = self._sent(path)
            except (OSError, http.client.HTTPException) as again:
                raise self._lost(again) from again
        if response.status == HTTPStatus.OK:
            return response
        try:
            told = response.read(_MOST_WORDS)
        except (OSError, http.client.HTTPException):
            told = b""
        self.close()
        words = f"it answered {response.status}{_detail(told)}"
        if response.status == HTTPStatus.NOT_FOUND:
            raise GoneError(words)
        raise LinkError(words)

    def _sent(self, path: str) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = _connection(self._place)
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {self._place.token}"})
        return self._connection.getresponse()

    def _lost(self, error: Exception) -> LinkError:
        self.close()
        if isinstance(error, TimeoutError):
            return LinkError(f"nothing came for {SILENT_SECONDS:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return LinkError(f"its certificate is not believed: {error.verify_message}; see ca in lab.toml")
        return LinkError(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _connection(place: UpstreamPlace) -> http.client.HTTPConnection:
    parts = urlsplit(place.url)
    host, context = parts.hostname or "", place.context()
    if context is None:
        return http.client.HTTPConnection(host, parts.port, timeout=SILENT_SECONDS)
    return http.client.HTTPSConnection(host, parts.port, timeout=SILENT_SECONDS, context=context)


def _exactly(response: http.client.HTTPResponse, length: int) -> bytes:
    data = response.read(length)
    if len(data) < length:
        raise http.client.IncompleteRead(data, length - len(data))
    return data


def _detail(body: bytes) -> str:
    """What a problem body (RFC 9457) says, for people."""
    try:
        problem = json.loads(body)
        text = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else ""
    except ValueError:
        text = ""
    return f": {text}" if isinstance(text, str) and text else ""
