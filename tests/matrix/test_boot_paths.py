"""Each boot path that needs nothing but its row, from power-on to the agent or to the installed system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from boot_paths import PATHS, BootPath
from matrix_lab import RUN_SECONDS

if TYPE_CHECKING:
    from concurrent.futures import Future

    from hostler.client.documents import TraceEvent

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

ROWS = [path for path in PATHS if not path.own_test and not path.elsewhere]


@pytest.mark.parametrize("path", ROWS, ids=[path.key for path in ROWS])
def test_the_board_comes_to_the_agent(
    path: BootPath, boots: dict[str, Future[list[TraceEvent]]], proving
) -> None:
    """Powered on, the board's agent speaks; where the row has an image, that runs at the end."""
    with proving(path.key) as proof:
        # The boots before this one in the queue may take as long each.
        proof.events = boots[path.key].result(timeout=RUN_SECONDS * len(boots))
        seen = [(event["source"], event["kind"]) for event in proof.events]
        assert ("agent", "hello") in seen
        assert (("bootctl", "taken-over") in seen) == bool(path.bootctl)
        if path.network in ("dnsmasq", "dhcpd"):
            assert ("dhcp", "heard") in seen
            assert ("dhcp", "rogue") not in seen
        if path.network == "ipv6":
            told = [
                event["data"] for event in proof.events if (event["source"], event["kind"]) == ("dhcp", "ack")
            ]
            firmware = next(data for data in told if data.get("file"))
            assert firmware["family"] == "ipv6"
        assert not {("dhcp", "late"), ("dhcp", "wrong-network"), ("tftp", "mtu"), ("http", "mtu")} & {*seen}
        assert not [kind for source, kind in seen if source == "link"]
        if path.image:
            assert ("run", "succeeded") in seen
