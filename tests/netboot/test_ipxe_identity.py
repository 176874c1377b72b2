"""A board whose boot interface is not in the inventory is known by what its iPXE says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netboot_peers import Rack
from test_process_qemu import MAC, X86, fetched, powered, put_step, setup

from hostler.netboot.dhcp_identity import NOT_RELAYED, sender_of
from hostler.netboot.dhcp_policy import Facts, Firmware
from hostler.netboot.first_stage_watch import FirstStageWatch
from hostler.netboot.ipxe_identity import Told, board_of, told
from hostler.netboot.table import BootTable, Target

if TYPE_CHECKING:
    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

UUID = "12345678-0000-4000-8000-00000000ab01"
ONE = Target("b1", "x86-uefi", "amd64", ("52:54:00:00:00:01", "52:54:00:00:00:11"), uuid=UUID, serial="SN-1")
TWO = Target("b2", "x86-uefi", "amd64", ("52:54:00:00:00:02",), serial="SN-2")


@pytest.fixture
def table() -> BootTable:
    made = BootTable()
    made.put(ONE)
    made.put(TWO)
    return made


@pytest.mark.parametrize(
    ("says", "board"),
    [
        (Told(uuid=UUID), "b1"),
        (Told(serial="sn-2"), "b2"),
        (Told(macs=("52:54:00:00:00:77", "52:54:00:00:00:11")), "b1"),
        (Told(uuid=UUID, serial="SN-1", macs=("52:54:00:00:00:01",)), "b1"),
        (Told(serial="SN-9", macs=("52:54:00:00:00:99",)), None),
        (Told(), None),
    ],
)
def test_any_fact_that_is_known_tells_the_board(table: BootTable, says: Told, board: str | None):
    """UUID, serial number or the MAC of any interface."""
    target, conflict = board_of(table, says)
    assert (target.board if target else None, conflict) == (board, "")


def test_facts_of_different_boards_are_a_conflict(table: BootTable):
    """It is neither of them, and the words name both."""
    target, conflict = board_of(table, Told(serial="SN-2", macs=("52:54:00:00:00:01",)))
    assert target is None
    assert "MAC 52:54:00:00:00:01 belongs to b1; serial SN-2 belongs to b2" in conflict
    table.put(replace(TWO, serial="SN-1"))
    assert board_of(table, Told(serial="SN-1"))[1]


def test_what_ipxe_writes_is_read():
    """Hyphens in MACs, interfaces it has not, placeholders of vendors."""
    says = told(
        {"uuid": UUID.upper(), "serial": "SN 1", "mac0": "52-54-00-00-00-01", "mac1": "", "mac2": "x"}
    )
    assert says == Told(UUID, "SN 1", ("52:54:00:00:00:01",))
    assert (
        told({"uuid": "00000000-0000-0000-0000-000000000000", "serial": "To be filled by O.E.M."}) == Told()
    )
    assert told({"failed": "kernel"}) is None


@given(
    st.dictionaries(st.sampled_from(["uuid", "serial", *(f"mac{n}" for n in range(9))]), st.text(max_size=80))
)
def test_whatever_is_said_is_a_fact_or_nothing(query: dict[str, str]):
    """No text breaks the listener or becomes a fact of another shape."""
    says = told(query)
    assert (says is None) == ("uuid" not in query)
    if says is not None:
        assert says.serial is None or says.serial.isascii()
        assert all(len(mac) == 17 for mac in says.macs)


def test_an_interface_that_moved_is_asked_anew(table: BootTable):
    """What stood for a board because of what its iPXE said is a stranger until iPXE says it again."""
    mac = "52:54:00:00:00:77"
    table.stand_in(mac, "b2")
    system = sender_of(table, mac, Facts(Firmware.SYSTEM), NOT_RELAYED).target
    assert system is not None
    assert system.board == "b2"
    assert sender_of(table, mac, Facts(Firmware.IPXE, 0), NOT_RELAYED).target is None


def test_an_ipxe_without_http_is_not_sent_round_in_circles():
    """It gets a whole iPXE once; if that has no HTTP either, it is told so and gets no third one."""
    watch, mac = FirstStageWatch(), "52:54:00:00:00:77"
    rom = Facts(Firmware.PXE, 0, user_class="iPXE")
    assert watch.lacks_http(mac, rom, 0) == ""
    watch.fetched(mac, "undionly.kpxe", 1)
    assert "undionly.kpxe, which it fetched from here, has none either" in watch.lacks_http(mac, rom, 5)
    assert (
        watch.lacks_http(mac, Facts(Firmware.PXE, 0), 5) == ""
    )  # the ROM of another maker, switched on anew
    assert watch.overdue(100) == []  # it did start
    assert watch.lacks_http(mac, rom, 100) == ""
    watch.started(mac)
    assert watch.lacks_http(mac, rom, 5) == ""


@pytest.mark.netns
@pytest.mark.qemu
async def test_a_board_with_another_interface_is_known_by_its_serial(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
):
    """SeaBIOS and iPXE with an unknown MAC and UUID: the serial number leads to the board's kernel."""
    rack = Rack()
    async with rack.child(setup) as child:
        target = put_step(child, tmp_path, Path("/boot/ipxe.lkrn"), "x86-bios", "amd64")
        child.put_target(replace(target, macs=("52:54:00:00:00:01",), serial="SN 77/a"))
        async with powered(lan, *X86, "-smbios", f"type=1,uuid={UUID},serial=SN 77/a") as board:
            await board.until(lambda: "initrd" in fetched(rack, "http", "done"))
    known = [event for event in rack.events if event.kind == "identified"]
    assert [(event.board, event.mac, event.data["serial"]) for event in known] == [("b1", MAC, "SN 77/a")]
