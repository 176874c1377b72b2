"""Consoles through other programs and hosts: ssh, IPMI serial over LAN, commands, netconsole."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from console_servers import ipmi_sim, sshd

from free_ports import free_port
from hostler.drivers.console.command import CommandConsole
from hostler.drivers.console.ipmi_sol import IpmiSol
from hostler.drivers.console.netconsole import Netconsole
from hostler.drivers.console.protocol import CanBreak
from hostler.drivers.console.ssh import SshConsole
from hostler.drivers.errors import (
    DriverConfigError,
    DriverTimeout,
    EquipmentRefused,
    EquipmentUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hostler.drivers.console.protocol import ConsoleStream


async def read_until(stream: ConsoleStream, words: bytes) -> bytes:
    said = b""
    async with asyncio.timeout(60):
        while words not in said and (more := await stream.read()):
            said += more
    return said


async def test_ssh_the_command_has_a_raw_terminal(tmp_path: Path) -> None:
    """Programs that need a terminal have one, and every byte value passes through it."""
    async with sshd(tmp_path) as host:
        stream = await SshConsole.from_config(host, {"command": "tty; exec cat"}).open()
        assert (await read_until(stream, b"\n")).startswith(b"/dev/pts/")
        data = bytes(range(256))
        await stream.write(data)
        assert await read_until(stream, b"\xff") == data
        assert isinstance(stream, CanBreak)
        await stream.send_break()
        await stream.write(b"still there")
        assert await read_until(stream, b"there") == b"still there"
        await stream.close()


async def test_ssh_refusals_say_what_to_correct(tmp_path: Path) -> None:
    """A wrong host key, a wrong user key and no ssh at all are told apart, and no key is shown."""
    async with sshd(tmp_path) as host:
        stranger = tmp_path / "stranger"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
        other_host = {**host, "host_key": stranger.with_suffix(".pub").read_text()}
        with pytest.raises(EquipmentRefused, match="host key is not the one"):
            await SshConsole.from_config(other_host, {}).open()
        with pytest.raises(EquipmentRefused, match=r"refuses .* with file:") as caught:
            await SshConsole.from_config({**host, "key": f"file:{stranger}"}, {}).open()
        assert "PRIVATE" not in str(caught.value)
        with pytest.raises(DriverConfigError, match="host_key: cannot be read"):
            await SshConsole.from_config({**host, "host_key": "nonsense"}, {}).open()
        with pytest.raises(DriverConfigError, match="key: is no private key"):
            await SshConsole.from_config({**host, "key": f"file:{tmp_path}/sshd"}, {}).open()
        listed = {key: value for key, value in host.items() if key != "host_key"}
        (tmp_path / "known").write_text(
            f"[127.0.0.1]:{str(host['host']).rpartition(':')[2]} {host['host_key']}\n"
        )
        stream = await SshConsole.from_config(
            {**listed, "known_hosts": str(tmp_path / "known")}, {"command": "echo known"}
        ).open()
        assert await read_until(stream, b"known") != b""
        await stream.close()
    with pytest.raises(EquipmentUnreachable):
        await SshConsole.from_config(host, {}).open()


async def test_ssh_a_server_that_says_nothing_ends_in_a_timeout(tmp_path: Path) -> None:
    """A host that hangs holds nobody up."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = {
            "host": f"127.0.0.1:{silent.getsockname()[1]}", "user": "lab", "key": f"file:{tmp_path}/key",
            "host_key": (tmp_path / "key.pub").read_text(), "timeout": 0.3,
        }  # fmt: skip
        with pytest.raises(DriverTimeout):
            await SshConsole.from_config(host, {}).open()


class Board:
    """A board on a TCP port that keeps what is typed."""

    def __init__(self) -> None:
        self.typed = bytearray()
        self.server: asyncio.Server | None = None

    async def line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            self.typed += data
        writer.close()

    async def heard(self, words: bytes) -> None:
        async with asyncio.timeout(60):
            while words not in self.typed:
                await asyncio.sleep(0.01)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Board, dict[str, Any]]]:
    board = Board()
    listening = await asyncio.start_server(board.line, "127.0.0.1", 0)
    async with ipmi_sim(tmp_path, listening.sockets[0].getsockname()[1]) as controller:
        yield board, controller
    listening.close()
    await asyncio.sleep(0.05)


async def test_sol_a_tilde_is_a_tilde(server: tuple[Board, dict[str, Any]]) -> None:
    """Ipmitool's own commands cannot be typed by accident; the session lives on."""
    board, controller = server
    stream = await IpmiSol.from_config(controller, {}).open()
    for words in (b"~.", b"cd ~.", b"\r~.\r~~\r", b"~", b"B", b"end"):
        await stream.write(words)
        await asyncio.sleep(0.02)
    await board.heard(b"end")
    assert bytes(board.typed) == b"~.cd ~.\r~.\r~~\r~Bend"
    await stream.close()


