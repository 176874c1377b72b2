"""Which packets of an interface belong to a boot: a program in classic BPF, which the kernel runs.

What is bulk never leaves the kernel: of a file over TFTP only some blocks' headers, of one over HTTP only the
packet that begins the answer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from hostler.wire.boot_packet import BootPorts

SNAP: Final = 2048
"""Most bytes taken of a packet: DHCP answers and the heads of requests fit."""

FIRST_BLOCKS: Final = 8
"""Blocks of a TFTP transfer that are taken, with their acknowledgements."""

EACH_BLOCKS: Final = 256
"""And then every block whose number can be divided by this: they show how fast it went."""

_LDB, _LDH, _LDH_X, _LDW_X, _LDB_X = 0x30, 0x28, 0x48, 0x40, 0x50
_LDX_IP, _LDX, _JA, _JEQ, _JGE, _JGT, _JSET = 0xB1, 0x01, 0x05, 0x15, 0x35, 0x25, 0x45
_AND, _RSH, _ADD_X, _ADD, _TXA, _TAX, _RET, _RET_A = 0x54, 0x74, 0x0C, 0x04, 0x87, 0x07, 0x06, 0x16

_ETHERNET = 14
_IP4, _IP6, _UDP, _TCP = 0x0800, 0x86DD, 17, 6
_FIN_SYN_RST = 0x07
_DATA, _ACK, _LAST_OPCODE = 3, 4, 6
_METHODS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"HTTP")


class _Step(NamedTuple):
    """An instruction; jumps go to labels, None: to the next one."""

    code: int
    value: int = 0
    yes: str | None = None
    no: str | None = None


def boot_filter(ports: BootPorts) -> bytes:
    """Return the program for a socket that sees whole Ethernet frames, as ``SO_ATTACH_FILTER`` wants it.

    DHCP is taken also when sent to many, nothing else is. What agents say over HTTP is left out.

    Args:
        ports: Where the services are. TFTP transfers have ports of their own; they are known by their opcode.

    Raises:
        ValueError: These are more ports than one filter has room for.
    """
    code: list[_Step | str] = [
        _Step(_LDH, 12), _Step(_JEQ, _IP4, "ip4"), _Step(_JEQ, _IP6, None, "drop"),
        # IPv6: what has extension headers is left out.
        _Step(_LDX, 40), _Step(_LDB, 20), _Step(_JEQ, _TCP, "tcp"), _Step(_JEQ, _UDP, None, "drop"),
        *_either_port(ports.dhcp6, "take"), _Step(_LDB, 38), _Step(_JEQ, 0xFF, "drop", "tftp"),
        "ip4", _Step(_LDH, 20), _Step(_JSET, 0x1FFF, "drop"), _Step(_LDX_IP, _ETHERNET),
        _Step(_LDB, 23), _Step(_JEQ, _TCP, "tcp"), _Step(_JEQ, _UDP, None, "drop"),
        *_either_port(ports.dhcp, "take"), _Step(_LDB, 30), _Step(_JGE, 224, "drop"),
        # Its own ports differ with each transfer: a request is to the known one, the rest has an opcode.
        "tftp", _Step(_LDH_X, _ETHERNET + 2), _Step(_JEQ, ports.tftp, "take"),
        _Step(_LDH_X, _ETHERNET), _Step(_JEQ, ports.tftp, "take"),
        _Step(_LDH_X, _ETHERNET + 8), _Step(_JGT, _LAST_OPCODE, "drop"), _Step(_JGT, _ACK, "take"),
        _Step(_JEQ, _DATA, "block"), _Step(_JEQ, _ACK, None, "drop"),
        "block", _Step(_LDH_X, _ETHERNET + 10), _Step(_JGT, FIRST_BLOCKS, None, "header"),
        _Step(_JSET, EACH_BLOCKS - 1, "drop"),
        # Only its header: what a file says may be a secret, and is bulk anyway.
        "header", _Step(_TXA), _Step(_ADD, _ETHERNET + 12), _Step(_RET_A),
        "tcp", *_either_port(ports.http, "http"), _Step(_JA, 0, "drop"),
        "http", _Step(_LDB_X, _ETHERNET + 13), _Step(_JSET, _FIN_SYN_RST, "take"),
        _Step(_LDB_X, _ETHERNET + 12), _Step(_AND, 0xF0), _Step(_RSH, 2), _Step(_ADD_X), _Step(_TAX),
        _Step(_LDW_X, _ETHERNET), *(_Step(_JEQ, _word(method), "head") for method in _METHODS),
        _Step(_JA, 0, "drop"),
        "head", _Step(_JEQ, _word(b"POST"), "post"),
        _Step(_LDW_X, _ETHERNET + 4), _Step(_JEQ, _word(b"/age"), "drop", "take"),
        "post", _Step(_LDW_X, _ETHERNET + 5), _Step(_JEQ, _word(b"/age"), "drop"),
        "take", _Step(_RET, SNAP), "drop", _Step(_RET, 0),
    ]  # fmt: skip
    return _assembled(code)


def _either_port(ports: Collection[int], label: str) -> list[_Step]:
    found = []
    for place in (_ETHERNET, _ETHERNET + 2):
        found.append(_Step(_LDH_X, place))
        found += [_Step(_JEQ, port, label) for port in sorted(ports)]
    return found


def _word(text: bytes) -> int:
    return int.from_bytes(text, "big")


def _assembled(code: list[_Step | str]) -> bytes:
    """Return the instructions as ``struct sock_filter``; raises ValueError where one jumps too far."""
    places: dict[str, int] = {}
    steps: list[_Step] = []
    for one in code:
        if isinstance(one, str):
            places[one] = len(steps)
        else:
            steps.append(one)

    def ahead(here: int, label: str | None) -> int:
        return 0 if label is None else places[label] - here - 1

    program = b""
    for here, step in enumerate(steps):
        if step.code == _JA:
            program += struct.pack("=HBBI", _JA, 0, 0, ahead(here, step.yes))
            continue
        yes, no = ahead(here, step.yes), ahead(here, step.no)
        if max(yes, no) > 255:
            raise ValueError("too many ports for one filter")
        program += struct.pack("=HBBI", step.code, yes, no, step.value)
    return program
