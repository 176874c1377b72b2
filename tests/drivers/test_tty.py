"""The local serial line: found, set up, locked, unplugged and back again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest
from pty_board import PtyBoard

from hostler.consoles.broker import ConsoleBroker, ConsoleDownError, WriterTakenError
from hostler.consoles.log import ConsoleLog
from hostler.drivers.console.fake import FakeConsole
from hostler.drivers.console.protocol import CanBreak, CanSetLines
from hostler.drivers.console.terminal import SerialStream
from hostler.drivers.console.tty import Tty, find_usb_line
from hostler.drivers.errors import DriverTimeout, EquipmentRefused, EquipmentUnreachable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def board(tmp_path: Path) -> Any:
    made = PtyBoard(tmp_path / "ttyUSB0", echo=False)
    made.plug_in()
    yield made
    made.unplug()


def driver(board: PtyBoard, **binding: object) -> Tty:
    return Tty.from_config({"timeout": 0.3}, {"path": str(board.path), **binding})


async def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_an_adapter_pulled_and_plugged_in_again_loses_nothing_after_it_is_back(
    board: PtyBoard, tmp_path: Path
) -> None:
    """The broker notices, tells, opens it again, and from then on records every byte."""
    events: list[Any] = []
    broker = ConsoleBroker(
        "b1", driver(board), ConsoleLog(tmp_path / "log"), emit=events.append, on_marker=lambda *_: None
    )
    running = asyncio.create_task(broker.run())

    def recorded() -> bytes:
        return broker.read_log("before", 0, 1 << 24).data

    try:
        await until(lambda: broker.connected)
        board.say(b"first life\r\n")
        await until(lambda: recorded() == b"first life\r\n")
        for life in (b"second", b"third"):
            board.unplug()
            await until(lambda: not broker.connected)
            await asyncio.sleep(0.3)
            board.plug_in()
            lines = b"".join(b"%s life, line %d\r\n" % (life, number) for number in range(20000))
            board.say(lines)  # at once: some of it before the line is open again
            await until(lambda: board.all_said)
            await until(lambda lines=lines: recorded().endswith(lines[-40:]))
            assert recorded().endswith(b"connecting again]\r\n" + lines)
        writer = broker.take("ann")
        await writer.write(b"still here")
        await until(lambda: board.typed == b"still here")
        assert [event.kind for event in events].count("connected") == 3
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_the_line_is_set_up_as_told(board: PtyBoard) -> None:
    """Speed, stop bits and flow control reach the device; the modem lines do not fall when it is closed."""
    stream = await driver(board, baud=9600, stop_bits=2, flow="xonxoff").open()
    iflag, oflag, cflag, lflag, _, speed, _ = termios.tcgetattr(board.master)
    assert speed == termios.B9600
    assert cflag & termios.CSTOPB
    assert not cflag & termios.HUPCL
    assert iflag & (termios.IXON | termios.IXOFF) == termios.IXON | termios.IXOFF
    assert oflag == 0
    assert lflag == 0
    await stream.close()


async def test_a_line_in_use_is_refused(board: PtyBoard) -> None:
    """Two readers of one line would each see half of it."""
    stream = await driver(board).open()
    with pytest.raises(EquipmentRefused, match="another program"):
        await driver(board).open()
    await stream.close()
    await (await driver(board).open()).close()


async def test_a_file_is_no_line(tmp_path: Path) -> None:
    """A path to something else is told as such."""
    (tmp_path / "file").touch()
    with pytest.raises(EquipmentRefused, match="not a serial line"):
        await Tty.from_config({}, {"path": str(tmp_path / "file")}).open()


async def test_a_line_held_by_flow_control_ends_in_a_timeout(board: PtyBoard) -> None:
    """Who types into a stopped line is told, and is not kept for ever."""
    asyncio.get_running_loop().remove_reader(board.master)
    stream = await driver(board).open()
    with pytest.raises(DriverTimeout, match="takes no bytes"):
        await stream.write(bytes(1 << 20))
    await stream.close()


async def test_break_and_modem_lines(board: PtyBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what the kernel is asked for; a pty has neither, so its requests are only looked at."""
    asked: list[tuple[int, int]] = []
    real = fcntl.ioctl

    def ioctl(descriptor: int, request: int, argument: Any = 0) -> Any:
        if request in (0x5427, 0x5428):
            asked.append((request, 0))
        elif request in (termios.TIOCMBIS, termios.TIOCMBIC):
            asked.append((request, struct.unpack("I", argument)[0]))
        else:
            return real(descriptor, request, argument)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    stream = await driver(board, dtr=False).open()
    assert isinstance(stream, CanBreak)
    assert isinstance(stream, CanSetLines)
    await stream.set_lines(dtr=True, rts=False)
    before = time.monotonic()
    await stream.send_break(0.1)
    assert time.monotonic() - before >= 0.1
    assert asked == [
        (termios.TIOCMBIC, termios.TIOCM_DTR),
        (termios.TIOCMBIS, termios.TIOCM_DTR),
        (termios.TIOCMBIC, termios.TIOCM_RTS),
        (0x5427, 0),
        (0x5428, 0),
    ]
    await stream.close()
    with pytest.raises(EquipmentUnreachable, match="closed"):
        await stream.send_break()


