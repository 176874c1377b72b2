"""Hints for disks, by table."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.disk_hint import REMOVABLE, DiskHintError, choose_disk, parse_hint


def disk(path: str, **facts: Any) -> dict[str, Any]:
    """Return the facts of a disk of 500 GB."""
    plain = {"bus": "ata", "transport": "ata", "size": 500_107_862_016, "model": "", "serial": "", "wwn": ""}
    marks = {"by_path": "", "rotational": False, "removable": False, "read_only": False, "spared": None}
    return {"path": path, **plain, **marks, **facts}


PLATTER = disk("/dev/sda", model="WDC WD10EZEX-08W", serial="WCC6Y0", rotational=True, size=1_000_204_886_016)
SSD = disk(
    "/dev/sdb", model="Samsung SSD 870 EVO", wwn="0x5002538f00000001", by_path="pci-0000:00:1f.2-ata-2.0"
)
NVME = disk("/dev/nvme0n1", bus="nvme", transport="pcie", model="Samsung SSD 980", serial="S64D")
SECOND = disk("/dev/nvme1n1", bus="nvme", transport="pcie", model="Samsung SSD 980", serial="S64E")
STICK = disk("/dev/sdc", bus="usb", removable=True, spared=REMOVABLE, size=31_000_000_000)
BOOT0 = disk("/dev/mmcblk0boot0", bus="mmc", spared="hardware partition boot0 of an eMMC", size=4 << 20)
ALL = [PLATTER, SSD, NVME, SECOND, STICK, BOOT0]


@pytest.mark.parametrize(
    ("hint", "path"),
    [
        ("/dev/sdb", "/dev/sdb"),
        ("path=/dev/sd*,rotational=no", "/dev/sdb"),
        ("/dev/disk/by-path/pci-0000:00:1f.2-ata-2.0", "/dev/sdb"),
        ("by-path=*-ata-2.0", "/dev/sdb"),
        ("wwn=0X5002538F00000001", "/dev/sdb"),
        ("serial=s64e", "/dev/nvme1n1"),
        ("bus=nvme,first", "/dev/nvme0n1"),
        ("bus=nvme,serial!=S64D", "/dev/nvme1n1"),
        ("model=Samsung*,bus!=nvme", "/dev/sdb"),
        ("model=* ssd 870 *", "/dev/sdb"),
        ("rotational=yes", "/dev/sda"),
        ("rotational!=no", "/dev/sda"),
        ("largest", "/dev/sda"),
        (">=1T", "/dev/sda"),  # as disks are sold
        ("size > 931Gi", "/dev/sda"),
        ("size>=100G,size<600G,transport=ata", "/dev/sdb"),
        ("transport!=usb,smallest,first", "/dev/nvme0n1"),
        ("bus=usb", "/dev/sdc"),
        ("removable=yes", "/dev/sdc"),
        ("<100G", "/dev/sdc"),
    ],
)
def test_a_hint_chooses_one_disk(hint: str, path: str) -> None:
    """Every term of it must hold, letters' case aside; a choice is made among what is left."""
    removable = path == "/dev/sdc"
    assert choose_disk(ALL, parse_hint(hint), removable=removable)["path"] == path


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("bus=nvme", r'more than one disk is "bus=nvme": /dev/nvme0n1 .*S64D.*; /dev/nvme1n1 .*S64E'),
        ("bus=nvme,smallest", r"more than one disk is .*S64D.*S64E"),
        (">=931Gi,bus=nvme", r'no disk is ">=931Gi,bus=nvme"; this board has: .*/dev/sda.*/dev/sdb'),
        (">=2T", r"no disk is.*/dev/sda"),
        ("/dev/sdx", r'no disk is "/dev/sdx"; this board has: /dev/sda'),
        ("bus=usb", r"no disk is .*/dev/sdc .*left alone: removable medium"),
        ("/dev/mmcblk0boot0", r"left alone: hardware partition boot0"),
        ("wwn=*,serial=nothing", r"no disk is"),
    ],
)
def test_none_or_several_is_an_error_that_names_them(hint: str, told: str) -> None:
    """With the facts that tell them apart; nothing is chosen by chance."""
    with pytest.raises(DiskHintError, match=told):
        choose_disk(ALL, parse_hint(hint))


