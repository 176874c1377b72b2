"""Boot answers as text: total over every intent, and no field can say more than it was meant to."""

from __future__ import annotations

import dataclasses
import re
import shlex
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.boot import BootIntent
from hostler.netboot import quoting
from hostler.netboot.hold_image import HOLD_IMAGE
from hostler.netboot.render_ipxe import render_ipxe
from hostler.netboot.render_pxelinux import render_pxelinux
from hostler.netboot.table import Target

BASE = "http://10.77.0.1:8067"
KERNEL, INITRD = "a" * 64, "b" * 64
GOOD = Target(
    board="rpi4-2", platform="x86-uefi", arch="amd64", macs=("52:54:00:00:00:01",), boot="b1", token="t0ken",
    kernel=KERNEL, initrd=INITRD,
    cmdline='console=ttyS0,115200 note="two words"', message="waiting for its turn",
)  # fmt: skip

nasty = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["\n", "\r", "&&", "||", ";", "${uuid}", "$(x)", "#", " ", "'", '"', "\\", "-", "--name", "shell",
             "chain http://evil/", "\x85", "\u2028", "LABEL x", "LINUX evil", "a"]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip
targets = st.builds(
    dataclasses.replace,
    st.just(GOOD),
    board=nasty,
    message=nasty,
    cmdline=nasty,
    kernel=st.one_of(st.none(), st.just(KERNEL), nasty),
    initrd=st.one_of(st.none(), st.just(INITRD), nasty),
    intent=st.sampled_from(BootIntent),
)
IPXE_COMMANDS = {"echo", "iseq", "exit", "set", "imgfree", "kernel", "initrd", "boot", "goto", "inc", "sleep",
                 "chain", "isset", "dhcp"}  # fmt: skip
IPXE_SETTINGS = {"platform", "stage", "tries", "held", "uuid", "serial", "netX/mac", "netX/ip"}
PXELINUX_WORDS = {"DEFAULT", "LABEL", "MENU", "LINUX", "INITRD", "APPEND", "LOCALBOOT"}


def ipxe_commands(script: str) -> list[list[str]]:
    """Split a script as iPXE does (``core/exec.c``): words, then commands at ``&&``, ``||`` and ``;``."""
    commands: list[list[str]] = []
    for line in re.split(r"[\r\n]+", script)[1:]:
        if line.startswith(":"):
            continue
        command: list[str] = []
        for word in line.split():
            assert not word.startswith("#")
            if word in ("&&", "||", ";"):
                commands.append(command)
                command = []
            else:
                command.append(word)
        commands.append(command)
    return [command for command in commands if command]


@given(targets | st.none())
def test_ipxe_scripts_hold_only_the_commands_that_were_meant(target: Target | None):
    """Whatever the fields say, the script has the same commands, fetches from us, expands no more."""
    script = render_ipxe(target, BASE)
    assert script.startswith("#!ipxe\n")
    assert script.isascii()
    commands = ipxe_commands(script)
    assert {command[0] for command in commands} <= IPXE_COMMANDS
    assert set(re.findall(r"\$\{([^}]*)\}", script)) <= IPXE_SETTINGS
    assert script.count("$") == len(re.findall(r"\$\{[^}]*\}", script))
    for command in commands:
        if command[0] in ("kernel", "initrd", "chain"):
            assert command[3 if command[0] != "chain" else -1].startswith(f"{BASE}/boot/")
    if target is None or target.intent is not BootIntent.LOCAL:
        assert "exit" not in [command[0] for command in commands]
        assert script.rstrip().splitlines()[-1].startswith("goto ")
    shape = [command[0] for command in commands]
    assert shape in [
        [command[0] for command in ipxe_commands(render_ipxe(plain, BASE))]
        for plain in (None, *(dataclasses.replace(GOOD, intent=intent) for intent in BootIntent))
    ]


@given(targets | st.none())
def test_pxelinux_files_hold_only_the_lines_that_were_meant(target: Target | None):
    """Whatever the fields say, the file has our lines only; unless LOCAL it ends in the hold program."""
    text = render_pxelinux(target, BASE)
    lines = text.splitlines()
    assert text == "".join(f"{line}\n" for line in lines)
    assert text.isascii()
    assert {line.split()[0] for line in lines} <= PXELINUX_WORDS
    assert not set(text) & set("$\\'#")
    if target is None or target.intent is not BootIntent.LOCAL:
        assert lines[-1] == "LINUX boot/hold"
        assert "LOCALBOOT" not in text
    else:
        assert lines[-1] == "LOCALBOOT -1"


