"""A rack takes boards over: controls in their order, and a real U-Boot caught on a shared console."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hostler.consoles.keyboard import KeyboardLentError
from hostler.images.store import ImageStore
from hostler.link.documents import from_document, to_document
from hostler.link.inprocess import InProcessLink
from hostler.model.board import Binding, Board, Lifecycle
from hostler.model.plan import StepKind, StepOrder
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import Phase, RunOrder, RunState
from hostler.model.seam import Desired, Observed
from hostler.rack.check import check
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
BOARD = Board("b1", "pc", "boot", ("52:54:00:00:00:01",), power=(Binding("fake"),), console=Binding("fake"))
WIPE = StepOrder(StepKind.WIPE)
BOOT = StepOrder(StepKind.BOOT, {"pattern": "U-Boot 20", "seconds": 60.0})
REFUSES = Binding("fake", params={"refuse": True})
AGREES = Binding("fake")


class Lab:
    """A rack and the hub's end of its link."""

    def __init__(self, link: InProcessLink, rack: Rack) -> None:
        self.link = link
        self.rack = rack

    async def want(self, board: Board, *steps: StepOrder, power: PowerState = PowerState.ON) -> None:
        order = RunOrder("r1", steps) if steps else None
        desired = Desired(board, "x86-bios", Lifecycle.CLAIMED, "c1", power, run=order)
        await self.link.desire("board/b1", to_document(desired))

    async def until(self, holds: Callable[[Observed], object], seconds: float = 60) -> Observed:
        async with asyncio.timeout(seconds):
            async for change in self.link.observed():
                if change.key == "board/b1" and change.document is not None:
                    observed = from_document(Observed, change.document)
                    if holds(observed):
                        return observed
        raise AssertionError("the link ended")

    async def booting(self, attempt: int = 1) -> Observed:
        return await self.until(
            lambda o: o.run is not None and (o.run.phase, o.run.attempt) == (Phase.BOOTING, attempt)
        )

    async def ended(self) -> Observed:
        return await self.until(lambda o: o.run is not None and o.run.state.ended)

    async def told(self, count: int) -> list[tuple[str, str]]:
        """Return kind and text of the first events about boot controls, once there are so many."""
        events: list[tuple[str, str]] = []
        async with asyncio.timeout(60):
            async for _, event in self.link.events(0):
                if event["source"] == "bootctl":
                    events.append((str(event["kind"]), str(event["text"])))
                if len(events) == count:
                    break
        return events


@asynccontextmanager
async def lab(place: Path) -> AsyncIterator[Lab]:
    link = InProcessLink(place / "link.db")
    store = RackStore(place / "rack.db")
    rack = Rack(link, store, ImageStore(place / "images"), place)
    task = asyncio.create_task(rack.run())
    try:
        yield Lab(link, rack)
    finally:
        task.cancel()
        await asyncio.wait({task})
        store.close()
        await link.close()


async def test_the_first_control_that_does_not_refuse_is_enough(tmp_path: Path) -> None:
    """The second is asked because the first refused, and the board gets power; the trace says both."""
    async with lab(tmp_path) as made:
        await made.want(replace(BOARD, bootctl=(REFUSES, AGREES)), WIPE)
        assert (await made.booting()).power.state is PowerState.ON
        ((kind, text),) = await made.told(1)
    assert kind == "network"
    assert "network next" in text
    assert "because not fake firmware: does not boot from network" in text


async def test_a_board_that_no_control_can_direct_gets_no_power_and_fails_at_once(tmp_path: Path) -> None:
    """Both attempts end with the reasons; its disk's system is not started in between."""
    async with lab(tmp_path) as made:
        await made.want(replace(BOARD, bootctl=(REFUSES, REFUSES)), WIPE, power=PowerState.OFF)
        failed = await made.ended()
    assert failed.run is not None
    assert failed.run.state is RunState.FAILED
    assert "could not be made to boot from the network" in failed.run.error
    assert failed.run.attempt == 2
    assert failed.boot is not None
    assert not failed.boot.powered


async def test_before_a_local_boot_every_override_is_told_and_a_refusal_stops_nothing(tmp_path: Path) -> None:
    """What cannot be told is in the trace; the boot goes on, and its own deadline watches it."""
    async with lab(tmp_path) as made:
        await made.want(replace(BOARD, bootctl=(AGREES, REFUSES, AGREES)), BOOT)
        assert (await made.booting()).power.state is PowerState.ON
        ((kind, text),) = await made.told(1)
        control = made.rack.keepers()["b1"].boot_control
        asked = [str(c.driver.history[-1]) for c in control._controls]  # type: ignore[union-attr]
    assert kind == "error"
    assert "does not boot from disk" in text
    assert asked == ["disk"] * 3


