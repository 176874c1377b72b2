"""One board with disks of every kind that QEMU has: the real agent wipes them all, as it says.

The board needs no lab: its kernel and agent come by QEMU itself, and the test is its rack.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest

from hostler.build.agent_image import build_agent
from hostler.model.wipe import Effort, unproven
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.matrix, pytest.mark.qemu]

CACHE = Path(__file__).parents[2] / "var" / "cache"
MIB = 1024 * 1024
SIZE = 16 * MIB
SECONDS = 300.0
KINDS = ("virtio", "nvme", "ahci", "sd", "usb")


class StepRack:
    """The agent's rack: hands out a step when it is told to, and keeps what comes back."""

    def __init__(self) -> None:
        self.reports: Queue[tuple[str, dict[str, Any]]] = Queue()
        self._left: list[dict[str, Any]] = []
        self._given = 0
        left, reports = self._left, self.reports

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200 if left else 204, json.dumps(left[0]).encode() if left else b"")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kind = self.path.rpartition("/")[2]
                if kind in ("done", "fail") and left and left[0]["step"] == body["step"]:
                    left.pop(0)
                if kind != "progress":
                    reports.put((kind, body))
                self._answer(204)

            def _answer(self, status: int, body: bytes = b"") -> None:
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """The reports tell enough."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def give(self, kind: str, **params: Any) -> None:
        """Have the agent carry out a step."""
        self._left.append({"run": "r-1", "step": self._given, "kind": kind, "params": params})
        self._given += 1

    def expect(self, kind: str) -> dict[str, Any]:
        """Wait for the next report; it must be of this kind."""
        got, body = self.reports.get(timeout=SECONDS)
        assert got == kind, body
        return body


@contextmanager
def board(folder: Path, rack: StepRack, disks: dict[str, str | Path]) -> Iterator[None]:
    """Run a board with these disks, files or what QEMU calls a drive, while the block lasts."""
    agent = build_agent("amd64", CACHE / "built", CACHE)
    config = {"rack": f"http://10.0.2.2:{rack.port}", "token": "t", "board": "b1", "boot": "boot-1"}
    initrd = folder / "initrd"
    overlay = newc.archive([newc.file("etc/hostler/boot.json", json.dumps(config).encode(), 0o600)])
    initrd.write_bytes(agent.initrd.read_bytes() + overlay)
    command = [
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-m", "1024", "-nodefaults",
        "-display", "none", "-serial", f"file:{folder}/console", "-device", "virtio-rng-pci",
        "-kernel", str(agent.kernel), "-initrd", str(initrd), "-append", "console=ttyS0,115200 quiet",
        "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=",
        "-device", "qemu-xhci,id=xhci", "-device", "sdhci-pci,id=sdhci",
    ]  # fmt: skip
    devices = {
        "virtio": "virtio-blk-pci,drive={0},serial=V1",
        "nvme": "nvme,drive={0},serial=N1",
        "ahci": "ide-hd,drive={0},bus=ide.0,serial=A1,model=PLATTER",
        "sd": "sd-card,drive={0},bus=sd-bus",
        "usb": "usb-storage,drive={0},bus=xhci.0,serial=U1",
    }
    for kind, path in disks.items():
        source = f"format=raw,discard=unmap,file={path}" if isinstance(path, Path) else path
        command += ["-drive", f"if=none,id={kind},{source}"]
        command += ["-device", devices[kind].format(kind)]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def disks(tmp_path: Path) -> dict[str, Path]:
    """A disk of each kind, full of somebody's data."""
    made = {}
    for number, kind in enumerate(KINDS):
        made[kind] = tmp_path / kind
        made[kind].write_bytes(random.Random(number).randbytes(SIZE))
    return made


def test_disks_of_every_kind_are_wiped_and_tell_how_they_are(tmp_path: Path, disks: dict[str, Path]) -> None:
    """Cleared, then by the best way each has: the files behind them are zero, and the result proves it."""
    rack = StepRack()
    try:
        with board(tmp_path, rack, disks):
            facts = rack.expect("hello")["facts"]
            rack.give("wipe")
            cleared = rack.expect("done")["result"]
            assert not [kind for kind, path in disks.items() if any(path.read_bytes())]
            rack.give("wipe", effort="thorough", verify="full")
            thorough = rack.expect("done")["result"]
            assert not [kind for kind, path in disks.items() if any(path.read_bytes())]
    finally:
        rack.close()
    assert {disk["bus"] for disk in facts["disks"]} == {"virtio", "nvme", "ata", "mmc", "usb"}
    said = {disk["bus"]: disk["health"]["text"] for disk in facts["disks"] if disk.get("health")}
    assert said.keys() == {"nvme", "ata"}
    assert "worn 0 %" in said["nvme"]
    assert "°C" in said["ata"]
    assert cleared["effort"] == "clear"
    assert not [entry for entry in cleared["disks"] if entry["purged_by"]]
    assert unproven(cleared, facts) == unproven(thorough, facts, Effort.THOROUGH) == ""
    assert unproven(thorough, facts, Effort.PURGE).startswith("its class asks for purge")
    by_bus = {entry["disk"]["bus"]: entry for entry in thorough["disks"]}
    assert by_bus["nvme"]["purged_by"] == "NVMe Format NVM (user data erase)"
    assert by_bus["nvme"]["sanitized"] == "purge"
    for bus in ("ata", "mmc", "usb", "virtio"):
        assert (by_bus[bus]["sanitized"], by_bus[bus]["purged_by"]) == ("clear", None)
    assert all(entry["verified_bytes"] == SIZE for entry in thorough["disks"])
    assert "ATA SECURITY ERASE UNIT: the drive does not know it" in by_bus["ata"]["declined"]


def test_a_disk_that_dies_fails_the_wipe_and_says_how_it_is(tmp_path: Path, disks: dict[str, Path]) -> None:
    """One sector cannot be read any more: the error names the disk, the place and how the disk says it is."""
    dying = (
        f"driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename={disks['nvme']},"
        "inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.sector=16384,"
        "inject-error.0.errno=5,inject-error.0.once=off"
    )
    rack = StepRack()
    try:
        with board(tmp_path, rack, {"nvme": dying}):
            rack.expect("hello")
            rack.give("wipe")
            failed = rack.expect("fail")
    finally:
        rack.close()
    assert failed["cause"] == "disk-fault"
    assert (
        "/dev/nvme0n1: reading 4194304 bytes at 8388608: the medium has lost what was there"
        in failed["error"]
    )
    assert "/dev/nvme0n1 says of itself: worn 0 %" in failed["error"]
