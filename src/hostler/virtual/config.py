"""virtual.toml: what the virtual lab consists of.

Every complaint names file and key, and nothing is started from a file with a mistake in it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from uuid import UUID

from hostler.virtual.disks import DiskConfig, read_disks
from hostler.virtual.toml_table import Table, VirtualConfigError


class Kind(StrEnum):
    """A kind of virtual board: its firmware and its architecture."""

    X86_BIOS = "x86-bios"
    X86_UEFI = "x86-uefi"
    ARM64_UBOOT = "arm64-uboot"
    ARM64_UEFI = "arm64-uefi"

    @property
    def uefi(self) -> bool:
        """Whether its firmware is EDK2."""
        return self in (Kind.X86_UEFI, Kind.ARM64_UEFI)


class First(StrEnum):
    """What a board's firmware tries before anything else.

    Attributes:
        NETWORK: The network: PXE over IPv4, or what its firmware has instead of PXE.
        HTTP: UEFI HTTP boot over IPv4.
        NETWORK6: PXE over IPv6 (UEFI).
        HTTP6: UEFI HTTP boot over IPv6.
        DISK: Its disk; the network is asked only when there is nothing on it.
        MEDIA: The medium in its drive, then its disk; it never asks the network.
    """

    NETWORK = "network"
    HTTP = "http"
    NETWORK6 = "network6"
    HTTP6 = "http6"
    DISK = "disk"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """One virtual board.

    Attributes:
        name: Its name; also the name of its directory.
        kind: Firmware and architecture.
        port: Port of the virtual switch it hangs on, from 1.
        mac: Lower case with colons.
        uuid: System UUID (SMBIOS type 1, DHCP option 97).
        serial: Serial number (SMBIOS type 1).
        console: Host and TCP port of its serial line.
        memory: MiB.
        cpus: Virtual processors.
        disks: Its disks, the first of which its firmware boots.
        first: What its firmware tries first.
        secure_boot: Whether its firmware starts only what Microsoft's keys vouch for.
        media: Image in a drive of it, read only; None: it has no drive.
        clock: Where its clock stands at power-on, an ISO date and time; empty: it is right.
    """

    name: str
    kind: Kind
    port: int
    mac: str
    uuid: UUID
    serial: str
    console: tuple[str, int]
    memory: int
    cpus: int
    disks: tuple[DiskConfig, ...]
    first: First = First.NETWORK
    secure_boot: bool = False
    media: Path | None = None
    clock: str = ""


@dataclass(frozen=True, slots=True)
class LabConfig:
    """The whole lab.

    Attributes:
        state_dir: Disks, logs, pid files. Kept between runs.
        bridge: Name of the bridge in the lab's network namespace.
        server: The server's own address on that bridge, with the subnet.
        server6: Its IPv6 address there, with the subnet, or None.
        accelerator: ``auto`` ``kvm`` ``tcg``.
        cache: QEMU's disk cache mode.
        switch_listen: Host and UDP port of the switch's SNMP agent.
        community: The community string that may read and write.
        ports: Number of ports of the switch.
        boards: The boards, in the order of the file.
    """

    state_dir: Path
    bridge: str
    server: IPv4Interface
    accelerator: str
    cache: str
    switch_listen: tuple[str, int]
    community: str
    ports: int
    boards: tuple[BoardConfig, ...]
    server6: IPv6Interface | None = None

    def board_dir(self, board: BoardConfig) -> Path:
        """Return where one board keeps its disk and logs."""
        return self.state_dir / "boards" / board.name

    @property
    def namespace_pid_file(self) -> Path:
        """The file that holds the pid whose network namespace is the lab's."""
        return self.state_dir / "namespace.pid"