async def test_a_takeover_without_a_console_refuses(tmp_path: Path) -> None:
    """The reason is told; a control after it still serves."""
    wired = replace(BOARD, console=None, bootctl=(Binding("uboot-console"), AGREES))
    async with lab(tmp_path) as made:
        await made.want(wired, WIPE)
        await made.booting()
        ((_, text),) = await made.told(1)
    assert "because not uboot-console: the board has no console" in text


async def test_a_check_asks_the_controls_without_a_boot(tmp_path: Path) -> None:
    """What can be asked is asked; what cannot work for want of a console is told before it is needed."""
    wired = replace(BOARD, console=None, bootctl=(AGREES, Binding("uboot-console")))
    async with lab(tmp_path) as made:
        await made.want(wired)
        await made.until(lambda o: o.power.state is PowerState.ON)
        report = await made.link.request("check", {"board": "b1"}, deadline=10)
    rows = {str(row["what"]): row for row in report["checks"]}  # type: ignore[index,union-attr]
    assert rows["bootctl of b1, fake"]["ok"]
    assert rows["bootctl of b1, uboot-console"]["text"] == "the board has no console"
    assert not rows["bootctl of b1, uboot-console"]["ok"]


async def test_a_check_asks_power_and_controls_side_by_side() -> None:
    """Neither waits for the other to be heard: whoever asks would have given up before both were dead."""
    both = asyncio.Barrier(2)

    async def get() -> PowerReading:
        await both.wait()
        return PowerReading(PowerState.ON)

    async def look() -> list[tuple[str, str, bool]]:
        await both.wait()
        return [("fake", "answers", True)]

    keeper: Any = SimpleNamespace(
        name="b1", console=None, power=SimpleNamespace(get=get), boot_control=SimpleNamespace(look=look),
        view=SimpleNamespace(
            desired=SimpleNamespace(power=PowerState.ON), memory=SimpleNamespace(run=None)
        ),
    )  # fmt: skip
    nothing: Any = None
    report = await check(nothing, [keeper], nothing, {"boards": ["b1"]})
    assert [(row["what"], row["ok"]) for row in report["checks"]] == [  # type: ignore[index,union-attr,call-overload]
        ("power of b1", True), ("console of b1", True), ("bootctl of b1, fake", True)
    ]  # fmt: skip


async def test_a_tool_serves_the_board_without_its_console(tmp_path: Path) -> None:
    """It begins before power comes; one that fails fails the attempt at once."""
    mark = tmp_path / "began"
    wired = replace(
        BOARD,
        console=None,
        bootctl=(Binding("tool", params={"run": ["sh", "-c", f"echo x >> {mark}; exit 3"]}),),
    )
    async with lab(tmp_path) as made:
        await made.want(wired, WIPE)
        failed = await made.ended()
    assert failed.run is not None
    assert "tool sh: ended with 3" in failed.run.error
    assert mark.read_text() == "x\nx\n"


async def test_a_password_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    """The reference is named, and the board does not wait for its prompt."""
    wire = Binding("uboot-console", params={"password": "env:NO_SUCH_WORD"})
    async with lab(tmp_path) as made:
        await made.want(replace(BOARD, bootctl=(wire,)), WIPE)
        failed = await made.ended()
    assert failed.run is not None
    assert "password: environment variable NO_SUCH_WORD is not set" in failed.run.error