def test_without_a_hint_there_must_be_one() -> None:
    """Of the ordinary disks; what is spared or write-protected does not count."""
    locked = disk("/dev/sdd", read_only=True)
    assert choose_disk([SSD, STICK, BOOT0, locked], None) is SSD
    with pytest.raises(DiskHintError, match=r"more than one disk.*/dev/sda.*/dev/sdb"):
        choose_disk([PLATTER, SSD, STICK], None)
    with pytest.raises(
        DiskHintError, match=r"no disk to install on.*/dev/sdc.*removable.*/dev/sdd.*write-prot"
    ):
        choose_disk([STICK, locked], None)
    with pytest.raises(DiskHintError, match="this board has: none"):
        choose_disk([], None)


def test_removable_media_are_disks_where_the_class_says_so() -> None:
    """A card in its slot is then the board's disk; the medium that brings the agent never is."""
    assert choose_disk([STICK], None, removable=True) is STICK
    brings = {**STICK, "spared": "medium that brings the agent"}
    for hint in (None, parse_hint("removable=yes"), parse_hint("/dev/sdc")):
        with pytest.raises(DiskHintError, match="medium that brings the agent"):
            choose_disk([brings], hint, removable=True)


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("", "1 to 500"),
        ("x" * 501, "1 to 500"),
        ("biggest", '"biggest" says nothing of a disk; write smallest'),
        ("sda", '"sda" says nothing'),
        ("size=100G", '"size=100G" is no size'),
        (">=100 potatoes", "is no size"),
        ("colour=red", '"colour=red" says nothing'),
        ("model>5", '"model>5" says nothing'),
        ("rotational=maybe", "yes or no"),
        ("bus=nvme,,first", '"" says nothing'),
        ("bus=", '"bus=" says nothing'),
    ],
)
def test_a_hint_that_cannot_be_read_says_what_would_do(hint: str, told: str) -> None:
    """The term that is wrong is named."""
    with pytest.raises(DiskHintError, match=told):
        parse_hint(hint)


@given(st.text(max_size=60))
def test_any_text_is_a_hint_or_an_error(text: str) -> None:
    """Nothing else comes of it, and what is read can be asked of any disk."""
    try:
        hint = parse_hint(text)
    except DiskHintError:
        return
    assert hint.matches(SSD) in (True, False)


FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
KEYS = st.sampled_from([*disk("/dev/sda"), "anything"])
HINTS = st.sampled_from(
    [None, "smallest", "largest", "first", "size>=1", "<1T,first", "bus=*", "serial!=x", "removable=no"]
)


@given(st.lists(st.dictionaries(KEYS, FACTS, max_size=6), max_size=4), HINTS, st.booleans())
def test_boards_may_report_anything(disks: list[dict[str, Any]], hint: str | None, removable: bool) -> None:
    """One of the disks is chosen, or it is said why not; nothing else is raised."""
    try:
        chosen = choose_disk(disks, parse_hint(hint) if hint else None, removable=removable)
    except DiskHintError:
        return
    assert any(chosen is one for one in disks)


def test_a_size_that_is_no_whole_number_counts_as_none() -> None:
    """So such a disk is the smallest, and is none of at least any size."""
    odd = disk("/dev/sdx", size="1T")
    assert choose_disk([odd, SSD], parse_hint("smallest")) is odd
    assert choose_disk([odd, SSD], parse_hint("size>=1")) is SSD
    with pytest.raises(DiskHintError, match="is no size"):
        parse_hint("size>=" + "9" * 400)
