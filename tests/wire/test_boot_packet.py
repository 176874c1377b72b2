"""What is kept of the packets of boots, and what is never kept."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from hostler.wire.boot_packet import BootPorts, Kind, boot_packet

PORTS = BootPorts()
BOARD, HOST = bytes.fromhex("525400770001"), bytes.fromhex("525400770099")
TOKEN = b"t0ken"


def ip4(payload: bytes, protocol: int, *, outgoing: bool = False) -> bytes:
    ends = (bytes((10, 77, 0, 5)), bytes((10, 77, 0, 1)))
    source, target = reversed(ends) if outgoing else ends
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + source + target
    macs = (BOARD + HOST) if outgoing else (HOST + BOARD)
    return macs + b"\x08\x00" + header + payload


def udp(source: int, target: int, data: bytes) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(data), 0) + data


def tcp(source: int, target: int, data: bytes) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 1, 0x50, 0x18, 1000, 0, 0) + data


def test_a_dhcp_answer_to_all_is_whose_it_is_about() -> None:
    """The client's hardware address counts, not the broadcast on the wire; every byte is kept."""
    message = bytes(28) + BOARD + bytes(300)
    frame = b"\xff" * 6 + ip4(udp(67, 68, message), 17, outgoing=True)[6:]
    found = boot_packet(frame, PORTS, outgoing=True)
    assert found is not None
    assert (found.kind, found.mac, found.kept) == (Kind.DHCP, BOARD.hex(":"), frame)


def test_what_a_file_says_is_not_kept() -> None:
    """Of a TFTP block only its header, of an HTTP answer only its head."""
    block = ip4(udp(40000, 2000, struct.pack("!HH", 3, 1) + TOKEN * 9), 17, outgoing=True)
    found = boot_packet(block, PORTS, outgoing=True)
    assert found is not None
    assert (found.kind, found.client) == (Kind.TRANSFER, (bytes((10, 77, 0, 5)), 2000))
    assert found.kept == block[: 14 + 20 + 8 + 4]
    answer = ip4(tcp(8067, 3000, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n#!ipxe " + TOKEN), 6, outgoing=True)
    found = boot_packet(answer, PORTS, outgoing=True)
    assert found is not None
    assert found.kept.endswith(b"200 OK\r\nA: b\r\n\r\n")
    assert found.kind is Kind.ANSWER


def test_what_gives_rights_is_overwritten() -> None:
    """Tokens in headers and addresses, in any case and also where the head is cut; the length stays."""
    for head in (
        b"GET /boot/agent?token=%s HTTP/1.1\r\n\r\n",
        b"POST /boot/done?a=b&token=%s&c=d HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nauthorization: Bearer %s\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nAUTHORIZATION:Bearer %s",
        b"GET / HTTP/1.1\r\nCookie: a=%s\r\n\r\n",
    ):
        frame = ip4(tcp(3000, 8067, head % TOKEN), 6)
        found = boot_packet(frame, PORTS, outgoing=False)
        assert found is not None
        assert (found.kind, found.mac) == (Kind.REQUEST, BOARD.hex(":"))
        assert TOKEN not in found.kept
        assert len(found.kept) == len(frame)
        assert found.kept.startswith(frame[:60])


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_stop_it(data: bytes, outgoing: bool) -> None:
    """Whatever is on the wire is read or left, and nothing is made up: what is kept is never longer."""
    for frame in (data, ip4(udp(69, 2000, data), 17), ip4(data, 6), HOST + BOARD + b"\x86\xdd" + data):
        found = boot_packet(frame, PORTS, outgoing=outgoing)
        assert found is None or len(found.kept) <= len(frame)
