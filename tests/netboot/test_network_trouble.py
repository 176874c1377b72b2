"""Trouble of the wire as real clients have it, read from what the real services tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_dhcp_server import NETWORK, board, running, udhcpc

from hostler.model.network_trouble import NetworkTrouble
from hostler.model.trace import TraceEvent
from netns import SERVER_INTERFACE, Lan

if TYPE_CHECKING:
    from pathlib import Path

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
