"""A small SNMP client (v1, RFC 1157; v2c, RFC 3416; v3 in snmp_v3.py) over asyncio UDP.

pysnmp encodes the messages. Its own asyncio front end keeps a dispatcher with timers per event loop and
reports a refused UDP port only as silence; one connected socket per request tells the operator at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]
from pyasn1.type.univ import OctetString  # type: ignore[import-untyped]
from pysnmp.proto import api

from hostler.drivers import settings
from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.secrets import SecretReference
from hostler.drivers.snmp_v3 import AUTH, PRIVACY, User, UserTalk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_V1: Any = api.PROTOCOL_MODULES[api.SNMP_VERSION_1]
_V2C: Any = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]

_REFUSED = {"noAccess", "notWritable", "readOnly", "authorizationError"}
_NO_SUCH = {"noSuchName", "noCreation", "inconsistentName"}
_MOST_ROUNDS = 4  # v3: who are you, what time is it, my question; and one more when the clock was off

_AT_ONCE = 25  # objects of a table a request asks for: the answer fits one datagram without fragments

SNMP_KEYS = (
    "host",
    "version",
    "community",
    "user",
    "auth",
    "auth_password",
    "privacy",
    "privacy_password",
    "timeout",
)
"""The keys of an equipment's table that ``snmp_client`` reads."""


def snmp_client(equipment: Mapping[str, object]) -> SnmpClient:
    """Make the client from an equipment's table; see docs/drivers.md.

    Raises:
        DriverConfigError: Names the wrong key.
    """
    host, port = settings.address(equipment, "host", default_port=161)
    version = equipment.get("version", "3" if "user" in equipment else "2c")
    if version not in ("1", "2c", "3"):
        raise DriverConfigError("version", f'must be "1", "2c" or "3", not {version!r}')
    foreign = ("community",) if version == "3" else SNMP_KEYS[3:8]
    for key in foreign:
        if key in equipment:
            raise DriverConfigError(key, f"is not for SNMP version {version}")
    access: Community | User
    if version == "3":
        access = _user(equipment)
    else:
        access = Community(SecretReference.parse("community", equipment.get("community")), version == "1")
    return SnmpClient(host, port, access, settings.seconds(equipment, "timeout", 1.0))


def _user(equipment: Mapping[str, object]) -> User:
    def secret(key: str) -> SecretReference | None:
        return SecretReference.parse(key, equipment[key]) if key in equipment else None

    def one_of(key: str, known: Mapping[str, object], default: str) -> str:
        name = equipment.get(key, default)
        if not isinstance(name, str) or name not in known:
            raise DriverConfigError(key, f"must be one of {', '.join(known)}, not {name!r}")
        return name

    if "privacy_password" in equipment and "auth_password" not in equipment:
        raise DriverConfigError("auth_password", "is missing: SNMP encrypts only what is signed as well")
    for key in ("auth", "privacy"):
        if key in equipment and f"{key}_password" not in equipment:
            raise DriverConfigError(f"{key}_password", f"is missing, although {key} is given")
    return User(
        settings.text(equipment, "user"),
        one_of("auth", AUTH, "sha"),
        secret("auth_password"),
        one_of("privacy", PRIVACY, "aes"),
        secret("privacy_password"),
    )


@dataclass(frozen=True, slots=True)
class Community:
    """Access by a word that everybody on the wire can read.

    Attributes:
        secret: Where the word is.
        v1: Speak version 1: the oldest management cards know nothing newer, and version 3 at best.
    """

    secret: SecretReference
    v1: bool = False

    def __str__(self) -> str:
        return f"the community ({self.secret})"


class Talk(Protocol):
    """One question to an agent, without the socket."""

    answer: Any

    def request(self) -> bytes:
        """Return what to send now."""
        ...

    def receive(self, data: bytes) -> bool:
        """Take a datagram; False when it is none of ours. Sets ``answer``, or there is more to send.

        Raises:
            DriverError: The agent said no.
        """
        ...


