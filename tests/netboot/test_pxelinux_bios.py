"""PXELINUX on a PC: who is sent to it, what its configuration says, and what resets a held board."""

from __future__ import annotations

import dataclasses
import subprocess
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.boot import BootIntent
from hostler.model.first_stages import Loader
from hostler.netboot.dhcp_policy import Answer, Facts, Firmware, Refusal, boot_answer
from hostler.netboot.render_pxelinux_bios import ROUNDS, asks_again, render_pxelinux_bios
from hostler.netboot.reset_bzimage import RESET_BZIMAGE
from hostler.netboot.table import NetworkConfig, Target
from hostler.wire.dhcp import Message

NETWORK = NetworkConfig(
    "bench", "br0", IPv4Interface("10.77.0.1/24"), IPv4Address("10.77.0.100"), IPv4Address("10.77.0.200")
)
BASE = "http://10.77.0.1:8067"
BOARD = Target(
    "b1", "x86-bios", "amd64", ("52:54:00:00:00:01",), intent=BootIntent.STEP, boot="x1", token="t0ken",
    kernel="k", initrd="i", cmdline="console=ttyS0,115200 quiet", loader=Loader.PXELINUX,
    files={"lpxelinux.0": "l", "ldlinux.c32": "c"},
)  # fmt: skip
WORDS = {"DEFAULT", "PROMPT", "NOESCAPE", "ONERROR", "SAY", "LABEL", "LINUX", "INITRD", "APPEND", "IPAPPEND",
         "CONFIG", "TIMEOUT", "TOTALTIMEOUT", "IMPLICIT", "ALLOWOPTIONS", "LOCALBOOT"}  # fmt: skip


def answer(firmware: Firmware, architecture: int, target: Target) -> Answer | Refusal:
    message = Message(1, 7, bytes.fromhex("525400000001"), {})
    return boot_answer(message, Facts(firmware, architecture), target, NETWORK, ("undionly.kpxe",))


@pytest.mark.parametrize("firmware", [Firmware.PXE, Firmware.IPXE])
def test_a_bios_is_sent_to_pxelinux_whatever_its_rom_is(firmware: Firmware):
    """By TFTP, with the options by which PXELINUX then fetches all else by HTTP (RFC 5071)."""
    given_answer = answer(firmware, 0, BOARD)
    assert isinstance(given_answer, Answer)
    assert given_answer.file == "pxelinux/lpxelinux.0"
    assert given_answer.next_server
    assert given_answer.options[209] == b"pxelinux.cfg/default"
    assert given_answer.options[210] == b"http://10.77.0.1:8067/boot/pxelinux/"


def test_who_has_no_pxelinux_is_told_what_is_missing():
    """Without its files there is no answer, and the reason names them."""
    refused = answer(Firmware.PXE, 0, dataclasses.replace(BOARD, files={"lpxelinux.0": "l"}))
    assert isinstance(refused, Refusal)
    assert "ldlinux.c32" in refused.reason


def test_another_loader_gets_none_of_its_options():
    """A board of iPXE asks for its script as ever."""
    given_answer = answer(Firmware.IPXE, 0, dataclasses.replace(BOARD, loader=Loader.IPXE))
    assert isinstance(given_answer, Answer)
    assert given_answer.file == f"{BASE}/boot/ipxe"
    assert not {209, 210} & given_answer.options.keys()


@given(
    st.text(max_size=40), st.text(max_size=60), st.text(max_size=60), st.sampled_from(BootIntent),
    st.integers(0, ROUNDS), st.booleans(),
)  # fmt: skip
def test_files_hold_only_the_lines_that_were_meant(
    name: str, message: str, cmdline: str, intent: BootIntent, rounds: int, known: bool
):
    """Whatever the fields say: our words only, no label but ours, and what is not LOCAL never leaves."""
    target = dataclasses.replace(BOARD, board=name, message=message, cmdline=cmdline, intent=intent)
    text = render_pxelinux_bios(target if known else None, BASE, rounds)
    lines = text.splitlines()
    assert text == "".join(f"{line}\n" for line in lines)
    assert text.isascii()
    assert {line.split()[0] for line in lines} <= WORDS
    assert {line for line in lines if line.startswith("LABEL")} <= {
        "LABEL step",
        "LABEL again",
        "LABEL local",
    }
    if not known or intent is not BootIntent.LOCAL:
        assert "LOCALBOOT" not in text
        assert "LABEL again" in lines
    assert "t0ken" not in text


def test_a_held_board_counts_and_is_reset_at_last():
    """Each file names the next one, up to the reset; a failed kernel waits once and leads there too."""
    held, name = dataclasses.replace(BOARD, intent=BootIntent.HOLD), "pxelinux.cfg/default"
    for _ in range(ROUNDS + 1):
        text = render_pxelinux_bios(held, BASE, asks_again(name) or 0)
        assert "TIMEOUT 200\n" in text
        assert "NOESCAPE" not in text  # it would leave the wait out
        keyword, _, name = text.splitlines()[-1].partition(" ")
    assert (keyword, name) == ("LINUX", "boot/reset")
    step = render_pxelinux_bios(BOARD, BASE)
    assert "ONERROR again\n" in step
    failed = step.splitlines()[-1].removeprefix("CONFIG ")
    assert asks_again(failed) == ROUNDS
    assert "LINUX boot/reset" in render_pxelinux_bios(BOARD, BASE, ROUNDS)


@pytest.mark.parametrize("name", ["pxelinux.cfg/again-", "pxelinux.cfg/again-x", "pxelinux.cfg/again-1000",
                                  "pxelinux.cfg/again-²", "again-1"])  # fmt: skip
def test_no_other_name_counts(name: str):
    """A number of one or two digits, and nothing else."""
    assert asks_again(name) is None


def test_a_step_is_known_by_its_interface():
    """IPAPPEND 2 tells the agent which interface reached us."""
    text = render_pxelinux_bios(BOARD, BASE)
    assert (
        "LINUX boot/kernel\nINITRD boot/config,boot/initrd\nAPPEND console=ttyS0,115200 quiet\nIPAPPEND 2"
        in text
    )


@pytest.mark.parametrize(
    ("cmdline", "word"), [("a\nb", "misread"), ("x" * 2000, "2000 characters"), ("-", "hyphen")]
)
def test_a_command_line_that_cannot_be_said_holds_the_board(cmdline: str, word: str):
    """With the reason, instead of half of it."""
    text = render_pxelinux_bios(dataclasses.replace(BOARD, cmdline=cmdline), BASE)
    assert "cannot boot the agent" in text
    assert word in text


@pytest.mark.qemu
def test_the_program_of_a_held_board_resets_it(tmp_path: Path):
    """QEMU starts it as it starts a kernel, and ends when the machine is reset."""
    (tmp_path / "kernel").write_bytes(RESET_BZIMAGE)
    command = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "64", "-display", "none",
               "-nic", "none", "-no-reboot", "-kernel", str(tmp_path / "kernel")]  # fmt: skip
    assert subprocess.run(command, timeout=60, check=False, capture_output=True).returncode == 0
