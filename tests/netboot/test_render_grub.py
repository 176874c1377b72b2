"""What GRUB is told: total over every intent, and nothing a field says is read as a command."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from test_render import BASE, GOOD, INITRD, KERNEL, targets

from hostler.model.boot import BootIntent
from hostler.model.netboot_order import NetbootOrder
from hostler.netboot import quoting
from hostler.netboot.grub_tree import PROGRAMS, grub_file
from hostler.netboot.render_grub import failed_file, failure, render_grub, render_grub_loop
from hostler.netboot.table import Target

COMMANDS = {"echo", "sleep", "reboot", "set", "if", "fi", "boot", "source", "linux", "initrd"}
VARIABLES = {"net_default_mac", "net_default_ip", "stage", "lockdown"}
ME = IPv4Address("10.77.0.101")
MAC = "52:54:00:00:00:01"
UUID = "52540000-0000-4000-8000-000000000001"


def linux_arguments(script: str) -> str:
    """The command line that GRUB's ``linux`` writes (``grub_create_loader_cmdline``)."""
    words = shlex.split(re.search(r"^if linux (.*); then$", script, re.MULTILINE)[1])
    assert words[0] == "/grub/kernel"
    written = (re.sub(r"([\\'\"])", r"\\\1", word) for word in words[1:])
    return " ".join(f'"{word}"' if " " in word else word for word in written)


def as_linux_reads(cmdline: str) -> list[tuple[str, str | None]]:
    """Names and values, as ``lib/cmdline.c`` next_arg takes them apart."""
    found = []
    for word in re.findall(r'(?:[^ "]|"[^"]*(?:"|$))+', cmdline):
        word = word[1:].removesuffix('"') if word.startswith('"') else word
        name, sign, value = word.partition("=")
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        found.append((name, value if sign else None))
    return found


@given(targets)
def test_scripts_hold_only_the_commands_that_were_meant(target: Target) -> None:
    """Whatever the fields say: our commands, our variables, everything foreign within apostrophes."""
    script = render_grub(target, BASE)
    assert script.isascii()
    bare = re.sub(r"'[^'\n]*'", "WORDS", script)
    assert "'" not in bare
    assert set(re.findall(r"\$\{?(\w+)", bare)) <= VARIABLES
    for line in bare.splitlines():
        assert line.split()[0] in COMMANDS
        assert not set(line) & set("&|`\\#<>*?")
    assert set(re.findall(r"(?:linux|initrd|source) (\S+?);?(?: |$)", bare)) <= {
        "/grub/kernel", "/grub/initrd", "/grub/failed-${stage}-${lockdown}.cfg"}  # fmt: skip


@pytest.mark.parametrize("target", [None, *(dataclasses.replace(GOOD, intent=one) for one in BootIntent)])
def test_grubs_own_parser_takes_every_script(target: Target | None) -> None:
    """``grub-script-check`` reads them as GRUB does."""
    assert shutil.which("grub-script-check"), "install package grub-common"
    for script in (render_grub(target, BASE), render_grub_loop(60)):
        done = subprocess.run(
            ["grub-script-check"], input=script, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "cmdline",
    [
        "console=ttyS0,115200 quiet",
        'note="two words" x',
        '"whole=in marks" y="" z',
        "ds=nocloud-net;s=http://10.77.0.1:8067/a?b=c&d=e root=live:<x> a|b (c) {d} [e]* ~!?^",
        "",
    ],
)
def test_linux_reads_the_command_line_that_was_meant(cmdline: str) -> None:
    """Though GRUB takes it apart and writes it anew, with quotation marks of its own."""
    target = Target(board="b1", platform="x86-uefi", arch="amd64", macs=(MAC,), boot="b", token="t",
                    kernel=KERNEL, initrd=INITRD, cmdline=cmdline, intent=BootIntent.STEP)  # fmt: skip
    assert as_linux_reads(linux_arguments(render_grub(target, BASE))) == as_linux_reads(cmdline)


