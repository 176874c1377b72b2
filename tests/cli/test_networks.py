"""The verbs about networks against the real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from simulated_lab import simulated_lab
from test_commands import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


def test_lines_for_another_server(shell: Shell) -> None:
    """The one network need not be named; who would run both servers is warned."""
    done = shell("dhcp-lines", "--for", "dnsmasq")
    assert "dhcp-boot=tag:hostler-ipxe,http://10.77.0.1:8067/boot/ipxe\n" in done.stdout
    assert 'network boot has dhcp = "own"' in done.stderr
    assert shell.json("dhcp-lines", "boot", "--for", "kea")["kind"] == "kea"
    assert "attic" in shell("dhcp-lines", "attic", "--for", "isc", status=1).stderr
    assert shell("networks").stdout.splitlines()[1].split()[:4] == [
        "boot", "own", "10.77.0.0/24", "10.77.0.1",
    ]  # fmt: skip


def test_leases_are_listed_for_people_and_programs(shell: Shell) -> None:
    """A table, one document with --json, and a mistake is named with what there is."""
    done = shell("leases")
    assert done.stdout.splitlines()[1].split()[:6] == [
        "10.77.0.100", "pc-1", "52:54:00:00:00:01", "boot", "dynamic", "bound",
    ]  # fmt: skip
    (row,) = json.loads(shell("leases", "pc-1", "--json").stdout)
    assert row["expires"] == "2100-01-01T00:00:00Z"
    assert shell("leases", "pc-2", "--network", "boot").stdout == "no addresses are given away\n"
    done = shell("leases", "--network", "attic", status=1)
    assert 'there is no network "attic"; known: boot' in done.stderr
