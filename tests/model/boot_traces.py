"""What is seen of boots, a row each event, and what was wrong with them."""

from __future__ import annotations

from typing import Any

from hostler.model.cause import Cause

PXE, SYSTEM = {"firmware": "pxe"}, {"firmware": "system"}

Row = tuple[Any, ...]
ON: Row = (0, "power", "on", "switched on in 0.3 s")
FIRMWARE: Row = (5, "console", "firmware", "SeaBIOS (version 1.16.2)")
ASKS: Row = (8, "dhcp", "discover", "pc asks for an address: PXE (x86 BIOS)", PXE)
OFFER: Row = (8.1, "dhcp", "offer", "pc is offered 10.77.0.10, to boot undionly.kpxe")
WANTS: Row = (9, "dhcp", "request", "pc requests 10.77.0.10", PXE)
GETS: Row = (9.1, "dhcp", "ack", "pc gets 10.77.0.10, to boot undionly.kpxe")
LOADER: Row = (10, "tftp", "done", "10.77.0.10 has all of undionly.kpxe", {"file": "undionly.kpxe"})
KERNEL: Row = (14, "http", "done", "pc: kernel sent", {"file": "kernel"})
INITRD: Row = (15, "http", "done", "pc: initrd sent", {"file": "initrd"})
RUNS: Row = (16, "console", "kernel", "pc: Linux version 6.1.0-50-amd64")
ADDRESS: Row = (20, "dhcp", "discover", "pc asks for an address: udhcp 1.35.0", SYSTEM)
HELLO: Row = (25, "agent", "hello", "the agent is up")
AWAITED: Row = (0, "run", "booting", "step 2 of 2, boot: booting")
PROMPT: Row = (30, "console", "login", "pc login:")
HANDED: Row = (15.1, "run", "handed", "the board has fetched its system whole")
ANSWERED = (ON, FIRMWARE, ASKS, OFFER, WANTS, GETS)
FETCHED = (*ANSWERED, LOADER, KERNEL, INITRD)


def trouble(at: float, text: str, cause: str) -> Row:
    """Return what an agent complains of, with what it calls the cause."""
    return (at, "agent", "trouble", text, {"cause": cause})


def looks(at: float, *arrived: float, source: str = "http") -> list[Row]:
    """Return looks at a transfer, 20 s apart: how many bytes had arrived."""
    return [
        (
            at + 20 * number,
            source,
            "slow",
            f"pc: kernel: {count:.0f} bytes of it arrived",
            {"file": "kernel", "arrived": count},
        )
        for number, count in enumerate(arrived, 1)
    ]