@dataclass(frozen=True, slots=True)
class SnmpClient:
    """Asks one agent.

    Attributes:
        host: Name or address of the agent.
        port: UDP port, usually 161.
        access: Who we are to it.
        timeout: Seconds one attempt waits; a call ends within 3.5 times this and half a second.
        attempts: How often a request is sent before the agent counts as not answering.
    """

    host: str
    port: int
    access: Community | User
    timeout: float = 1.0
    attempts: int = 3

    async def get(self, oids: Sequence[tuple[int, ...]]) -> list[int | None]:
        """Read integers, in the order asked for; None where the agent has no such object.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        binds = await self._request("GetRequestPDU", [(oid, _V2C.null) for oid in oids])
        return [_integer(value) for _, value in binds]

    async def after(self, oid: tuple[int, ...]) -> tuple[tuple[int, ...], int | None] | None:
        """Read the object that follows ``oid`` in the agent's tree; None when there is none any more.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        try:
            ((found, value),) = await self._request("GetNextRequestPDU", [(oid, _V2C.null)])
        except UnknownPort:
            return None  # version 1 says noSuchName at the end of the tree (RFC 1157 section 4.1.3)
        following = tuple(found)
        return (following, _integer(value)) if following > oid else None

    async def walk(self, root: tuple[int, ...], most: int = 4096) -> list[tuple[tuple[int, ...], int | None]]:
        """Read what is below ``root``: what follows it in each object's name, and its value.

        Args:
            root: Where the table or column begins.
            most: Objects read at most: an agent that never ends must not hold us for ever.

        Raises:
            DriverError: As ``after``.
        """
        return [(index, _integer(value)) for index, value in await self._below(root, most)]

    async def walk_octets(self, root: tuple[int, ...], most: int = 4096) -> dict[tuple[int, ...], bytes]:
        """Read the strings below ``root``, as ``walk`` does; what is no string is left out."""
        found = await self._below(root, most)
        return {index: bytes(value) for index, value in found if isinstance(value, OctetString)}

    async def _below(self, root: tuple[int, ...], most: int) -> list[tuple[tuple[int, ...], Any]]:
        """Ask for many objects at a time (RFC 3416 section 4.2.3), of version 1 for one after the other."""
        single = isinstance(self.access, Community) and self.access.v1
        found: list[tuple[tuple[int, ...], Any]] = []
        place = root
        while len(found) < most:
            try:
                binds = await self._request(
                    "GetNextRequestPDU" if single else "GetBulkRequestPDU", [(place, _V2C.null)]
                )
            except UnknownPort:
                break  # version 1 says noSuchName at the end of the tree
            for oid, value in binds:
                following = tuple(oid)
                if following <= place or following[: len(root)] != root:
                    return found
                found.append((following[len(root) :], value))
                place = following
            if not binds:
                break
        return found[:most]

    async def set(self, oid: tuple[int, ...], value: int) -> None:
        """Set one INTEGER.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused, UnknownPort or DriverTimeout.
        """
        await self._request("SetRequestPDU", [(oid, _V2C.Integer(value))])

    async def _request(self, kind: str, binds: list[tuple[tuple[int, ...], Any]]) -> list[tuple[Any, Any]]:
        access = self.access
        module = _V1 if isinstance(access, Community) and access.v1 else _V2C
        pdu = getattr(module, kind)()
        if kind == "GetBulkRequestPDU":
            module.apiBulkPDU.set_defaults(pdu)
            module.apiBulkPDU.set_max_repetitions(pdu, _AT_ONCE)
        else:
            module.apiPDU.set_defaults(pdu)
        module.apiPDU.set_varbinds(pdu, binds)
        talk: Talk
        if isinstance(access, Community):
            talk = _CommunityTalk(module, pdu, access.secret.reveal())
        else:
            talk = UserTalk(access, pdu, str(self))
        answer = await self._within_deadline(talk)
        status = module.apiPDU.get_error_status(answer)
        if int(status):
            self._complain(str(status.prettyPrint()), binds)
        return [(oid, value) for oid, value in module.apiPDU.get_varbinds(answer)]

    def _complain(self, status: str, binds: list[tuple[tuple[int, ...], Any]]) -> None:
        what = ".".join(map(str, binds[0][0]))
        if status in _NO_SUCH:
            raise UnknownPort(f"{self}: has no object {what} ({status}); check model, group and port")
        if status in _REFUSED:
            raise EquipmentRefused(f"{self}: refuses {what} ({status}); {self.access} may only read")
        raise EquipmentRefused(f"{self}: answered {status} for {what}")

    async def _within_deadline(self, talk: Talk) -> Any:
        """End a call whatever hangs below it, the resolver included."""
        seconds = self.timeout * 3.5 + 0.5
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(talk)
        except TimeoutError as error:
            raise DriverTimeout(f"{self}: not done within {seconds:g} s") from error

    async def _exchange(self, talk: Talk) -> Any:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                transport, answers = await loop.create_datagram_endpoint(
                    lambda: _Answers(talk), remote_addr=(self.host, self.port)
                )
        except TimeoutError as error:
            raise EquipmentUnreachable(f"{self}: its name does not resolve in time") from error
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: {error.strerror or error}") from error
        try:
            for _ in range(_MOST_ROUNDS):
                await self._round(transport, answers)
                if talk.answer is not None:
                    return talk.answer
        except OSError as error:
            raise EquipmentUnreachable(
                f"{self}: {error.strerror or error}; is this the switch, and is SNMP enabled on it?"
            ) from error
        finally:
            answers.answered.cancel()
            transport.close()
        raise EquipmentRefused(f"{self}: cannot agree on the time with it; look at its clock and engine id")

    async def _round(self, transport: asyncio.DatagramTransport, answers: _Answers) -> None:
        answers.answered = asyncio.get_running_loop().create_future()
        request = answers.talk.request()
        for _ in range(self.attempts):
            transport.sendto(request)
            done, _pending = await asyncio.wait([answers.answered], timeout=self.timeout)
            if done:
                answers.answered.result()
                return
        raise DriverTimeout(
            f"{self}: no answer to {self.attempts} requests of {self.timeout:g} s; check its address and "
            f"{self.access}: agents are silent when it is wrong"
        )

    def __str__(self) -> str:
        return f"snmp agent {self.host}:{self.port}"


