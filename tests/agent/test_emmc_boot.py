"""From what an eMMC boots: words, bytes, and a card that keeps to the standard (JESD84-B51)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.agent.disks import Disk, Machine
from hostler.agent.emmc_boot import emmc_with, protection, put_boot, set_boot, writable
from hostler.agent.mmc import MmcError
from hostler.agent.work import NoDiskError, StepError
from hostler.model.emmc_boot import EmmcBoot, EmmcBootError, emmc_boot_words, parse_emmc_boot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.agent.mmc import MmcCommand


@dataclass
class Card:
    """A card's EXT_CSD: CMD8 reads it, CMD6 with access mode 3 writes one byte of its upper half.

    Attributes:
        values: Bytes that are not 0.
        deaf: Bytes it accepts and does not keep.
        written: What was written, in order.
    """

    values: dict[int, int] = field(default_factory=dict)
    deaf: tuple[int, ...] = ()
    written: list[tuple[int, int]] = field(default_factory=list)

    def run(self, commands: Sequence[MmcCommand]) -> bytes:
        (command,) = commands
        if command.opcode == 8:
            data = bytearray(512)
            for index, value in self.values.items():
                data[index] = value
            return bytes(data)
        assert (command.opcode, command.argument >> 24, command.writes) == (6, 3, True)
        index, value = command.argument >> 16 & 0xFF, command.argument >> 8 & 0xFF
        self.written.append((index, value))
        if index not in self.deaf:
            self.values[index] = value
        return b""

    def secure_discard(self, first: int, count: int) -> None:
        raise AssertionError((first, count))


@pytest.mark.parametrize(
    ("words", "config", "bus"),
    [
        ("boot0", 0x08, 0),  # as `mmc bootpart enable 1 0` writes it
        ("boot0,ack", 0x48, 0),  # `mmc bootpart enable 1 1`
        ("boot1,ack", 0x50, 0),
        ("user,ack", 0x78, 0),
        ("none", 0x00, 0),
        ("boot0,ack,x8,dual,retain", 0x48, 0x16),  # `mmc bootbus set dual x1 x8`
        ("boot0,x4,single-hs,reset", 0x08, 0x09),
    ],
)
def test_words_are_the_bytes_that_mmc_utils_writes(words: str, config: int, bus: int) -> None:
    """Bus first, then what boots from it; what is right already is not written again."""
    card = Card()
    put_boot(card, words)
    assert (card.values.get(179, 0), card.values.get(177, 0)) == (config, bus)
    assert card.written == [pair for pair in ((177, bus), (179, config)) if pair[1]]
    put_boot(card, words)
    assert len(card.written) == len([value for value in (config, bus) if value])


def test_what_is_not_said_stays() -> None:
    """Only the access to partitions, which the kernel uses, goes back to the user area."""
    card = Card({179: 0x48 | 1, 177: 0x16})
    assert put_boot(card, "boot1") == "boot1,ack,x8,dual,retain"
    assert (card.values[179], card.values[177]) == (0x50, 0x16)


@given(st.integers(0, 255), st.integers(0, 255))
def test_present_values_have_words(config: int, bus: int) -> None:
    """Reading them back gives the same bits, where they mean something."""
    words = emmc_boot_words(config, bus)
    try:
        read = parse_emmc_boot(words)
    except EmmcBootError:
        assert config >> 3 & 7 in (3, 4, 5, 6) or bus & 3 == 3 or bus >> 3 & 3 == 3
        return
    assert read.partition_config(0) == config & 0x78
    assert read.bus_conditions(0) == bus & 0x1F
    assert EmmcBoot().partition_config(config) == config & 0xF8


def test_a_card_that_does_not_keep_it_is_told() -> None:
    """Some refuse silently once BOOT_CONFIG_PROT is set."""
    with pytest.raises(MmcError, match=r"EXT_CSD\[179\] is 0x00 after 0x08"):
        put_boot(Card(deaf=(179,)), "boot0")


@pytest.mark.parametrize(
    ("words", "told"),
    [("boot2", '"boot2" says nothing'), ("boot0,boot1", "two things at once"), ("", "says nothing")],
)
def test_words_that_cannot_be_meant(words: str, told: str) -> None:
    """The word is named."""
    with pytest.raises(EmmcBootError, match=told):
        parse_emmc_boot(words)


@pytest.mark.parametrize(
    ("status", "boot0", "boot1"),
    [
        (0, "", ""),
        (1, "until its power is cut", ""),
        (0b1000, "", "for ever"),
        (0b1010, "for ever", "for ever"),
    ],
)
def test_what_the_card_protects_is_said(status: int, boot0: str, boot1: str) -> None:
    """BOOT_WP_STATUS has two bits for each partition."""
    card = Card({174: status})
    assert (protection(card, "boot0"), protection(card, "boot1")) == (boot0, boot1)


def test_a_boot_partition_is_read_only_again_whatever_happens(tmp_path: Path) -> None:
    """It is opened for writing as long as it is written and no longer."""
    switch = tmp_path / "block/mmcblk0boot0/force_ro"
    switch.parent.mkdir(parents=True)
    switch.write_text("1\n")
    machine, part = Machine(sys=tmp_path), Path("/dev/mmcblk0boot0")
    seen = []

    def broken_off() -> None:
        with writable(part, machine):
            seen.append(switch.read_text())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert seen == ["0\n"]
    assert switch.read_text() == "1\n"
    with (
        pytest.raises(StepError, match="mmcblk0boot1 stays read-only"),
        writable(Path("/dev/mmcblk0boot1"), machine),
    ):
        pytest.fail("never reached")


def disk(path: str, **facts: str) -> Disk:
    return Disk(
        path,
        facts.pop("bus", "mmc"),
        1 << 30,
        "",
        "",
        False,
        False,
        False,
        facts.pop("spared", None),
        **facts,
    )


def test_the_emmc_is_the_disk_with_boot_partitions() -> None:
    """An SD card has none; of two that have them a hint chooses."""
    card, emmc = disk("/dev/mmcblk0", transport="sd"), disk("/dev/mmcblk1", transport="mmc")
    parts = [disk(f"/dev/mmcblk1boot{n}", spared="hardware partition") for n in (0, 1)]
    assert emmc_with("boot1", [card, emmc, *parts], None) == emmc
    with pytest.raises(NoDiskError, match=r"no disk is an eMMC with a boot partition boot0.*/dev/mmcblk0"):
        emmc_with("boot0", [card], None)
    more = [disk("/dev/mmcblk2", transport="mmc"), disk("/dev/mmcblk2boot0", spared="hardware partition")]
    with pytest.raises(NoDiskError, match=r"more than one disk.*mmcblk1.*mmcblk2"):
        emmc_with("boot0", [emmc, *parts, *more], None)
    assert emmc_with("boot0", [emmc, *parts, *more], "/dev/mmcblk2").path == "/dev/mmcblk2"
    with pytest.raises(StepError, match="is no eMMC"):
        set_boot(card, "user")
