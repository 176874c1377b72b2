"""HTTP to the server: requests in, JSON out, every failure one of the client's own errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from hostler.client.errors import RefusedError, UnreachableError, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2

    from hostler.client.documents import Problem
    from hostler.client.settings import Settings

API = "/api/v1"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(url: str) -> bool:
    """Tell whether an address is this machine's own; no proxy is asked for those."""
    return urlsplit(url).hostname in _LOOPBACK


class Transport:
    """One connection pool to one server; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http: httpx2.Client | None = None

    @property
    def settings(self) -> Settings:
        """The server and token in use."""
        return self._settings

    def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | bool | list[str] | None] | None = None,
        body: Any = None,
        text: str | None = None,
        seconds: float = 30.0,
    ) -> Any:
        """Make one request below ``/api/v1`` and return its JSON, or None for an empty answer.

        Args:
            method: HTTP method.
            path: Path below the API's root; parts must be quoted by ``part``.
            query: Query parameters; those that are None are left out.
            body: JSON body.
            text: Plain text body, instead of ``body``.
            seconds: Longest silence of the server.

        Raises:
            RefusedError: the server answered no.
            UnreachableError: it did not answer.
        """
        with self.stream(method, path, query=query, body=body, text=text, seconds=seconds) as response:
            response.read()
            return response.json() if response.content else None

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | bool | list[str] | None] | None = None,
        body: Any = None,
        text: str | None = None,
        content: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = 30.0,
    ) -> Iterator[httpx2.Response]:
        """Make one request and yield the response with its body unread; raises like ``call``."""
        import httpx2

        http = self._open()
        sent = dict(headers or {})
        data: Iterator[bytes] | bytes | None = content
        if text is not None:
            sent["Content-Type"] = "text/plain; charset=utf-8"
            data = text.encode()
        answered = False
        try:
            with http.stream(
                method,
                path if path.startswith("/") else f"{API}/{path}",
                params=_parameters(query),
                json=body,
                content=data,
                headers=sent,
                timeout=httpx2.Timeout(seconds, connect=10.0),
            ) as response:
                if response.status_code >= 400:
                    raise refused(response)
                answered = True
                yield response
        except httpx2.TimeoutException:
            raise UnreachableError(
                f"{self._settings.url} did not answer within its deadline",
                "look whether `hostler serve` is well",
            ) from None
        except httpx2.RequestError as error:
            from hostler.client.tls import untrusted

            raise untrusted(self._settings, error) or UnreachableError(
                f"cannot talk to {self._settings.url}: {error}",
                "it ended in the middle of its answer: look whether `hostler serve` runs, then try again"
                if answered
                else _advice(
                    self._settings.url, str(error), reached=not isinstance(error, httpx2.ConnectError)
                ),
            ) from None
        except httpx2.InvalidURL as error:
            raise UnreachableError(
                f"{self._settings.url} is no address: {error}", "correct HOSTLER_URL"
            ) from None

    def _open(self) -> httpx2.Client:
        if self._http is None:
            import ssl

            import httpx2

            from hostler import __version__
            from hostler.client.tls import context_of

            socket = self._settings.socket
            headers = {"User-Agent": f"hostler/{__version__}"}
            if self._settings.token:
                headers["Authorization"] = f"Bearer {self._settings.token}"
            self._http = httpx2.Client(
                base_url=self._settings.url,
                headers=headers,
                transport=httpx2.HTTPTransport(uds=socket) if socket else None,
                # Plain HTTP believes nobody: the system's hundred CAs would be read for nothing.
                verify=context_of(self._settings) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                trust_env=not is_local(self._settings.url),
            )
        return self._http


def _advice(url: str, said: str, *, reached: bool) -> str:
    if "WRONG_VERSION_NUMBER" in said or "wrong version number" in said:
        return f"it speaks no TLS: write http://{url.removeprefix('https://')}"
    if url.startswith("http://") and reached:
        return f"it hung up: if it wants TLS, write https://{url.removeprefix('http://')}"
    return "start `hostler serve` there, or correct HOSTLER_URL"


def part(name: str) -> str:
    """Quote a name so that it is one part of a path."""
    from urllib.parse import quote

    return quote(name, safe="")


def refused(response: httpx2.Response) -> RefusedError:
    """Make the error of a response whose status says no; anything that is no problem body becomes one."""
    response.read()
    problem: Problem
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        problem = cast("Problem", document)
    else:
        text = response.text.strip()[:200] or response.reason_phrase
        problem = {
            "type": "about:blank",
            "title": response.reason_phrase,
            "status": response.status_code,
            "detail": f"the server at {response.url.host} answered {response.status_code}: {text}",
        }
    return refusal(response.status_code, problem)


def _parameters(
    query: Mapping[str, str | int | bool | list[str] | None] | None,
) -> dict[str, str | list[str]] | None:
    if query is None:
        return None
    return {
        key: value
        if isinstance(value, list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for key, value in query.items()
        if value is not None
    }
