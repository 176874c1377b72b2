"""The whole lab: real firmware asks the network first and its disk next; nothing outlives the lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab import BOARDS, Lab, bootable_disk, running_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

# How iPXE says "boot from disk": plain `exit` ends a UEFI boot option successfully, and the firmware then
# shows its setup screen instead of trying the next option.
LOCAL_IPXE = "#!ipxe\nexit 1\n"
LOCAL_PXELINUX = "default local\nlabel local\n  localboot 1\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces")
    with running_lab(tmp_path) as made:
        yield made


def test_each_firmware_asks_the_network_and_then_its_disk(lab: Lab) -> None:
    """Power through the switch, DHCP, first stage over the network; told 'local', the disk."""
    for name in BOARDS:
        bootable_disk(lab.disk(name), 256)
    (lab.tftp / "snponly.efi").symlink_to("/usr/lib/ipxe/snponly.efi")
    (lab.tftp / "boot.ipxe").write_text(LOCAL_IPXE)
    (lab.tftp / "pxelinux.cfg" / f"01-{lab.mac('va-uboot').replace(':', '-')}").write_text(LOCAL_PXELINUX)
    lab.start()
    with ExitStack() as stack:
        lab.listen_to_consoles(stack)
        lab.start_dnsmasq(stack)
        for name in BOARDS:
            lab.power(name, on=True)
        assert {lab.detection(name) for name in BOARDS} == {3}
        lab.wait_for("va-uboot", "Found /extlinux/extlinux.conf")
        lab.wait_for("vx-bios", "Hello from the disk")
        lab.wait_for("vx-uefi", 'starting Boot0001 "Disk"')
        log = bytes(lab.said["dnsmasq"]).decode()
        for name in BOARDS:
            assert f"DHCPACK(br0) 10.77.0.{_address(log, lab.mac(name))} {lab.mac(name)}" in log
        assert "vendor class: PXEClient:Arch:00007" in log
        assert "vendor class: U-Boot.armv8" in log
        assert "sent" in log
        assert "snponly.efi to" in log
        assert log.count("boot.ipxe to") >= 2
        assert f"01-{lab.mac('va-uboot').replace(':', '-')} to" in log
        # The plug: gone at once, the console line is not, and what was on the disk still is.
        for name in BOARDS:
            lab.power(name, on=False)
        _until(lambda: not lab.qemus(), 30)
        _until(lambda: {lab.detection(name) for name in BOARDS} == {1}, 5)
        lab.said["va-uboot"].clear()
        lab.power("va-uboot", on=True)
        lab.wait_for("va-uboot", "Found /extlinux/extlinux.conf")
    assert lab.process is not None
    lab.process.send_signal(signal.SIGTERM)
    assert lab.process.wait(20) == 0
    _until(lambda: not lab.qemus(), 30)


def test_nothing_outlives_a_lab_that_is_killed(lab: Lab) -> None:
    """After kill -9 its QEMUs and the holder of its network end by themselves; it can start again."""
    lab.start()
    lab.power("vx-bios", on=True)
    lab.power("va-uboot", on=True)
    _until(lambda: len(lab.qemus()) == 2, 10)
    holder = int((lab.state / "namespace.pid").read_text())
    assert lab.process is not None
    lab.process.kill()
    lab.process.wait(10)
    _until(lambda: not lab.qemus(), 30)
    _until(lambda: not _alive(holder), 30)
    lab.start()
    lab.power("vx-bios", on=True)
    _until(lambda: lab.detection("vx-bios") == 3, 10)


def test_a_board_that_dies_by_itself_is_a_fault(lab: Lab) -> None:
    """The switch shows what is: a machine that is gone is not fed; off and on brings it back."""
    lab.start()
    lab.power("vx-bios", on=True)
    _until(lambda: len(lab.qemus()) == 1, 10)
    os.kill(lab.qemus()[0], signal.SIGKILL)
    _until(lambda: lab.detection("vx-bios") == 4, 10)
    lab.power("vx-bios", on=False)
    _until(lambda: lab.detection("vx-bios") == 1, 5)
    lab.power("vx-bios", on=True)
    _until(lambda: lab.detection("vx-bios") == 3, 10)


def test_a_second_lab_or_a_taken_port_is_told_in_one_line(lab: Lab) -> None:
    """What cannot start says why, and disturbs nothing that runs."""
    lab.start()
    again = _run_to_its_end(lab.config)
    assert again.returncode == 1
    assert "another virtual lab is running" in again.stderr
    other = lab.directory / "other.toml"
    other.write_text(lab.config.read_text().replace('"state"', '"other"'))
    taken = _run_to_its_end(other)
    assert taken.returncode == 1
    assert "Address already in use" in taken.stderr.replace(
        "address already in use", "Address already in use"
    )
    assert "Traceback" not in taken.stderr
    assert lab.detection("vx-bios") == 1


def _run_to_its_end(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hostler.virtual", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _address(log: str, mac: str) -> str:
    line = next(line for line in log.splitlines() if "DHCPACK" in line and mac in line)
    return line.split("10.77.0.")[1].split()[0]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # dead, and only not yet fetched by its new parent


def _until(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
