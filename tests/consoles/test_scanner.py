"""Stages and marker lines are found however the stream is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.consoles.scanner import Marker, Scanner, Stage

BOOT = (
    b"\x1b[2J\x1b[1;1HSeaBIOS (version 1.16.2)\r\n\r\niPXE (http://ipxe.org)\r\n"
    b"\x1b[1miPXE 1.0.0+git\x1b[0m -- Open Source\r\n"
    b"[    0.000000] Linux version 6.1.0-18-amd64 (debian)\r\n"
    b'[    3.1] x\r\n@hostler {"event":"hello","n":1}\r\n@hostler {broken\r\n@hostler [1]\r\n'
    b"Debian GNU/Linux 12 host ttyS0\r\n\r\nhost login: root\r\n"
    b"Last login: Fri\r\nKernel panic - not syncing: Oh\r\n"
)


def test_a_boot_tells_its_stages():
    """Firmware, kernel, prompt and panic are told once each, in order; a broken marker is none."""
    found = list(Scanner().feed(BOOT))
    assert [item.name for item in found if isinstance(item, Stage)] == [
        "firmware", "firmware", "kernel", "login", "panic",
    ]  # fmt: skip
    assert [item.document for item in found if isinstance(item, Marker)] == [{"event": "hello", "n": 1}]
    assert found[-1] == Stage("panic", "Kernel panic - not syncing: Oh")


@given(st.lists(st.integers(0, len(BOOT)), max_size=40))
def test_cuts_change_nothing(cuts: list[int]):
    """The same things are told wherever the stream is cut, but for the text of a prompt seen early."""
    scanner = Scanner()
    found = []
    for start, end in pairwise(sorted({0, *cuts, len(BOOT)})):
        found += scanner.feed(BOOT[start:end])
    whole = list(Scanner().feed(BOOT))
    assert [getattr(item, "name", None) for item in found] == [getattr(item, "name", None) for item in whole]


def test_firmware_that_resets_the_terminal_is_known():
    """SeaBIOS as Debian's QEMU starts it: a full reset, no wrapping, a clear screen, and then its name."""
    (stage,) = Scanner().feed(b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n")
    assert stage == Stage("firmware", "SeaBIOS (version 1.16.2-debian-1.16.2-1)")


def test_the_agents_first_process_tells_that_its_kernel_runs():
    """A quiet kernel says nothing of itself, and one without an address nothing on the network."""
    (stage,) = Scanner().feed(
        b"\x1b[2Jhostler: [39.33] drivers loaded in 2 rounds\r\nhostler: [40] asking\r\n"
    )
    assert stage == Stage("kernel", "hostler: [39.33] drivers loaded in 2 rounds")


def test_a_prompt_is_told_before_its_line_ends():
    """Nobody ends the line of a login prompt but the one who waits for it."""
    assert list(Scanner().feed(b"\r\ntiny login: ")) == [Stage("login", "tiny login:")]


@pytest.mark.parametrize(
    ("said", "name", "todo"),
    [
        (
            b'BdsDxe: failed to load Boot0000 "Network (PXE over IPv4)" from PciRoot(0x0)/Pci(0x2,0x0)/'
            b"MAC(525400770002,0x1)/IPv4(0.0.0.0,0x0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0): Access Denied",
            "unsigned",
            'loader = "grub"',
        ),
        (b"BdsDxe: failed to load Boot0003 from Fv(1): Security Violation", "unsigned", 'loader = "grub"'),
        (b"Verification failed: (0x1A) Security Violation", "unsigned", 'loader = "grub"'),
        (b"start_image() returned Security Policy Violation", "unsigned", 'loader = "grub"'),
        (b"\x1b[0m\x1b[37merror: bad shim signature.", "unsigned-kernel", "signed by a key"),
        (b"error: prohibited by secure boot policy.", "unsigned-kernel", "signed by a key"),
        (b"error: /boot/vmlinuz has invalid signature.", "unsigned-kernel", "signed by a key"),
    ],
)
def test_what_secure_boot_refuses_is_told_with_what_to_do(said: bytes, name: str, todo: str):
    """As firmware, shim and GRUB say it; what merely sounds like it is passed over."""
    (found,) = Scanner().feed(said + b"\r\n")
    assert isinstance(found, Stage)
    assert found.name == name
    assert todo in found.advice


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (b"http://10.77.0.1/x... Connection timed out (https://ipxe.org/4c0a6092)", "loader-error"),
        (b"Could not boot: Exec format error (http://ipxe.org/2e008081)", "loader-error"),
        (b"SCRIPT FAILED: continuing...", "loader-error"),
        (b"Bad Linux ARM64 Image magic!", "loader-error"),
        (b"Wrong Image Type for bootm command", "loader-error"),
        (b"\x1b[Herror: file `/boot/vmlinuz' not found.", "loader-error"),
        (
            b"error: ../../grub-core/loader/i386/linux.c:698:you need to load the kernel first.",
            "loader-error",
        ),
        (b"error: no such partition.", "loader-error"),
        (b"No bootable device.", "nothing-to-boot"),
        (b"BdsDxe: No bootable option or device was found.", "nothing-to-boot"),
        (b"Gave up waiting for root file system device.  Common problems:", "no-root"),
        (b"ALERT!  UUID=0d1c does not exist.  Dropping to a shell!", "no-root"),
        (b"[  187.2] dracut-initqueue[421]: Warning: dracut-initqueue: timeout, still waiting", "no-root"),
        (b'You are in emergency mode. After logging in, type "journalctl -xb"', "emergency"),
        (b"[ 9.1] I/O error, dev vda, sector 2048 op 0x1:(WRITE) flags 0x0", "disk-error"),
        (b"[ 9.2] Buffer I/O error on dev sda1, logical block 0, async page read", "disk-error"),
    ],
)
def test_what_ends_a_boot_is_told(said: bytes, name: str):
    """As boot loaders, firmware and systems say it."""
    (found,) = Scanner().feed(said + b"\r\n")
    assert isinstance(found, Stage)
    assert found.name == name


def test_other_failures_are_no_refusals():
    """Firmware that finds nothing on a disk, or a program without a right, says nothing of signatures."""
    said = b"BdsDxe: failed to load Boot0001 from PciRoot(0x0): Not Found\r\nbash: x: Access Denied\r\n"
    assert list(Scanner().feed(said)) == []


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken(pieces: list[bytes]):
    """No bytes are an error, and memory is bounded by a line."""
    scanner = Scanner()
    for piece in pieces:
        for found in scanner.feed(piece):
            json.dumps(getattr(found, "document", None) or found.text)
    list(scanner.feed(b"\n"))
    assert list(scanner.feed(b"x" * 1_000_000)) == []
    assert list(scanner.feed(b"\n")) == []