def load(path: Path) -> LabConfig:
    """Read and check virtual.toml.

    Raises:
        VirtualConfigError: Names the file and the key.
    """
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise VirtualConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VirtualConfigError(f"{path}: {error}") from error
    root = Table(str(path), "", document)
    root.only("lab", "switch", "boards")
    lab = root.table("lab")
    lab.only("state_dir", "bridge", "address", "address6", "accelerator", "cache")
    switch = root.table("switch")
    switch.only("listen", "community", "ports")
    ports = switch.number("ports", 1, 48, 8)
    config = LabConfig(
        state_dir=(path.parent / lab.text("state_dir")).resolve(),
        bridge=lab.text("bridge", "br0", r"[a-z][a-z0-9-]{0,14}"),
        server=_interface(lab, "address", "10.77.0.1/24"),
        server6=_interface6(lab, "address6"),
        accelerator=lab.choice("accelerator", ("auto", "kvm", "tcg"), "auto"),
        cache=lab.choice("cache", ("unsafe", "writeback", "none"), "unsafe"),
        switch_listen=switch.address("listen", "127.0.0.1:16100"),
        community=switch.text("community"),
        ports=ports,
        boards=tuple(_board(table, ports, path.parent) for table in root.tables("boards")),
    )
    _distinct(str(path), config)
    return config


_KEYS = (
    "name", "kind", "port", "mac", "uuid", "serial", "console", "memory", "cpus", "disk", "disks",
    "first", "secure_boot", "media", "clock",
)  # fmt: skip
_FIRST = {
    Kind.X86_BIOS: (First.NETWORK, First.MEDIA),
    Kind.X86_UEFI: (First.NETWORK, First.HTTP, First.NETWORK6, First.HTTP6, First.DISK, First.MEDIA),
    Kind.ARM64_UBOOT: (First.NETWORK, First.DISK),
    Kind.ARM64_UEFI: (First.NETWORK, First.HTTP, First.NETWORK6, First.HTTP6, First.DISK, First.MEDIA),
}


def _board(table: Table, ports: int, base: Path) -> BoardConfig:
    table.only(*_KEYS)
    name = table.text("name", None, r"[a-z0-9][a-z0-9-]{0,62}")
    uuid = table.text("uuid")
    try:
        parsed = UUID(uuid)
    except ValueError:
        raise table.wrong("uuid", f"is not a UUID: {uuid!r}") from None
    kind = Kind(table.choice("kind", tuple(Kind)))
    first = First(table.choice("first", tuple(First), First.NETWORK))
    if first not in _FIRST[kind]:
        raise table.wrong("first", f"must be one of {', '.join(_FIRST[kind])} for kind {kind}, not {first}")
    secure_boot = table.flag("secure_boot")
    if secure_boot and not kind.uefi:
        raise table.wrong("secure_boot", f"is of UEFI; a board of kind {kind} has no such thing")
    media = table.text("media", "")
    if first is First.MEDIA and not media:
        raise table.wrong("media", 'is missing; first = "media" needs the path of an image')
    if media and First.MEDIA not in _FIRST[kind]:
        raise table.wrong("media", f"a board of kind {kind} has no drive")
    serial = table.text("serial", name, r"[A-Za-z0-9._-]{1,64}")
    return BoardConfig(
        name=name,
        kind=kind,
        port=table.number("port", 1, ports),
        mac=table.text("mac", None, r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}"),
        uuid=parsed,
        serial=serial,
        console=table.address("console"),
        memory=table.number("memory", 128, 1 << 20, 1024),
        cpus=table.number("cpus", 1, 64, 1),
        disks=read_disks(table, serial),
        first=first,
        secure_boot=secure_boot,
        media=(base / media).resolve() if media else None,
        clock=table.text("clock", "", r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"),
    )


def _interface(table: Table, key: str, default: str) -> IPv4Interface:
    value = table.text(key, default)
    try:
        interface = IPv4Interface(value)
    except ValueError:
        raise table.wrong(key, f'must be an address and prefix like "10.77.0.1/24", not {value!r}') from None
    if interface.network.prefixlen > 30 or interface.ip == interface.network.network_address:
        raise table.wrong(key, f"must be a host's address in a subnet of at least 4, not {value!r}")
    return interface


def _interface6(table: Table, key: str) -> IPv6Interface | None:
    value = table.text(key, "")
    try:
        return IPv6Interface(value) if value else None
    except ValueError:
        raise table.wrong(key, f'must be an address and prefix like "fd77::1/64", not {value!r}') from None


def _distinct(path: str, config: LabConfig) -> None:
    for key in ("name", "port", "mac", "uuid", "serial", "console"):
        first: dict[object, str] = {}
        for board in config.boards:
            value = getattr(board, key)
            if value in first:
                raise VirtualConfigError(
                    f'{path}: boards "{first[value]}" and "{board.name}" have the same {key}'
                )
            first[value] = board.name
