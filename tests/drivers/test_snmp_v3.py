"""SNMP v3 with somebody on the wire between us and net-snmp's agent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.mpmod.rfc3412 import SNMPv3Message
from pysnmp.proto.secmod.rfc3414.service import UsmSecurityParameters
from snmpd import snmpd

from hostler.drivers.errors import DriverTimeout
from hostler.drivers.snmp import SnmpClient, snmp_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

STATUS = "1.3.6.1.4.1.99.1"
OID = tuple(map(int, STATUS.split(".")))
SEALED = {
    "user": "sealed",
    "auth": "sha256",
    "auth_password": "env:LAB_AUTH",
    "privacy_password": "env:LAB_PRIVACY",
    "timeout": 0.2,
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_AUTH", "sealed-password")
    monkeypatch.setenv("LAB_PRIVACY", "sealed-privacy")


class Wire:
    """Passes datagrams on; ``answer`` may change what comes back. Keeps both directions."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answered: list[bytes] = []
        self.answer: Callable[[bytes], bytes] = lambda data: data

    @asynccontextmanager
    async def between(self, port: int) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        wire = self

        class Far(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _addr: Any) -> None:
                wire.answered.append(data)
                near.sendto(wire.answer(data), asker[0])

        class Near(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                wire.asked.append(data)
                asker[:] = [addr]
                far.sendto(data)

        asker: list[Any] = []
        far, _ = await loop.create_datagram_endpoint(Far, remote_addr=("127.0.0.1", port))
        near, _ = await loop.create_datagram_endpoint(Near, local_addr=("127.0.0.1", 0))
        try:
            yield near.get_extra_info("sockname")[1]
        finally:
            near.close()
            far.close()


@asynccontextmanager
async def agent(folder: Path, wire: Wire) -> AsyncIterator[SnmpClient]:
    async with snmpd(folder, {STATUS: 7654321}, {}) as port, wire.between(port) as near:
        yield snmp_client({"host": f"127.0.0.1:{near}", **SEALED})


def signed(data: bytes) -> bool:
    message, _ = decoder.decode(data, asn1Spec=SNMPv3Message())
    return bool(bytes(message["msgGlobalData"]["msgFlags"])[0] & 1)


async def test_nothing_readable_is_on_the_wire(tmp_path: Path) -> None:
    """Neither passwords nor what is asked and answered; every question is encrypted anew."""
    wire = Wire()
    async with agent(tmp_path, wire) as client:
        assert await client.get([OID]) == [7654321]
        assert await client.get([OID]) == [7654321]
    seen = b"".join(wire.asked + wire.answered)
    for secret in (b"password", b"privacy", bytes(encoder.encode(_integer(7654321))), b"\x04\x01\x63\x01"):
        assert secret not in seen
    assert len(set(wire.asked)) == len(wire.asked) == 4  # who are you, and the question; twice


async def test_a_changed_answer_is_none(tmp_path: Path) -> None:
    """One bit of a signed answer changed on its way, and it is as if none had come."""
    wire = Wire()
    wire.answer = lambda data: data[:-1] + bytes([data[-1] ^ 1]) if signed(data) else data
    async with agent(tmp_path, wire) as client:
        with pytest.raises(DriverTimeout):
            await client.get([OID])


async def test_an_answer_without_its_signature_is_none(tmp_path: Path) -> None:
    """Who takes the signature away and says there never was one is not believed."""

    def strip(data: bytes) -> bytes:
        if not signed(data):
            return data
        message, _ = decoder.decode(data, asn1Spec=SNMPv3Message())
        message["msgGlobalData"]["msgFlags"] = b"\x00"
        return bytes(encoder.encode(message))

    wire = Wire()
    wire.answer = strip
    async with agent(tmp_path, wire) as client:
        with pytest.raises(DriverTimeout):
            await client.get([OID])


async def test_an_old_answer_is_none(tmp_path: Path) -> None:
    """An answer recorded yesterday does not answer today's question."""
    wire = Wire()
    async with agent(tmp_path, wire) as client:
        assert await client.get([OID]) == [7654321]
        recorded = wire.answered[-1]
        wire.answer = lambda data: recorded if signed(data) else data
        with pytest.raises(DriverTimeout):
            await client.get([OID])


async def test_a_wrong_clock_is_put_right_by_the_agent_itself(tmp_path: Path) -> None:
    """An agent introduced with a wrong time says so under its signature, and the question is asked again."""

    def late(data: bytes) -> bytes:
        if signed(data):
            return data
        message, _ = decoder.decode(data, asn1Spec=SNMPv3Message())
        parameters, _ = decoder.decode(
            bytes(message["msgSecurityParameters"]), asn1Spec=UsmSecurityParameters()
        )
        parameters[2] = int(parameters[2]) + 10_000
        message["msgSecurityParameters"] = bytes(encoder.encode(parameters))
        return bytes(encoder.encode(message))

    wire = Wire()
    wire.answer = late
    async with agent(tmp_path, wire) as client:
        assert await client.get([OID]) == [7654321]
    assert len(wire.asked) == 3


def _integer(value: int) -> Any:
    from pysnmp.proto.rfc1902 import Integer32

    return Integer32(value)
