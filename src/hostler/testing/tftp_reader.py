"""A TFTP client that behaves as boot firmware does: blocking, one block at a time, probing, impatient."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from hostler.wire.tftp import DEFAULT_BLOCK, ErrorCode, Opcode, error_packet, parse_error

_LAST_BLOCK = 0xFFFF


class TftpReadError(Exception):
    """A file could not be read to its end."""


class NotThereError(TftpReadError):
    """The server says that there is no such file."""


@dataclass(frozen=True, slots=True)
class TftpReader:
    """Reads files of one server.

    Attributes:
        server: Its address.
        port: Its port.
        block: Block size asked for; 512 asks for none.
        rollover: Whether block 65535 may be followed by block 0.
        seconds: Longest time for one file.
        retry_seconds: Silence after which the last packet is sent again.
        lose: Whether the packet of this number (counted from 0 in each file) is lost on its way here.
    """

    server: IPv4Address
    port: int = 69
    block: int = 1468
    rollover: bool = False
    seconds: float = 30.0
    retry_seconds: float = 1.0
    lose: Callable[[int], bool] = lambda _number: False

    def size(self, name: str) -> int:
        """Ask for a file's size and end the transfer at once with ERROR 0, "Early terminate".

        Raises:
            NotThereError: There is none.
            TftpReadError: No answer in time.
        """
        with self._socket() as sock:
            deadline = time.monotonic() + self.seconds
            datagram, peer = self._answer(
                sock, self._request(name), (str(self.server), self.port), deadline, 0
            )
            sock.sendto(error_packet(ErrorCode.UNDEFINED, "Early terminate"), peer)
            fields = datagram[2:].split(b"\0")
            options = dict(zip(fields[::2], fields[1::2], strict=False))
            if int.from_bytes(datagram[:2]) != Opcode.OPTIONS or b"tsize" not in options:
                raise TftpReadError(f"{name}: the server tells no size")
            return int(options[b"tsize"])

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            NotThereError: There is none.
            TftpReadError: It did not come in time, the server broke off, or it has too many blocks.
        """
        with self._socket() as sock:
            return self._read(sock, name)

    def _read(self, sock: socket.socket, name: str) -> bytes:
        deadline = time.monotonic() + self.seconds
        packet, peer = self._request(name), (str(self.server), self.port)
        block, count, content = DEFAULT_BLOCK, 0, bytearray()
        number = 0
        while True:
            datagram, peer = self._answer(sock, packet, peer, deadline, number)
            number += 1
            opcode, field = struct.unpack_from("!HH", datagram)
            if opcode == Opcode.OPTIONS and count == 0:
                block = self.block
                packet = struct.pack("!HH", Opcode.ACK, 0)
                continue
            if opcode != Opcode.DATA or field != (count + 1) & _LAST_BLOCK:
                continue  # a repetition: the last packet is sent again when nothing new comes
            if count == _LAST_BLOCK and not self.rollover:
                raise TftpReadError(f"{name}: more than {_LAST_BLOCK} blocks of {block} bytes")
            count += 1
            content += datagram[4:]
            packet = struct.pack("!HH", Opcode.ACK, field)
            if len(datagram) - 4 < block:
                sock.sendto(packet, peer)
                return bytes(content)

    def _answer(
        self, sock: socket.socket, packet: bytes, peer: tuple[str, int], deadline: float, number: int
    ) -> tuple[bytes, tuple[str, int]]:
        """Send a packet until something comes back."""
        while True:
            sock.sendto(packet, peer)
            try:
                datagram, sender = sock.recvfrom(65536)
                while self.lose(number):
                    number += 1
                    datagram, sender = sock.recvfrom(65536)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise TftpReadError(f"nothing from {peer[0]} in {self.seconds:g} s") from None
                continue
            if int.from_bytes(datagram[:2]) == Opcode.ERROR:
                code, text = parse_error(datagram)
                raise (
                    NotThereError(text)
                    if code == ErrorCode.NOT_FOUND
                    else TftpReadError(f"error {code}: {text}")
                )
            return datagram, sender

    def _request(self, name: str) -> bytes:
        fields = [name.encode(), b"octet", b"tsize", b"0"]
        if self.block != DEFAULT_BLOCK:
            fields += [b"blksize", str(self.block).encode()]
        return struct.pack("!H", Opcode.READ) + b"".join(field + b"\0" for field in fields)

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(self.retry_seconds)
        return sock
