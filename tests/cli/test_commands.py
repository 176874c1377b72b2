"""Every verb against the real server: text for people, JSON for programs, exit status for scripts."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import LAB, SimulatedLab, simulated_lab

from hostler.client.client import Client
from hostler.netboot.packet_files import FOLDER, PacketFiles
from hostler.wire.pcapng import packet, section

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")


class Shell:
    """Runs ``hostler`` against one server."""

    def __init__(self, lab: SimulatedLab) -> None:
        self.lab = lab
        self.environment = {**os.environ, **lab.environment}

    def __call__(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [HOSTLER, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
            env=self.environment,
        )
        assert done.returncode == status, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run with ``--json`` and return the one document."""
        lines = self(*arguments, "--json", status=status).stdout.splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start without waiting."""
        return subprocess.Popen(
            [HOSTLER, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


@pytest.fixture
def images(shell: Shell, tmp_path: Path) -> Shell:
    """A server with images that install well, badly, and never."""
    disk = tmp_path / "disk.raw.gz"
    disk.write_bytes(gzip.compress(random.Random(1).randbytes(3_000_000) + bytes(1_000_000)))
    for name in ("good", "bad", "slow"):
        shell("image", "import", name, str(disk), "--arch", "amd64", "--platforms", "x86-bios")
    return shell


def test_the_main_job(images: Shell) -> None:
    """Claim, deploy, look, release: each step is told, and the board is available again at the end."""
    assert "pc-1 is yours for 2 h" in images("claim", "pc", "--name", "mine", "--ttl", "2h").stdout
    deployed = images("deploy", "pc-1", "good")
    assert "install:good (1/2) " in deployed.stdout
    assert "install:good,boot succeeded" in deployed.stdout
    shown = images("show", "pc-1").stdout
    assert "mine of admin" in shown
    assert "lifecycle  claimed" in shown
    assert images.json("show", "mine")["board"] == "pc-1"
    trace = images("trace", "pc-1").stdout
    assert "power   on" in trace
    assert " s  dhcp" in trace
    assert images.json("why", "pc-1")["cause"] == "under-way"
    assert "nothing was missing" in images("why", "pc-1").stdout.lower()
    assert "pc-1 is available, power off" in images("release", "mine").stdout
    assert images.json("boards")[1]["lifecycle"] == "available"


def test_the_packets_of_a_boot_are_written_for_wireshark(images: Shell, tmp_path: Path) -> None:
    """--pcap writes what the rack recorded, of the boot that was asked for; a refusal writes nothing."""
    images("claim", "pc")
    images("run", "pc-1", "wipe")
    boot = images.json("trace", "pc-1")["boot"]
    kept = PacketFiles(tmp_path / "state" / "netboot" / "lab" / FOLDER, section(["srv0"], 2048, "words"))
    file = tmp_path / "boot.pcapng"
    refused = images("trace", "pc-1", "--pcap", str(file), status=1).stderr
    assert "CAP_NET_RAW" in refused
    assert not file.exists()
    kept.add("pc-1", boot["id"], packet(0, 1, bytes(64), 64, outgoing=True))
    assert f"are in {file}" in images("trace", "pc-1", "--pcap", str(file)).stderr
    piped = subprocess.run(
        [HOSTLER, "trace", "pc-1", "--boot", str(boot["number"]), "--pcap", "-"],
        capture_output=True, timeout=60, check=True, env=images.environment,
    )  # fmt: skip
    assert piped.stdout == file.read_bytes()
    read = subprocess.run(
        ["tshark", "-r", "-"], input=piped.stdout, capture_output=True, timeout=60, check=True
    )
    assert len(read.stdout.splitlines()) == 1
    assert (
        "nothing is known of boot 7" in images("trace", "pc-1", "--boot", "7", "--pcap", "-", status=1).stderr
    )


def test_bars_and_tables_on_a_terminal(images: Shell) -> None:
    """On a terminal a run is a bar that is drawn in place, and lists are drawn tables; JSON stays JSON."""
    assert "claimed" not in on_a_terminal(images, "boards")
    images("claim", "pc")
    drawn = on_a_terminal(images, "deploy", "pc-1", "good")
    assert "━" in drawn
    assert "install:good,boot succeeded" in drawn
    assert "claimed" in on_a_terminal(images, "boards")
    assert json.loads(on_a_terminal(images, "boards", "--json"))[1]["lifecycle"] == "claimed"


def on_a_terminal(shell: Shell, *arguments: str) -> str:
    """Run with a terminal as standard output and return what was drawn there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    process = subprocess.Popen(
        [HOSTLER, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**shell.environment, "TERM": "xterm"},
    )
    os.close(slave)
    drawn = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last end of the terminal was closed
            break
        drawn += piece
    os.close(master)
    assert process.wait(30) == 0
    return drawn.decode()


def test_tables_and_documents_tell_the_same(shell: Shell) -> None:
    """Lists print a header and a line each; with --json the server's own documents."""
    lines = shell("boards").stdout.splitlines()
    assert lines[0].split() == ["BOARD", "CLASS", "LIFECYCLE", "POWER", "CLAIM", "RUN"]
    assert [line.split()[0] for line in lines[1:]] == [board["name"] for board in shell.json("boards")]
    assert [c["name"] for c in shell.json("classes")] == ["arm", "pc"]
    assert shell("claims").stdout == "no claims\n"
    assert shell.json("claims") == []