@given(st.sampled_from([intent for intent in BootIntent if intent is not BootIntent.STEP]), nasty)
def test_only_a_step_boots_anything(intent: BootIntent, cmdline: str):
    """No other intent than STEP ever names a kernel of ours."""
    target = dataclasses.replace(GOOD, intent=intent, cmdline=cmdline)
    assert KERNEL not in render_ipxe(target, BASE)
    assert "boot/kernel" not in render_pxelinux(target, BASE)


def test_a_step_names_its_files_and_its_command_line():
    """The agent's kernel gets its command line; config first, so that nothing after it needs alignment."""
    target = dataclasses.replace(GOOD, intent=BootIntent.STEP)
    script = render_ipxe(target, BASE)
    assert (
        f'kernel --name kernel {BASE}/boot/file/{KERNEL} console=ttyS0,115200 note="two words"'
        " initrd=config.cpio initrd=initrd || goto failed\n"
    ) in script
    assert script.index("initrd --name config.cpio") < script.index("initrd --name initrd")
    text = render_pxelinux(target, BASE)
    assert "LINUX boot/kernel\nINITRD boot/initrd\nAPPEND console=ttyS0,115200" in text
    assert "t0ken" not in script + text


def test_a_step_that_cannot_be_said_is_held_and_says_why():
    """A command line the firmware would misread, or too long for U-Boot, holds the board with the reason."""
    bad = dataclasses.replace(GOOD, intent=BootIntent.STEP, cmdline="a ${b}")
    assert "cannot boot the agent" in render_ipxe(bad, BASE)
    assert "cannot boot the agent" in render_pxelinux(bad, BASE)
    long = dataclasses.replace(GOOD, intent=BootIntent.STEP, cmdline="a=" + "x" * 600)
    assert "cannot boot the agent" not in render_ipxe(long, BASE)
    assert "602 characters" in render_pxelinux(long, BASE)


def test_a_held_board_reads_why():
    """The message of the rack is what a person at the screen reads."""
    assert "Hostler: rpi4-2: waiting for its turn" in render_ipxe(GOOD, BASE)
    assert "Hostler: rpi4-2: waiting for its turn" in render_pxelinux(GOOD, BASE)
    assert "nothing will be written" in render_ipxe(None, BASE)


def test_a_held_board_renews_before_its_lease_ends():
    """As iPXE never renews by itself, the script asks DHCP again after half the lease."""
    assert "iseq ${held} 90 || goto ask" in render_ipxe(GOOD, BASE, lease_seconds=3600)
    assert "iseq ${held} 1 || goto ask" in render_ipxe(GOOD, BASE, lease_seconds=30)


@given(st.from_regex(r"[a-z_.]+\Z"), nasty)
def test_kernel_parameters_keep_their_value_or_are_refused(name: str, value: str):
    """A quoted parameter reads back as one word with its value, by the kernel's rules."""
    try:
        parameter = quoting.kernel_parameter(name.strip(), value)
    except quoting.QuotingError:
        return
    assert not set(parameter) & set("\n\r\0")
    posix = shlex.shlex(parameter, posix=True, punctuation_chars="")
    posix.whitespace, posix.whitespace_split, posix.escape, posix.commenters = " ", True, "", ""
    posix.quotes = '"'
    assert list(posix) == [f"{name.strip()}={value}"]


@given(nasty)
def test_words_for_people_never_start_an_option_or_comment(text: str):
    """Words stay words in every language."""
    for word in quoting.words(text).split(" "):
        assert not word.startswith(("-", "#"))
        assert word not in ("&&", "||", ";")


@pytest.mark.parametrize("bad", ["http://x/ y", "http://x/\nboot", "http://x/${a}", "-x", "||"])
def test_urls_are_one_word(bad: str):
    """A URL that is more than one word is refused."""
    with pytest.raises(quoting.QuotingError):
        quoting.url(bad)


def test_the_hold_program_has_the_header_of_an_arm64_image():
    """U-Boot's booti takes it: magic, no text offset, size, may lie anywhere."""
    assert HOLD_IMAGE[56:60] == b"ARM\x64"
    assert struct.unpack_from("<QQQ", HOLD_IMAGE, 8) == (0, 0x1000, 0b1010)
    assert len(HOLD_IMAGE) <= 0x1000
