"""Claims on the command line: several boards, bookings, sharing, and holding them while something runs."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from simulated_lab import simulated_lab
from test_commands import Shell

from hostler.client.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


def test_boards_are_asked_for_by_labels_by_name_and_together(shell: Shell) -> None:
    """Labels, one exact board and several at once; release gives all of them back."""
    assert shell.json("claim", "arch=arm64")["boards"] == ["arm-1"]
    shell("release", shell.json("claims")[0]["id"])
    claim = shell.json("claim", "--board", "pc-2", "--with", "arm", "--name", "both")
    assert claim["boards"] == ["pc-2", "arm-1"]
    assert "pc-2, arm" in shell("claims").stdout
    assert "pc-2, arm-1" in shell("show", "both").stdout
    refused = shell("claim", "pc", "--count", "2", status=1).stderr
    assert "not free at once" in refused
    assert "the lab has not boards enough" in shell("claim", "pc", "--count", "3", status=1).stderr
    assert "no number" in shell("claim", "ram>=lots", status=1).stderr
    done = shell("release", "both").stdout
    assert "pc-2 is available" in done
    assert "arm-1 is available" in done


def test_a_claim_is_changed_while_it_lasts(shell: Shell) -> None:
    """extend, share, hand-over and kick change the claim, and unknown people are named."""
    before = shell.json("claim", "arm", "--ttl", "1h", "--name", "mine")
    after = shell.json("extend", "mine", "--by", "30m")
    assert after["ttl"] == before["ttl"] + 1800
    with Client(shell.lab.settings) as client:
        client._http.call("POST", "principals", body={"name": "anna", "role": "member"})
    assert shell.json("share", "mine", "anna", "--read-only")["shares"] == {"anna": "read"}
    assert shell.json("unshare", "mine", "anna")["shares"] == {}
    assert 'no user "otto"' in shell("share", "mine", "otto", status=1).stderr
    assert shell.json("hand-over", "mine", "anna")["principal"] == "anna"
    kicked = shell.json("kick", before["id"], "--reason", "the fire brigade")
    assert kicked["state"] == "releasing"
    assert kicked["reason"] == "ended by admin: the fire brigade"


def test_what_was_given_back_is_told_as_being_wiped(shell: Shell, tmp_path: Path) -> None:
    """From the release on nobody waits for a claim's end any more: what its boards do is told instead."""
    shell("claim", "--board", "pc-1", "--with", "arm", "--name", "mine", "--ttl", "2h")
    assert "mine of admin, ends in " in shell("show", "pc-1").stdout
    hold = tmp_path / "state/hold"
    hold.touch()
    claim = shell.json("release", "mine", "--no-wait")["id"]
    board, whole = shell("show", "pc-1").stdout, shell("show", claim).stdout
    assert "mine of admin, given back; being wiped\n" in board
    for shown in (board, whole, shell("claims").stdout):
        assert "being wiped" in shown
        assert "ends" not in shown
    for name in ("pc-1", "arm-1"):
        (row,) = [line for line in whole.splitlines() if line.startswith(f"{name} ")]
        assert row.split(maxsplit=1)[1].startswith("being wiped")
    with Client(shell.lab.settings) as client:
        wait_until(lambda: client.board("pc-1")["run"] is not None)
        wait_until(lambda: (client.board("pc-1")["run"] or {}).get("state") == "running")
    assert "being wiped: wipe" in shell("show", claim).stdout
    hold.unlink()
    with Client(shell.lab.settings) as client:
        wait_until(lambda: client.get_claim(claim)["state"] == "closed")
    closed = shell("show", claim).stdout
    assert "being wiped" not in closed
    assert "closed" in closed


def test_a_booking_is_told(shell: Shell) -> None:
    """A claim for later waits for its time and keeps others from being in its way."""
    shell.json("claim", "arm", "--at", "+2h", "--for", "4h", "--name", "later")
    refused = shell("claim", "arm", "--ttl", "3h", status=1).stderr
    assert "is free" in refused
    assert shell.json("claim", "arm", "--ttl", "10m")["state"] == "active"
    assert "booked for" in shell("claims").stdout
    assert shell.json("claim", "arm", "--at", "+3h", status=1)["type"].endswith("booking-conflict")
    assert "is no time" in shell("claim", "arm", "--at", "later", status=1).stderr


def test_a_command_holds_the_claim_while_it_runs(shell: Shell) -> None:
    """The command finds the boards in its environment; its exit status is handed on."""
    script = 'echo "$HOSTLER_BOARD of $HOSTLER_BOARDS"; exit 7'
    done = shell("claim", "arm", "--with", "pc", "--", "sh", "-c", script, status=7)
    assert "arm-1 of arm-1 pc-1" in done.stdout
    assert [claim["state"] for claim in shell.json("claims")] in ([], ["releasing"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_client_gives_its_claim_back(shell: Shell, number: int) -> None:
    """Who is stopped by a signal while it keeps a claim releases it first."""
    keeping = shell.start("claim", "arm", "--keep-alive")
    try:
        with Client(shell.lab.settings) as client:
            assert keeping.stdout is not None
            assert any("Ctrl-C gives them back" in line for line in keeping.stdout)  # from here on it does
            keeping.send_signal(number)
            assert keeping.wait(20) == 1
            assert [claim["reason"] for claim in client.claims("all")] == ["released"]
    finally:
        keeping.kill()


def test_a_killed_client_loses_its_claim(shell: Shell) -> None:
    """Who is killed and says nothing any more loses the claim when the time for a sign of life is over."""
    keeping = shell.start("claim", "arm", "--keep-alive", "5s")
    try:
        with Client(shell.lab.settings) as client:
            wait_until(lambda: [claim["state"] for claim in client.claims()] == ["active"])
            keeping.kill()
            wait_until(lambda: client.claims("all")[0]["reason"] == "client gone")
    finally:
        keeping.kill()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
