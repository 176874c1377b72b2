"""Power over the API: all of it off, and what a board waits for or differs in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from hostler.api.documents import power_document
from hostler.model.power import PowerReading, PowerState
from served_lab import served
from simulated_rack import until


async def test_all_off_is_for_admins_and_says_what_it_touched(tmp_path: Path):
    """A member is refused and nothing happens; for an admin every board is asked off, and runs end."""
    async with served(tmp_path, hang=True) as api:
        await api.anna.post("/claims", json={"class": "pc"})
        run = (await api.anna.post("/boards/pc-1/runs", json={"plan": "wipe"})).json()
        refused = await api.anna.post("/power/all-off", json={})
        assert (refused.status_code, refused.json()["status"]) == (403, 403)
        assert (await api.anna.get(f"/runs/{run['id']}")).json()["state"] in ("queued", "running")
        done = await api.admin.post("/power/all-off", json={})
        assert done.status_code == 202
        assert done.json() == {
            "boards": ["arm-1", "pc-1", "pc-2"], "runs": [run["id"]], "quarantined": []
        }  # fmt: skip
        ended = (await api.anna.get(f"/runs/{run['id']}")).json()
        assert (ended["state"], ended["error"]) == ("cancelled", "all power was switched off by admin")
        assert (await api.admin.get("/boards/pc-1/power")).json()["desired"] == "off"


async def test_bad_input_switches_nothing(tmp_path: Path):
    """Unknown equipment and unknown keys get a problem body."""
    async with served(tmp_path) as api:
        await api.anna.post("/claims", json={"class": "pc", "power": True})
        for body, status in (({"equipment": "nope"}, 404), ({"equipmemt": "rack1"}, 422), (None, 422)):
            answer = await api.admin.post("/power/all-off", json=body)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await api.admin.get("/boards/pc-1/power")).json()["desired"] == "on"


async def test_a_board_tells_what_it_waits_for_and_since_when_it_differs(tmp_path: Path):
    """What the rack sees of a wait or a mismatch is in the board's document, and goes when it is over."""
    async with served(tmp_path) as api:
        await until(lambda: "pc-1" in api.lab.hub.state.observed)
        plain = (await api.anna.get("/boards/pc-1/power")).json()
        assert (plain["waits"], plain["mismatch_since"]) == ("", None)
        since = time.time() - 60
        on = PowerReading(PowerState.ON)
        board = api.lab.rack.boards["pc-1"]
        await api.lab.rack.tell(board, power=on, power_mismatch=since, power_waits="waits for 13 W on rack1")
        await until(lambda: api.lab.hub.state.observed["pc-1"].power_mismatch)
        power = (await api.anna.get("/boards/pc-1")).json()["power"]
        assert (power["desired"], power["observed"]) == ("off", "on")
        assert power["waits"] == "waits for 13 W on rack1"
        assert power["mismatch_since"] is not None


async def test_what_is_asked_is_done_when_it_reads_so_or_was_sent_where_nothing_can_be_read(tmp_path: Path):
    """Unknown is not off, an order is no deed, and a board that has yet to go off has not been cycled."""
    off, on, unknown = (PowerReading(state) for state in (PowerState.OFF, PowerState.ON, PowerState.UNKNOWN))
    async with served(tmp_path) as api:
        await until(lambda: "pc-1" in api.lab.hub.state.observed)
        record, seen = api.lab.hub.state.boards["pc-1"], api.lab.hub.state.observed["pc-1"]
        cycled = replace(record, power=PowerState.ON, cycles=seen.cycles + 1)
        for board, changes, done in (
            (record, {"power": off}, True),
            (record, {"power": replace(off, partly=True)}, False),
            (record, {"power": on, "power_sent": PowerState.OFF}, False),
            (record, {"power": unknown}, False),
            (record, {"power": unknown, "power_sent": PowerState.ON}, False),
            (record, {"power": unknown, "power_sent": PowerState.OFF}, True),
            (cycled, {"power": on}, False),
            (cycled, {"power": on, "cycles": cycled.cycles}, True),
        ):
            document = power_document(board, replace(seen, **changes))
            assert document.as_asked is done, (changes, document)
        assert not power_document(record, None).as_asked
