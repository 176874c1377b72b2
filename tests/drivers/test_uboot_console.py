"""U-Boot's prompt caught over its serial line: Debian's U-Boot in QEMU, and one that wants a password."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from uboot_board import missing, uboot_board

from hostler.drivers.bootctl.uboot_console import UbootConsole
from hostler.drivers.errors import DriverConfigError, EquipmentRefused

if TYPE_CHECKING:
    from hostler.drivers.console.protocol import ConsoleStream

STARTS = "echo Starting kernel ..."
real = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")


class Line:
    """A line that notes what went over it and may lose characters on their way to the board."""

    def __init__(self, stream: ConsoleStream, *, loses_every: int = 0) -> None:
        self._stream = stream
        self._loses_every = loses_every
        self._count = 0
        self.heard = b""
        self.typed = b""
        self.ahead = 0
        """The most printable characters that were ever on their way without having come back."""
        self._unheard = 0

    async def read(self) -> bytes:
        data = await self._stream.read()
        self.heard += data
        self._unheard = 0
        return data

    async def write(self, data: bytes) -> None:
        self.typed += data
        if data.isascii() and data.decode().isprintable():
            self._unheard += len(data)
            self.ahead = max(self.ahead, self._unheard)
            self._count += 1
            if self._loses_every and self._count % self._loses_every == 0:
                return
        await self._stream.write(data)

    @property
    def entered(self) -> list[bytes]:
        """What U-Boot was given as whole lines, as it showed them."""
        lines = self.heard.replace(b"\r", b"").split(b"\n")
        shown = [line.removeprefix(b"=> ") for line in lines if line.startswith(b"=> ")]
        return [line for line in shown if line and b"<INTERRUPT>" not in line]


async def taken(line: Line, *commands: str, **wire: object) -> str:
    driver = UbootConsole.from_config({}, {"commands": [*commands], **wire})
    async with asyncio.timeout(60):
        return await driver.take_over(line)


@real
@pytest.mark.parametrize("delay", ["2", "0"])
async def test_the_prompt_is_caught_and_commands_are_run(delay: str) -> None:
    """Stock U-Boot with its usual delay and with none; every command runs once, in order."""
    async with uboot_board({"bootdelay": delay}) as stream:
        line = Line(stream)
        said = await taken(line, "setenv a one two", 'echo "[$a]"', STARTS)
    assert said.startswith("stopped U-Boot")
    status = b"echo hostler=$?"
    assert line.entered == [b"setenv a one two", status, b'echo "[$a]"', status, STARTS.encode()]
    assert b"\n[one two]\r\n" in line.heard
    assert b"bootcmd" not in line.heard


@real
async def test_no_character_is_lost_because_each_waits_for_the_last_ones_echo() -> None:
    """A receive buffer of one byte would do: of a long command never two characters are under way."""
    value = "".join(f"{number:03d}-" for number in range(60))
    async with uboot_board() as stream:
        line = Line(stream)
        await taken(line, f"setenv a {value}", "printenv a", STARTS)
    assert line.ahead == 1
    assert f"\na={value}\r\n".encode() in line.heard


@real
async def test_a_line_that_lost_a_character_is_taken_back_and_typed_again() -> None:
    """A character that never arrives costs time; a wrong command is never entered."""
    async with uboot_board() as stream:
        line = Line(stream, loses_every=41)
        await taken(line, "setenv a 123456789012345", "printenv a", STARTS)
    assert b"\na=123456789012345\r\n" in line.heard
    whole = {b"setenv a 123456789012345", b"printenv a", b"echo hostler=$?", STARTS.encode()}
    assert line.typed.count(b"\r") == 5
    assert whole <= set(line.entered)


@real
async def test_a_command_that_fails_is_named_with_what_u_boot_said() -> None:
    """Nothing is run after it."""
    async with uboot_board() as stream:
        line = Line(stream)
        with pytest.raises(EquipmentRefused, match=r"`pxe get` failed with 1: .*Config file not found"):
            await taken(line, "pxe get", STARTS)
    assert STARTS.encode() not in line.entered


@real
async def test_a_last_command_that_comes_back_has_booted_nothing() -> None:
    """The prompt after the last command is a failure, whatever its status."""
    async with uboot_board() as stream:
        with pytest.raises(EquipmentRefused, match=r"`version` came back: .*U-Boot 20"):
            await taken(Line(stream), "version")


@real
async def test_a_loader_that_looks_at_no_key_is_told_at_once() -> None:
    """A system that starts ends the takeover before its deadline, and no key is sent to it."""
    environment = {"bootdelay": "-2", "bootcmd": "echo Starting kernel ...; sleep 100"}
    async with uboot_board(environment) as stream:
        line = Line(stream)
        with pytest.raises(EquipmentRefused, match=r"not stopped: a system started \(.Starting kernel.\)"):
            await taken(line, STARTS)


class Locked:
    """A board that boots unless it is given a word within its delay, and takes nothing typed before."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._typed = b""
        self._open = False
        self._asked = False
        for text in (b"SPL 1.0\r\n", b"Enter password in 2 seconds to stop autoboot\r\n"):
            self._out.put_nowait(text)

    async def read(self) -> bytes:
        data = await self._out.get()
        self._asked = self._asked or b"password" in data
        return data

    async def write(self, data: bytes) -> None:
        if not self._asked:
            raise AssertionError(f"{data!r} was typed before it asked")
        if self._open:
            self._answer(data)
        else:
            self._typed += data
            if self._typed == self._word + b"\r":
                self._open = True
                self._out.put_nowait(b"\r\nSTM32MP> ")

    def _answer(self, data: bytes) -> None:
        if data == b"\x03":
            self._out.put_nowait(b"<INTERRUPT>\r\nSTM32MP> ")
        elif data == b"\r":
            started = b"Starting kernel ...\r\n" if self._typed.endswith(b"bootm") else b"STM32MP> "
            self._out.put_nowait(b"\r\n" + started)
        else:
            self._typed += data
            self._out.put_nowait(data)


async def test_a_password_is_typed_once_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are not sent to a loader that counts them; the word stands in no message."""
    monkeypatch.setenv("BOARD_WORD", "sesame")
    driver = UbootConsole.from_config({}, {"commands": ["bootm"], "password": "env:BOARD_WORD"})
    async with asyncio.timeout(60):
        said = await driver.take_over(Locked(b"sesame"))
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("wire", "key"),
    [
        ({"commands": []}, "commands"),
        ({"commands": ["dhcp\nreset"]}, "commands"),
        ({"commands": ["x" * 501]}, "commands"),
        ({"prompt": "(["}, "prompt"),
        ({"password": "sesame"}, "password"),
        ({"password": "env:W", "stop": " "}, "stop"),
        ({"stop": "→"}, "stop"),
        ({"seconds": -1}, "seconds"),
    ],
)
def test_a_wrong_key_is_named(wire: dict[str, object], key: str) -> None:
    """Every mistake in a table is answered with the key it is in."""
    with pytest.raises(DriverConfigError) as caught:
        UbootConsole.from_config({}, wire)
    assert caught.value.key == key
    assert "sesame" not in str(caught.value)
