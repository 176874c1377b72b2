"""A wipe counts only for what was read back."""

import pytest

from hostler.model.wipe import unproven

VDA = {"path": "/dev/vda", "size": 1 << 30}
VDB = {"path": "/dev/vdb", "size": 1 << 30}


def wiped(*disks, read: int = 1 << 20) -> dict:
    return {"disks": [{"disk": disk, "method": "zeroed", "verified_bytes": read} for disk in disks]}


def test_every_disk_wiped_and_read_back_is_proof():
    """All writable disks the board has, and only they, must be in the result."""
    assert unproven(wiped(VDA, VDB), {"disks": [VDA, VDB]}) == ""
    assert unproven(wiped(VDA), {"disks": [VDA, VDB | {"removable": True}]}) == ""


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
