"""What disks say of themselves, in one line; facts of a board may be anything."""

from hypothesis import given
from hypothesis import strategies as st

from hostler.model.disk_health import DiskHealth, failing_disks

WORN = DiskHealth("nvme", 98, 4, 12, 30_000, 41, ("its spare blocks are nearly used up",))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["failing", "hours", "x"]), inner)
    ),
    max_leaves=8,
)


def test_one_line_says_all_that_is_known():
    """The worst first; what a drive does not say is left out."""
    assert str(WORN) == (
        "FAILING: its spare blocks are nearly used up, worn 98 %, spare 4 %, 12 errors, on for 30000 h, 41 °C"
    )
    assert str(DiskHealth("emmc", wear_percent=10)) == "worn 10 %"


def test_disks_that_fail_are_named_by_what_they_are():
    """Path, model and serial number: whoever goes there has to find it."""
    disk = {"path": "/dev/nvme0n1", "model": "X", "serial": "S1", "health": WORN.to_json()}
    fine = {"path": "/dev/sda", "health": DiskHealth("ata").to_json()}
    assert failing_disks({"disks": [disk, fine]}) == {"/dev/nvme0n1 X S1": WORN.failing}


@given(json_values)
def test_facts_may_be_anything(value):
    """A board tells them: whatever it is, it is read without an error."""
    assert isinstance(failing_disks({"disks": [{"health": value}, value]}), dict)
    assert isinstance(failing_disks({"disks": value}), dict)