TO_AGENT: dict[str, tuple[Cause, tuple[Row, ...]]] = {
    "equipment fails": (Cause.POWER, ((0, "power", "error", "could not switch on: no answer"),)),
    "given up": (Cause.POWER, ((0, "power", "given-up", "switched five times"),)),
    "no watts": (Cause.POWER_WAITS, ((0, "power", "waits", "waits for 12 W"),)),
    "supply does not stay": (Cause.POWER, (ON, (9, "power", "mismatch", "the supply reads off (fault)"))),
    "silence": (Cause.NO_SIGN, (ON,)),
    "silence, no console": (Cause.NO_SIGN, (ON, (1, "console", "lost", "pc: no console"))),
    "no link": (Cause.NO_LINK, (ON, (60, "link", "down", "port 3 has no link"))),
    "spanning tree": (Cause.SPANNING_TREE, (ON, (60, "link", "closed", "port 3 is learning"))),
    "wrong network": (Cause.WRONG_NETWORK, (ON, ASKS, (8, "dhcp", "wrong-network", "asks on lan2"))),
    "wrong port": (Cause.WRONG_PORT, (ON, ASKS, (9, "link", "other-port", "through port 4"))),
    "two identities": (Cause.IDENTITY, (ON, ASKS, (8, "dhcp", "conflict", "its MAC and its UUID"))),
    "firmware does not ask": (Cause.DID_NOT_ASK, (ON, FIRMWARE)),
    "firmware finds nothing": (
        Cause.DID_NOT_ASK,
        (ON, (9, "console", "nothing-to-boot", "No bootable device.")),
    ),
    "its own disk": (Cause.BOOTED_DISK, (ON, FIRMWARE, RUNS, (30, "console", "login", "pc login:"))),
    "not answered": (Cause.NO_ANSWER, (ON, ASKS, (8, "dhcp", "ignored", "no boot file for EBC", {}))),
    "other server": (
        Cause.OTHER_SERVER,
        (
            ON,
            ASKS,
            (8, "dhcp", "rogue", "10.77.0.66 answers too"),
            (9, "dhcp", "ignored", "it chose another", {"server": "10.77.0.66"}),
        ),
    ),
    "offers, and another server chosen": (
        Cause.OTHER_SERVER,
        (
            ON,
            *((8 + n * 8, *row[1:]) for n in range(5) for row in (ASKS, OFFER)),
            (45, "dhcp", "ignored", "it chose another", {"server": "10.77.0.66"}),
        ),
    ),
    "offers in vain": (
        Cause.OFFER_IGNORED,
        (ON, *((8 + n * 8, *row[1:]) for n in range(5) for row in (ASKS, OFFER))),
    ),
    "no file asked": (Cause.NO_FILE_ASKED, ANSWERED),
    "file missing": (Cause.FILE_MISSING, (*ANSWERED, (11, "http", "missing", "pc: no file x", {}))),
    "transfer breaks off": (Cause.TRANSFER, (*ANSWERED, (11, "tftp", "timeout", "silent after 3 blocks"))),
    "a kernel does not come": (
        Cause.TRANSFER,
        (
            *ANSWERED,
            (10, "http", "get", "pc: iPXE asks; told: step", {"file": "ipxe"}),
            (10.3, "http", "get", "pc: kernel", {"file": "kernel"}),
        ),
    ),
    "an initramfs does not come": (
        Cause.TRANSFER,
        (*ANSWERED, LOADER, KERNEL, (14.5, "http", "get", "pc: initrd", {"file": "initrd"})),
    ),
    "an initramfs breaks off": (
        Cause.TRANSFER,
        (
            *(*ANSWERED, LOADER, KERNEL, (14.5, "http", "get", "pc: initrd", {"file": "initrd"})),
            (16, "http", "aborted", "pc: 3 MB of initrd sent", {"file": "initrd"}),
        ),
    ),
    "a loader complained, and its kernel does not come": (
        Cause.TRANSFER,
        (
            *(*ANSWERED, LOADER, (12, "console", "loader-error", "error: no such")),
            (13, "http", "get", "pc: kernel", {"file": "kernel"}),
        ),
    ),
    "a loader gives up in the midst of its kernel": (
        Cause.LOADER,
        (
            *(*ANSWERED, LOADER, (13, "http", "get", "pc: kernel", {"file": "kernel"})),
            (14, "console", "loader-error", "Out of memory"),
        ),
    ),
    "a kernel does not come, then its own disk": (
        Cause.BOOTED_DISK,
        (*ANSWERED, LOADER, (13, "http", "get", "pc: kernel", {"file": "kernel"}), (80, *RUNS[1:]), PROMPT),
    ),
    "packets too large": (Cause.PACKET_SIZE, (*ANSWERED, (11, "tftp", "mtu", "takes what is small"))),
    "loader not signed": (Cause.SECURE_BOOT, (*ANSWERED, LOADER, (11, "console", "unsigned", "Denied"))),
    "loader not signed, and read to its end after that was said": (
        Cause.SECURE_BOOT,
        (
            *ANSWERED,
            (9.9, "console", "unsigned", "Denied"),
            LOADER,
            (75, "tftp", "not-started", "pc fetched it whole, and iPXE was not heard since"),
        ),
    ),
    "loader does nothing": (Cause.LOADER, (*ANSWERED, LOADER)),
    "kernel says nothing": (Cause.KERNEL_SILENT, FETCHED),
    "panic": (Cause.PANIC, (*FETCHED, RUNS, (20, "console", "panic", "not syncing: VFS: root fs"))),
    "no driver": (Cause.SYSTEM_NETWORK, (*FETCHED, RUNS)),
    "agent cannot reach us": (Cause.AGENT_SILENT, (*FETCHED, RUNS, ADDRESS)),
    "agent dies": (Cause.AGENT_SILENT, (*FETCHED, RUNS, ADDRESS, HELLO)),
    "agent complains": (Cause.AGENT_TROUBLE, (*FETCHED, RUNS, (24, "agent", "trouble", "no rack"))),
    "step fails": (Cause.STEP, (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "no disk found"))),
    "installer fails": (Cause.INSTALLER, (*FETCHED, RUNS, (90, "system", "fail", "no mirror"))),
    "step fails, and its run": (
        Cause.STEP,
        (
            *FETCHED,
            RUNS,
            HELLO,
            (30, "agent", "fail", "no disk"),
            (31, "run", "failed", "run failed: no disk"),
        ),
    ),
    "second step fails": (
        Cause.STEP,
        (*FETCHED, RUNS, HELLO, (30, "agent", "done", "step 1"), (40, "agent", "fail", "no disk")),
    ),
    "agent dies in its second step": (
        Cause.AGENT_SILENT,
        (
            *FETCHED,
            RUNS,
            HELLO,
            (30, "agent", "done", "step 1"),
            (31, "run", "executing", "step 2 of 2"),
            (90, "run", "powering", "step 2 of 2, attempt 2 because the agent went silent"),
        ),
    ),
    "agent cannot reach us, no console": (Cause.AGENT_SILENT, (*FETCHED, ADDRESS)),
    "installer says nothing in time": (
        Cause.INSTALLER,
        (*FETCHED, HANDED, RUNS, (900, "run", "failed", "run failed: it did not tell that it is done")),
    ),
    "system whose kernel says nothing": (
        Cause.KERNEL_SILENT,
        (*FETCHED, HANDED, (900, "run", "timed_out", "run timed_out")),
    ),
    "installer that is quiet on its console": (
        Cause.INSTALLER,
        (
            *FETCHED,
            HANDED,
            (40, "http", "get", "pc: preseed.cfg", {"file": "preseed.cfg"}),
            (900, "run", "timed_out", "run timed_out: it did not tell that it is done"),
        ),
    ),
    "step takes longer than it may": (
        Cause.STEP,
        (
            *FETCHED,
            RUNS,
            HELLO,
            (26, "run", "executing", "step 1 of 1"),
            (900, "run", "timed_out", "run timed_out: it took longer than 600 s"),
        ),
    ),
    "loader in a Pi's image does nothing": (
        Cause.LOADER,
        (
            ON,
            (2, "tftp", "done", "pc has all of boot.img", {"file": "12ab/boot.img", "bytes": 20_000_000}),
            (9, "dhcp", "discover", "pc asks for an address: U-Boot", {"firmware": "u-boot"}),
            (9.1, "dhcp", "ack", "pc gets 10.77.0.10"),
        ),
    ),
    "agent from a medium refused": (
        Cause.AGENT_TROUBLE,
        (ON, ADDRESS, (30, "http", "refused", "a medium's agent at 10.77.0.10: its facts belong to two", {})),
    ),
    "agent from a medium not heard again": (
        Cause.AGENT_TROUBLE,
        (ON, ADDRESS, (30, "http", "get", "agent from a medium asks; told: step", {"file": "join"})),
    ),
    "not found by TFTP": (Cause.FILE_MISSING, (*ANSWERED, (11, "tftp", "notfound", "no file x"))),
    "asked, then its own disk": (Cause.BOOTED_DISK, (*ANSWERED, LOADER, RUNS, PROMPT)),
    "its own disk, no console": (Cause.BOOTED_DISK, (ON, ADDRESS)),
    "not answered, asking for ever": (
        Cause.NO_ANSWER,
        (ON, *((8 + n, "dhcp", "ignored", "no boot file for EBC", {}) for n in range(0, 600, 30))),
    ),
    "agent has no disk": (
        Cause.NO_DISK,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "no disk", {"cause": "no-disk"})),
    ),
    "image too large": (
        Cause.TOO_LARGE,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "it needs more", {"cause": "image-too-large"})),
    ),
    "image damaged": (
        Cause.IMAGE,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "a chunk", {"cause": "image-damaged"})),
    ),
    "image not signed": (
        Cause.SIGNATURE,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "not signed", {"cause": "signature-refused"})),
    ),
    "disk dies": (
        Cause.DISK,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "writing", {"cause": "disk-fault"})),
    ),
    "agent has a fault": (
        Cause.AGENT_TROUBLE,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "KeyError", {"cause": "agent-trouble"})),
    ),
    "a cause nobody knows": (
        Cause.STEP,
        (*FETCHED, RUNS, HELLO, (30, "agent", "fail", "oh", {"cause": "of-tomorrow"})),
    ),
    "step stands still": (Cause.STUCK, (*FETCHED, RUNS, HELLO, (300, "agent", "stuck", "it stands at 40 %"))),
    "disk answers no more": (
        Cause.DISK,
        (
            *FETCHED,
            RUNS,
            HELLO,
            (290, "console", "disk-error", "I/O error, dev sda, sector 8"),
            (300, "agent", "stuck", "it stands at 40 %"),
        ),
    ),
    "loader says why": (Cause.LOADER, (*ANSWERED, LOADER, (12, "console", "loader-error", "error: no such"))),
    "restarts for ever": (
        Cause.RESTARTS,
        (ON, *((at + n * 30, *row[1:]) for n in range(4) for at, row in ((5, FIRMWARE), (16, RUNS)))),
    ),
    "another board's console": (
        Cause.OTHER_CONSOLE,
        (*FETCHED, (16, "console", "other-board", "the agent of pi speaks")),
    ),
    "cannot fetch by HTTP, for ever": (
        Cause.NO_FILE_ASKED,
        (ON, *((at + n * 30, *row[1:]) for n in range(5) for at, row in ((8, ASKS), (9, GETS)))),
    ),
    "words nobody knows": (Cause.NO_SIGN, (ON, (3, "console", "speaks", "first bytes"))),
    "not taken over": (Cause.TAKEOVER, (ON, (3, "bootctl", "error", "no prompt"))),
    "nobody serves its network": (
        Cause.NOT_SERVED,
        (ON, FIRMWARE, (30, "dhcp", "not-served", "network boot is not served, because port 67 is taken")),
    ),
    "a kernel that comes slowly": (
        Cause.SLOW,
        (*ANSWERED, LOADER, (12, "http", "get", "pc: kernel", {"file": "kernel"}), *looks(12, 1e6, 2e6, 3e6)),
    ),
    "a kernel that came slowly and comes no more": (
        Cause.TRANSFER,
        (
            *ANSWERED,
            LOADER,
            (12, "http", "get", "pc: kernel", {"file": "kernel"}),
            *looks(12, 1e6, 3e6, 3e6, 3e6),
        ),
    ),
    "HTTP refused": (
        Cause.REFUSED,
        (*ANSWERED, (11, "console", "loader-error", "ipxe... Connection reset (http://ipxe.org/0f0a6039)")),
    ),
    "HTTP reset in the midst of a kernel": (
        Cause.TRANSFER,
        (
            *(*ANSWERED, LOADER, (13, "http", "get", "pc: kernel", {"file": "kernel"})),
            (16, "http", "aborted", "pc: kernel broke off after 3 MB", {"file": "kernel"}),
            (16.1, "console", "loader-error", "Connection reset (http://ipxe.org/0f0a6039)"),
        ),
    ),
    "HTTP reset by a server that ended": (
        Cause.TRANSFER,
        (
            *(*ANSWERED, LOADER, (13, "http", "get", "pc: kernel", {"file": "kernel"})),
            (16.1, "console", "loader-error", "Connection reset (http://ipxe.org/0f0a6039)"),
        ),
    ),
    "a kernel that came slowly and broke off": (
        Cause.TRANSFER,
        (
            *(*ANSWERED, LOADER, (12, "http", "get", "pc: kernel", {"file": "kernel"})),
            *looks(12, 1e6, 2e6, 3e6),
            (75, "http", "aborted", "pc: kernel broke off after 3 MB", {"file": "kernel"}),
        ),
    ),
    "TLS where none is spoken": (Cause.TLS, (*ANSWERED, (11, "http", "tls", "pc speaks TLS to a port"))),
    "no card": (Cause.NO_CARD, (*FETCHED, RUNS, trouble(46, "no driver for 0x10ec:0x8168", "no-card"))),
    "no cable": (Cause.SYSTEM_NETWORK, (*FETCHED, RUNS, trouble(46, "no network cable found", "no-cable"))),
    "not answered any more": (
        Cause.SYSTEM_NETWORK,
        (*FETCHED, RUNS, ADDRESS, trouble(46, "no DHCP answer on eth0", "no-answer")),
    ),
    "no route": (
        Cause.NO_ROUTE,
        (*FETCHED, RUNS, ADDRESS, trouble(30, "[Errno 101] Network is unreachable", "no-route")),
    ),
    "crashed before its first word": (
        Cause.AGENT_CRASHED,
        (
            *FETCHED,
            RUNS,
            ADDRESS,
            *(trouble(25 + n, "the agent ended with status 1", "ended") for n in range(3)),
        ),
    ),
    "crashed, and then not answered": (
        Cause.SYSTEM_NETWORK,
        (
            *(*FETCHED, RUNS, ADDRESS, trouble(30, "the agent ended with status 1", "ended")),
            trouble(40, "no DHCP answer on eth0", "no-answer"),
        ),
    ),
    "crashed at its work": (
        Cause.AGENT_CRASHED,
        (
            *(*FETCHED, RUNS, ADDRESS, HELLO, (26, "run", "executing", "step 1 of 2")),
            trouble(40, "the agent ended with status 137 (try 1 of 3)", "ended"),
        ),
    ),
    "its clock": (
        Cause.CLOCK,
        (*FETCHED, HANDED, RUNS, (90, "system", "fail", "curl: (60) SSL: certificate is not yet valid")),
    ),
}
TO_DISK: dict[str, tuple[Cause, tuple[Row, ...]]] = {
    "nothing on the disk": (Cause.NOTHING_BOOTS, (ON, FIRMWARE)),
    "asked, then nothing": (Cause.NOTHING_BOOTS, (ON, ASKS, OFFER)),
    "firmware says that nothing boots": (
        Cause.NOTHING_BOOTS,
        (ON, FIRMWARE, (9, "console", "nothing-to-boot", "No bootable device.")),
    ),
    "no root file system": (
        Cause.NO_ROOT,
        (ON, AWAITED, FIRMWARE, RUNS, (50, "console", "no-root", "Gave up waiting for root")),
    ),
    "stops for somebody": (
        Cause.NO_LOGIN,
        (ON, AWAITED, RUNS, (50, "console", "emergency", "You are in emergency mode.")),
    ),
    "console cable out": (Cause.CONSOLE, (ON, AWAITED, (0, "console", "lost", "pc: no console"))),
    "console silent": (Cause.CONSOLE, (ON, AWAITED)),
    "restarts": (
        Cause.RESTARTS,
        (ON, *((at + n * 30, *row[1:]) for n in range(4) for at, row in ((5, FIRMWARE), (16, RUNS)))),
    ),
    "no login": (Cause.NO_LOGIN, (ON, AWAITED, FIRMWARE, RUNS)),
    "another prompt": (Cause.NO_LOGIN, (ON, AWAITED, FIRMWARE, RUNS, PROMPT)),
    "cannot leave its medium": (
        Cause.NOTHING_BOOTS,
        (ON, (30, "http", "failed", "pc: cannot leave its medium for its disk: no loader", {})),
    ),
    "nothing known to lack": (Cause.UNKNOWN, (ON, FIRMWARE, RUNS)),
    "no root for the kernel": (
        Cause.NO_ROOT, (ON, FIRMWARE, RUNS, (20, "console", "panic", "not syncing: VFS: Unable to mount")),
    ),
    "panic": (Cause.PANIC, (ON, FIRMWARE, RUNS, (20, "console", "panic", "not syncing: Fatal exception"))),
}  # fmt: skip


