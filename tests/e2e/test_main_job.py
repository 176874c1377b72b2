"""The main job on three boards at once: real firmware, real protocols, real operating systems."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from whole_lab import BOOT_SECONDS, DISK, WholeLab, hostler

from hostler.build.tool_pack import PACK_NAME
from hostler.client.client import Client
from hostler.client.console import readable
from hostler.client.errors import RefusedError
from hostler.client.settings import Settings
from hostler.client.shell import login, run_command
from hostler.client.waiting import poll, wait_claim
from hostler.demo.lab import free_ports
from hostler.demo.material import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.client.documents import Board, Run, TraceEvent
    from hostler.demo.material import Material

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

IMAGES = {"vx-bios": "debian", "vx-uefi": "debian", "va-uboot": "tiny-arm64"}
SAYS = {
    "vx-bios": ("x86_64", 'PRETTY_NAME="Debian GNU/Linux 12'),
    "vx-uefi": ("x86_64", 'PRETTY_NAME="Debian GNU/Linux 12'),
    "va-uboot": ("aarch64", "tiny"),
}
FETCHES = {
    "vx-bios": [("http", "ipxe"), ("http", "kernel"), ("http", "initrd")],
    "vx-uefi": [("tftp", "snponly.efi"), ("http", "ipxe"), ("http", "kernel"), ("http", "initrd")],
    "va-uboot": [
        ("tftp", "pxelinux.cfg/b0a2d0e4-0003-4c6f-9a35-6d1f2c7e0003"),
        ("tftp", "boot/initrd"),
        ("tftp", "boot/kernel"),
    ],
}
PIECE = 1 << 20


@dataclass
class Deployed:
    """A board that was claimed, deployed and logged in to.

    Attributes:
        claim: The claim's id.
        run: The run that deployed it, as it ended.
        said: What the command on its console printed.
        written: Whether its disk had an image on it then.
    """

    claim: str
    run: Run
    said: str = ""
    written: bool = False


@dataclass
class Job:
    """What all tests of this file look at.

    Attributes:
        lab: Where it happens.
        boards: By name, after deploy and login.
        members: Tokens of two who are not admin.
    """

    lab: WholeLab
    boards: dict[str, Deployed]
    members: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def job(lab: WholeLab, material: Material) -> Iterator[Job]:
    """Claim, deploy and log in, all boards at once."""
    for name in ("debian", "tiny-arm64"):
        lab.import_image(name, material.images[name], *PLATFORMS[name])
    members = {name: lab.add_member(name) for name in ("anna", "bert")}

    def deploy(board: str) -> Deployed:
        claim = lab.claim(board)
        run = lab.wait_run(lab.client.deploy(board, IMAGES[board])["id"])
        assert run["state"] == "succeeded", f"{board}: {run}"
        done = Deployed(claim, run, written=not zeros(lab.disk(board), 0, 4 * PIECE))
        with lab.client.console(board) as console:
            login(console, "root", "hostler", seconds=BOOT_SECONDS)
            result = run_command(console, "uname -m; cat /etc/os-release", seconds=120)
        assert result.status == 0, result
        done.said = result.output
        return done

    with ThreadPoolExecutor(len(IMAGES)) as boards:
        yield Job(lab, dict(zip(IMAGES, boards.map(deploy, IMAGES), strict=True)), members)


def zeros(disk: Path, offset: int, length: int) -> bool:
    """Tell whether a stretch of a file is all zeros."""
    with disk.open("rb") as file:
        file.seek(offset)
        for _ in range(-(-length // PIECE)):
            if file.read(PIECE).strip(b"\0"):
                return False
    return True


def in_order(events: list[TraceEvent], *wanted: tuple[str, str, str | None]) -> None:
    """Assert that these happened one after the other: source, kind, and file if there is one."""
    left = iter(events)
    for source, kind, file in wanted:
        for event in left:
            data: dict[str, Any] = event.get("data", {})
            if (event["source"], event["kind"]) == (source, kind) and file in (None, data.get("file")):
                break
        else:
            told = "\n".join(f"{e['since']:8.1f} {e['source']} {e['kind']} {e['text']}" for e in events)
            pytest.fail(f"{source} {kind} {file} is not where it should be in\n{told}")


def test_each_board_runs_what_was_deployed(job: Job) -> None:
    """On every console the system that was asked for answers, on the right kind of processor."""
    for board, (machine, release) in SAYS.items():
        words = job.boards[board].said.split()
        assert words[0] == machine, f"{board}: {job.boards[board].said}"
        assert release in job.boards[board].said, f"{board}: {job.boards[board].said}"
        assert job.boards[board].written
        assert job.boards[board].run["attempt"] == 1


def test_each_boot_leaves_its_trace_in_order(job: Job) -> None:
    """Power, DHCP, what this firmware fetches, the agent's work, the system's prompt: one after the other."""
    for board, fetches in FETCHES.items():
        in_order(
            job.lab.events(board),
            ("power", "on", None),
            ("dhcp", "discover", None),
            ("dhcp", "ack", None),
            *((source, "get" if file == "ipxe" else "done", file) for source, file in fetches),
            ("agent", "hello", None),
            ("run", "executing", None),
            ("http", "get", "index"),
            ("agent", "done", None),
            ("run", "boot", None),
            ("dhcp", "ack", None),
            ("console", "kernel", None),
            ("console", "login", None),
            ("run", "succeeded", None),
        )


def test_every_agent_brings_the_tools_of_captures(lab: WholeLab) -> None:
    """A board's disk can be captured here as in any lab."""
    agents = lab.client.agents()
    assert {agent["arch"] for agent in agents} == {"amd64", "arm64"}
    assert all(PACK_NAME in agent["boot_files"] for agent in agents)


