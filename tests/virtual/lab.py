"""A running virtual lab for tests, with dnsmasq as its boot server: an independent peer, not our netboot."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMUNITY = "virtual-lab"
ADMIN = "1.3.6.1.2.1.105.1.1.1.3.1"
DETECTION = "1.3.6.1.2.1.105.1.1.1.6.1"
BOARDS = {"vx-bios": "x86-bios", "vx-uefi": "x86-uefi", "va-uboot": "arm64-uboot"}
_ESCAPES = re.compile(rb"\x1b\[[0-9;=?]*[A-Za-z]")

# Answers IPv6 router solicitations with an advertisement that offers nothing (RFC 4861: lifetime 0, no
# prefix): iPXE waits some 15 seconds for a router before it goes on, even with its IPv4 address in hand.
_NO_ROUTER = """
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
i = socket.if_nametoindex("br0")
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, i)
group = socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", i)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
while True:
    if s.recv(1500)[:1] == b"\\x85":
        s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0), ("ff02::1", 0, 0, i))
"""


class Lab:
    """A lab that runs: its process, its ports, what its boards and its boot server said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.tftp = directory / "tftp"
        self.switch = free_port(socket.SOCK_DGRAM)
        self.consoles = {name: free_port(socket.SOCK_STREAM) for name in BOARDS}
        self.said = {name: bytearray() for name in (*BOARDS, "dnsmasq")}
        self.config = directory / "virtual.toml"
        self.process: subprocess.Popen[bytes] | None = None
        (self.tftp / "pxelinux.cfg").mkdir(parents=True)
        self.config.write_text(self._toml())

    def _toml(self) -> str:
        text = f"""
[lab]
state_dir = "state"
[switch]
listen = "127.0.0.1:{self.switch}"
community = "{COMMUNITY}"
ports = 4
"""
        for number, (name, kind) in enumerate(BOARDS.items(), start=1):
            text += f"""
[[boards]]
name = "{name}"
kind = "{kind}"
port = {number}
mac = "{self.mac(name)}"
uuid = "b0a2d0e4-{number:04}-4c6f-9a35-6d1f2c7e0001"
memory = 512
disk = "256M"
console = "127.0.0.1:{self.consoles[name]}"
"""
        return text

    @staticmethod
    def mac(name: str) -> str:
        return f"52:54:00:77:00:{list(BOARDS).index(name) + 1:02}"

    def disk(self, name: str) -> Path:
        path = self.state / "boards" / name / "disk.raw"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def start(self) -> None:
        receiver, sender = os.pipe()
        with os.fdopen(receiver, "rb") as ready:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hostler.virtual",
                    "--config",
                    str(self.config),
                    "--ready-fd",
                    str(sender),
                ],
                pass_fds=[sender],
            )
            os.close(sender)
            assert select.select([ready], [], [], 60)[0], "the lab is not ready after 60 s"
            assert ready.read() == b"ready\n", "the lab ended before it was ready"

    def enter(self, *command: str) -> list[str]:
        pid = (self.state / "namespace.pid").read_text().strip()
        return ["nsenter", "--net", "--target", pid, "--", *command]

    def power(self, name: str, *, on: bool) -> None:
        self._snmp("snmpset", f"{ADMIN}.{list(BOARDS).index(name) + 1}", "i", "1" if on else "2")

    def detection(self, name: str) -> int:
        return int(self._snmp("snmpget", f"{DETECTION}.{list(BOARDS).index(name) + 1}").split()[-1])

    def _snmp(self, tool: str, *arguments: str) -> str:
        options = ("-v2c", "-c", COMMUNITY, "-Oqe", f"127.0.0.1:{self.switch}")
        return subprocess.run(
            [tool, *options, *arguments], check=True, capture_output=True, text=True, timeout=30
        ).stdout

    def wait_for(self, source: str, text: str, seconds: float = 120) -> float:
        began = time.monotonic()
        while text.encode() not in self.said[source]:
            assert time.monotonic() - began < seconds, f"{source} never said {text!r}:\n{self.tail(source)}"
            time.sleep(0.05)
        return time.monotonic() - began

    def tail(self, source: str) -> str:
        return bytes(self.said[source][-3000:]).decode("utf-8", "replace")

    def listen_to_consoles(self, stack: ExitStack) -> None:
        for name, port in self.consoles.items():
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            line.settimeout(None)
            _record(line.recv, self.said[name])

    def start_dnsmasq(self, stack: ExitStack) -> None:
        command = self.enter(
            *(
                "dnsmasq",
                "-d",
                "-C",
                "/dev/null",
                "--port=0",
                "--interface=br0",
                "--bind-interfaces",
                "--user=root",
            ),
            *(
                "--leasefile-ro",
                "--log-facility=-",
                "--log-dhcp",
                "--no-ping",
                f"--tftp-root={self.tftp}",
                "--enable-tftp",
            ),
            *("--dhcp-range=10.77.0.100,10.77.0.200,1h", "--dhcp-option=encap:175,176,1b"),
            *("--dhcp-userclass=set:ipxe,iPXE", "--dhcp-match=set:efi,93,7"),
            *("--dhcp-boot=tag:ipxe,boot.ipxe", "--dhcp-boot=tag:efi,tag:!ipxe,snponly.efi"),
        )
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        stack.callback(_end, server)
        assert server.stdout is not None
        _record(server.stdout.raw.read, self.said["dnsmasq"])  # type: ignore[attr-defined]
        self.wait_for("dnsmasq", "sockets bound exclusively", 60)
        stack.callback(_end, subprocess.Popen(self.enter(sys.executable, "-c", _NO_ROUTER)))

    def qemus(self) -> list[int]:
        """Return the pids of this lab's QEMU processes, whoever their parent is."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):
                if path.readlink().is_relative_to(self.state):
                    found.append(int(path.parent.name))
        return found


@contextmanager
def running_lab(directory: Path) -> Iterator[Lab]:
    """Make a lab, let the block start it, and end whatever is left."""
    lab = Lab(directory)
    try:
        yield lab
    finally:
        if lab.process is not None:
            _end(lab.process, signal.SIGTERM)


def bootable_disk(path: Path, megabytes: int) -> None:
    """Make a disk that says something on every firmware, without an operating system.

    BIOS: a boot sector that prints. UEFI: iPXE as ``BOOTX64.EFI``. U-Boot: an ``extlinux.conf``.
    """
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    table = b"label: gpt\nstart=2048, size=65536, type=uefi\n"
    subprocess.run(["sfdisk", "-q", str(path)], input=table, check=True, timeout=30)
    esp = path.with_suffix(".esp")
    with esp.open("wb") as file:
        file.truncate(65536 * 512)
    subprocess.run(["mkfs.vfat", str(esp)], check=True, stdout=subprocess.DEVNULL, timeout=30)
    conf = path.with_suffix(".conf")
    conf.write_text("label disk\n  kernel /there-is-none\n")
    for command in (
        ["mmd", "-i", str(esp), "::EFI", "::EFI/BOOT", "::extlinux"],
        ["mcopy", "-i", str(esp), "/usr/lib/ipxe/ipxe.efi", "::EFI/BOOT/BOOTX64.EFI"],
        ["mcopy", "-i", str(esp), str(conf), "::extlinux/extlinux.conf"],
    ):
        subprocess.run(command, check=True, timeout=30)
    # xor ax,ax; mov ds,ax; mov si,text; next: lodsb; or al,al; jz end; mov ah,0eh; mov bx,7; int 10h;
    # jmp next; end: hlt; jmp end
    code = bytes.fromhex("31c08ed8be187cac08c07409b40ebb0700cd10ebf2f4ebfd")
    assert len(code) == 0x18
    with path.open("r+b") as file:
        file.write(code + b"Hello from the disk\r\n\0")
        file.seek(1 << 20)
        file.write(esp.read_bytes())
    esp.unlink()


def _record(read: object, into: bytearray) -> None:
    def pump() -> None:
        with suppress(OSError, ValueError):
            while data := read(65536):  # type: ignore[operator]
                into.extend(_ESCAPES.sub(b"", data))

    threading.Thread(target=pump, daemon=True).start()


def _end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
