"""The verbs about who may do what, against the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import SimulatedLab, simulated_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedLab]:
    with simulated_lab(tmp_path_factory.mktemp("lab") / "state") as lab:
        yield lab


def run(
    lab: SimulatedLab, *words: str, status: int = 0, token: str = "", typed: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **lab.environment, **({"HOSTLER_TOKEN": token} if token else {})}
    done = subprocess.run(
        [HOSTLER, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        input=typed,
        env=environment,
    )
    assert done.returncode == status, f"{words}: {done.stdout}\n{done.stderr}"
    return done


def ask(lab: SimulatedLab, *words: str, status: int = 0, token: str = "") -> Any:
    return json.loads(run(lab, *words, "--json", status=status, token=token).stdout)


def test_people_and_projects(lab: SimulatedLab):
    """An admin lets people in, puts them into projects with quotas, and shuts them out."""
    made = ask(lab, "principal", "add", "anna")
    assert made["token"].startswith("hst_")
    assert "hst_" in run(lab, "principal", "add", "ci", "--role", "viewer").stdout
    project = ask(lab, "project", "add", "red", "--weight", "2", "--priority", "5", "--quota", "*=10")
    assert (project["weight"], project["priority"], project["quotas"]) == (2.0, 5, {"*": 10})
    assert "no weight" in run(lab, "project", "set", "red", "--weight", "nan", status=2).stderr
    project = ask(lab, "project", "set", "red", "--quota", "pc=1", "--quota", "*=none")
    assert project["quotas"] == {"pc": 1}
    assert ask(lab, "project", "member", "red", "anna", "admin")["members"]["anna"] == "admin"
    ask(lab, "project", "member", "red", "ci", "viewer", token=made["token"])
    assert "ci (viewer)" in run(lab, "project", "show", "red").stdout
    assert "red" in run(lab, "project", "list", token=made["token"]).stdout
    assert "no quota" in run(lab, "project", "set", "red", "--quota", "pc=many", status=2).stderr
    assert "mars" in run(lab, "project", "set", "red", "--quota", "mars=1", status=1).stderr
    assert "red (viewer)" in run(lab, "principal", "list").stdout
    run(lab, "principal", "disable", "ci")
    assert "disabled" in run(lab, "principal", "list").stdout
    assert ask(lab, "principal", "enable", "ci")["disabled"] is False
    assert ask(lab, "principal", "role", "ci", "member")["role"] == "member"
    ask(lab, "project", "member", "red", "ci", "none")
    assert "ci" not in ask(lab, "project", "show", "red")["members"]
    run(lab, "principal", "remove", "ci")
    assert "ci" in run(lab, "principal", "show", "ci", status=1).stderr
    run(lab, "project", "member", "red", "anna", "none")
    run(lab, "project", "remove", "red")
    assert [one["name"] for one in ask(lab, "project", "list")] == ["default"]


def test_tokens(lab: SimulatedLab):
    """Tokens are made with limits, listed without their text, and end when they are revoked."""
    made = ask(lab, "token", "add", "ci", "--expires", "30d", "--role", "member", "--project", "default")
    assert ask(lab, "whoami", token=made["token"])["role"] == "member"
    listed = run(lab, "token", "list")
    assert "member, project default" in listed.stdout
    assert made["token"] not in listed.stdout
    run(lab, "token", "revoke", "ci")
    assert "revoked" in run(lab, "whoami", token=made["token"], status=1).stderr
    assert "revoked" in run(lab, "token", "list", "--ended").stdout
    assert "lies ahead" in run(lab, "token", "add", "--expires", "2001-01-01", status=1).stderr
    assert "nobody" in run(lab, "token", "add", "--for", "nobody", status=1).stderr


def test_keys(lab: SimulatedLab, tmp_path: Path):
    """A public key is read from a file or standard input; a private one is never sent."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    public = tmp_path / "id.pub"
    added = ask(lab, "key", "add", str(public), "--name", "laptop")
    assert added["fingerprint"].startswith("SHA256:")
    assert "laptop" in run(lab, "key", "list").stdout
    assert "stays with you" in run(lab, "key", "add", str(tmp_path / "id"), status=1).stderr
    run(lab, "key", "remove", added["fingerprint"])
    run(lab, "key", "add", "-", typed=public.read_text())
    assert "already" in run(lab, "key", "add", str(public), status=1).stderr


def test_audit(lab: SimulatedLab):
    """The audit says who did what, by which door, from which address and with which token."""
    run(lab, "token", "add", "watched")
    lines = run(lab, "events", "--audit", "--principal", "admin", "--since", "1h").stdout.splitlines()
    mine = [line for line in lines if "token.created" in line]
    assert mine
    assert "admin" in mine[-1]
    assert "[api 127.0.0.1 t-" in mine[-1]
    assert all(
        event["principal"] == "admin" for event in ask(lab, "events", "--audit", "--principal", "admin")
    )
