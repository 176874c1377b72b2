"""What goes wrong with boards, one row each: how it is brought about, and what the verdict must be.

A new fault is a new row. Each has a board of its own, in one lab that all share.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.model.cause import Cause
from hostler.model.first_stages import Loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from fault_lab import FaultLab


def _nothing(_lab: FaultLab, _fault: Fault) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        key: Its short name: of its test, its board and its class.
        title: What the table calls it.
        causes: The right verdicts.
        kind: Kind of the virtual board.
        platform: As in ``lab.toml``.
        loader: What brings the kernel, or None.
        machine: More keys of the board in ``virtual.toml``.
        disk: The lines of its disk there.
        board: Keys of the board in ``lab.toml`` that take the place of the usual ones.
        image: Image to deploy; empty: the agent looks at the hardware, no more.
        on_disk: What its disk holds before, by the demo's name; empty: nothing.
        inject: Brings it about, from before the board is switched on until its verdict is known.
        agent: Its agent, by a name of ``fault_agents``.
        rights: Options of ``setpriv`` that take rights away from the server; empty: it has all.
        quick: Whether it runs with all other tests, too.

    Those with another agent, or a server without its rights, are in a lab of their own.
    """

    key: str
    title: str
    causes: tuple[Cause, ...]
    kind: str = "x86-bios"
    platform: str = "x86-bios"
    loader: Loader | None = Loader.IPXE
    machine: str = ""
    disk: str = 'disk = "64M"\n'
    board: tuple[tuple[str, str], ...] = ()
    image: str = ""
    on_disk: str = ""
    inject: Callable[[FaultLab, Fault], AbstractContextManager[Any]] = _nothing
    agent: str = "usual"
    rights: tuple[str, ...] = ()
    quick: bool = False


def rules(*lines: str) -> Callable[[FaultLab, Fault], AbstractContextManager[None]]:
    """Return an injection: rules on the bridge, ``from`` or ``to`` the board, then nftables' words."""

    def inject(lab: FaultLab, fault: Fault) -> AbstractContextManager[None]:
        return lab.filtered(fault, *lines)

    return inject


def after_kernel(*lines: str) -> Callable[[FaultLab, Fault], AbstractContextManager[None]]:
    """Return an injection: rules that begin as soon as the board has its kernel and initramfs."""

    def inject(lab: FaultLab, fault: Fault) -> AbstractContextManager[None]:
        return lab.filtered_after(fault, "initrd", *lines)

    return inject


