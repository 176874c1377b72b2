"""What goes wrong in real life: the server dies, power goes away, strangers come, a wipe does not succeed."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from whole_lab import STRANGER_MAC, WholeLab, gone

from hostler.client.waiting import poll
from hostler.demo.material import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.client.documents import Run
    from hostler.demo.material import Material

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

BULK = {"vx-bios": "tiny-amd64", "va-uboot": "tiny-arm64"}
RANDOM_BYTES = 96 << 20
STRANGER = f"unknown-{STRANGER_MAC.replace(':', '')}"
UNTOUCHED_SECONDS = 60.0


@dataclass
class Stranger:
    """A machine that is not in ``lab.toml``, and what its disk held when it was switched on."""

    since: float
    content: str


@pytest.fixture(scope="module")
def bulk(lab: WholeLab, material: Material, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By board, an image that boots fast and takes long to write: a tiny system, then noise."""
    folder = tmp_path_factory.mktemp("bulk")
    for board, tiny in BULK.items():
        path = folder / f"{board}.raw"
        shutil.copyfile(material.images[tiny], path)
        with path.open("ab") as file:
            file.write(os.urandom(RANDOM_BYTES))
        lab.import_image(f"bulk-{board}", path, *PLATFORMS[tiny])
        path.unlink()
    return {board: f"bulk-{board}" for board in BULK}


@pytest.fixture(scope="module")
def stranger(lab: WholeLab) -> Stranger:
    """Put something worth keeping on the disk of a machine nobody knows, and switch it on."""
    disk = lab.disk("stranger")
    disk.parent.mkdir(parents=True, exist_ok=True)
    disk.write_bytes(os.urandom(64 << 20))
    lab.switch_port("stranger", on=True)
    return Stranger(time.monotonic(), digest(disk))


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def writing(run: Run) -> bool:
    """Tell whether the image is being written."""
    return run["step"] == 0 and run["phase"] == "executing" and run["done"] > 0


def begun(attempt: int, phase: str) -> Callable[[Run], bool]:
    """Return whether a run is that far."""
    return lambda run: run["attempt"] == attempt and run["phase"] == phase


def purposes(lab: WholeLab) -> list[str]:
    """What vx-bios was started for, the last first."""
    return [boot["purpose"] for boot in lab.client.trace("vx-bios")["boots"]]


def test_a_killed_server_finishes_what_it_began(
    lab: WholeLab, bulk: dict[str, str], stranger: Stranger
) -> None:
    """Killed while an image is written and again while it boots, a server that is started again carries on.

    Its netboot process dies with it; the claim stays, and the agent that went on alone is not disturbed.
    """
    assert stranger
    claim = lab.claim("vx-bios")
    run = lab.client.deploy("vx-bios", bulk["vx-bios"])
    lab.wait_run(run["id"], writing)
    before = purposes(lab)  # an emulated board on a busy machine may have needed a second try
    for moment in (writing, lambda run: run["step"] == 1 and run["phase"] == "booting"):
        present = lab.wait_run(run["id"], moment)
        assert present["ended"] is None, present
        children = lab.kill_server()
        assert children, "the netboot process is a child of the server"
        end = time.monotonic() + 10
        while not all(gone(pid) for pid in children):
            assert time.monotonic() < end, "a child outlived the server"
            time.sleep(0.1)
        lab.serve()
        lab.settle()
        kept = lab.client.get_claim(claim)
        assert (kept["state"], kept["board"]) == ("active", "vx-bios")
        board = lab.client.board("vx-bios")
        assert board["lifecycle"] == "claimed"
        assert board["run"] is not None
        assert board["run"]["id"] == run["id"]
    done = lab.wait_run(run["id"])
    assert done["state"] == "succeeded", done
    assert purposes(lab) == ["local", *before]
    assert set(before) == {"agent"}
    assert lab.client.get_claim(claim)["state"] == "active"
    lab.client.release(claim)


@pytest.fixture(scope="module")
def pulled_once(lab: WholeLab, bulk: dict[str, str]) -> Iterator[Future[tuple[Run, Run]]]:
    """In the background: pull the power of one board in mid-write, once.

    The result is its run as the second attempt began, and as it ended.
    """

    def pull() -> tuple[Run, Run]:
        claim = lab.claim("vx-bios")
        run = lab.client.deploy("vx-bios", bulk["vx-bios"])["id"]
        lab.wait_run(run, writing)
        lab.switch_port("vx-bios", on=False)
        again = lab.wait_run(run, lambda run: run["attempt"] == 2, seconds=60)
        done = lab.wait_run(run)
        lab.client.release(claim)
        return again, done

    with ThreadPoolExecutor(1) as background:
        yield background.submit(pull)