async def test_break_through_the_broker(
    board: PtyBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may type may send BREAK; a wire that cannot carry it says so."""
    sent: list[float] = []

    async def send_break(_stream: SerialStream, seconds: float = 0.25) -> None:
        sent.append(seconds)

    monkeypatch.setattr(SerialStream, "send_break", send_break)
    for line, message in ((driver(board), ""), (FakeConsole(), "carries no BREAK")):
        broker = ConsoleBroker(
            "b1", line, ConsoleLog(tmp_path / "log"), emit=lambda _: None, on_marker=lambda *_: None
        )
        running = asyncio.create_task(broker.run())
        await until(lambda broker=broker: broker.connected)
        writer = broker.take("ann")
        if message:
            with pytest.raises(ConsoleDownError, match=message):
                await writer.send_break()
        else:
            await writer.send_break()
        broker.take("bob", steal=True)
        with pytest.raises(WriterTakenError, match="bob"):
            await writer.send_break()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert sent == [0.25]


async def test_a_device_that_cannot_switch_modem_lines_says_so(board: PtyBoard) -> None:
    """A pty has no DTR."""
    stream = await driver(board).open()
    with pytest.raises(EquipmentUnreachable, match=os.strerror(errno.ENOTTY)):
        await stream.set_lines(dtr=True)
    await stream.close()


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Two adapters as the kernel shows them, one with two lines; and a UART that is no USB device."""
    classes = tmp_path / "class/tty"
    usb = tmp_path / "devices/pci0000:00/usb1"
    for terminal, device, interface, driver_folder in (
        ("ttyUSB0", "1-1", "00", "ttyUSB0"),
        ("ttyUSB1", "1-1", "01", "ttyUSB1"),
        ("ttyACM0", "1-2", "00", ""),
    ):
        folder = usb / device / f"{device}:1.{int(interface)}"
        (folder / driver_folder).mkdir(parents=True)
        (folder / "bInterfaceNumber").write_text(interface + "\n")
        (usb / device / "serial").write_text({"1-1": "FT4X", "1-2": "E66"}[device] + "\n")
        (classes / terminal).mkdir(parents=True)
        (classes / terminal / "device").symlink_to(folder / driver_folder)
    (tmp_path / "devices/serial8250").mkdir()
    (classes / "ttyS0").mkdir()
    (classes / "ttyS0/device").symlink_to(tmp_path / "devices/serial8250")
    return classes


def test_an_adapter_is_found_by_its_serial_number(sysfs: Path) -> None:
    """Wherever it is plugged in, an adapter's line is that board's."""
    assert find_usb_line(sysfs, "FT4X", 1) == "/dev/ttyUSB1"
    assert find_usb_line(sysfs, "FT4X", 0) == "/dev/ttyUSB0"
    assert find_usb_line(sysfs, "E66", 0) == "/dev/ttyACM0"
    with pytest.raises(EquipmentUnreachable, match="E66 interface 0, FT4X interface 0, FT4X interface 1"):
        find_usb_line(sysfs, "FT4X", 2)
