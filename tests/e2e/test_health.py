"""A new board's training, a check with its wires, and a webhook, on real firmware and over a kill -9."""

from __future__ import annotations

import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hostler.client.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whole_lab import WholeLab

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

BOARD = "vx-bios"
BOOTS = 2
HEALTH = '\n[classes.pc-bios.health]\nplan = "discover"\nwires = true\n'


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks; its address and what it was told."""
    events: list[dict[str, Any]] = []

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", events
    server.shutdown()
    thread.join()
    server.server_close()


def wait(lab: WholeLab, good: Callable[[Any], bool], what: str) -> Any:
    return poll(lambda: lab.client.board_health(BOARD), good, seconds=400, what=what)


def test_training_counts_real_boots_over_a_kill(
    lab: WholeLab, told: tuple[str, list[dict[str, Any]]]
) -> None:
    """Each boot of a training is a power-up of its own; a killed hub goes on, and every event arrives."""
    url, events = told
    lab.client.add_hook(url, ["health.*", "board.*"])
    before = lab.newest_boot(BOARD)
    lab.client.train(BOARD, BOOTS)
    wait(lab, lambda now: now["checkup"]["passed"] == 1, "the first boot")
    lab.kill_server()
    lab.serve()
    lab.settle()
    report = wait(lab, lambda now: now["lifecycle"] == "available", "the end of the training")
    assert (report["verdict"], report["detail"]) == ("good", "")
    assert lab.newest_boot(BOARD) - before == BOOTS + 1  # and the wipe
    training = report["training"]
    assert [(boot["round"], boot["fault"]) for boot in training["boots"]] == [(1, ""), (2, "")]
    stages = {stage["stage"]: stage for stage in training["stages"]}
    assert 0 < stages["dhcp"]["min"] < stages["agent"]["min"]
    powers = [event["kind"] for event in lab.events(BOARD, before) if event["source"] == "power"]
    assert powers.count("on") == BOOTS + 1
    poll(lambda: [event["kind"] for event in events], lambda kinds: "board.available" in kinds,
         seconds=30, what="the hook")  # fmt: skip
    seen = sorted({event["seq"]: event["kind"] for event in events}.items())
    kinds = [kind for _, kind in seen]
    assert kinds.count("health.round") == BOOTS
    assert kinds.index("board.maintenance") < kinds.index("health.good") < kinds.index("board.available")


def test_a_check_tries_the_wires_and_boots_the_agent(lab: WholeLab) -> None:
    """Under a claim of the hub's own every wire is tried on the real switch, then the agent looks around."""
    lab.client.apply(lab.toml.read_text() + HEALTH)
    lab.client.set_health(BOARD, "check")
    report = wait(lab, lambda now: now["verdict"] != "unknown" and now["passes"] != 1, "a verdict")
    assert (report["verdict"], report["detail"]) == ("good", "")
    [run] = [run for run in lab.client.runs(BOARD) if run["purpose"] == "check"][:1]
    assert (run["plan"], run["state"]) == ("discover", "succeeded")
    wait(lab, lambda now: now["lifecycle"] == "available", "the wipe")
