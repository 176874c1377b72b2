"""Trouble of the wire as real clients have it, read from what the real services tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_dhcp_server import NETWORK, board, running, udhcpc
from test_tftp_clients import BOARD, SERVER, Site, client_socket, content, serving, site

from hostler.model.network_trouble import NetworkTrouble
from hostler.model.trace import TraceEvent
from hostler.netboot.tftp_server import TftpLimits
from netns import CLIENT_INTERFACE, SERVER_INTERFACE, Lan

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["site"]

pytestmark = pytest.mark.netns

# A port that does not forward yet: what comes before this many bytes did is gone.
_CLOSED = (
    f"add table netdev stp; add chain netdev stp in {{ type filter hook ingress device {SERVER_INTERFACE}"
    " priority 0; }; add rule netdev stp in udp dport 67 quota until 1000 bytes drop"
)


def test_a_port_that_forwards_late_is_told_by_the_first_question_that_arrives(
    lan: Lan, tmp_path: Path
) -> None:
    """Udhcpc asks into a port that drops its first questions; the one that arrives says for how long."""
    lan.server.run("nft", _CLOSED)
    trouble = NetworkTrouble()
    with running(lan, tmp_path, board(lan)) as server:
        trouble.note(TraceEvent(0.0, "power", "on", "b1 is on", "b1"), NETWORK.name)
        told = udhcpc(lan, tmp_path, "-t", "8")
    assert told["ip"].startswith("10.77.0.")
    found = [more for event in server.events for more in trouble.note(event, NETWORK.name)]
    assert [event.kind for event in found] == ["late"]
    assert "switch port waits for spanning tree" in found[0].text


def test_a_client_that_is_heard_at_once_is_not_late(lan: Lan, tmp_path: Path) -> None:
    """The same without the port: nothing to tell."""
    trouble = NetworkTrouble()
    with running(lan, tmp_path, board(lan)) as server:
        trouble.note(TraceEvent(0.0, "power", "on", "b1 is on", "b1"), NETWORK.name)
        assert udhcpc(lan, tmp_path)
    assert not [more for event in server.events for more in trouble.note(event, NETWORK.name)]


def narrow(lan: Lan, largest: int) -> None:
    """Drop what is larger on its way to the client and tell nobody, as a tunnel without ICMP does."""
    lan.client.run(
        "nft",
        "add table netdev tunnel; add chain netdev tunnel in"
        f" {{ type filter hook ingress device {CLIENT_INTERFACE} priority 0; }};"
        f" add rule netdev tunnel in meta length > {largest} drop",
    )


@pytest.mark.parametrize(("largest", "blocks"), [(1100, [1468, 1280, 1024])])
def test_a_narrow_way_is_told_and_gone_with_smaller_blocks(
    site: Site, tmp_path: Path, largest: int, blocks: list[int]
) -> None:
    """The client asks for 1468 again, as firmware does: each time it is told, in the end it boots."""
    narrow(site.lan, largest)
    data = content(100_000)
    site.files[BOARD] = {"boot/kernel": data}
    for number, block in enumerate(blocks[:-1]):
        trying = site.lan.client.popen(*curl(tmp_path / "part"))
        try:
            with site.told:
                assert site.told.wait_for(lambda n=number: len(told(site, "mtu")) > n, timeout=20)
        finally:
            trying.kill()
            trying.wait(5)
        event = told(site, "mtu")[number]
        assert event.data["packet"] == block + 32
        assert event.data["next_blksize"] == blocks[number + 1]
        assert f"packets of {block + 32} bytes are lost on the way" in event.text
        assert f"ping -M do -s {block + 4} {BOARD}" in event.text
    site.lan.client.run(*curl(tmp_path / "whole"), timeout=30)
    assert (tmp_path / "whole").read_bytes() == data
    assert [event.data["blksize"] for event in told(site, "read")] == blocks
    assert len(told(site, "mtu")) == len(blocks) - 1


def test_a_client_that_dies_is_not_a_narrow_way() -> None:
    """It took the options and never spoke again: blocks are sent again, and nothing is said of the way."""
    with serving(TftpLimits(idle_seconds=4)) as site:
        site.files[BOARD] = {"boot/kernel": content(100_000)}
        with client_socket(site) as sock:
            sock.sendto(b"\0\1boot/kernel\0octet\0blksize\x001468\0timeout\x001\0", (SERVER, 69))
            answer, port = sock.recvfrom(2048)
            assert answer[:2] == b"\0\6"
            sock.sendto(b"\0\4\0\0", port)
            assert site.wait("timeout").data["retransmits"] >= 3
        assert not told(site, "mtu")


def curl(stored: Path) -> list[str]:
    return [
        "curl",
        "-sS",
        "--tftp-blksize",
        "1468",
        f"tftp://{SERVER}/boot/kernel",
        "-o",
        str(stored),
        "--max-time",
        "4",
    ]


def told(site: Site, kind: str) -> list[TraceEvent]:
    return [event for event in site.events if event.kind == kind]
