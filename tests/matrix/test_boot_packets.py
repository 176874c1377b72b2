"""`hostler trace --pcap` of boots by real firmware on every platform, and by a Raspberry Pi's stand-in."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from boot_paths import BY_KEY
from matrix_lab import RUN_SECONDS, MatrixLab
from other_networks import LAB_TOML, machine_beside
from uefi_boards import CACHE
from wireshark import INBOUND, OUTBOUND, file_transfers, http_talks, malformed, said

from hostler.build.agent_image import build_agent
from hostler.build.raspberrypi import build_firmware
from hostler.client.waiting import wait_claim
from hostler.testing.raspberrypi import RaspberryPi
from hostler.testing.raspberrypi_dhcp import Model, Offer
from netns import CLIENT_INTERFACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from hostler.client.documents import TraceEvent
    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

PI = "pi"
MODEL = Model(4, "9a1b2c3d", "dc:a6:32:01:36:c2")
PI_TOML = """
[classes.pi]
platform = "raspberrypi4"
[boards.pi]
class = "pi"
mac = "{mac}"
serial = "{serial}"
[boards.pi.power]
driver = "command"
on = ["touch", "{supply}"]
off = ["rm", "-f", "{supply}"]
status = ["sh", "-c", "test -e {supply} && echo on || echo off"]
"""
DORA = [(INBOUND, "1"), (OUTBOUND, "2"), (INBOUND, "3"), (OUTBOUND, "5")]
"""DISCOVER, OFFER, REQUEST and ACK."""
DORA6 = [(INBOUND, "1"), (OUTBOUND, "2"), (INBOUND, "3"), (OUTBOUND, "7")]
"""SOLICIT, ADVERTISE, REQUEST and REPLY."""


@dataclass(frozen=True)
class Shown:
    """What the packets of a boot path must show, besides what its trace tells.

    Attributes:
        files: Of the files that were brought whole over TFTP, some.
        pages: Of what HTTP was asked for, some begins.
        ipv6: Whether addresses come by DHCPv6.
    """

    files: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    ipv6: bool = False


SHOWN = {
    "bios-ipxe": Shown(pages=("/boot/ipxe", "/boot/file/", "/boot/config.cpio")),
    "uefi-ipxe": Shown(("snponly.efi",), ("/boot/ipxe", "/boot/file/", "/boot/config.cpio")),
    "uefi-http-uki": Shown(pages=("/boot/uki.efi",)),
    "uefi-ipv6": Shown(("snponly.efi",), ("/boot/ipxe", "/boot/file/"), ipv6=True),
    "uboot": Shown(("boot/kernel", "boot/initrd")),
    "arm64-uefi-pxe": Shown(("grub/shimaa64.efi", "grub/kernel", "grub/initrd")),
}


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab with a board of each path, and the Raspberry Pi."""
    state = tmp_path_factory.mktemp("packets")
    pi = PI_TOML.format(mac=MODEL.mac, serial=MODEL.serial, supply=state / "supply")
    rows = [replace(BY_KEY[key], image="") for key in SHOWN]
    made = MatrixLab(state, rows, LAB_TOML["ipv6"] + pi)
    built = CACHE / "built"
    more = {**build_agent("arm64", built, CACHE).device_trees, **build_firmware(built, CACHE)}
    try:
        made.start()
        made.import_needed(
            replace(
                material, loaders={**material.loaders, "arm64": {**material.loaders.get("arm64", {}), **more}}
            )
        )
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def booting(request: pytest.FixtureRequest, lab: MatrixLab) -> Iterator[dict[str, Future[list[TraceEvent]]]]:
    """The boots that were chosen, two at a time, while their tests wait."""
    chosen = [
        item.callspec.params["key"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_packets_show_the_boot.__name__
    ]
    with ThreadPoolExecutor(2) as pool:
        try:
            yield {key: pool.submit(lab.boot, lab.paths[key]) for key in chosen}
        finally:
            pool.shutdown(cancel_futures=True)


def exported(lab: MatrixLab, board: str, folder: Path) -> Path:
    """Have the command line write the packets of a board's last boot; no secret is in them."""
    file = folder / "boot.pcapng"
    done = lab.hostler("trace", board, "--pcap", str(file))
    assert done.status == 0, done.err
    content = file.read_bytes()
    assert lab.boot_tokens
    for secret in (*lab.boot_tokens, lab.token):
        assert secret.encode() not in content
    assert malformed(file) == []
    return file


def of_trace(events: list[TraceEvent], source: str, *kinds: str) -> set[str]:
    """Return the files that the trace says were asked for."""
    return {
        str(event["data"]["file"])
        for event in events
        if event["source"] == source and event["kind"] in kinds and "file" in event.get("data", {})
    }


@pytest.mark.parametrize("key", SHOWN)
def test_packets_show_the_boot(
    lab: MatrixLab, booting: dict[str, Future[list[TraceEvent]]], tmp_path: Path, key: str
) -> None:
    """Address, each file and each page: what was asked, and what was answered."""
    events = booting[key].result(timeout=RUN_SECONDS)
    file, shown = exported(lab, key, tmp_path), SHOWN[key]
    if shown.ipv6:
        assert in_order(DORA6, said(file, "dhcpv6", "dhcpv6.msgtype"))
    else:
        assert in_order(DORA, said(file, "dhcp", "dhcp.option.dhcp"))
    transfers = file_transfers(file)
    assert {one.name for one in transfers} >= of_trace(events, "tftp", "read", "notfound")
    for name in {*of_trace(events, "tftp", "done"), *shown.files}:
        assert any("3" in one.by_server and "4" in one.by_board for one in transfers if one.name == name), (
            name
        )
    talks = http_talks(file)
    for begin in shown.pages:
        assert any(uri.startswith(begin) and code == "200" for uri, code in talks), (begin, talks)


def in_order(wanted: list[tuple[str, str]], found: list[tuple[str, str]]) -> bool:
    """Tell whether all that is wanted was said one after the other, whatever was said between."""
    rest = iter(found)
    return all(one in rest for one in wanted)


def test_packets_show_the_boot_of_a_raspberry_pi(lab: MatrixLab, tmp_path: Path) -> None:
    """Its menu, the files that were there and those that were not; its initramfs brought it the token."""
    claim = lab.client.claim(PI, ttl="2h", wait=True)
    wait_claim(lab.client, claim["id"], seconds=RUN_SECONDS)
    run = lab.client.start_run(PI, "discover")
    with machine_beside(lab) as machine:
        machine.run("ip", "link", "set", CLIENT_INTERFACE, "address", MODEL.mac)

        def configure(offer: Offer) -> None:
            machine.run("ip", "address", "replace", f"{offer.address}/24", "dev", CLIENT_INTERFACE)

        until_on(lab)
        with machine.entered():
            board = RaspberryPi(MODEL, CLIENT_INTERFACE, configure)
            started = board.boot()
    lab.note_boot_tokens()
    assert any(token.encode() in started.initramfs for token in lab.boot_tokens)
    file = exported(lab, PI, tmp_path)
    lab.client.cancel_run(run["id"])
    assert in_order(DORA, said(file, "dhcp", "dhcp.option.dhcp"))
    transfers = file_transfers(file)
    assert [one.name for one in transfers] == [name for name, _ in board.asked]
    for one, (name, outcome) in zip(transfers, board.asked, strict=True):
        answer = "3" if isinstance(outcome, int) else "5"
        assert answer in one.by_server or ("6" in one.by_server and "5" in one.by_board), (name, outcome, one)


def until_on(lab: MatrixLab) -> None:
    """Wait until the Raspberry Pi has its power, and its boot its token."""
    deadline = time.monotonic() + RUN_SECONDS
    while not lab.client.trace(PI)["boots"] or lab.client.board(PI)["power"]["observed"] != "on":
        assert time.monotonic() < deadline, lab.client.board(PI)
        time.sleep(0.2)
