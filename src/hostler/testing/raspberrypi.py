"""A Raspberry Pi that boots from the network, as far as the wire shows: DHCP, its tree by TFTP, NETCONSOLE.

It asks for the files in the order seen in traces of real boards (rpi-eeprom#74, #87), takes an absent one
as they do, reads ``config.txt`` for the names of kernel and initramfs, and ends with what the real one
would start.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hostler.testing.dhcp_socket import DhcpSocket
from hostler.testing.raspberrypi_dhcp import (
    Model,
    Offer,
    discover,
    is_acknowledged,
    judge,
    lease_only,
    request,
)
from hostler.testing.tftp_reader import NotThereError, TftpReader, TftpReadError
from hostler.wire.dhcp import DhcpError

_ROM_BLOCK = 512


class BootFailed(Exception):  # noqa: N818 - an outcome, which sends the firmware to its next boot mode
    """The network boot ended; the firmware goes on with the next entry of its boot order."""


@dataclass(frozen=True, slots=True)
class Timers:
    """How patient the firmware is, in seconds.

    Attributes:
        dhcp: For an offer it takes; the ROM of a Pi 3 gives up after 33.
        retry: Between two DISCOVERs.
        file: For one file.
        tftp_retry: Before a TFTP packet is sent again.
    """

    dhcp: float = 45.0
    retry: float = 4.0
    file: float = 30.0
    tftp_retry: float = 1.0


@dataclass(slots=True)
class Started:
    """What the board would start.

    Attributes:
        kernel: The kernel.
        initramfs: The initramfs, or empty.
        device_tree: The device tree, or empty.
        cmdline: The kernel command line.
        config: ``config.txt`` as settings.
    """

    kernel: bytes
    initramfs: bytes
    device_tree: bytes
    cmdline: str
    config: Mapping[str, str]


@dataclass(slots=True)
class RaspberryPi:
    """One board on one wire.

    Attributes:
        model: Which.
        interface: The interface it is connected with.
        configure: Gives the interface the address of the offer.
        timers: Its patience.
        dhcp_port: The server's port; the board's is one more.
        tftp_port: Where TFTP is asked.
        unpack: Takes ``boot.img`` apart into files; needed for a model with ``ramdisk``.
        netconsole: EEPROM setting ``NETCONSOLE``: where it tells what it does, or None.
        lose: Which TFTP packets are lost, see `TftpReader`.
        asked: Every file asked for and what came of it: its size, or why not. Filled as it goes.
        refused: Why DHCP offers were not taken.
    """

    model: Model
    interface: str
    configure: Callable[[Offer], None]
    timers: Timers = field(default_factory=Timers)
    dhcp_port: int = 67
    tftp_port: int = 69
    unpack: Callable[[bytes], Mapping[str, bytes]] | None = None
    netconsole: tuple[str, int] | None = None
    lose: Callable[[int], bool] = lambda _number: False
    asked: list[tuple[str, int | str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _prefix: str = ""
    _image: Mapping[str, bytes] | None = None
    _reader: TftpReader | None = None

    def boot(self) -> Started:
        """Boot from the network.

        Raises:
            BootFailed: As far as it came and why.
        """
        offer = self._lease()
        self._say(f"NET {offer.address} tftp: {offer.tftp}")
        self._reader = self._tftp(offer, self.model.block)
        if self.model.generation == 3:
            self._rom(offer)
        self._find_prefix()
        config = self._first_stages()
        return self._kernel(config)

    def _lease(self) -> Offer:
        """DISCOVER until an offer is taken; then REQUEST, unless it is a Pi 3."""
        xid = secrets.randbits(32)
        begun = time.monotonic()
        until = begun + self.timers.dhcp
        with DhcpSocket(self.interface, self.dhcp_port) as sock:
            while (now := time.monotonic()) < until:
                sock.send(discover(self.model, xid, int(now - begun)))
                offer = self._offer(sock, xid, min(until, now + self.timers.retry))
                if offer is None:
                    continue
                if self.model.generation > 3:
                    sock.send(request(self.model, xid, offer))
                    if not self._acknowledged(sock, xid):
                        continue
                self.configure(offer)
                return offer
        why = f": {self.refused[-1]}" if self.refused else ""
        raise BootFailed(f"no DHCP offer in {self.timers.dhcp:g} s{why}")

    def _offer(self, sock: DhcpSocket, xid: int, until: float) -> Offer | None:
        """Wait for an offer to take, or for an address from one server and the menu from a proxy."""
        lease: Offer | None = None
        proxy: Offer | None = None
        for datagram in sock.received(until):
            try:
                verdict = judge(self.model, xid, datagram)
                lease = lease_only(self.model, xid, datagram) or lease
            except DhcpError:
                continue
            if isinstance(verdict, str):
                self.refused.append(verdict)
            elif int(verdict.address):
                return verdict
            else:
                proxy = verdict
            if lease is not None and proxy is not None:
                return replace(lease, tftp=proxy.tftp)
        return None

    def _acknowledged(self, sock: DhcpSocket, xid: int) -> bool:
        for datagram in sock.received(time.monotonic() + self.timers.retry):
            with suppress(DhcpError):
                if is_acknowledged(self.model, xid, datagram):
                    return True
        return False

    def _tftp(self, offer: Offer, block: int) -> TftpReader:
        timers = self.timers
        return TftpReader(
            offer.tftp, self.tftp_port, block, self.model.rollover, timers.file, timers.tftp_retry, self.lose
        )

    def _rom(self, offer: Offer) -> None:
        """The ROM of a Pi 3 fetches one file, by its bare name and in small blocks."""
        reader, self._reader = self._reader, self._tftp(offer, _ROM_BLOCK)
        self._need("bootcode.bin")
        self._reader = reader

    def _find_prefix(self) -> None:
        """Look whether there is a tree under the prefix; if not, none is used from now on."""
        model = self.model
        choices = (model.serial.lower(), model.prefix_text.strip("/"), model.mac.replace(":", "-"))
        prefix = choices[model.prefix]
        self._prefix = f"{prefix}/" if prefix else ""
        if not self._prefix:
            return
        first = ("start.elf",) if model.generation == 3 else ("start4.elf", "start.elf")
        if not any(self._probe(name) for name in first):
            self._prefix = ""

    def _first_stages(self) -> dict[str, str]:
        generation = self.model.generation
        if generation == 3:
            self._take("autoboot.txt")
        config = self._config()
        if self.model.ramdisk or config.get("boot_ramdisk") == "1":
            image = self._need("boot.img")
            if self.unpack is None:
                raise BootFailed("boot.img was fetched, and nobody here can unpack it")
            self._image = self.unpack(image)
            config = self._config()
        if generation == 3:
            self._take("recovery.elf")
            self._need("start.elf")
            self._need("fixup.dat")
        elif generation == 4:
            self._take("recover4.elf")
            self._take("recovery.elf")
            self._need("start4.elf")
            self._need("fixup4.dat")
        if generation < 5:
            config = self._config()  # start*.elf reads it again, twice
            config = self._config()
            self._take("dt-blob.bin")
            self._take("bootcfg.txt")
        return config

    def _config(self) -> dict[str, str]:
        """Read ``config.txt``: the settings of ``[all]`` and of no section."""
        settings: dict[str, str] = {}
        applies = True
        for raw in (self._take("config.txt") or b"").decode("utf-8", "replace").splitlines():
            line = raw.partition("#")[0].strip()
            if line.startswith("["):
                applies = line.lower() in ("[all]", f"[pi{self.model.generation}]")
            elif applies and line:
                name, equals, value = line.partition("=")
                if not equals:
                    name, _, value = line.partition(" ")
                settings[name.strip()] = value.strip()
        return settings

    def _kernel(self, config: Mapping[str, str]) -> Started:
        """What start*.elf does, or the EEPROM of a Pi 5."""
        generation = self.model.generation
        upstream = config.get("upstream_kernel") == "1"
        tree = self._tree_name(upstream)
        os_prefix = config.get("os_prefix", "upstream/" if upstream else "")
        if os_prefix and not self._probe(os_prefix + tree):
            os_prefix = ""
        initramfs = b""
        if "initramfs" in config:
            initramfs = self._need(os_prefix + config["initramfs"].split()[0])
        device_tree = self._take(os_prefix + tree) or b""
        if generation == 5 and not device_tree:
            raise BootFailed(f"no device tree {tree}, without which a Pi 5 does not start")
        if not upstream:
            self._take("overlays/overlay_map.dtb")
        cmdline = (self._take(os_prefix + config.get("cmdline", "cmdline.txt")) or b"").decode(
            "utf-8", "replace"
        )
        kernel: bytes | None
        if "kernel" in config:
            kernel = self._take(os_prefix + config["kernel"])
        else:
            kernel = (self._take("kernel_2712.img") if generation == 5 else None) or self._take("kernel8.img")
        if not kernel:
            raise BootFailed("no kernel")
        if generation < 5:
            self._take("armstub8-gic.bin" if generation == 4 else "armstub8.bin")
        self._say("Starting OS")
        return Started(kernel, initramfs, device_tree, cmdline.partition("\n")[0], dict(config))

    def _tree_name(self, upstream: bool) -> str:
        chip = {3: "bcm2837" if upstream else "bcm2710", 4: "bcm2711", 5: "bcm2712"}[self.model.generation]
        return f"{chip}-rpi-{self.model.device_tree or f'{self.model.generation}-b'}.dtb"

    def _probe(self, name: str) -> bool:
        """Ask for a file's size only."""
        full = self._prefix + name
        if self._image is not None:
            return name in self._image
        assert self._reader is not None
        try:
            size = self._reader.size(full)
        except NotThereError:
            self._note(full, "not found")
            return False
        except TftpReadError as error:
            self._note(full, str(error))
            raise BootFailed(f"{full}: {error}") from error
        self._note(full, size)
        return True

    def _need(self, name: str) -> bytes:
        content = self._take(name)
        if content is None:
            raise BootFailed(f"there is no {self._prefix}{name}")
        return content

    def _take(self, name: str) -> bytes | None:
        """Fetch a file; None where there is none."""
        if self._image is not None:
            return self._image.get(name)
        full = name if name == "bootcode.bin" else self._prefix + name
        assert self._reader is not None
        try:
            content = self._reader.read(full)
        except NotThereError:
            self._note(full, "not found")
            return None
        except TftpReadError as error:
            self._note(full, str(error))
            raise BootFailed(f"{full}: {error}") from error
        self._note(full, len(content))
        return content

    def _note(self, name: str, outcome: int | str) -> None:
        self.asked.append((name, outcome))
        self._say(f"TFTP_GET: {name} {outcome}")

    def _say(self, line: str) -> None:
        if self.netconsole is None:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
            sock.sendto(line.encode() + b"\r\n", self.netconsole)
