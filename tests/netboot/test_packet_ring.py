"""The memory that the kernel shares: order, lengths and directions, and what happens when nobody reads."""

from __future__ import annotations

import socket
import struct
import time
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from hostler.netboot.packet_ring import BLOCKS, HAND_OVER_SECONDS, PacketRing
from hostler.wire.boot_packet import BootPorts
from hostler.wire.packet_filter import boot_filter
from netns import CLIENT_INTERFACE, SERVER_INTERFACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netns import Lan

pytestmark = pytest.mark.netns

HEADS = 14 + 20 + 8
LAST = 0xFFFFFFFF
"""Number of the packet that ends a storm."""


@pytest.fixture
def ring(lan: Lan) -> Iterator[PacketRing]:
    with lan.server.entered():
        made = PacketRing(SERVER_INTERFACE, boot_filter(BootPorts()))
    yield made
    made.close()


def frame(lan: Lan, number: int) -> bytes:
    """Return a packet that goes to the TFTP port and is numbered."""
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, HEADS - 14 + 4, 0, 0, 64, 17, 0, b"\x0a\x4d\0\x02", b"\x0a\x4d\0\x01"
    )
    mac = bytes.fromhex(lan.client_mac.replace(":", ""))
    return b"\xff" * 6 + mac + b"\x08\0" + ip + struct.pack("!HHHHI", 2000, 69, 12, 0, number)


def number(data: bytes) -> int:
    return int(struct.unpack_from("!I", data, HEADS)[0])


def sender(lan: Lan) -> socket.socket:
    with lan.client.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((CLIENT_INTERFACE, 0))
    return sock


def heard(ring: PacketRing, count: int) -> list[int]:
    """Return the next numbers, as soon as there are so many."""
    found: list[int] = []
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline, found
        for one in islice(ring.frames(), count - len(found)):
            assert not one.outgoing
            assert one.length == len(one.data) == HEADS + 4
            found.append(number(one.data))
        time.sleep(0.005)
    return found


def test_reading_may_stop_at_any_packet(lan: Lan, ring: PacketRing) -> None:
    """Nothing is lost between two readings, however the kernel parts what it hands over."""
    with sender(lan) as sock:
        for at in range(20):
            sock.send(frame(lan, at))
        assert heard(ring, 3) == [0, 1, 2]
        assert heard(ring, 16) == list(range(3, 19))
        sock.send(frame(lan, 20))
        assert heard(ring, 2) == [19, 20]
    assert ring.missed() == 0
    assert list(ring.frames()) == []


def test_a_trickle_that_nobody_reads_for_a_while_is_kept(lan: Lan, ring: PacketRing) -> None:
    """Packets of a boot come one by one, each in a block of its own, while the reader waits for its disk."""
    with sender(lan) as sock:
        for at in range(40):
            sock.send(frame(lan, at))
            time.sleep(2 * HAND_OVER_SECONDS)
        assert heard(ring, 40) == list(range(40))
    assert ring.missed() == 0


def test_a_storm_that_nobody_reads_is_cut_and_counted(lan: Lan, ring: PacketRing) -> None:
    """What fits is kept in order, the rest is counted; read, it hears again, round after round."""
    with sender(lan) as sock:
        for _ in range(2):
            deadline = time.monotonic() + 60
            storm = 0
            while not ring.missed():
                assert time.monotonic() < deadline
                for at in range(storm, storm := storm + 500):
                    sock.send(frame(lan, at))
            found: list[int] = []
            while LAST not in found:  # what the storm left behind comes before it
                assert time.monotonic() < deadline
                sock.send(frame(lan, LAST))
                found += [number(one.data) for one in ring.frames()]
                time.sleep(0.02)
            kept = [one for one in found if one != LAST]
            assert kept == sorted(set(kept))
            assert BLOCKS <= len(kept) < storm
            ring.missed()  # forget the last packets that came while it was full
