"""A whole lab on a network where somebody else's DHCP server gives the addresses."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from whole_lab import WholeLab

from hostler.client.waiting import poll
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, joined

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

BOARD = "vx-bios"


@pytest.fixture
def office(lab: WholeLab) -> Iterator[None]:
    """The boards' network gets dnsmasq, on a machine of its own; Hostler becomes a proxy."""
    pid = (lab.state / "virtual" / "namespace.pid").read_text().strip()
    with joined(None, client_mac="02:00:00:77:00:02") as cable:  # no board's
        for command in (
            ["ip", "-n", cable.server.name, "link", "set", SERVER_INTERFACE, "netns", pid],
            [
                "nsenter", "--net", "--target", pid, "--",
                "ip", "link", "set", SERVER_INTERFACE, "master", "br0", "up",
            ],
            ["ip", "-n", cable.client.name, "address", "add", "10.77.0.2/24", "dev", CLIENT_INTERFACE],
        ):  # fmt: skip
            subprocess.run(command, check=True, timeout=10)
        server = cable.client.popen(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
            f"--interface={CLIENT_INTERFACE}", "--dhcp-range=10.77.0.200,10.77.0.220,10m", "--no-ping",
            "--dhcp-leasefile=/dev/null", "--pid-file=", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            text = re.sub(r"^range *=.*\n", "", lab.toml.read_text(), flags=re.M)
            text = re.sub(r"^address = \"10\.77\.0\.1\d\"\n", "", text, flags=re.M)
            assert 'dhcp = "own"' in text
            lab.client.apply(text.replace('dhcp = "own"', 'dhcp = "proxy"'))
            poll(lambda: lab.client.check(), lambda report: any(
                row["what"].startswith("network") and row["ok"] for row in report["checks"]
            ), seconds=30, what="the proxy")  # fmt: skip
            yield
        finally:
            server.terminate()
            server.wait(10)


@pytest.mark.usefixtures("office")
def test_the_agent_boots_with_an_address_of_dnsmasq(lab: WholeLab) -> None:
    """From power-on over SeaBIOS, iPXE and the agent to a finished step, and never an address of ours."""
    lab.claim(BOARD)
    before = lab.newest_boot(BOARD)
    run = lab.wait_run(lab.client.start_run(BOARD, "discover")["id"])
    assert run["state"] == "succeeded", run["error"]
    seen = [(event["source"], event["kind"]) for event in lab.events(BOARD, before)]
    assert ("dhcp", "offer") in seen
    assert ("dhcp", "heard") in seen
    assert ("agent", "hello") in seen
    assert ("dhcp", "ack") not in seen
    assert ("dhcp", "rogue") not in seen
    (lease,) = json.loads(lab.hostler("leases", BOARD, "--json").out)
    assert (lease["kind"], lease["state"], lease["board"]) == ("foreign", "bound", BOARD)
    assert lease["address"].startswith("10.77.0.2")