def test_available_classes_only(shell: Shell) -> None:
    """A class whose boards are all held is not available."""
    shell("claim", "arm")
    assert [c["name"] for c in shell.json("classes", "--available")] == ["pc"]
    assert shell.json("boards", "--claimed", "mine")[0]["name"] == "arm-1"


def test_a_class_that_is_not_there_is_refused_with_those_that_are(shell: Shell) -> None:
    """An unknown class is refused with status 1 and names the known ones; --json gives the problem."""
    done = shell("claim", "mac", status=1)
    assert done.stderr.startswith("hostler: ")
    assert "pc" in done.stderr
    assert shell.json("claim", "mac", status=1)["status"] == 404


def test_no_free_board_is_a_refusal_and_wait_queues(shell: Shell) -> None:
    """Without --wait a taken class is refused; with it the claim gets the board that is released."""
    held = shell.json("claim", "arm")
    assert shell.json("claim", "arm", status=1)["status"] == 409
    waiting = shell.start("claim", "arm", "--name", "next", "--wait", "30")
    try:
        with Client(shell.lab.settings) as client:
            end = time.monotonic() + 20
            while not any(claim["name"] == "next" for claim in client.claims()):
                assert time.monotonic() < end
                time.sleep(0.05)
        shell("release", held["id"])
        out, err = waiting.communicate(timeout=30)
    finally:
        waiting.kill()
    assert waiting.returncode == 0, err
    assert "number 1 in the queue" in out
    assert "arm-1 is yours" in out


def test_a_wait_that_is_too_long_gives_up_cleanly(shell: Shell) -> None:
    """When no board becomes free in time the claim is withdrawn, and the text says so."""
    shell("claim", "arm")
    done = shell("claim", "arm", "--wait", "1", status=1)
    assert "did not become free within 1 s; the claim is withdrawn" in done.stderr
    assert [claim["state"] for claim in shell.json("claims")] == ["active"]


def test_claim_with_an_image_waits_for_both(images: Shell) -> None:
    """Claim --image --wait ends when the image runs, with the claim as its document."""
    claim = images.json("claim", "pc", "--image", "good", "--wait")
    assert claim["state"] == "active"
    with Client(images.lab.settings) as client:
        run = client.board("pc-1")["run"]
    assert run is not None
    assert run["state"] == "succeeded"


def test_an_image_that_cannot_be_installed_with_the_claim_is_told(shell: Shell) -> None:
    """An image nobody has is refused before anything is claimed."""
    assert shell.json("claim", "pc", "--image", "none", "--wait", status=1)["detail"]
    assert shell.json("claims") == []


def test_a_failed_run_is_status_1_with_its_reason_and_log(images: Shell) -> None:
    """A run that fails prints why, its last lines and where to look; with --json its document."""
    images("claim", "pc")
    done = images("run", "pc-1", "wipe,install:bad", status=1)
    assert "hostler: wipe,install:bad on pc-1 failed: disk is broken\n  | reading\n  | EIO\n" in done.stderr
    assert "hostler trace pc-1" in done.stderr
    assert images.json("run", "pc-1", "install:bad", status=1)["state"] == "failed"


def test_interrupting_the_wait_leaves_the_run(images: Shell) -> None:
    """Ctrl-C stops the waiting only and says how to look and how to call it off; --cancel does that."""
    images("claim", "pc")
    waiting = images.start("deploy", "pc-1", "slow")
    try:
        with Client(images.lab.settings) as client:
            end = time.monotonic() + 20
            while not ((run := client.board("pc-1")["run"]) and run["done"]):
                assert time.monotonic() < end
                time.sleep(0.05)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=20)
    finally:
        waiting.kill()
    assert waiting.returncode == 1
    assert "hostler: stopped waiting; the run on pc-1 goes on" in err
    assert "hostler run pc-1 --cancel" in err
    assert images.json("run", "pc-1", "--cancel")["state"] == "cancelled"
    assert "no run is active on pc-1" in images("run", "pc-1", "--cancel", status=1).stderr


def test_no_wait_returns_at_once(images: Shell) -> None:
    """--no-wait prints the run as it was begun; a second one is refused, and --dry-run begins none."""
    images("claim", "pc")
    assert "it could be done: wipe, boot" in images("run", "pc-1", "wipe,boot", "--dry-run").stdout
    assert images.json("deploy", "pc-1", "slow", "--dry-run")["steps"] == ["install:slow", "boot"]
    assert images.json("deploy", "pc-1", "slow", "--no-wait")["state"] in ("queued", "running")
    assert images.json("deploy", "pc-1", "good", status=1)["status"] == 409
    assert images.json("deploy", "pc-1", "slow", "--timeout", "1s", status=1)["status"] == 409


