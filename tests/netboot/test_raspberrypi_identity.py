"""A Raspberry Pi is known by the serial number its firmware tells, and a wrong one is said aloud."""

from __future__ import annotations

import dataclasses

import pytest

from hostler.netboot.dhcp_identity import NOT_RELAYED, Sender, sender_of
from hostler.netboot.dhcp_policy import client_facts
from hostler.netboot.table import BootTable, Target
from hostler.testing.raspberrypi_dhcp import Guid, Model, discover
from hostler.wire.dhcp import Message

MAC, SERIAL = "dc:a6:32:01:36:c2", "9a1b2c3d"
BOARD = Target("pi-1", "raspberrypi4", "arm64", (), serial=f"10000000{SERIAL}")


def ask(table: BootTable, model: Model) -> Sender:
    message = Message.parse(discover(model, 1))
    return sender_of(table, message.mac, client_facts(message), NOT_RELAYED)


@pytest.mark.parametrize("kind", [Guid.LITTLE, Guid.BIG, Guid.SERIAL])
def test_a_board_without_a_known_mac_is_found_by_its_serial(kind: Guid):
    """In both byte orders; its MAC then leads to it too, for TFTP knows it by its lease alone."""
    table = BootTable()
    table.put(BOARD)
    assert ask(table, Model(4, SERIAL, MAC, guid=kind)).target is BOARD
    assert table.by_mac(MAC) is BOARD
    assert ask(table, Model(4, "00000001", "dc:a6:32:00:00:01", guid=kind)).target is None


def test_two_boards_in_one_message_are_a_conflict():
    """The MAC of one board and the serial of another: neither is booted by it."""
    table = BootTable()
    table.put(BOARD)
    table.put(Target("pi-2", "raspberrypi4", "arm64", (MAC,)))
    sender = ask(table, Model(4, SERIAL, MAC))
    assert "MAC" in sender.conflict
    assert "serial" in sender.conflict


def test_a_swapped_board_is_told():
    """Its MAC is known, its serial is not the one in lab.toml."""
    table = BootTable()
    table.put(dataclasses.replace(BOARD, macs=(MAC,)))
    assert "swapped" in ask(table, Model(4, "00000001", MAC)).conflict
    assert ask(table, Model(4, SERIAL, MAC)).conflict == ""


def test_a_board_that_is_gone_is_not_found_any_more():
    """Dropped, or renamed to another serial."""
    table = BootTable()
    table.put(BOARD)
    table.put(dataclasses.replace(BOARD, serial="00000002"))
    assert table.by_serial(SERIAL) is None
    table.drop("pi-1")
    assert table.by_serial("00000002") is None