@pytest.mark.parametrize(
    "cmdline", ['a=b"c d"', "a=$x", "a='x'", "a=b\\c", "a\nb", "x" * 1901, '"open', 'a"b']
)
def test_what_grub_would_change_is_refused(cmdline: str) -> None:
    """The board is held and told why; it does not boot with another command line."""
    with pytest.raises(quoting.QuotingError):
        quoting.grub_cmdline(cmdline)


def test_a_system_without_an_initramfs_is_booted_without_one() -> None:
    """And another system's own command line is used."""
    order = NetbootOrder("live", kernel="k" * 64, cmdline="boot=live")
    target = Target(board="b1", platform="x86-uefi", arch="amd64", macs=(MAC,), boot="b", token="t",
                    netboot=order, intent=BootIntent.STEP)  # fmt: skip
    script = render_grub(target, BASE)
    assert "initrd" not in script
    assert "linux /grub/kernel 'boot=live'" in script
    assert "booting live" in script


def test_the_loop_has_no_way_out_but_a_reset() -> None:
    """It renews the lease at half its time, and behind it is no menu but a reset."""
    loop = render_grub_loop(lease_seconds=3600)
    assert loop.startswith("while true; do\n")
    assert loop.endswith("done\nreboot\n")
    rounds = re.search(r"for round in ([\d ]+);", loop)[1].split()
    assert len(rounds) * 20 == 1800
    assert "for round in 0;" in render_grub_loop(lease_seconds=1)


def test_what_failed_is_told_by_the_name_of_a_file() -> None:
    """Under Secure Boot with what to look at; other names say nothing."""
    assert failure(failed_file("initrd", "")) == "GRUB failed with its initrd"
    assert "signed" in failure(failed_file("kernel", "y"))
    assert failure("grub/failed-shell-y.cfg") is None
    assert failure("grub/grub.cfg") is None


def found(name: str, target: Target | None, mac: str = MAC) -> bytes | str | None:
    """What is served: bytes, or the id of a registered file."""
    parts = grub_file(name, ME, mac, target, BASE, 3600, {one: f"id of {one}" for one in PROGRAMS}.get, Path)
    if parts is None:
        return None
    (part,) = parts
    return part if isinstance(part, bytes) else str(part)


def test_programs_are_there_except_for_who_boots_its_disk() -> None:
    """Firmware that is refused its first stage goes on with its next boot option."""
    held = Target(board="b1", platform="x86-uefi", arch="amd64", macs=(MAC,), uuid=UUID)
    local = Target(board="b1", platform="x86-uefi", arch="amd64", macs=(MAC,), intent=BootIntent.LOCAL)
    for target in (held, None):
        assert found("grub/shimx64.efi", target) == "id of shimx64.efi"
        assert found("grub/grubaa64.efi", target) == "id of grubaa64.efi"
    assert found("grub/shimx64.efi", local) is None
    assert found("grub/mmx64.efi", held) is None
    assert "reboot" in found("grub/round.cfg", local).decode()


def test_the_configuration_has_the_names_that_grub_tries() -> None:
    """By UUID, MAC, address with ever less digits, and plain; another machine's name is not found."""
    target = Target(board="b1", platform="x86-uefi", arch="amd64", macs=(MAC,), uuid=UUID)
    for name in (
        "grub.cfg",
        f"grub.cfg-{UUID}",
        "grub.cfg-01-52-54-00-00-00-01",
        "grub.cfg-0A4D0065",
        "grub.cfg-0A4D",
    ):
        assert found(f"grub/{name}", target).startswith(b"while true"), name
    for name in ("grub.cfg-01-52-54-00-00-00-02", "grub.cfg-0A4D0066", "x86_64-efi/grub.cfg", "other.cfg"):
        assert found(f"grub/{name}", target) is None, name
    assert b"unknown machine" in found("grub/round.cfg", None)
