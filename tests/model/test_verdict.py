"""Why a board did not come up: each cause from what is seen of it, and nothing wrong said of good boots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.model.boot_story import FIRST_PATIENCE, PATIENCE, BootStory, Reached
from hostler.model.cause import Cause
from hostler.model.trace import TraceEvent
from hostler.model.verdict import judge

HEALTHY: dict[str, Any] = json.loads(Path(__file__).with_name("healthy_boots.json").read_text())
"""Boots of the virtual lab that came to their end, as traced: seconds, source, kind, text, data."""
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
    "panic": (Cause.PANIC, (ON, FIRMWARE, RUNS, (20, "console", "panic", "not syncing: VFS"))),
}


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
    "another server gives addresses": (
        Cause.UNDER_WAY, True, 1, (ON, FIRMWARE, LOADER, KERNEL, INITRD, RUNS),
    ),
}  # fmt: skip


def events_of(rows: Any) -> list[TraceEvent]:
    """Make events of rows: seconds, source, kind, text, data."""
    return [
        TraceEvent(1e9 + row[0], row[1], row[2], row[3], "pc", data=row[4] if len(row) > 4 else {})
        for row in sorted(rows, key=lambda row: row[0])
    ]


def story(rows: Any, *, to_agent: bool = True, silence: float = FIRST_PATIENCE) -> BootStory:
    events = events_of(rows)
    return BootStory(events, to_agent, events[-1].at + silence)


@pytest.mark.parametrize("what", TO_AGENT)
def test_each_cause_is_named(what: str) -> None:
    """Enough time after the last sign the cause is told, with what it rests on."""
    cause, rows = TO_AGENT[what]
    verdict = judge(story(rows))
    assert verdict.cause is cause, verdict
    assert verdict.evidence
    assert verdict.text.endswith((".", "?"))


@pytest.mark.parametrize("what", TO_DISK)
def test_each_cause_on_the_way_to_its_disk_is_named(what: str) -> None:
    """Likewise when nobody was to come over the network."""
    cause, rows = TO_DISK[what]
    assert judge(story(rows, to_agent=False)).cause is cause


@pytest.mark.parametrize("boot", HEALTHY)
def test_a_boot_that_came_up_is_well(boot: str) -> None:
    """Of every kind of virtual board, as it really was."""
    verdict = judge(story(HEALTHY[boot]["events"], to_agent=HEALTHY[boot]["to_agent"]))
    assert (verdict.cause, verdict.reached, verdict.advice) == (Cause.NONE, Reached.DONE, "")


@pytest.mark.parametrize("boot", HEALTHY)
def test_nothing_wrong_is_said_on_the_way(boot: str) -> None:
    """Looked at after any of its events, and a while later: nothing is missing yet."""
    rows, to_agent = HEALTHY[boot]["events"], HEALTHY[boot]["to_agent"]
    for count in range(1, len(rows) + 1):
        following = rows[count][0] - rows[count - 1][0] if count < len(rows) else 0.0
        verdict = judge(story(rows[:count], to_agent=to_agent, silence=min(following, PATIENCE - 1)))
        assert verdict.cause in (Cause.UNDER_WAY, Cause.NONE), (rows[count - 1], verdict)


@pytest.mark.parametrize("what", WELL)
def test_nothing_wrong_is_said_of_a_boot_that_is_well(what: str) -> None:
    """What looks like trouble and was overcome, or takes its time, is not called its cause."""
    cause, to_agent, silence, rows = WELL[what]
    verdict = judge(story(rows, to_agent=to_agent, silence=silence))
    assert verdict.cause is cause, verdict


def test_what_the_run_has_given_up_is_not_waited_for() -> None:
    """The run's patience ends before a verdict's; a step that only goes on to the next is not given up."""
    write = {"run": "r-1", "step": 0}
    first = (26, "run", "executing", "step 1 of 2", {**write, "attempt": 1})
    again = (71, "run", "powering", "step 1 of 2: attempt 2 because …", {**write, "attempt": 2})
    after = (71, "run", "powering", "step 2 of 2", {**write, "step": 1, "attempt": 1})
    verdict = judge(story([*FETCHED, RUNS, HELLO, first, again], silence=1))
    assert verdict.cause is Cause.AGENT_SILENT
    assert [one.text for one in verdict.evidence] == [HELLO[3], again[3]]
    for following in ((), (after,)):
        assert judge(story([*FETCHED, RUNS, HELLO, first, *following], silence=1)).cause is Cause.UNDER_WAY


def test_who_goes_in_circles_is_not_waited_for() -> None:
    """Firmware that tries again for ever is never silent; what lacks is told all the same."""
    rows = [(at + n * 30, *row[1:]) for n in range(5) for at, row in ((8, ASKS), (9, GETS))]
    assert judge(story([ON, *rows[:4]], silence=1)).cause is Cause.UNDER_WAY
    assert judge(story([ON, *rows], silence=1)).cause is Cause.NO_FILE_ASKED


def test_a_crossed_console_is_told_of_a_boot_that_came_up_too() -> None:
    """Who relies on that console would believe another board's words."""
    rows = HEALTHY["vx-bios, to the agent"]["events"]
    other = (rows[-1][0], "console", "other-board", "the agent of pi speaks", {})
    assert judge(story([*rows, other])).cause is Cause.OTHER_CONSOLE


def test_of_a_board_without_a_console_less_is_said() -> None:
    """What would only be seen on a console does not lack."""
    rows = events_of([ON, *ANSWERED])
    verdict = judge(BootStory(rows, to_agent=False, until=rows[-1].at + FIRST_PATIENCE, has_console=False))
    assert verdict.cause is Cause.UNKNOWN
    assert "no console" in verdict.text
    silent = judge(BootStory(events_of([ON]), to_agent=True, until=2e9, has_console=False))
    assert "it has no console" in silent.text


@settings(max_examples=300, deadline=None)
@given(
    chosen=st.lists(st.sampled_from([row for _, rows in TO_AGENT.values() for row in rows]), max_size=12),
    to_agent=st.booleans(),
    silence=st.sampled_from([0.0, PATIENCE, FIRST_PATIENCE]),
)
def test_any_trace_has_a_verdict(chosen: list[Row], to_agent: bool, silence: float) -> None:
    """Whatever was seen, in whatever order: never an error, always words."""
    events = events_of(chosen)
    verdict = judge(BootStory(events, to_agent, 1e9 + 60 + silence))
    assert verdict.text
    assert all(one in events for one in verdict.evidence)


def test_without_evidence_it_says_so() -> None:
    """Rather than to guess."""
    verdict = judge(story([ON, FIRMWARE, ASKS, OFFER, WANTS, GETS, LOADER], to_agent=False))
    assert verdict.cause in (Cause.UNKNOWN, Cause.NOTHING_BOOTS)
    assert judge(BootStory([], to_agent=True, until=0.0)).cause is Cause.UNDER_WAY


def test_what_agents_tell_may_be_anything() -> None:
    """Facts of an event that are no text are no sign of another file, and nothing stumbles over them."""
    odd = (2, "agent", "done", "step 1 is done", {"file": [], "firmware": {}, "bytes": "x"})
    assert judge(story([ON, odd])).cause is judge(story([ON, odd[:4]])).cause
