"""Rules every console driver keeps, run over all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from console_peers import PEERS, Peer

from free_ports import free_port
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.registry import CONSOLE, console_driver, driver_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleStream


@pytest.fixture(params=sorted(PEERS))
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    async with PEERS[request.param](tmp_path) as made:
        yield made


async def _read_exactly(stream: ConsoleStream, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(60):
        while len(data) < size and (more := await stream.read()):
            data += more
    return data


def test_every_installed_driver_is_held_to_these_rules() -> None:
    """A driver that is installed but not tested here is a driver nobody promises anything about."""
    assert driver_names(CONSOLE) == sorted(PEERS)


async def test_all_256_byte_values_pass_both_ways(peer: Peer) -> None:
    """A line carries bytes, not text; one that only listens says so when written to."""
    stream = await peer.driver.open()
    data = bytes(range(256)) * 40
    if peer.say is None:
        await stream.write(data)
    else:
        with pytest.raises(EquipmentRefused, match="only listens"):
            await stream.write(data)
        await peer.say(data)
    assert await _read_exactly(stream, len(data)) == data
    await stream.close()


async def test_a_closed_line_reads_as_empty(peer: Peer) -> None:
    """The end of a line is b"", again and again, not an exception."""
    stream = await peer.driver.open()
    if peer.hang_up is None:  # a wire without connections has no far end that could close
        await stream.close()
    else:
        peer.hang_up()
    async with asyncio.timeout(60):
        while await stream.read():
            pass  # last words, of a program that ends
        assert await stream.read() == b""
    await stream.close()


async def test_closing_ends_a_reader_and_is_harmless_twice(peer: Peer) -> None:
    """close() wakes whoever reads, and may be called again."""
    stream = await peer.driver.open()
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0.05)
    await stream.close()
    async with asyncio.timeout(60):
        assert await reading == b""
    await stream.close()
    with pytest.raises(EquipmentUnreachable):
        await stream.write(b"x")


async def test_it_can_be_opened_again(peer: Peer) -> None:
    """A line that was closed can be opened anew."""
    for word in (b"one", b"two"):
        stream = await peer.driver.open()
        # In two parts: ipmi_sim takes the first packet of a session for a repetition of the last one's
        # when both have the same number.
        for part in (word[:1], word[1:]):
            await (peer.say or stream.write)(part)
            assert await _read_exactly(stream, len(part)) == part
        await stream.close()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("driver", ["raw-tcp", "telnet", "rfc2217"])
async def test_nothing_listens(driver: str) -> None:
    """An address nobody listens on says so at once."""
    port = free_port()
    with pytest.raises(EquipmentUnreachable, match=str(port)):
        await console_driver(driver, {"host": "127.0.0.1"}, {"port": port}).open()


NOWHERE: list[tuple[str, dict[str, object], dict[str, object], str]] = [
    ("tty", {}, {"path": "/dev/ttyUSB987"}, "ttyUSB987"),
    ("tty", {}, {"usb_serial": "no-such"}, "no-such"),
    ("unix-socket", {}, {"path": "/run/no-such.sock"}, "no-such"),
]


@pytest.mark.parametrize(("driver", "equipment", "binding", "named"), NOWHERE)
async def test_a_line_that_is_not_there(
    driver: str, equipment: dict[str, object], binding: dict[str, object], named: str
) -> None:
    """What cannot be reached is named at once."""
    with pytest.raises(EquipmentUnreachable, match=named):
        await console_driver(driver, equipment, binding).open()


WRONG: list[tuple[str, dict[str, object], dict[str, object], str]] = [
    ("raw-tcp", {}, {"port": 4001}, "host"),
    ("raw-tcp", {"host": "ts"}, {}, "port"),
    ("raw-tcp", {"host": "ts"}, {"port": 70000}, "port"),
    ("raw-tcp", {}, {"address": "ts"}, "address"),
    ("raw-tcp", {}, {"address": "ts:1", "port": 1}, "port"),
    ("raw-tcp", {"host": "ts", "timeout": -1}, {"port": 1}, "timeout"),
    ("raw-tcp", {"host": "ts", "baud": 9600}, {"port": 1}, "baud"),
    ("tty", {}, {}, "path"),
    ("tty", {}, {"path": "/dev/ttyS0", "usb_serial": "A1"}, "path"),
    ("tty", {}, {"path": "/dev/ttyS0", "interface": 1}, "interface"),
    ("tty", {}, {"path": "/dev/ttyS0", "baud": 115201}, "baud"),
    ("tty", {}, {"path": "/dev/ttyS0", "parity": "mark"}, "parity"),
    ("tty", {}, {"path": "/dev/ttyS0", "stop_bits": True}, "stop_bits"),
    ("tty", {}, {"path": "/dev/ttyS0", "dtr": 1}, "dtr"),
    ("unix-socket", {}, {}, "path"),
    ("telnet", {"host": "ts"}, {}, "port"),
    ("command", {}, {"command": "picocom /dev/ttyUSB0"}, "command"),
    ("command", {}, {"command": []}, "command"),
    ("netconsole", {}, {"source": "board7"}, "source"),
    ("netconsole", {"listen": "0.0.0.0:0"}, {"source": "10.77.0.9"}, "listen"),
    ("ipmi-sol", {"host": "bmc"}, {}, "user"),
    ("ipmi-sol", {"host": "bmc", "user": "lab", "password": "secret"}, {}, "password"),
    ("ipmi-sol", {"host": "bmc", "user": "lab", "password": "env:P", "interface": "lan"}, {}, "interface"),
    ("ipmi-sol", {"host": "bmc", "user": "lab", "password": "env:P"}, {"instance": 99}, "instance"),
    ("ssh", {"host": "ts", "user": "lab"}, {}, "key"),
    ("ssh", {"host": "ts", "user": "lab", "key": "~/.ssh/id"}, {}, "key"),
    ("ssh", {"host": "ts", "user": "lab", "key": "file:id"}, {"pty": "no"}, "pty"),
    (
        "ssh",
        {"host": "ts", "user": "lab", "key": "file:id", "host_key": "x", "known_hosts": "y"},
        {},
        "known_hosts",
    ),
    ("rfc2217", {"host": "ts"}, {"port": 1, "baud": 0}, "baud"),
    ("rfc2217", {"host": "ts"}, {"port": 1, "parity": "some"}, "parity"),
    ("rfc2217", {"host": "ts"}, {"port": 1, "bauds": 9600}, "bauds"),
]


@pytest.mark.parametrize(("driver", "equipment", "binding", "key"), WRONG)
def test_a_wrong_key_is_named(
    driver: str, equipment: dict[str, object], binding: dict[str, object], key: str
) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        console_driver(driver, equipment, binding)
    assert caught.value.key == key
