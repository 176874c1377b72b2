"""Boards that never ask the network: a medium the command line made brings the agent, and stays in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from boot_paths import PATHS, BootPath
from matrix_lab import MatrixLab

from hostler.client.waiting import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from hostler.client.documents import TraceEvent
    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

ROWS = [path for path in PATHS if path.first == "media"]


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab of boards with a drive; what is in it the command line made."""
    made = MatrixLab(tmp_path_factory.mktemp("media"), ROWS)
    made.media.mkdir()
    try:
        made.start()
        made.import_needed(material)
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("path", ROWS, ids=[path.key for path in ROWS])
def test_the_agent_comes_from_a_medium(
    lab: MatrixLab, path: BootPath, proving: Callable[[str], AbstractContextManager]
) -> None:
    """Power on, agent, step; where the row has an image, the board leaves the medium for its own disk."""
    file = str(lab.media / path.key)
    terms = (path.key,) if path.image else ("--any", "--arch", "arm64" if "arm64" in path.key else "amd64")
    done = lab.hostler("media", *terms, "--output", file, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["rack"] == "http://10.77.0.1:8067"
    with proving(path.key) as proof:
        proof.events = lab.boot(path)
        seen = [(event["source"], event["kind"]) for event in proof.events]
        assert ("agent", "hello") in seen
        answers = told(proof.events)
        assert "step" in answers
        assert not [event for event in proof.events if event["source"] == "tftp"]
        if path.image:
            assert ("run", "succeeded") in seen
            # The firmware was told of the disk before the restart: the medium did not come in between.
            assert answers.count("local") == 0
            powered_afresh(lab, path)


def told(events: list[TraceEvent]) -> list[str]:
    """Return what the rack answered to agents from media."""
    return [str(event["data"]["answer"]) for event in events if "answer" in event.get("data", {})]


def powered_afresh(lab: MatrixLab, path: BootPath) -> None:
    """Switched on by a person, the board starts the medium again, which hands over to what is installed."""
    claim = next(claim for claim in lab.client.claims() if claim["board"] == path.key)
    assert claim["state"] == "active"
    before = lab.newest_boot(path.key)
    lab.client.set_power(path.key, "on")
    events = poll(
        lambda: lab.events(path.key, before),
        lambda events: any(event["kind"] == "login" for event in events),
        seconds=600,
        what="the login of what is installed",
    )
    answers = told(events)
    assert answers.count("local") == 1
    lab.client.set_power(path.key, "off")