def test_power_pulled_twice_fails_the_run(
    lab: WholeLab, bulk: dict[str, str], pulled_once: Future[tuple[Run, Run]]
) -> None:
    """A board that dies in mid-write both times fails its run with the reason; its holder keeps it."""
    assert pulled_once
    lab.claim("va-uboot")
    run = lab.client.deploy("va-uboot", bulk["va-uboot"])["id"]
    for attempt in (1, 2):
        lab.wait_run(run, lambda run, attempt=attempt: writing(run) and run["attempt"] == attempt)
        lab.crash("va-uboot")
    done = lab.wait_run(run, seconds=120)
    assert done["state"] == "failed"
    assert "lost power" in done["error"]
    assert "2 times" in done["error"]
    board = lab.client.board("va-uboot")
    assert (board["lifecycle"], board["claim"] is not None) == ("claimed", True)


def test_a_board_whose_wipe_fails_is_put_aside(lab: WholeLab) -> None:
    """A board that loses power in each wipe is quarantined with the reason, and free once it is clean."""
    holder = lab.client.board("va-uboot")["claim"]
    claim = holder["id"] if holder else lab.claim("va-uboot")
    seq = [event["seq"] for event in lab.client.all_events()][-1]
    lab.client.release(claim)
    run = str(lab.client.runs("va-uboot")[0]["id"])
    lab.wait_run(run, begun(1, "executing"))
    lab.crash("va-uboot")
    lab.wait_run(run, begun(2, "booting"))
    poll(lambda: lab.board_process("va-uboot"), bool, seconds=30, what="the second attempt")
    lab.crash("va-uboot")
    board = lab.wait_free("va-uboot")
    assert (board["lifecycle"], board["claim"]) == ("quarantined", None)
    assert "lost power" in board["reason"]
    kinds = [event["kind"] for event in lab.client.events(seq, "va-uboot")]
    assert "board.quarantined" in kinds
    assert "board.available" not in kinds
    (row,) = [row for row in lab.client.classes() if row["name"] == "arm64-virt"]
    assert row["available"] == 0
    said = lab.hostler("claim", "arm64-virt")
    assert said.status == 1, said
    said = lab.hostler("recover", "va-uboot", seconds=400)
    assert said.status == 0, said
    board = lab.wait_free("va-uboot")
    assert (board["lifecycle"], board["reason"]) == ("available", "")


def test_a_machine_nobody_knows_is_listed_and_left_alone(lab: WholeLab, stranger: Stranger) -> None:
    """It gets an address, is told to wait and is listed with its facts; its disk stays as it was."""
    poll(
        lambda: {board["name"]: board for board in lab.client.boards()},
        lambda boards: STRANGER in boards and bool(boards[STRANGER]["facts"]),
        seconds=60,
        what="the stranger being listed",
    )
    board = lab.client.board(STRANGER)
    assert (board["lifecycle"], board["macs"]) == ("discovered", [STRANGER_MAC])
    assert board["facts"].get("uuid") == "b0a2d0e4-0009-4c6f-9a35-6d1f2c7e0009", board["facts"]
    time.sleep(max(0.0, stranger.since + UNTOUCHED_SECONDS - time.monotonic()))
    console = lab.stranger_console().replace("\n", "")  # it wraps its lines
    assert "nobody knows this machine yet" in console, console
    assert f"mac {STRANGER_MAC} address 10.77.0.1" in console, console
    assert lab.board_process("stranger") is not None, "it was left on"
    assert digest(lab.disk("stranger")) == stranger.content
    for verb, *words in (("run", "wipe"), ("deploy", "bulk-vx-bios"), ("power", "off")):
        said = lab.hostler(verb, STRANGER, *words)
        assert said.status == 1, said
        assert "Traceback" not in said.err
    assert lab.board_process("stranger") is not None
    lab.switch_port("stranger", on=False)
    assert digest(lab.disk("stranger")) == stranger.content


def test_power_pulled_once_is_noticed_and_the_step_done_again(
    lab: WholeLab, pulled_once: Future[tuple[Run, Run]]
) -> None:
    """Behind Hostler's back a port is switched off in mid-write: noticed, tried again, and it succeeds."""
    again, done = pulled_once.result(600)
    assert "lost power" in again["error"], again
    assert done["state"] == "succeeded", done
    assert lab.wait_free("vx-bios")["lifecycle"] == "available"
