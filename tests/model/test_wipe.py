"""A wipe counts only for what was read back."""

import pytest

from hostler.model.disk_hint import REMOVABLE, with_removable_disks
from hostler.model.wipe import Effort, unproven

VDA = {"path": "/dev/vda", "size": 1 << 30}
VDB = {"path": "/dev/vdb", "size": 1 << 30}


def wiped(*disks, read: int = 1 << 20) -> dict:
    return {"disks": [{"disk": disk, "method": "zeroed", "verified_bytes": read} for disk in disks]}


def test_every_disk_wiped_and_read_back_is_proof():
    """All writable disks the board has, and only they, must be in the result."""
    assert unproven(wiped(VDA, VDB), {"disks": [VDA, VDB]}) == ""
    stick = VDB | {"removable": True, "spared": REMOVABLE}
    assert unproven(wiped(VDA), {"disks": [VDA, stick]}) == ""
    ordinary = with_removable_disks({"disks": [VDA, stick]})
    assert "/dev/vdb was not wiped" in unproven(wiped(VDA), ordinary)


@pytest.mark.parametrize(
    ("result", "facts", "why"),
    [
        ({}, {}, "names no disk"),
        ({"disks": []}, {"disks": []}, "names no disk"),
        ({"disks": "all"}, {}, "names no disk"),
        (wiped(VDA, read=0), {}, "nothing was read back from /dev/vda"),
        (wiped(VDA), {"disks": [VDA, VDB]}, "disk /dev/vdb was not wiped"),
    ],
)
def test_anything_less_is_not(result, facts, why):
    """The reason names the disk."""
    assert why in unproven(result, facts)


def test_a_class_that_asks_for_purge_takes_nothing_less():
    """What could only be cleared is not clean then, and the reason says why it was; for others it is."""
    cleared = {"disk": VDA, "verified_bytes": 1, "sanitized": "clear", "declined": ["NVMe Sanitize: no"]}
    purged = cleared | {"sanitized": "purge"}
    assert unproven({"disks": [purged]}, {"disks": [VDA]}, Effort.PURGE) == ""
    assert unproven({"disks": [cleared]}, {"disks": [VDA]}, Effort.THOROUGH) == ""
    why = unproven({"disks": [purged, cleared]}, {"disks": [VDA]}, Effort.PURGE)
    assert why == "its class asks for purge, and /dev/vda was only cleared (NVMe Sanitize: no)"
    assert "only cleared" in unproven(wiped(VDA), {"disks": [VDA]}, Effort.PURGE)


@pytest.mark.parametrize(("key", "other"), [("serial", "B2"), ("size", 5)])
def test_a_disk_that_is_another_one_now_is_not_proven(key, other):
    """The board came with one disk, and another of the same name was wiped."""
    came = VDA | {"serial": "A1"}
    why = unproven(wiped(came | {key: other}), {"disks": [came]})
    assert why.startswith("disk /dev/vda came with the")
    assert why.endswith(f"wiped as {other}")