@contextmanager
def _no_link(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.inside("ip", "link", "set", lab.tap(fault), "nomaster")
    yield


@contextmanager
def _poe_fault(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.disk(fault.key).mkdir(parents=True)  # a board whose machine cannot run draws no proper power
    yield


@contextmanager
def _frozen(lab: FaultLab, fault: Fault) -> Iterator[None]:
    with lab.meanwhile(lambda: lab.freeze(fault)):
        yield


@contextmanager
def _damaged(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.damage_chunk(fault.image)
    yield


@contextmanager
def _rogue(lab: FaultLab, fault: Fault) -> Iterator[None]:
    with lab.rogue_dhcp(fault), lab.filtered(fault, "to ip saddr 10.77.0.1 udp sport 67 drop"):
        yield


@contextmanager
def _crossed(lab: FaultLab, _fault: Fault) -> Iterator[None]:
    lab.lend(PEER)
    lab.start_run(PEER)
    yield


@contextmanager
def _over_budget(lab: FaultLab, _fault: Fault) -> Iterator[None]:
    lab.lend(EATER)
    lab.client.set_power(EATER.key, "on")
    yield


@contextmanager
def _cable_unplugged(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.inside("ip", "link", "set", lab.tap(fault), "down")
    yield


@contextmanager
def _other_network(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.inside("ip", "link", "set", lab.tap(fault), "master", "br1")
    yield


@contextmanager
def _port_closed(lab: FaultLab, fault: Fault) -> Iterator[None]:
    with lab.meanwhile(lambda: lab.close_port(fault)):
        yield


@contextmanager
def _lost(lab: FaultLab, fault: Fault) -> Iterator[None]:
    with lab.meanwhile(lambda: lab.lose(fault, lab.lost_kernel)):
        yield


@contextmanager
def _lost_loader(lab: FaultLab, fault: Fault) -> Iterator[None]:
    with lab.meanwhile(lambda: lab.lose(fault, lab.loaders["ldlinux.c32"].read_bytes())):
        yield


@contextmanager
def _refused(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.refuse_http(fault)
    yield


@contextmanager
def _slow(lab: FaultLab, fault: Fault) -> Iterator[None]:
    shape = "root tbf rate 500kbit burst 16kb latency 400ms"
    lab.inside("tc", "qdisc", "add", "dev", lab.tap(fault), *shape.split())
    yield


@contextmanager
def _other_port(lab: FaultLab, fault: Fault) -> Iterator[None]:
    lab.plug_into(fault, SPARE)
    with lab.filtered(SPARE, "from tcp flags syn drop"):  # that port is not meant for boards
        yield


@contextmanager
def _blank_medium(lab: FaultLab, _fault: Fault) -> Iterator[None]:
    (lab.state / "blank.img").write_bytes(bytes(1 << 20))
    yield


@contextmanager
def _astray(lab: FaultLab, fault: Fault) -> Iterator[None]:
    rogue = lab.rogue_dhcp(fault, "10.99.0.1/24", "10.99.0.67,10.99.0.80,255.255.255.0", "--dhcp-option=3")
    ours = "to ip saddr 10.77.0.1 udp sport 67 drop"
    with lab.filtered_after(fault, "initrd", ours), rogue:
        yield


_WRITES = '[[boards.disks]]\nkind = "virtio"\nsize = "256M"\n'
PEER = Fault(
    "peer", "nothing: it lends others what is its own", (Cause.NONE,),
    board=(("console", '{ driver = "raw-tcp", address = "127.0.0.1:CROSSED" }'),),
)  # fmt: skip
EATER = Fault(
    "eater", "nothing: it draws the watts that another waits for", (Cause.NONE,),
    board=(("power", '{ equipment = "weak", port = 2 }'), ("watts", "8")),
)  # fmt: skip
SPARE = Fault("spare", "nothing: it lends its port", (Cause.NONE,))
LENDERS = (PEER, EATER, SPARE)
"""Boards with no fault of their own; their order gives them their ports."""
TINY = "tiny-amd64"
_NO_ROOT = ("--bounding-set", "-all", "--inh-caps", "-all")

FAULTS = (
    Fault(
        "equipment-silent", "the switch does not answer", (Cause.POWER,), quick=True,
        board=(("power", '{ equipment = "nowhere", port = 1 }'),),
    ),
    Fault("poe-fault", "its port delivers no power", (Cause.POWER,), inject=_poe_fault, quick=True),
    Fault(
        "other-outlet", "its power wire is in another port", (Cause.POWER,),
        board=(("power", '{ equipment = "switch1", port = 47 }'),), quick=True,
    ),
    Fault(
        "over-budget", "its switch has no watts left for it", (Cause.POWER_WAITS,), inject=_over_budget,
        board=(("power", '{ equipment = "weak", port = 48 }'), ("watts", "8")), quick=True,
    ),
    Fault(
        "says-done", "the power driver says done, and nothing happened", (Cause.NO_SIGN,),
        board=(("power", '{ driver = "fake" }'),),
    ),
    Fault(
        "does-not-ask", "its firmware boots from its drive and asks no network", (Cause.DID_NOT_ASK,),
        machine='first = "media"\nmedia = "blank.img"\n', inject=_blank_medium,
    ),
    Fault("cable-out", "its cable is in no port of the boot network", (Cause.DID_NOT_ASK,), inject=_no_link),
    Fault("no-link", "its cable is not plugged in", (Cause.NO_LINK,), inject=_cable_unplugged, quick=True),
    Fault(
        "spanning-tree", "its switch port does not forward yet", (Cause.SPANNING_TREE,), inject=_port_closed,
    ),
    Fault(
        "other-network", "its port is in another VLAN", (Cause.WRONG_NETWORK,), inject=_other_network,
    ),
    Fault(
        "other-port", "its cable is in another port of its switch", (Cause.WRONG_PORT,), inject=_other_port,
        quick=True,
    ),
    Fault(
        "not-served", "`hostler serve` lacks the rights of root", (Cause.NOT_SERVED,), rights=_NO_ROOT,
    ),
    Fault(
        "booted-disk", "its disk is first in the boot order", (Cause.BOOTED_DISK,),
        kind="x86-uefi", platform="x86-uefi", machine='first = "disk"\n', on_disk=TINY,
    ),
    Fault(
        "identity", "two boards with one identity", (Cause.IDENTITY,), quick=True,
        machine="uuid = TWIN\n",
    ),
    Fault(
        "architecture", "its firmware is another than its class says", (Cause.NO_ANSWER,), quick=True,
        kind="x86-uefi", loader=Loader.PXELINUX,
    ),
    Fault("other-dhcp", "another DHCP server answers it", (Cause.OTHER_SERVER,), inject=_rogue, quick=True),
    Fault(
        "offers-lost", "the answers to its DHCP do not reach it", (Cause.OFFER_IGNORED,),
        inject=rules("to udp sport 67 drop"),
    ),
    Fault(
        "tftp-blocked", "a firewall drops TFTP", (Cause.NO_FILE_ASKED,), kind="x86-uefi", platform="x86-uefi",
        inject=rules("from udp dport 69 drop"),
    ),
    Fault(
        "tftp-missing", "a part of its boot loader is gone", (Cause.FILE_MISSING,), loader=Loader.PXELINUX,
        inject=_lost_loader, quick=True,
    ),
    Fault(
        "tftp-stalls", "TFTP breaks off", (Cause.TRANSFER,), kind="x86-uefi", platform="x86-uefi",
        inject=rules("to ip saddr 10.77.0.1 udp sport 1024-65535 quota over 100000 bytes drop"),
    ),
    Fault(
        "mtu", "large packets do not reach it", (Cause.PACKET_SIZE,), kind="x86-uefi", platform="x86-uefi",
        inject=rules("to ip length > 1400 drop"),
    ),
    Fault(
        "http-blocked", "a firewall drops HTTP", (Cause.NO_FILE_ASKED,),
        inject=rules("from tcp flags syn drop"),
    ),
    Fault(
        "unsigned", "Secure Boot refuses its boot loader", (Cause.SECURE_BOOT,), kind="x86-uefi",
        platform="x86-uefi", machine="secure_boot = true\n",
    ),
    Fault(
        "http-refused", "HTTP is refused", (Cause.REFUSED,),
        inject=_refused, quick=True,
    ),
    Fault(
        "http-stalls", "HTTP breaks off", (Cause.TRANSFER,),
        inject=rules("to ip saddr 10.77.0.1 tcp sport 8067 quota over 2000000 bytes drop"),
    ),
    Fault("http-slow", "HTTP is slow", (Cause.SLOW,), inject=_slow),
    Fault(
        "file-missing", "its kernel is gone", (Cause.FILE_MISSING,), image="lost-kernel", inject=_lost,
        quick=True,
    ),
    Fault("hung-kernel", "its kernel hangs at once", (Cause.KERNEL_SILENT,), image="hung-kernel"),
    Fault(
        "bad-kernel", "the script of iPXE starts what is no kernel", (Cause.LOADER,), image="bad-kernel",
        quick=True,
    ),
    Fault(
        "grub-script", "the script of GRUB starts what is no kernel", (Cause.LOADER,), image="bad-kernel",
        kind="x86-uefi", platform="x86-uefi", loader=Loader.GRUB,
    ),
    Fault(
        "uboot-script", "the script of U-Boot starts what is no kernel", (Cause.LOADER,),
        image="bad-kernel-arm64", kind="arm64-uboot", platform="arm64-uboot", loader=None,
    ),
    Fault("panic", "its kernel finds no init", (Cause.PANIC,), image="no-init", quick=True),
    Fault("card-driver", "no driver for its network card", (Cause.NO_CARD,), agent="no-card-driver"),
    Fault(
        "disk-driver", "no driver for its disk", (Cause.NO_DISK,), image="bulk", agent="no-disk-driver",
    ),
    Fault("agent-crashes", "the agent ends with a traceback", (Cause.AGENT_CRASHED,), agent="crashes"),
    Fault("agent-killed", "the agent is killed again and again", (Cause.AGENT_CRASHED,), agent="killed"),
    Fault("no-route", "the agent has an address without a route", (Cause.NO_ROUTE,), inject=_astray),
    Fault(
        "wrong-clock", "its clock is decades behind, and it posts what curl would say of a certificate",
        (Cause.CLOCK,),
        machine='clock = "1999-01-01T00:00:00"\n', image="needs-time",
    ),
    Fault(
        "unsigned-image", "nobody signed its image", (Cause.SIGNATURE,), image="bulk", agent="signed-only",
        disk='disk = "256M"\n',
    ),
    Fault(
        "agent-no-address", "the agent gets no address", (Cause.SYSTEM_NETWORK,),
        inject=after_kernel("from udp dport 67 drop"),
    ),
    Fault(
        "agent-cut-off", "the agent does not reach its host", (Cause.AGENT_SILENT, Cause.AGENT_TROUBLE),
        inject=after_kernel("from tcp flags syn drop"),
    ),
    Fault(
        "agent-freezes", "the board freezes in mid-write", (Cause.AGENT_SILENT,), image="bulk",
        disk=_WRITES + 'write_limit = "2M"\n', inject=_frozen,
    ),
    Fault("too-large", "the image is larger than the disk", (Cause.TOO_LARGE,), image="bulk", quick=True),
    Fault(
        "damaged", "a chunk of the image is damaged", (Cause.IMAGE,), image="damaged", quick=True,
        disk='disk = "256M"\n', inject=_damaged,
    ),
    Fault(
        "disk-dies", "the disk fails in mid-write", (Cause.DISK,), image="bulk", quick=True,
        disk=_WRITES + '[[boards.disks.faults]]\naccess = "write"\nat = "24M"\n',
    ),
    Fault(
        "stands-still", "the disk takes nothing more", (Cause.STUCK,), image="bulk",
        disk=_WRITES + 'write_limit = "4K"\n',
    ),
    Fault("resets", "its installer resets it again and again", (Cause.RESTARTS,), image="resets"),
    Fault("loader-script", "GRUB's script names no kernel", (Cause.LOADER,), image="no-kernel", quick=True),
    Fault("no-bootloader", "the image has no boot loader", (Cause.NOTHING_BOOTS,), image="noise"),
    Fault("no-root", "the system does not find its root", (Cause.NO_ROOT,), image="no-initrd", quick=True),
    Fault("no-login", "the system never says what is waited for", (Cause.NO_LOGIN,), image="other-words"),
    Fault(
        "never-done", "an installer never tells that it is done", (Cause.INSTALLER,), image="never-done",
    ),
    Fault(
        "console-out", "its console is not connected", (Cause.CONSOLE,), image=TINY,
        board=(("console", '{ driver = "raw-tcp", address = "127.0.0.1:1" }'),),
    ),
    Fault(
        "crossed-consoles", "its console is another board's", (Cause.OTHER_CONSOLE,), inject=_crossed,
        board=(("console", '{ driver = "raw-tcp", address = "127.0.0.1:PEER" }'),),
    ),
)  # fmt: skip
HEALTHY = tuple(
    Fault(f"well-{kind}", f"nothing: a good boot of {kind}", (Cause.NONE,), kind, kind, loader, image=image)
    for kind, loader, image in (
        ("x86-bios", Loader.IPXE, TINY),
        ("x86-uefi", Loader.IPXE, TINY),
        ("arm64-uboot", None, "tiny-arm64"),
        ("arm64-uefi", Loader.GRUB, ""),
    )
)
"""Boards that nothing is wrong with: nothing wrong may be said of them at any moment."""
ROWS = (*FAULTS, *HEALTHY)


@dataclass(frozen=True)
class Elsewhere:
    """A fault that no board of the virtual lab can have, and what proves its verdict instead.

    Attributes:
        key: Its short name.
        title: What the table calls it.
        cause: The right verdict.
        proof: Why not here, and what proves it.
    """

    key: str
    title: str
    cause: Cause
    proof: str


ELSEWHERE = (
    Elsewhere(
        "tls", "its boot loader asks for https://", Cause.TLS,
        "Debian's iPXE and OVMF without a certificate in its settings speak no TLS; OpenSSL does so in "
        "tests/netboot/test_http_connections.py, and tests/model/boot_traces.py has the boot",
    ),
    Elsewhere(
        "initramfs-root", "an initramfs waits for a root that does not come", Cause.NO_ROOT,
        "the small image's initramfs is its root; tests/model/boot_traces.py has the boot of Debian's",
    ),
)  # fmt: skip
