"""A few requests to one piece of equipment over HTTP, within one deadline, told apart by what to do next."""

from __future__ import annotations

import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.calls import deadline
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

_LARGEST_ANSWER = 1_048_576


@dataclass(frozen=True, slots=True)
class HttpHost:
    """Where the equipment is and how it is trusted.

    Attributes:
        name: The equipment, for messages.
        url: Scheme, host and port.
        timeout: Deadline in seconds of all requests of one call together.
        user: Who to log in as; empty for nobody.
        password: Where the password is.
        ca_file: Who vouches for its certificate; empty for the system's authorities.
        verify: False takes any certificate.
    """

    name: str
    url: str
    timeout: float
    user: str = ""
    password: SecretReference | None = None
    ca_file: str = ""
    verify: bool = True

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[HttpTalk]:
        """Open a connection for one call; everything inside ends with the deadline.

        Raises:
            DriverError: DriverTimeout, EquipmentUnreachable, or DriverConfigError for a wrong secret or file.
        """
        import httpx2  # late: a tenth of a second that only labs with such equipment pay

        auth = httpx2.BasicAuth(self.user, self.password.reveal()) if self.password else None
        verify: ssl.SSLContext | bool = False
        if self.url.startswith("https:") and self.verify:
            try:
                verify = ssl.create_default_context(cafile=self.ca_file or None)
            except OSError as error:
                raise DriverConfigError("ca_file", f"cannot be read: {error}") from error
        try:
            async with (
                deadline(self.name, self.timeout),
                # No proxy of the environment: equipment stands in the lab's own network.
                httpx2.AsyncClient(auth=auth, verify=verify, trust_env=False, timeout=None) as client,
            ):
                yield HttpTalk(self, client)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise EquipmentUnreachable(f"{self.name}: {str(error) or type(error).__name__}") from error


class HttpTalk:
    """An open connection to a HttpHost."""

    def __init__(self, host: HttpHost, client: httpx2.AsyncClient) -> None:
        self._host = host
        self._client = client
        self.etag = ""
        """The entity tag of the last answer, or empty."""

    async def ask(self, method: str, path: str, body: object = None, *, match: str = "") -> tuple[int, bytes]:
        """Send one request, with JSON when there is a body; return status and answer.

        With ``match``, an entity tag, only to what is still as it was read (If-Match, RFC 9110, 13.1.1).

        Raises:
            EquipmentRefused: The login is wrong, or the answer has no end.
        """
        host = self._host
        answer = b""
        headers = {"accept": "*/*"} if body is None else {"content-type": "application/json"}
        if match:
            headers["if-match"] = match
        content = None if body is None else json.dumps(body).encode()
        async with self._client.stream(method, host.url + path, content=content, headers=headers) as response:
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > _LARGEST_ANSWER:
                    raise EquipmentRefused(f"{host.name}: its answer does not end; is it the right host?")
        self.etag = response.headers.get("etag", "")
        if response.status_code in (401, 403):
            who = f"as {host.user} ({host.password})" if host.user else "without a login"
            raise EquipmentRefused(f"{host.name}: may not be asked {who}: check user, password and rights")
        return response.status_code, answer

    async def ask_json(
        self, method: str, path: str, body: object = None, *, match: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Send one request whose answer is a JSON object; an empty answer is an empty one.

        Raises:
            EquipmentRefused: As ``ask``, and when the answer is something else.
        """
        status, answer = await self.ask(method, path, body, match=match)
        try:
            tree = json.loads(answer or b"{}")
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict):
            raise EquipmentRefused(f"{self._host.name}: answers {status} with no JSON; is it the right host?")
        return status, tree
