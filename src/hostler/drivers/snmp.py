"""A small SNMP v2c client (RFC 3416) over asyncio UDP; messages are encoded by pysnmp.

pysnmp's own asyncio front end keeps a dispatcher with timers per event loop and reports a refused
UDP port only as silence; one connected socket per request tells the operator at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]
from pysnmp.proto import api

from hostler.drivers.errors import DriverTimeout, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from collections.abc import Sequence


_V2C: Any = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]

_REFUSED = {"noAccess", "notWritable", "readOnly", "authorizationError"}
_NO_SUCH = {"noSuchName", "noCreation", "inconsistentName"}


@dataclass(frozen=True, slots=True)
class SnmpClient:
    """Asks one agent.

    Attributes:
        host: Name or address of the agent.
        port: UDP port, usually 161.
        community: Where the community string is.
        timeout: Seconds one attempt waits for its answer.
        attempts: How often a request is sent before the agent counts as not answering.
    """

    host: str
    port: int
    community: SecretReference
    timeout: float = 1.0
    attempts: int = 3

    async def get(self, oids: Sequence[tuple[int, ...]]) -> list[int | None]:
        """Read integers, in the order asked for; None where the agent has no such object.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        binds = await self._request(_V2C.GetRequestPDU(), [(oid, _V2C.null) for oid in oids])
        return [_integer(value) for _, value in binds]

    async def set(self, oid: tuple[int, ...], value: int) -> None:
        """Set one INTEGER.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused, UnknownPort or DriverTimeout.
        """
        await self._request(_V2C.SetRequestPDU(), [(oid, _V2C.Integer32(value))])

    async def _request(self, pdu: Any, binds: list[tuple[tuple[int, ...], Any]]) -> list[tuple[Any, Any]]:
        _V2C.apiPDU.set_defaults(pdu)
        _V2C.apiPDU.set_varbinds(pdu, binds)
        request_id = int(_V2C.apiPDU.get_request_id(pdu))
        message = _V2C.Message()
        _V2C.apiMessage.set_defaults(message)
        _V2C.apiMessage.set_community(message, self.community.reveal())
        _V2C.apiMessage.set_pdu(message, pdu)
        answer = await self._exchange(encoder.encode(message), request_id)
        status = _V2C.apiPDU.get_error_status(answer)
        if int(status):
            self._complain(str(status.prettyPrint()), binds)
        return [(oid, value) for oid, value in _V2C.apiPDU.get_varbinds(answer)]

    def _complain(self, status: str, binds: list[tuple[tuple[int, ...], Any]]) -> None:
        what = ".".join(map(str, binds[0][0]))
        if status in _NO_SUCH:
            raise UnknownPort(f"{self}: has no object {what} ({status}); check group and port")
        if status in _REFUSED:
            raise EquipmentRefused(f"{self}: refuses to set {what} ({status}); its community may only read")
        raise EquipmentRefused(f"{self}: answered {status} for {what}")

    async def _exchange(self, request: bytes, request_id: int) -> Any:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                transport, answers = await loop.create_datagram_endpoint(
                    lambda: _Answers(request_id), remote_addr=(self.host, self.port)
                )
        except TimeoutError as error:
            raise EquipmentUnreachable(f"{self}: its name does not resolve in time") from error
        except OSError as error:
            raise EquipmentUnreachable(f"{self}: {error.strerror or error}") from error
        try:
            for _ in range(self.attempts):
                transport.sendto(request)
                done, _pending = await asyncio.wait([answers.answer], timeout=self.timeout)
                if done:
                    return answers.answer.result()
        except OSError as error:
            raise EquipmentUnreachable(
                f"{self}: {error.strerror or error}; is this the switch, and is SNMP enabled on it?"
            ) from error
        finally:
            answers.answer.cancel()
            transport.close()
        raise DriverTimeout(
            f"{self}: no answer to {self.attempts} requests of {self.timeout:g} s; check its address and "
            f"the community ({self.community}): agents are silent when it is wrong"
        )

    def __str__(self) -> str:
        return f"snmp agent {self.host}:{self.port}"


class _Answers(asyncio.DatagramProtocol):
    """Waits for the one answer with the right request id; anything else is not ours."""

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        try:
            message, _rest = decoder.decode(data, asn1Spec=_V2C.Message())
            pdu = _V2C.apiMessage.get_pdu(message)
            mine = int(_V2C.apiPDU.get_request_id(pdu)) == self.request_id
        except PyAsn1Error:
            return
        if mine and not self.answer.done():
            self.answer.set_result(pdu)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, PyAsn1Error):
        return None  # noSuchObject, noSuchInstance: an absent value is not an error of the whole request
