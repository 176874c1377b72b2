"""Whose firmware does not start iPXE, and that it is sent to GRUB then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_dhcp_exchange import IPXE, Bench, ip

from hostler.model.first_stages import Loader
from hostler.netboot import first_stage_watch
from hostler.netboot.dhcp_exchange import DhcpExchange
from hostler.netboot.dhcp_policy import Facts, Firmware
from hostler.netboot.first_stage_watch import REMEMBERED_SECONDS, START_SECONDS, FirstStageWatch, words
from hostler.netboot.table import BootTable, Target
from hostler.wire.dhcp import MessageType

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
FILES = {"shimx64.efi": "s", "grubx64.efi": "g"}
BOARD = Target("pc-1", "x86-uefi", "amd64", (MAC,), files=FILES, loader=Loader.IPXE)
UEFI = Facts(Firmware.PXE, 7)
GRUB = ("shimx64.efi", "grubx64.efi")


@pytest.fixture
def table() -> BootTable:
    made = BootTable()
    made.put(BOARD)
    return made


def test_firmware_that_asks_again_is_sent_to_grub(table: BootTable) -> None:
    """A board, and a machine nobody knows, which gets the files that some board has."""
    watch = FirstStageWatch()
    assert watch.instead(MAC, UEFI, BOARD, table, 0.0) == ()
    for mac, target in ((MAC, BOARD), (OTHER, None)):
        watch.fetched(mac, "snponly.efi", 10.0)
        assert watch.instead(mac, UEFI, target, table, 11.0) == GRUB
        assert watch.instead(mac, UEFI, target, table, 11.0 + REMEMBERED_SECONDS) == ()


def test_who_started_ipxe_stays_with_it(table: BootTable) -> None:
    """Its word counts whenever it comes, and there is nothing to tell then."""
    watch = FirstStageWatch()
    watch.fetched(MAC, "snponly.efi", 10.0)
    watch.started(MAC)
    assert watch.instead(MAC, UEFI, BOARD, table, 11.0) == ()
    assert watch.overdue(1000.0) == []


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        (Facts(Firmware.PXE, 0), BOARD),  # a BIOS knows no GRUB of ours
        (Facts(Firmware.PXE, 11), BOARD),  # no files for its processor
        (Facts(Firmware.SYSTEM), BOARD),
        (Facts(Firmware.IPXE, 7), BOARD),
        (UEFI, replace(BOARD, loader=Loader.UKI)),
        (UEFI, replace(BOARD, files={})),
    ],
)
def test_grub_is_for_firmware_that_can_start_it(facts: Facts, target: Target, table: BootTable) -> None:
    """Everybody else is answered as ever."""
    watch = FirstStageWatch()
    watch.fetched(MAC, "snponly.efi", 10.0)
    assert watch.instead(MAC, facts, target, table, 11.0) == ()


def test_silence_is_told_once_for_each_time() -> None:
    """After a minute, with what to do; other files than iPXE are no matter."""
    watch = FirstStageWatch()
    watch.fetched(MAC, "snponly.efi", 10.0)
    watch.fetched(OTHER, "grub/shimx64.efi", 10.0)
    assert watch.overdue(9.0 + START_SECONDS) == []
    (late,) = watch.overdue(10.0 + START_SECONDS)
    assert "pc-1 fetched snponly.efi whole" in words(late, "pc-1")
    assert 'loader = "grub"' in words(late, "pc-1")
    assert watch.overdue(11.0 + START_SECONDS) == []
    watch.fetched(MAC, "snponly.efi", 500.0)
    assert len(watch.overdue(500.0 + START_SECONDS)) == 1


@pytest.mark.parametrize("mac", [MAC, OTHER])
def test_dhcp_sends_such_firmware_to_grub(mac: str, table: BootTable) -> None:
    """Offer and acknowledgement name GRUB until iPXE is heard; then it is iPXE again."""
    watch, bench = FirstStageWatch(), Bench()
    bench.exchange = DhcpExchange((bench.lab,), table, {"snponly.efi"}, bench.events.append, watch)
    firmware = {60: b"PXEClient:Arch:00007:UNDI:003001", 93: b"\0\7"}
    offer, _ = bench.ask(MessageType.DISCOVER, firmware, mac)
    assert offer.file == b"snponly.efi"
    watch.fetched(mac, "snponly.efi", bench.now)
    offer, _ = bench.ask(MessageType.DISCOVER, firmware, mac)
    ack, _ = bench.ask(MessageType.REQUEST, {**firmware, 50: offer.yiaddr, 54: ip("10.77.0.1")}, mac)
    assert offer.file == ack.file == b"grub/shimx64.efi"
    bench.ask(MessageType.DISCOVER, {**IPXE, 93: b"\0\7"}, mac)
    offer, _ = bench.ask(MessageType.DISCOVER, firmware, mac)
    assert offer.file == b"snponly.efi"


@given(
    st.lists(st.tuples(st.sampled_from(["fetched", "started", "overdue"]), st.integers(0, 9)), max_size=40)
)
def test_memory_is_bounded(steps: list[tuple[str, int]]) -> None:
    """However many ask, the latest few are remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_stage_watch, "MOST", 3)
        watch = FirstStageWatch()
        for at, (what, number) in enumerate(steps):
            if what == "fetched":
                watch.fetched(str(number), "snponly.efi", float(at))
            elif what == "started":
                watch.started(str(number))
            else:
                watch.overdue(at + START_SECONDS)
            assert len(watch._fetched) <= 3
            assert len(watch._told) <= 3