WELL: dict[str, tuple[Cause, bool, float, tuple[Row, ...]]] = {
    "no link at first": (Cause.UNDER_WAY, True, 1, ((0, "link", "down", "no link"), *ANSWERED)),
    "spanning tree opened": (
        Cause.UNDER_WAY, True, 1, (ON, (5, "link", "closed", "port 3 is learning"), *ANSWERED),
    ),
    "another port, and it goes on": (
        Cause.UNDER_WAY, True, 1, (*FETCHED, (9, "link", "other-port", "asks through port 4")),
    ),
    "no takeover was needed": (Cause.UNDER_WAY, True, 1, (*FETCHED, (3, "bootctl", "error", "no prompt"))),
    "IPv6 before IPv4": (Cause.UNDER_WAY, True, 1, (ON, (6, "dhcp", "ignored", "no DHCPv6 here", {}))),
    "the next entry is signed": (
        Cause.UNDER_WAY, True, 1, (*ANSWERED, (9.5, "console", "unsigned", "Access Denied"), LOADER),
    ),
    "an installer takes its time": (Cause.UNDER_WAY, True, 1800, (*FETCHED, HANDED, RUNS, ADDRESS)),
    "an installer that restarted": (
        Cause.NONE, True, 1800,
        (*FETCHED, HANDED, (900, "run", "returned", "restarted"), (901, "run", "succeeded", "")),
    ),
    "a long write": (
        Cause.UNDER_WAY, True, 3600, (*FETCHED, RUNS, HELLO, (30, "run", "executing", "step 1 of 2")),
    ),
    "a long wait for its turn, then a long proof": (
        Cause.UNDER_WAY, True, 3600,
        (*FETCHED, RUNS, HELLO, (30, "run", "waiting", "step 1 of 2"), (900, "agent", "verifying", "step 1")),
    ),
    "stood still, and goes on": (
        Cause.UNDER_WAY, True, 1,
        (*FETCHED, HELLO, (300, "agent", "stuck", "stands"), (310, "agent", "moves", "goes on")),
    ),
    "restarts once": (
        Cause.UNDER_WAY, False, 1, (ON, AWAITED, FIRMWARE, RUNS, (60, *FIRMWARE[1:]), (70, *RUNS[1:])),
    ),
    "a loader that tries something else": (
        Cause.UNDER_WAY, True, 1, (*ANSWERED, (9.5, "console", "loader-error", "error: no such"), LOADER),
    ),
    "two steps done": (
        Cause.NONE, True, 1800,
        (*FETCHED, HELLO, (30, "agent", "done", "step 1"), (31, "run", "executing", "step 2 of 2"),
         (60, "agent", "done", "step 2")),
    ),
    "by hand to its disk": (Cause.NONE, False, 1800, (ON, FIRMWARE, RUNS, PROMPT)),
    "elsewhere on the network": (
        Cause.NONE, False, 1800, (ON, RUNS, (20, "dhcp", "wrong-network", "asks on lan2"), PROMPT),
    ),
    "its network is served again": (
        Cause.UNDER_WAY, True, 1, (ON, (5, "dhcp", "not-served", "network boot is not served"), *ANSWERED),
    ),
    "TLS was only tried": (Cause.UNDER_WAY, True, 1, (*ANSWERED, (9.5, "http", "tls", "speaks TLS"), LOADER)),
    "slow, and whole in the end": (
        Cause.UNDER_WAY, True, 1,
        (
            *(*ANSWERED, LOADER, (12, "http", "get", "", {"file": "kernel"}), *looks(12, 1e6, 2e6, 3e6)),
            *((80, *KERNEL[1:]), (81, *INITRD[1:])),
        ),
    ),
    "a large kernel by TFTP to slow firmware": (
        Cause.UNDER_WAY, True, 80,
        (
            *(*ANSWERED, LOADER, (11, "tftp", "read", "reads grub/kernel", {"file": "kernel"})),
            *looks(11, *(4e6 * n for n in range(1, 8)), source="tftp"),
        ),
    ),
    "crashed once, and is started again": (
        Cause.UNDER_WAY, True, 1,
        (*FETCHED, RUNS, ADDRESS, trouble(24, "the agent ended with status 1 (try 1 of 3)", "ended")),
    ),
    "crashed once, and works": (
        Cause.UNDER_WAY, True, 1800,
        (
            *(*FETCHED, RUNS, ADDRESS, trouble(24, "the agent ended with status 1", "ended"), HELLO),
            (30, "run", "executing", "step 1 of 2"),
        ),
    ),
    "another server gives addresses": (
        Cause.UNDER_WAY, True, 1, (ON, FIRMWARE, LOADER, KERNEL, INITRD, RUNS),
    ),
}  # fmt: skip
