"""What changes between two descriptions of a lab, key by key, and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.hub.errors import ConflictError
from hostler.hub.inventory import Inventory
from hostler.hub.inventory_changes import HIDDEN, InventoryChange, differences
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.records import HUB
from simulated_rack import running

LAB = """
[lab]
name = "bench"
[networks.boot]
interface = "eth1"
address = "10.77.0.1/24"
range = "10.77.0.100-10.77.0.199"
[equipment.switch1]
driver = "snmp-poe"
host = "10.0.0.2"
community = "env:COMMUNITY"
[classes.pc]
platform = "x86-bios"
[boards.pc-1]
class = "pc"
mac = "52:54:00:00:00:01"
labels = { ram = "4096" }
power = { equipment = "switch1", port = 1 }
[boards.pc-2]
class = "pc"
mac = "52:54:00:00:00:02"
[hooks.chat]
url = "https://bob:hunter2@chat.example/in?key=hunter3"
secret = "env:CHAT"
"""
EMPTY = Inventory()


def read(text: str) -> Inventory:
    return read_labfile(text, "other.toml", Path("/etc/lab"))


def told(change: InventoryChange) -> dict[str, tuple[object, object]]:
    return {one.key: (one.old, one.new) for one in change.keys}


def changed(*swaps: tuple[str, str]) -> list[InventoryChange]:
    text = LAB
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    return differences(read(LAB), read(text))


def test_nothing_changes() -> None:
    """A file with other comments and another order of keys describes the same lab."""
    assert changed(('name = "bench"', '# ours\nname = "bench"')) == []
    host, community = 'host = "10.0.0.2"', 'community = "env:COMMUNITY"'
    same = (f"{host}\n{community}", f"{community}\n{host}")
    assert changed(same) == []


def test_each_key_is_told_with_both_values() -> None:
    """Wires and labels by their own keys, a key that comes or goes with None for the other value."""
    changes = changed(
        ('name = "bench"', 'name = "rack"'),
        ('ram = "4096"', 'disk = "ssd"'),
        ("port = 1", "port = 7"),
        ("10.77.0.100-", "10.77.0.50-"),
        ('platform = "x86-bios"', 'platform = "x86-bios"\nmax_ttl = "2h"'),
    )
    assert [(one.change, one.what, one.name) for one in changes] == [
        ("change", "lab", "rack"),
        ("change", "network", "boot"),
        ("change", "class", "pc"),
        ("change", "board", "pc-1"),
    ]
    lab, network, board_class, board = changes
    assert told(lab) == {"name": ("bench", "rack")}
    assert told(network) == {"range": ("10.77.0.100-10.77.0.199", "10.77.0.50-10.77.0.199")}
    assert told(board_class) == {"max_ttl": (None, 7200.0)}
    assert told(board) == {
        "labels.ram": ("4096", None), "labels.disk": (None, "ssd"), "power.port": (1, 7)
    }  # fmt: skip
    assert set(board.detail.split(", ")) == {"labels.ram", "labels.disk", "power.port"}


def test_what_comes_and_goes_is_told_whole() -> None:
    """All its keys, with None for the side where it is not."""
    (gone, come) = changed(("boards.pc-2", "boards.pc-3"))
    assert (gone.change, gone.name, come.change, come.name) == ("remove", "pc-2", "add", "pc-3")
    assert told(gone) == {
        "class": ("pc", None), "network": ("boot", None), "macs": (["52:54:00:00:00:02"], None)
    }  # fmt: skip
    assert told(come)["class"] == (None, "pc")
    first = differences(EMPTY, read(LAB))
    assert {(one.what, one.change) for one in first} == {
        (what, "add") for what in ("lab", "network", "equipment", "class", "board", "hook")
    }


def test_references_are_told_and_secrets_are_not() -> None:
    """A secret in this file is a reference; what else logs in somewhere, in an address, is left out."""
    every = differences(EMPTY, read(LAB))
    equipment = told(next(one for one in every if one.what == "equipment"))
    hook = told(next(one for one in every if one.what == "hook"))
    assert equipment["community"] == (None, "env:COMMUNITY")
    assert hook["secret"] == (None, "env:CHAT")
    assert hook["url"] == (None, f"https://{HIDDEN}@chat.example/in?{HIDDEN}")
    assert "hunter" not in str(every)
    (change,) = changed(("env:COMMUNITY", "file:keys/switch1"))
    assert told(change) == {"community": ("env:COMMUNITY", "file:/etc/lab/keys/switch1")}
    deep = changed(('host = "10.0.0.2"', 'host = "10.0.0.2"\nv3 = { auth_password = "hunter2", user = "u" }'))
    assert told(deep[0]) == {"v3.auth_password": (None, HIDDEN), "v3.user": (None, "u")}
    (change,) = changed(("hunter3", "hunter4"))
    assert list(told(change)) == ["url"], "that it is another one is told, though not which"
    assert "hunter" not in str(change)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"x86-bios"', '"x86-bois"', 'other.toml:13: classes.pc.platform: there is no platform "x86-bois"'),
        ('"snmp-poe"', '"snmp"', 'other.toml:9: equipment.switch1.driver: there is no driver "snmp"'),
        ('"52:54:00:00:00:02"', '"x"', "other.toml:21: boards.pc-2.mac: "),
        ("10.77.0.100-", "10.78.0.100-", "other.toml:7: networks.boot.range: range 10.78.0.100"),
        (
            'class = "pc"\nmac = "52:54:00:00:00:02"', 'class = "mac"\nmac = "52:54:00:00:00:02"',
            'other.toml:20: boards.pc-2.class: there is no class "mac"',
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_file_line_and_key(old: str, new: str, says: str) -> None:
    """The file has the name it was given, and the key its whole path."""
    with pytest.raises(LabfileError) as wrong:
        read(LAB.replace(old, new))
    assert says in str(wrong.value)


async def test_only_what_was_compared_is_replaced(tmp_path: Path) -> None:
    """Who compared with an inventory that is no longer in force is refused, and nothing changes."""
    async with running(tmp_path) as lab:
        before = lab.hub.state.inventory
        text = before.text + '\n[boards.more]\nclass = "pc"\nmac = "52:54:00:00:00:77"\n'
        await lab.hub.apply_inventory(HUB, before.text + "\n# mine\n", base=before.digest)
        with pytest.raises(ConflictError, match="somebody else") as refused:
            await lab.hub.apply_inventory(HUB, text, base=before.digest)
        assert refused.value.kind == "inventory-changed"
        assert "more" not in lab.hub.state.inventory.boards
        await lab.hub.apply_inventory(HUB, text, file="more.toml", base=lab.hub.state.inventory.digest)
        assert "more" in lab.hub.state.inventory.boards