def test_a_second_viewer_is_shown_what_was_said(job: Job) -> None:
    """Who joins a console late reads the same words as who was there, and only reads."""
    with job.lab.client.console("vx-bios", write=False) as late:
        assert late.attached["writer"] is False
        end, shown = time.monotonic() + 30, 0
        while shown < int(late.attached["replay"]) and time.monotonic() < end:
            shown += len(late.read(1))
        assert "PRETTY_NAME" in readable(late.tail)


def test_what_does_not_fit_is_refused_and_changes_nothing(job: Job, tmp_path: Path) -> None:
    """An image for another processor or larger than the disk, a class that is not there: named, no more."""
    lab = job.lab
    huge = tmp_path / "huge.raw.zst"
    with zstandard.open(huge, "wb") as file:
        for _ in range(DISK // PIECE + 1):
            file.write(bytes(PIECE))
    lab.import_image("huge", huge, "amd64", ["x86-bios"])
    before = lab.client.boards()
    for words, says in (
        (("deploy", "va-uboot", "debian"), 'image "debian" is for amd64'),
        (("deploy", "vx-uefi", "huge"), "not on x86-uefi"),
        (("deploy", "vx-bios", "huge"), f"needs {DISK + PIECE} bytes"),
        (("deploy", "vx-bios", "fedora"), 'no image "fedora"'),
        (("claim", "pc-risc"), 'no class "pc-risc"'),
        (("run", "vx-bios", "format"), "format"),
    ):
        said = lab.hostler(*words)
        assert said.status == 1, said
        assert says in said.err, said
        assert "Traceback" not in said.err
    assert not changed(before, lab.client.boards())


def changed(before: list[Board], after: list[Board]) -> list[str]:
    """Return what differs between two looks at the boards, but for readings that change by themselves."""
    return [
        f"{was['name']}.{key}: {was[key]} became {now[key]}"  # type: ignore[literal-required]
        for was, now in zip(before, after, strict=True)
        for key in was
        if key != "power" and was[key] != now[key]  # type: ignore[literal-required]
    ]


def test_a_second_server_finds_the_boot_ports_taken(job: Job, tmp_path: Path) -> None:
    """Another server on the same network serves its API, says which port is taken, and disturbs nobody."""
    other = WholeLab.__new__(WholeLab)
    other.state, other.data, other.toml, other.starts = tmp_path, tmp_path / "server", job.lab.toml, 0
    other.url = f"http://127.0.0.1:{free_ports(tmp_path).consoles[0]}"
    other.virtual = None
    toml = job.lab.toml.read_text().split("[boards.")[0]  # it must not switch or read the first one's boards
    other.toml = job.lab.toml.with_name("other.toml")
    other.toml.write_text(toml)
    other.serve()
    try:
        other.server.wait_until(
            lambda: bool(other.server.tokens) and other.server.printed("in use"),
            seconds=60,
            what="complaining",
        )
        said = hostler("check", url=other.url, token=other.server.tokens[0])
        assert said.status == 1
        assert "UDP port 67 on br0 is in use" in said.out
    finally:
        other.server.stop()
    said = job.lab.hostler("check")
    assert said.status == 0, said


def test_a_held_board_is_not_given_away_and_who_came_first_is_served_first(job: Job) -> None:
    """While a board is held the next are refused or queue in their order, and may not touch it."""
    lab = job.lab
    anna, bert = (Client(Settings(lab.url, job.members[name])) for name in ("anna", "bert"))
    with anna, bert:
        with pytest.raises(RefusedError, match="no board of class"):
            anna.claim("arm64-virt")
        first = anna.claim("arm64-virt", wait=True)
        second = bert.claim("arm64-virt", wait=True)
        assert (first["position"], second["position"]) == (1, 2)
        with pytest.raises(RefusedError, match="held by admin"):
            anna.set_power("va-uboot", "off")
        with pytest.raises(RefusedError, match="held by admin"):
            bert.deploy("va-uboot", "tiny-arm64")
        anna.release(first["id"])
        assert bert.get_claim(second["id"])["position"] == 1
        bert.release(second["id"])


def test_a_power_cycle_comes_back_to_its_prompt(job: Job) -> None:
    """A cycle is a new boot from the board's own disk, up to the login."""
    lab = job.lab
    before = lab.newest_boot("va-uboot")
    lab.client.set_power("va-uboot", "cycle")
    poll(
        lambda: lab.events("va-uboot", since=before),
        lambda events: any(event["kind"] == "login" for event in events),
        seconds=BOOT_SECONDS,
        what="the login after the cycle",
    )
    events = lab.events("va-uboot", since=before)
    in_order(events, ("power", "on", None), ("dhcp", "ack", None), ("console", "login", None))
    with lab.client.console("va-uboot") as console:
        login(console, "root", "hostler", seconds=120)


def test_released_means_clean(job: Job) -> None:
    """Given back, each board is wiped and read back by its agent, its disk is zeros, it is off and free."""
    lab = job.lab
    before = {board: lab.newest_boot(board) for board in IMAGES}
    with Client(Settings(lab.url, job.members["anna"])) as anna:
        waiting = anna.claim("arm64-virt", wait=True)
        for deployed in job.boards.values():
            lab.client.release(deployed.claim)
        for board, deployed in job.boards.items():
            run = lab.wait_run(str(lab.client.runs(board)[0]["id"]))
            assert (run["purpose"], run["state"]) == ("release", "succeeded"), run
            (result,) = run["results"]
            (disk,) = result["disks"]
            # A busy host makes the disks slow, and the agent then reads samples: below, all of it is read.
            assert disk["disk"]["size"] == DISK
            assert disk["verified_whole"] is (disk["verified_bytes"] == DISK)
            assert disk["verified_bytes"] > 0
            assert wait_claim(lab.client, deployed.claim, seconds=120, states=frozenset({"closed"}))
            assert zeros(lab.disk(board), 0, DISK), f"{board} is not clean"
            in_order(
                lab.events(board, since=before[board]),
                ("power", "on", None), ("agent", "hello", None),
                ("agent", "done", None), ("power", "off", None),
            )  # fmt: skip
        for board in ("vx-bios", "vx-uefi"):
            now = lab.wait_free(board)
            assert (now["lifecycle"], now["power"]["observed"], now["claim"]) == ("available", "off", None)
            assert lab.board_process(board) is None
        assert wait_claim(anna, waiting["id"], seconds=60)["board"] == "va-uboot"


def test_no_secret_is_anywhere(job: Job) -> None:
    """No token of a boot or a person is in trace, events, consoles, logs or databases but the rack's own."""
    lab = job.lab
    lab.note_boot_tokens()
    assert len(lab.boot_tokens) >= 6
    secrets = {lab.token, *job.members.values(), *lab.boot_tokens}
    told = [str(list(lab.client.all_events()))]
    for board in IMAGES:
        for boot in lab.client.trace(board)["boots"]:
            told.append(str(lab.client.trace(board, boot["number"])))
            told.append(lab.client.console_log(board, boot["number"]).decode(errors="replace"))
        told.append(str(lab.client.board(board)) + str(lab.client.runs(board)))
    for text in told:
        assert not [secret for secret in secrets if secret in text]
    looked_at = 0
    for path in (*lab.data.rglob("*"), *lab.log("x").parent.iterdir()):
        if path.is_file() and "/images/" not in str(path):
            looked_at += 1
            content = path.read_bytes()
            found = [secret for secret in secrets if secret.encode() in content]
            if path.name.startswith("rack.db"):
                found = [secret for secret in found if secret not in lab.boot_tokens]
            assert not found, f"a secret is in {path}"
    assert looked_at > 5
    with sqlite3.connect(lab.data / "rack.db") as memories:
        assert memories.execute("SELECT count(*) FROM memories").fetchone()[0] == len(IMAGES)