class _CommunityTalk:
    """One request, one answer with the same request id."""

    def __init__(self, module: Any, pdu: Any, community: str) -> None:
        self.answer: Any = None
        self._module = module
        self._request_id = int(module.apiPDU.get_request_id(pdu))
        self._message = module.Message()
        module.apiMessage.set_defaults(self._message)
        module.apiMessage.set_community(self._message, community)
        module.apiMessage.set_pdu(self._message, pdu)

    def request(self) -> bytes:
        """Return the request."""
        return bytes(encoder.encode(self._message))

    def receive(self, data: bytes) -> bool:
        """Take the one answer with the right request id; anything else is not ours."""
        try:
            message, _rest = decoder.decode(data, asn1Spec=self._module.Message())
            pdu = self._module.apiMessage.get_pdu(message)
            if int(self._module.apiPDU.get_request_id(pdu)) != self._request_id:
                return False
        except PyAsn1Error:
            return False
        self.answer = pdu
        return True


class _Answers(asyncio.DatagramProtocol):
    """Hands datagrams to a talk and tells when one was its answer."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        if self.answered.done():
            return
        try:
            if self.talk.receive(data):
                self.answered.set_result(None)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            self.answered.set_exception(error)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, PyAsn1Error):
        return None  # noSuchObject, noSuchInstance: an absent value is not an error of the whole request
