"""Packets of boots as Wireshark's own reader sees them."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

INBOUND, OUTBOUND = "0x00000001", "0x00000002"
"""By the board, and by the server, as a capture's own flags tell."""


def tshark(file: Path, shown: str, *fields: str) -> list[list[str]]:
    """Return fields of the packets that a display filter shows; the file must be sound."""
    options = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), "-d", "tcp.port==8067,http",
         "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", shown, "-T", "fields", *options],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def malformed(file: Path) -> list[list[str]]:
    """Return number, protocol and complaint of each packet that is not what it says it is."""
    return tshark(
        file,
        "_ws.malformed || _ws.expert.severity == error",
        "frame.number", "_ws.col.Protocol", "_ws.expert.message",
    )  # fmt: skip


def said(file: Path, protocol: str, kind: str) -> list[tuple[str, str]]:
    """Return the messages of a protocol: direction, and the field that tells its kind."""
    return [(way, what) for way, what in tshark(file, protocol, "frame.packet_flags_direction", kind)]


@dataclass
class FileTransfer:
    """One file over TFTP.

    Attributes:
        name: As it was asked for, without slashes before.
        by_board: Opcodes of what the board sent: 1 request, 4 acknowledgement, 5 error.
        by_server: Opcodes of what it was sent: 3 block, 5 error, 6 options.
    """

    name: str
    by_board: list[str] = field(default_factory=list)
    by_server: list[str] = field(default_factory=list)


def file_transfers(file: Path) -> list[FileTransfer]:
    """Return what was asked for over TFTP, in order; a request that was sent again is one."""
    found: list[FileTransfer] = []
    of_port: dict[str, FileTransfer] = {}
    for way, opcode, name, source, target in tshark(
        file, "tftp", "frame.packet_flags_direction", "tftp.opcode", "tftp.source_file",
        "udp.srcport", "udp.dstport",
    ):  # fmt: skip
        inbound = way == INBOUND
        port = source if inbound else target
        if opcode == "1":
            name = name.lstrip("/")
            before = of_port.get(port)
            if before is None or before.name != name or before.by_server:
                of_port[port] = FileTransfer(name)
                found.append(of_port[port])
        (of_port[port].by_board if inbound else of_port[port].by_server).append(opcode)
    return found


def http_talks(file: Path) -> list[tuple[str, str]]:
    """Return what was asked for over HTTP, and the status of each answer; empty where there was none yet."""
    asked: dict[str, list[str]] = defaultdict(list)
    found: list[tuple[str, str]] = []
    seen: set[tuple[str, str, str]] = set()
    for way, stream, sequence, uri, code in tshark(
        file, "http.request || http.response", "frame.packet_flags_direction", "tcp.stream", "tcp.seq_raw",
        "http.request.uri", "http.response.code",
    ):  # fmt: skip
        if (way, stream, sequence) in seen:
            continue  # it was lost and sent again
        seen.add((way, stream, sequence))
        if uri:
            assert way == INBOUND
            asked[stream].append(uri)
        else:
            assert way == OUTBOUND
            found.append((asked[stream].pop(0), code))
    return found + [(uri, "") for uris in asked.values() for uri in uris]
