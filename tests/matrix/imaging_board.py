"""A board with a disk, the real agent and the real netboot process: what proofs of imaging share.

QEMU starts the agent's kernel itself: how boards get there is proven elsewhere, and takes firmware minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netboot_peers import NETWORK, Rack
from test_process_qemu import MAC, Board
from uefi_boards import CACHE, plug_in, switched_on

from hostler.build.agent_image import build_agent
from hostler.build.initramfs import pack
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.boot import BootIntent
from hostler.netboot.table import Target
from hostler.virtual import disk_wiring
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hostler.model.chunkindex import ChunkIndex
    from hostler.netboot.child import NetbootChild
    from hostler.netboot.setup import NetbootSetup
    from hostler.virtual.disks import DiskConfig
    from netns import Lan

MIB = 1 << 20
STEP_SECONDS = 600.0
"""Longest time for a start of the agent and one step, on two cores that are busy with others."""
_MACHINE = {
    "amd64": ("qemu-system-x86_64", "-M", "q35"),
    "arm64": ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57"),
}
_CONSOLE = {"amd64": "ttyS0,115200", "arm64": "ttyAMA0,115200"}
_SLOTS = range(3, 19)


@dataclass
class ImagingBoard:
    """The board ``b1`` and its rack.

    Attributes:
        lan: The cable between them.
        setup: What the netboot process serves.
        folder: Where the disks' files are.
        disks: Its disks.
        arch: ``amd64`` or ``arm64``.
        rack: What the netboot process has told.
        trusted_keys: Whose images its agent is built to trust; with a key it writes no others.
        replaced: Arguments of QEMU to be replaced by others, for disks that are not plain files.
    """

    lan: Lan
    setup: NetbootSetup
    folder: Path
    disks: Sequence[DiskConfig]
    arch: str = "amd64"
    rack: Rack = field(default_factory=Rack)
    trusted_keys: Sequence[str] = ()
    replaced: dict[str, str] = field(default_factory=dict)
    _steps: int = 0

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serve it while the context lasts."""
        plug_in(self.lan)
        disk_wiring.prepare(self.disks, self.folder)
        agent = await asyncio.to_thread(
            build_agent, self.arch, CACHE / "built", CACHE,
            trusted_keys=self.trusted_keys, require_signed=bool(self.trusted_keys),
        )  # fmt: skip
        boot = {"rack": f"http://{NETWORK.server}:{NETWORK.http_port}", "token": "t0ken", "board": "b1",
                "boot": "boot-1"}  # fmt: skip
        told = pack([newc.file("etc/hostler/boot.json", json.dumps(boot).encode())])
        (self.folder / "initrd").write_bytes(agent.initrd.read_bytes() + told)
        self._kernel = agent.kernel
        async with self.rack.child(self.setup) as child:
            self._child: NetbootChild = child
            self._target = Target("b1", "x86-uefi", self.arch, (MAC,), intent=BootIntent.STEP, boot="boot-1",
                                  token="t0ken")  # fmt: skip
            child.put_target(self._target)
            yield

    @contextlib.asynccontextmanager
    async def powered(self) -> AsyncIterator[Board]:
        """Have power while the context lasts; its end is a power cut."""
        drives = disk_wiring.arguments(self.disks, _SLOTS[: len(self.disks)], "unsafe", None)
        for old, new in self.replaced.items():
            assert any(old in word for word in drives)
            drives = [word.replace(old, new) for word in drives]
        command = [
            *_MACHINE[self.arch], "-accel", "tcg,thread=multi,tb-size=256", "-m", "512", "-smp", "2",
            "-nodefaults", "-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci",
            "-kernel", str(self._kernel), "-initrd", str(self.folder / "initrd"),
            "-append", f"console={_CONSOLE[self.arch]} quiet",
            "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,mac={MAC},romfile=,addr=0x2",
            *drives,
        ]  # fmt: skip
        async with switched_on(self.lan, command, self.folder) as board:
            yield board

    def store(self) -> ImageStore:
        """Return the store that the netboot process serves from."""
        return ImageStore(self.setup.store)

    def order_install(self, index: ChunkIndex, **params: Any) -> None:
        """Tell the board to install an image; a step of the same boot, after those before."""
        self._steps += 1
        told = {"index": index.id, "size": index.size, "disk": None, **params}
        step = {"run": "r1", "step": self._steps, "kind": "install", "params": told}
        self._child.put_target(replace(self._target, step=step))

    async def outcome(self, board: Board) -> tuple[str, dict[str, Any]]:
        """Wait for the end of the last step; returns ``done`` or ``fail``, and the report."""
        await board.until(self._ends, STEP_SECONDS)
        return self._ends()[0]

    def progress(self) -> int:
        """Return how many bytes of the image the board said that it has done of its present step."""
        told = [body for kind, _, _, body in self.rack.reports if kind == "progress"]
        mine = [body for body in told if (body["step"], body["phase"]) == (self._steps, "executing")]
        return max((body["done"] for body in mine), default=0)

    def content(self, number: int = 0) -> Path:
        """Return the file behind a disk."""
        return self.folder / disk_wiring.file_name(number)

    def _ends(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (kind, body)
            for kind, _, _, body in self.rack.reports
            if kind in ("done", "fail") and body["step"] == self._steps
        ]


def noise_image(path: Path, size: int, holes: Sequence[range] = (), seed: int = 1) -> None:
    """Write a raw image of noise, in which the given MiB are holes."""
    rnd = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        for number in range(size // MIB):
            content = rnd.randbytes(MIB)
            if not any(number in hole for hole in holes):
                file.seek(number * MIB)
                file.write(content)


def changed_image(path: Path, old: Path, share: float) -> int:
    """Write another version, of which ``share`` of the MiB differ; returns how many bytes that is."""
    content = bytearray(old.read_bytes())
    numbers = [n for n in range(len(content) // MIB) if any(content[n * MIB : n * MIB + 16])]
    rnd = random.Random(2)
    chosen = rnd.sample(numbers, max(1, round(share * len(numbers))))
    for number in chosen:
        content[number * MIB : (number + 1) * MIB] = rnd.randbytes(MIB)
    path.write_bytes(content)
    return len(chosen) * MIB


def imported(store: ImageStore, path: Path) -> ChunkIndex:
    """Import a raw image."""
    return store.index(import_image(path, store).index)