def test_options_may_stand_before_the_last_word(images: Shell) -> None:
    """A last word that may be left out is found behind options, too."""
    images("claim", "pc")
    assert images.json("run", "pc-1", "--no-wait", "install:good,boot")["plan"] == "install:good,boot"
    assert images("run", "pc-1", "--no-wait", status=2).stderr.startswith("hostler: say what to do")
    assert (
        "unrecognized arguments: more" in images("run", "pc-1", "--no-wait", "boot", "more", status=2).stderr
    )


def test_power_is_read_back(shell: Shell) -> None:
    """Power on and off wait for the reading; status only looks."""
    shell("claim", "pc")
    assert shell("power", "pc-1", "on").stdout == "pc-1: on\n"
    assert shell.json("power", "pc-1", "off")["observed"] == "off"
    assert shell("power", "pc-1", "status").stdout == "pc-1: off\n"
    assert shell.json("power", "pc-1", "cycle")["observed"] == "on"


def test_images(images: Shell, tmp_path: Path) -> None:
    """Images are listed, shown and removed; a name that is taken or gone is refused."""
    assert {image["name"] for image in images.json("image", "list")} == {"good", "bad", "slow"}
    shown = images.json("image", "show", "good")
    assert (shown["size"], shown["arch"]) == (
        4_000_000 // 512 * 512 + (512 if 4_000_000 % 512 else 0),
        "amd64",
    )
    assert "index" in images("image", "show", "good").stdout
    assert images.json("image", "rm", "good") == {"removed": "good"}
    assert images.json("image", "show", "good", status=1)["status"] == 404
    missing = images(
        "image", "import", "x", str(tmp_path / "no"), "--arch", "amd64", "--platforms", "x86-bios", status=1
    )
    assert "cannot read" in missing.stderr


def test_a_broken_image_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    """A truncated upload is refused with the reason and is not in the list."""
    broken = tmp_path / "broken.raw.gz"
    broken.write_bytes(gzip.compress(random.Random(2).randbytes(1_000_000))[:-1000])
    problem = shell.json(
        "image", "import", "b", str(broken), "--arch", "amd64", "--platforms", "x86-bios", status=1
    )
    assert problem["detail"]
    assert shell.json("image", "list") == []


def test_apply_tells_changes_and_mistakes_with_their_line(shell: Shell, tmp_path: Path) -> None:
    """A dry run changes nothing; a file with mistakes is refused, each with file, line and advice."""
    lab = tmp_path / "lab.toml"
    more = '\n[boards.pc-3]\nclass = "pc"\nmac = "52:54:00:00:00:09"\n'
    lab.write_text(LAB + more)
    assert "add board pc-3" in shell("apply", str(lab), "--dry-run").stdout
    assert len(shell.json("boards")) == 3
    assert shell.json("apply", str(lab))["changes"][0]["name"] == "pc-3"
    assert len(shell.json("boards")) == 4
    assert shell("apply", str(lab)).stdout == "nothing changes\n"
    lab.write_text(LAB + more.replace('"pc"', '"mac"').replace(":09", ":01"))
    done = shell("apply", str(lab), status=1)
    line = (LAB + more).splitlines().index("[boards.pc-3]") + 1
    assert f"lab.toml:{line + 1}: " in done.stderr
    assert f"lab.toml:{line + 2}: " in done.stderr
    assert "cannot read" in shell("apply", str(tmp_path / "none.toml"), status=1).stderr


def test_check_tells_what_to_do(shell: Shell) -> None:
    """Check is status 1 when a wire fails, with advice under it; one board alone can be well."""
    done = shell("check", status=1)
    assert "FAILED  power pc-2: no answer\n        look at the cable\n" in done.stdout
    assert shell.json("check", "pc-1")["ok"] is True


def test_events_follow_as_lines(shell: Shell) -> None:
    """Events prints history; --follow --json one document a line as things happen."""
    following = shell.start("events", "--follow", "--json", "--after", "0")
    try:
        assert following.stdout is not None
        shell("claim", "pc", "--name", "seen")
        kinds = []
        while "claim.created" not in kinds and "claim.granted" not in kinds:
            kinds.append(json.loads(following.stdout.readline())["kind"])
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=20)
        assert following.returncode == 0
    finally:
        following.kill()
    assert kinds[0] == shell.json("events")[0]["kind"]


def test_what_is_not_there_is_named(shell: Shell) -> None:
    """Unknown boards, claims and runs are refused by name, with status 1."""
    for arguments in (
        ("show", "nope"),
        ("trace", "nope"),
        ("why", "nope"),
        ("release", "nope"),
        ("power", "nope", "status"),
    ):
        assert "nope" in shell(*arguments, status=1).stderr


def test_a_wrong_token_says_so(shell: Shell) -> None:
    """An unknown token is refused with what to set."""
    shell.environment["HOSTLER_TOKEN"] = "hst_wrong"
    assert "HOSTLER_TOKEN" in shell("boards", status=1).stderr


def test_a_reader_that_goes_away_is_no_traceback(shell: Shell) -> None:
    """`hostler events | head -1` ends quietly."""
    command = f"{HOSTLER} events | head -n 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=shell.environment,
    )
    assert "Traceback" not in done.stderr