async def test_sol_break_is_sent_at_the_start_of_a_line(server: tuple[Board, dict[str, Any]]) -> None:
    """Ipmitool hears its command only there; elsewhere it is refused instead of typed."""
    board, controller = server
    stream = await IpmiSol.from_config(controller, {}).open()
    assert isinstance(stream, CanBreak)
    await stream.write(b"one")
    with pytest.raises(EquipmentRefused, match="after Enter"):
        await stream.send_break()
    await stream.write(b"\r")
    await stream.send_break()
    await stream.write(b"two")
    await board.heard(b"two")
    telnet_break = b"\xff\xf3"  # what ipmi_sim makes of it on its way to the board
    assert board.typed.count(telnet_break) == 1
    assert board.typed.replace(telnet_break, b"") == b"one\rtwo"
    await stream.close()


async def test_sol_a_session_in_the_way_is_ended(
    server: tuple[Board, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ipmi_sim never says that its line is in use, real controllers do: so ipmitool says it here."""
    tool = tmp_path / "ipmitool"
    tool.write_text(
        f"""#!/bin/sh
        echo "$*" >>{tmp_path}/calls
        case "$(cat {tmp_path}/calls)" in
            *deactivate*) exec {shutil.which("ipmitool")} "$@" ;;
            *) echo "Info: SOL payload already active on another session"; exit 1 ;;
        esac
        """
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    board, controller = server
    stream = await IpmiSol.from_config(controller, {}).open()
    await stream.write(b"ours")
    await board.heard(b"ours")
    calls = (tmp_path / "calls").read_text()
    assert [line.split()[-1] for line in calls.splitlines()] == ["activate", "deactivate", "activate"]
    assert "secret" not in calls
    await stream.close()


async def test_sol_refusals(server: tuple[Board, dict[str, Any]], tmp_path: Path) -> None:
    """A wrong password is told without it; so is a controller that does not answer."""
    (tmp_path / "wrong").write_text("hunter2")
    _, controller = server
    with pytest.raises((EquipmentUnreachable, EquipmentRefused), match=r"ipmi 127\.0\.0\.1") as caught:
        await IpmiSol.from_config({**controller, "password": f"file:{tmp_path}/wrong"}, {}).open()
    assert "hunter2" not in str(caught.value)
    nowhere = {**controller, "host": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}", "timeout": 1}
    began = time.monotonic()
    with pytest.raises((EquipmentUnreachable, DriverTimeout)):
        await IpmiSol.from_config(nowhere, {}).open()
    assert time.monotonic() - began < 4


async def test_a_command_that_is_not_there_is_the_bindings_fault() -> None:
    """The key that names it is told."""
    with pytest.raises(DriverConfigError, match="command: cannot run no-such-program"):
        await CommandConsole.from_config({}, {"command": ["no-such-program"]}).open()


async def test_a_command_that_fails_says_why_on_the_console() -> None:
    """Its last words are read before the end."""
    stream = await CommandConsole.from_config({}, {"command": ["cat", "/no/such/file"]}).open()
    assert b"No such file" in await read_until(stream, b"file or directory")
    assert await read_until(stream, b"never") in (b"", b"\n")
    await stream.close()


async def test_a_command_ends_with_its_line_and_all_it_started(tmp_path: Path) -> None:
    """Nothing stays behind, not even what ignores being told to end."""
    script = f"trap '' TERM; sleep 1000 & echo $! >{tmp_path}/pid; echo started; wait; cat"
    stream = await CommandConsole.from_config({}, {"command": ["sh", "-c", script]}).open()
    await read_until(stream, b"started")
    await stream.close()
    pid = int((tmp_path / "pid").read_text())
    status = tmp_path.__class__(f"/proc/{pid}/status")
    async with asyncio.timeout(60):
        while status.exists() and "Z (zombie)" not in status.read_text():
            await asyncio.sleep(0.02)


async def test_netconsole_boards_share_a_port_and_strangers_are_not_heard() -> None:
    """Each line has what its own board said; a second console of the same board is refused."""
    port = free_port(socket.SOCK_DGRAM)

    def driver(source: str) -> Netconsole:
        return Netconsole.from_config({"listen": f"127.0.0.1:{port}"}, {"source": source})

    one, two = await driver("127.0.0.11").open(), await driver("127.0.0.12").open()
    with pytest.raises(EquipmentRefused, match="another board"):
        await driver("127.0.0.11").open()
    for source in ("127.0.0.12", "127.0.0.13", "127.0.0.11"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as board:
            board.bind((source, 0))
            board.sendto(b"[    0.000000] Linux on %s\n" % source.encode(), ("127.0.0.1", port))
    assert await read_until(one, b"\n") == b"[    0.000000] Linux on 127.0.0.11\n"
    assert await read_until(two, b"\n") == b"[    0.000000] Linux on 127.0.0.12\n"
    await one.close()
    again = await driver("127.0.0.11").open()
    await again.close()
    await two.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))  # free again when nobody listens
        with pytest.raises(EquipmentUnreachable, match="cannot listen"):
            await driver("127.0.0.11").open()


async def test_netconsole_keeps_the_latest_for_a_busy_reader() -> None:
    """A board that floods does not fill the memory."""
    stream = await Netconsole.from_config({"listen": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"},
                                          {"source": "127.0.0.11"}).open()  # fmt: skip
    for number in range(3000):
        stream.deliver(b"%04d" % number + bytes(1020))
    said = await stream.read()
    assert len(said) == 1 << 20
    assert said[-1024:-1020] == b"2999"
    await stream.close()
