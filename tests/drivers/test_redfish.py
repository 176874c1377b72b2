"""Redfish against a controller that refuses what real ones refuse."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from other_daemons import SYSTEM, sushy_emulator

from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
    UnknownPort,
)
from hostler.drivers.power.queue import EquipmentQueue
from hostler.drivers.power.redfish import Redfish
from hostler.drivers.power.redfish_fake import FakeRedfish
from hostler.model.power import PowerState

if TYPE_CHECKING:
    from pathlib import Path

    from silent import SilentPort

LOGIN = {"user": "admin", "password": "env:LAB_PASSWORD"}
PLAIN = {**LOGIN, "tls": False}


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "s3cret")


@pytest.fixture
def bmc() -> FakeRedfish:
    return FakeRedfish(["1"], "admin", "s3cret")


async def test_nothing_is_sent_to_a_server_that_is_so_already(bmc: FakeRedfish) -> None:
    """Controllers that answer 409 to the second On are not asked a second time."""
    async with bmc.serve() as host:
        server = Redfish.from_config({"host": host, **PLAIN}, {})
        for state in (PowerState.OFF, PowerState.ON, PowerState.ON, PowerState.OFF):
            await server.set(state)
    assert bmc.resets == [("1", "On"), ("1", "ForceOff")]


async def test_what_is_changing_is_unknown(bmc: FakeRedfish) -> None:
    """PoweringOn is neither on nor off."""
    bmc.lag = 1
    async with bmc.serve() as host:
        server = Redfish.from_config({"host": host, **PLAIN}, {})
        await server.set(PowerState.ON)
        readings = [await server.get(), await server.get()]
    assert [(reading.state, reading.detail) for reading in readings] == [
        (PowerState.UNKNOWN, "PoweringOn"),
        (PowerState.ON, "On"),
    ]


@pytest.mark.parametrize(
    ("allowed", "sent"), [(None, "On"), (["ForceOn", "ForceOff"], "ForceOn"), (["GracefulShutdown"], "")]
)
async def test_only_what_is_offered_is_asked_for(
    bmc: FakeRedfish, allowed: list[str] | None, sent: str
) -> None:
    """A controller that names its reset types is believed; one that cannot is told so."""
    bmc.allowed = allowed
    async with bmc.serve() as host:
        server = Redfish.from_config({"host": host, **PLAIN}, {})
        if sent:
            await server.set(PowerState.ON)
        else:
            with pytest.raises(EquipmentRefused, match="GracefulShutdown"):
                await server.set(PowerState.ON)
    assert bmc.resets == ([("1", sent)] if sent else [])


async def test_several_systems_need_a_name() -> None:
    """With one system its id may be left out; with two the message lists them."""
    bmc = FakeRedfish(["node-a", "node-b"], "admin", "s3cret")
    async with bmc.serve() as host:
        with pytest.raises(UnknownPort, match="node-a, node-b"):
            await Redfish.from_config({"host": host, **PLAIN}, {}).get()
        await Redfish.from_config({"host": host, **PLAIN}, {"system": "node-b"}).set(PowerState.ON)
        with pytest.raises(UnknownPort, match="node-c"):
            await Redfish.from_config({"host": host, **PLAIN}, {"system": "node-c"}).get()
    assert bmc.systems == {"node-a": "Off", "node-b": "On"}


async def test_a_wrong_password_is_not_shown(bmc: FakeRedfish, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the reference."""
    monkeypatch.setenv("LAB_PASSWORD", "wrong-one")
    async with bmc.serve() as host:
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD") as caught:
            await Redfish.from_config({"host": host, **PLAIN}, {}).get()
    assert "wrong-one" not in str(caught.value)


async def test_something_else_answers(bmc: FakeRedfish) -> None:
    """A web page is no Redfish."""
    bmc.misbehaviour = "garbage"
    async with bmc.serve() as host:
        with pytest.raises(EquipmentRefused, match="no JSON"):
            await Redfish.from_config({"host": host, **PLAIN}, {}).get()


async def test_silence_and_nobody(silent_port: SilentPort) -> None:
    """A controller that hangs costs the deadline; one that is not there is told at once."""
    server = Redfish.from_config({"host": silent_port.address, **PLAIN, "timeout": 0.2}, {})
    with pytest.raises(DriverTimeout):
        await server.get()
    silent_port.close()
    with pytest.raises(EquipmentUnreachable):
        await server.set(PowerState.ON)


async def test_a_certificate_is_checked_unless_told_otherwise(bmc: FakeRedfish, tmp_path: Path) -> None:
    """A stranger's certificate is refused, unless its file is given or any will do."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=bmc", "-days", "2",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with bmc.serve(context) as host:
        with pytest.raises(EquipmentUnreachable, match=r"(?i)certificate"):
            await Redfish.from_config({"host": host, **LOGIN}, {}).get()
        for trust in ({"ca_file": str(certificate)}, {"verify": False}):
            server = Redfish.from_config({"host": host, **LOGIN, **trust}, {})
            assert (await server.get()).state is PowerState.OFF
    with pytest.raises(DriverConfigError, match="ca_file"):
        await Redfish.from_config({"host": "b", **LOGIN, "ca_file": str(tmp_path / "none")}, {}).get()


@pytest.mark.parametrize(
    ("equipment", "key"),
    [
        (LOGIN, "host"),
        ({"host": "b", "password": "env:X"}, "user"),
        ({"host": "b", "user": "u"}, "password"),
        ({"host": "b", **LOGIN, "verify": "no"}, "verify"),
        ({"host": "b", **LOGIN, "verify": False, "ca_file": "x"}, "ca_file"),
    ],
)
def test_a_wrong_key_is_named(equipment: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        Redfish.from_config(equipment, {})
    assert caught.value.key == key


async def test_an_emulator_of_others_is_switched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenStack's sushy-emulator, whose systems take their time: read back until it is so, both ways."""
    async with sushy_emulator(tmp_path, "admin", "s3cret") as host:
        server = Redfish.from_config({"host": host, **PLAIN}, {})
        queue = EquipmentQueue("emulator")
        on = await queue.switch("node-1", server, PowerState.ON)
        off = await queue.switch("node-1", server, PowerState.OFF)
        by_id = await Redfish.from_config({"host": host, **PLAIN}, {"system": SYSTEM}).get()
        with pytest.raises(UnknownPort, match="no such system"):
            await Redfish.from_config({"host": host, **PLAIN}, {"system": "node-9"}).get()
        monkeypatch.setenv("LAB_PASSWORD", "wrong-one")
        with pytest.raises(EquipmentRefused, match="env:LAB_PASSWORD"):
            await server.get()
    assert (on.verified, off.verified, by_id.state) == (True, True, PowerState.OFF)
