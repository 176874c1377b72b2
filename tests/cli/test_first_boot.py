"""The options of deploy that tell a disk image about itself."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_lab import simulated_lab

from hostler.cli.first_boot import add_first_boot_arguments, first_boot
from hostler.client.errors import ClientError
from hostler.gateway.verb import PERMITTED

HOSTLER = str(Path(sys.executable).parent / "hostler")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def read(*arguments: str):
    parser = argparse.ArgumentParser()
    add_first_boot_arguments(parser)
    return first_boot(parser.parse_args(arguments))


def test_no_option_asks_for_nothing():
    """A plain deploy leaves the image as it is."""
    assert read() is None


def test_files_are_read_where_the_person_is(tmp_path: Path):
    """Their texts travel; --hostname alone means the board's name."""
    (tmp_path / "motd").write_text("hi\n")
    (tmp_path / "net.json").write_text('{"version": 2}')
    told = read("--file", f"/etc/motd={tmp_path}/motd", "--network", str(tmp_path / "net.json"), "--hostname")
    assert told == {
        "hostname": "", "own_keys": False, "user": "", "files": {"/etc/motd": "hi\n"},
        "network": {"version": 2}, "way": "auto",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--file", "/etc/motd"), "PATH=FILE"),
        (("--file", "/etc/motd=/nowhere/x"), "cannot read /nowhere/x"),
        (("--network", "/nowhere/x"), "cannot read /nowhere/x"),
        (("--network", __file__), "is no JSON"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: tuple[str, ...], why: str):
    """Before anything is asked of the server."""
    with pytest.raises(ClientError, match=why):
        read(*arguments)


def test_by_ssh_no_file_of_the_server_is_read():
    """The verb runs there, and a path would be one of the server's."""
    assert not PERMITTED["deploy"] & {"file", "network"}
    assert PERMITTED["deploy"] >= {"hostname", "ssh_keys", "user", "first_boot"}


def test_a_board_is_deployed_with_its_name_and_its_holders_keys(tmp_path: Path):
    """And a mistake is told before the board is touched."""
    disk, key = tmp_path / "disk.gz", tmp_path / "key.pub"
    disk.write_bytes(gzip.compress(os.urandom(100_000)))
    key.write_text(f"{KEY} ada\n")
    with simulated_lab(tmp_path / "state") as lab:

        def run(*arguments: str, status: int = 0) -> str:
            done = subprocess.run(
                [HOSTLER, *arguments], capture_output=True, text=True, timeout=60, check=False,
                stdin=subprocess.DEVNULL, env={**os.environ, **lab.environment},
            )  # fmt: skip
            assert done.returncode == status, done.stdout + done.stderr
            return done.stdout + done.stderr

        run("image", "import", "good", str(disk), "--arch", "amd64", "--platforms", "x86-bios")
        run("claim", "pc")
        assert "no ssh key here" in run("deploy", "pc-1", "good", "--ssh-keys", status=1)
        assert "is not a host name" in run("deploy", "pc-1", "good", "--hostname", "a b", status=1)
        run("key", "add", str(key))
        told = run("deploy", "pc-1", "good", "--hostname", "--ssh-keys", "--user", "ada", "--json")
        assert json.loads(told)["state"] == "succeeded"