class SerialServer:
    """What is between a board's UART and the network: always there, with power on the board or not."""

    def __init__(self, folder: Path) -> None:
        self.near, self.far = folder / "near", folder / "far"
        self._ends: dict[str, asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        servers = [
            await asyncio.start_unix_server(lambda r, w: self._carry("near", "far", r, w), self.near),
            await asyncio.start_unix_server(lambda r, w: self._carry("far", "near", r, w), self.far),
        ]
        try:
            yield
        finally:
            for server in servers:
                server.close()
            for end in self._ends.values():
                end.transport.abort()

    async def _carry(
        self, end: str, other: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._ends[end] = writer
        with suppress(ConnectionError):
            while data := await reader.read(4096):
                if other in self._ends:
                    self._ends[other].write(data)


def uboot(folder: Path, *commands: str, **wire: object) -> Board:
    """Return a board that is a QEMU with Debian's U-Boot and its stock settings: disk first, no network."""
    machine = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-accel", "tcg", "-m", "256",
               "-bios", str(UBOOT), "-nodefaults", "-nic", "none",
               "-chardev", f"socket,id=line,path={folder / 'far'}", "-serial", "chardev:line"]  # fmt: skip
    power = Binding("qemu", params={"command": machine, "monitor": str(folder / "monitor")})
    console = Binding("unix-socket", params={"path": str(folder / "near")})
    takeover = Binding("uboot-console", params={"commands": [*commands], **wire})
    return replace(BOARD, power=(power,), console=console, bootctl=(takeover,))


@asynccontextmanager
async def bench(place: Path) -> AsyncIterator[Lab]:
    """Run a rack and the serial server; the board is off at the end."""
    if not UBOOT.exists() or not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs u-boot-qemu and qemu-system-arm")
    async with SerialServer(place).up(), lab(place) as made:
        try:
            yield made
        finally:
            if "b1" in made.rack.keepers():
                await made.rack.keepers()["b1"].power.set(PowerState.OFF, print)  # type: ignore[union-attr]


async def test_u_boot_is_caught_on_a_console_that_is_shared(tmp_path: Path) -> None:
    """Who typed before is refused for that moment, reads along, and types again afterwards."""
    async with bench(tmp_path) as made:
        board = uboot(tmp_path, "setenv a 1", "sleep 1; echo Starting kernel ...")
        await made.want(board)  # no run yet: its console is there
        await made.until(lambda o: o.console)
        console = made.rack.console_of("b1")
        assert console is not None
        person = console.broker.take("ann")
        viewer = console.broker.view(b"")
        await made.want(board, WIPE)
        seen = b""
        async with asyncio.timeout(60):
            while b"=> setenv a 1" not in seen:
                seen += await viewer.read()
        with pytest.raises(KeyboardLentError, match="stops the boot loader"):
            await person.write(b"reset\r")
        events = await made.told(2)
        assert [kind for kind, _ in events] == ["network", "taken-over"]
        await person.write(b"\r")
        assert console.broker.writer == "ann"
        viewer.close()


async def test_a_takeover_ends_when_the_agent_is_there(tmp_path: Path) -> None:
    """Words of a start that never come hold the keyboard no longer than until the agent speaks."""
    async with bench(tmp_path) as made:
        await made.want(uboot(tmp_path, "sleep 100", started="words that nobody says"), WIPE)
        boot = (await made.booting()).boot
        console = made.rack.console_of("b1")
        assert boot is not None
        assert console is not None
        with console.broker.watch(rb"=> sleep 100") as typed:
            await typed.wait(20)
        assert "stops the boot loader" in (console.broker.writer or "")
        assert await made.rack.reports.report("hello", "b1", boot.id, {"facts": {}}) == 204
        await made.until(lambda o: o.run is not None and o.run.phase is Phase.EXECUTING)
        async with asyncio.timeout(60):
            while console.broker.writer is not None:
                await asyncio.sleep(0.01)


async def test_a_rack_that_is_stopped_in_a_takeover_does_it_again(tmp_path: Path) -> None:
    """The board that was left at its prompt is taken over anew by the next rack, at the same attempt."""
    if not UBOOT.exists() or not shutil.which("qemu-system-aarch64"):
        pytest.skip("needs u-boot-qemu and qemu-system-arm")
    board = uboot(tmp_path, "setenv a 1", "sleep 100", started="words that nobody says")
    async with SerialServer(tmp_path).up():
        async with lab(tmp_path) as made:
            await made.want(board, WIPE)
            first = (await made.booting()).boot
            console = made.rack.console_of("b1")
            assert console is not None
            with console.broker.watch(rb"=> setenv a 1") as typed:
                await typed.wait(20)
        async with lab(tmp_path) as made:
            again = await made.until(
                lambda o: o.run is not None and o.run.phase is Phase.BOOTING and o.boot and o.boot.number == 2
            )
            assert first is not None
            assert first.number == 1
            assert again.run is not None
            assert again.run.attempt == 1
            console = made.rack.console_of("b1")
            assert console is not None
            with console.broker.watch(rb"=> sleep 100") as typed:
                await typed.wait(20)
            await made.rack.keepers()["b1"].power.set(PowerState.OFF, print)  # type: ignore[union-attr]


async def test_a_takeover_that_fails_is_tried_again_from_power_off(tmp_path: Path) -> None:
    """The run ends with what U-Boot said, after two attempts and long before the agent's deadline."""
    async with bench(tmp_path) as made:
        await made.want(uboot(tmp_path, "pxe get", "pxe boot"), WIPE)
        failed = await made.ended()
        assert failed.run is not None
        assert "`pxe get` failed with 1" in failed.run.error
        assert failed.run.error.endswith("2 times")
        assert failed.boot is not None
        assert failed.boot.number == 2


async def test_a_board_whose_prompt_never_comes_ends_with_its_last_words(tmp_path: Path) -> None:
    """The deadline counts from power-on."""
    async with bench(tmp_path) as made:
        await made.want(uboot(tmp_path, "dhcp", prompt="never> $", seconds=1.5), WIPE)
        failed = await made.ended()
        assert failed.run is not None
        assert "not done within 1.5 s of power-on; the board said last:" in failed.run.error
        assert "INTERRUPT" in failed.run.error


async def test_a_local_boot_is_left_alone(tmp_path: Path) -> None:
    """No key is sent: U-Boot's delay runs out, and it boots what it would."""
    async with bench(tmp_path) as made:
        boots = replace(BOOT, params={"pattern": "autoboot:  [^0]*0 [^=]*No ethernet", "seconds": 30.0})
        await made.want(uboot(tmp_path, "false"), boots)
        done = await made.ended()
        assert done.run is not None
        assert done.run.state is RunState.SUCCEEDED
