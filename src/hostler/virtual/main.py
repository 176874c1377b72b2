"""``hostler virtual``: run the virtual lab until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.virtual import kvm, qemu
from hostler.virtual.board import VirtualBoard
from hostler.virtual.config import LabConfig, load
from hostler.virtual.network import LabNetwork, NetworkUnavailable, open_network, write_pid_file
from hostler.virtual.switch import PoeSwitch, PortForwarding, SnmpAgent
from hostler.virtual.toml_table import VirtualConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_log = logging.getLogger(__name__)

_LEARN_SECONDS = 1.0
"""How old what the switch tells of its forwarding table may be."""
_SPANNING_TREE = {"disabled": 1, "blocking": 2, "listening": 3, "learning": 4, "forwarding": 5}
"""dot1dStpPortState (RFC 4188) by what ``bridge`` calls it."""


class CannotStart(Exception):  # noqa: N818 - says what happened
    """The lab cannot start; the text says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the lab. Returns 0 when told to stop, 1 when it could not start or broke; 2 is bad usage."""
    parser = argparse.ArgumentParser(prog="hostler virtual", description="Run QEMU boards on a PoE switch.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="virtual.toml")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="written when the switch answers")
    parser.add_argument(
        "--ready-fd", type=int, metavar="N", help='gets the line "ready" when the switch answers'
    )
    parser.add_argument("--verbose", action="store_true", help="tell of every power change")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING, format="%(asctime)s %(message)s"
    )
    try:
        config = load(arguments.config)
        qemu.require({board.kind for board in config.boards})
        with _alone(config.state_dir):
            return asyncio.run(_run(config, arguments.ready_file, arguments.ready_fd))
    except (VirtualConfigError, qemu.FirmwareMissing, NetworkUnavailable, CannotStart) as error:
        sys.stderr.write(f"hostler virtual: {error}\n")
    except OSError as error:
        sys.stderr.write(f"hostler virtual: {error.filename or arguments.config}: {error.strerror}\n")
    return 1


async def _run(config: LabConfig, ready_file: Path | None, ready_fd: int | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    found = await _accelerator(config)
    network = await open_network(
        config.bridge, config.server, [f"port{board.port}" for board in config.boards], config.server6
    )
    try:
        write_pid_file(config.namespace_pid_file, network.pid)
        boards = [
            VirtualBoard(
                board, config.board_dir(board), network, kvm.accelerator_for(board.kind, found), config.cache
            )
            for board in config.boards
        ]
        return await _supervise(config, network, boards, stop, _Ready(ready_file, ready_fd, found))
    finally:
        config.namespace_pid_file.unlink(missing_ok=True)
        await network.close()


async def _accelerator(config: LabConfig) -> kvm.Probe:
    if config.accelerator == "auto":
        return await kvm.probe(config.state_dir)
    return kvm.Probe(config.accelerator == "kvm", f"accelerator {config.accelerator} is configured")


async def _supervise(
    config: LabConfig, network: LabNetwork, boards: list[VirtualBoard], stop: asyncio.Event, ready: _Ready
) -> int:
    switch = PoeSwitch(config.ports, {board.config.port: board for board in boards})
    async with contextlib.AsyncExitStack() as stack:
        for board in boards:
            server = await _listen(board)
            stack.push_async_callback(board.line.hang_up)
            stack.callback(server.close)
        await _answer_snmp(config, switch, stack)
        learning = asyncio.ensure_future(_learn(config, network, switch))
        try:
            return await _run_boards(config, network, boards, stop, ready)
        finally:
            learning.cancel()
            await asyncio.wait([learning])


async def _learn(config: LabConfig, network: LabNetwork, switch: PoeSwitch) -> None:
    """Let the switch know what its bridge, which is the kernel's, has heard where and lets through."""
    ports = {f"port{board.port}": board.port for board in config.boards}
    while True:
        heard: dict[str, str] = {}
        bridged: dict[str, tuple[bool, str]] = {}
        if switch.any_drawing():
            try:
                heard = await network.learned(config.bridge)
                bridged = await network.forwarding()
            except NetworkUnavailable as error:
                _log.warning("the bridge does not tell what it has heard: %s", error)
        switch.learn({mac: ports[port] for mac, port in heard.items() if port in ports})
        switch.connect(
            {
                ports[port]: PortForwarding(up, _SPANNING_TREE.get(state, 5))
                for port, (up, state) in bridged.items()
                if port in ports
            }
        )
        await asyncio.sleep(_LEARN_SECONDS)


async def _run_boards(
    config: LabConfig, network: LabNetwork, boards: list[VirtualBoard], stop: asyncio.Event, ready: _Ready
) -> int:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(board.run(), name=board.config.name) for board in boards]
        ready.tell(config)
        stopping = tasks.create_task(stop.wait())
        lost = tasks.create_task(network.wait())
        done, _pending = await asyncio.wait([stopping, lost, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, lost, *running):
            task.cancel()
        ready.withdraw()
    if stopping in done:
        return 0
    sys.stderr.write("hostler virtual: the process that holds the lab's network has ended; so does the lab\n")
    return 1


async def _listen(board: VirtualBoard) -> asyncio.Server:
    host, port = board.config.console
    try:
        return await board.line.listen(host, port)
    except OSError as error:
        raise CannotStart(
            f"console of {board.config.name}: {host}:{port}: {error.strerror}; give it another port"
        ) from error


async def _answer_snmp(config: LabConfig, switch: PoeSwitch, stack: contextlib.AsyncExitStack) -> None:
    host, port = config.switch_listen
    loop = asyncio.get_running_loop()
    try:
        transport, _agent = await loop.create_datagram_endpoint(
            lambda: SnmpAgent(switch, config.community), local_addr=(host, port)
        )
    except OSError as error:
        raise CannotStart(f"switch: {host}:{port}: {error.strerror}; give it another port") from error
    stack.callback(transport.close)


class _Ready:
    """Tells whoever waits that the switch answers."""

    def __init__(self, file: Path | None, fd: int | None, found: kvm.Probe) -> None:
        self._file = file
        self._fd = fd
        self._found = found

    def tell(self, config: LabConfig) -> None:
        names = ", ".join(board.name for board in config.boards)
        host, port = config.switch_listen
        sys.stdout.write(f"ready: switch {host}:{port}, boards {names}; {self._found.reason}\n")
        sys.stdout.flush()
        if self._file is not None:
            self._file.write_text("ready\n")
        if self._fd is not None:
            os.write(self._fd, b"ready\n")
            os.close(self._fd)

    def withdraw(self) -> None:
        if self._file is not None:
            self._file.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(f"another virtual lab is running with {state_dir}; stop it first") from error
        yield
