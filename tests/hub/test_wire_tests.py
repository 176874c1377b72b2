"""Boards whose wires are tested: given to nobody meanwhile, put back where they were, aside when wrong."""

from __future__ import annotations

import asyncio
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hostler.hub.access import narrowed
from hostler.hub.adopting import board_table
from hostler.hub.errors import ConflictError, ForbiddenError, UnavailableError
from hostler.hub.records import HUB, Principal, Role
from hostler.link.documents import to_document
from hostler.model.board import Lifecycle
from hostler.model.seam import Stranger
from served_lab import served
from simulated_rack import running, until

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.model.json import Document
    from simulated_rack import Lab

WRONG: Document = {
    "ok": False, "crossed": ["pc-2"], "interrupted": "",
    "checks": [{"what": "network boot of pc-1", "ok": False, "text": "port 1 powers pc-2", "advice": "swap"}],
}  # fmt: skip
MAC = "52:54:00:aa:00:01"


def kinds(lab: Lab, board: str) -> list[str]:
    return [event.kind for event in lab.hub.history._ring if event.board == board]


async def test_a_board_under_test_is_given_to_nobody_and_then_to_who_waits(tmp_path: Path) -> None:
    """It is in maintenance with the reason; a claim that came meanwhile gets it as soon as it has passed."""
    async with running(tmp_path) as lab:
        lab.rack.trying = asyncio.Event()
        testing = asyncio.ensure_future(lab.hub.wire_tests.test(HUB, "arm-1"))
        await until(lambda: lab.rack.boards["arm-1"].desired.lifecycle is Lifecycle.MAINTENANCE)
        record = lab.hub.state.boards["arm-1"]
        assert record.reason == "being checked by hostler"
        with pytest.raises(ConflictError):
            await lab.hub.claim(HUB, "arm")
        claim = await lab.hub.claim(HUB, "arm", wait=True)
        with pytest.raises(ConflictError, match="checked already"):
            await lab.hub.wire_tests.test(HUB, "arm-1")
        assert lab.hub.state.claims[claim.id].board is None
        lab.rack.trying.set()
        report = await testing
        assert report["ok"] is True
        await until(lambda: lab.hub.state.claims[claim.id].board == "arm-1")
        assert lab.hub.state.boards["arm-1"].wire_test is None
        assert [k for k in kinds(lab, "arm-1") if k.startswith("wires.")] == ["wires.started", "wires.passed"]


async def test_wrong_wires_put_a_board_aside_and_the_one_it_is_crossed_with(tmp_path: Path) -> None:
    """Both are quarantined with the reason; one that was aside already stays as it was."""
    async with running(tmp_path) as lab:
        lab.rack.tried["pc-1"] = WRONG
        assert (await lab.hub.wire_tests.test(HUB, "pc-1"))["ok"] is False
        one, two = (lab.hub.state.boards[name] for name in ("pc-1", "pc-2"))
        assert (one.lifecycle, two.lifecycle) == (Lifecycle.QUARANTINED, Lifecycle.QUARANTINED)
        assert one.reason == "its check failed: network boot of pc-1: port 1 powers pc-2"
        assert "crossed" in two.reason
        reason = one.reason
        await lab.hub.wire_tests.test(HUB, "pc-1")
        del lab.rack.tried["pc-1"]
        assert (await lab.hub.wire_tests.test(HUB, "pc-1"))["ok"] is True
        one = lab.hub.state.boards["pc-1"]
        assert (one.lifecycle, one.reason) == (Lifecycle.QUARANTINED, reason)


async def test_a_hub_that_was_killed_puts_the_board_back(tmp_path: Path) -> None:
    """What the board was before is on the disk; at the next start it is that again, with no verdict."""
    async with running(tmp_path) as lab:
        await lab.hub.change(lambda draft: begin_only(draft))
        assert lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.MAINTENANCE
    async with running(tmp_path) as lab:
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.AVAILABLE)
        assert lab.hub.state.boards["pc-1"].wire_test is None
        await until(lambda: "wires.interrupted" in kinds(lab, "pc-1"))


def begin_only(draft) -> None:
    from hostler.hub.wire_tests import begin

    begin(draft, HUB, "pc-1", "w-1")


async def test_who_goes_away_leaves_no_board_aside(tmp_path: Path) -> None:
    """A test whose asker is gone is ended like any other."""
    async with running(tmp_path) as lab:
        lab.rack.trying = asyncio.Event()
        testing = asyncio.ensure_future(lab.hub.wire_tests.test(HUB, "pc-1"))
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.MAINTENANCE)
        testing.cancel()
        with suppress(asyncio.CancelledError):
            await testing
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.AVAILABLE)


async def test_who_goes_away_before_it_has_begun_leaves_no_board_aside(tmp_path: Path) -> None:
    """What is decided but not on the disk yet when its asker goes is ended, too."""
    async with running(tmp_path) as lab:
        testing = asyncio.ensure_future(lab.hub.wire_tests.test(HUB, "pc-1"))
        await asyncio.sleep(0)
        assert lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.MAINTENANCE
        testing.cancel()
        with suppress(asyncio.CancelledError):
            await testing
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.AVAILABLE)


async def test_a_test_that_is_called_off_leaves_the_board_as_it_was(tmp_path: Path) -> None:
    """Its rack is told, the board is back when that is answered, and who had it tested learns by whom."""
    async with running(tmp_path) as lab:
        tests, admin = lab.hub.wire_tests, lab.hub.state.principals["admin"]
        await lab.hub.begin_maintenance(admin, "pc-2", "a new fan")
        lab.rack.trying = asyncio.Event()
        for board, lifecycle, reason in (
            ("pc-1", Lifecycle.AVAILABLE, ""),
            ("pc-2", Lifecycle.MAINTENANCE, "a new fan"),
        ):
            with pytest.raises(ConflictError, match="are not being tried"):
                await tests.call_off(admin, board)
            testing = asyncio.ensure_future(tests.test(HUB, board))
            await until(lambda board=board: ("active-check", board) in asked(lab), 60)
            with pytest.raises(ForbiddenError, match="only hostler"):
                await tests.call_off(Principal("anna", Role.MEMBER), board)
            await tests.call_off(admin, board)
            record = lab.hub.state.boards[board]
            assert (record.lifecycle, record.reason, record.wire_test) == (lifecycle, reason, None)
            with pytest.raises(ConflictError, match="admin called it off"):
                await testing
            assert kinds(lab, board)[-1] == "wires.interrupted"


async def test_who_may_not_use_a_claim_calls_no_test_of_its_board_off(tmp_path: Path) -> None:
    """A token that was narrowed to looking on ends nothing that its principal began."""
    async with running(tmp_path) as lab:
        anna = Principal("anna", Role.MEMBER)
        await lab.hub.create_principal(HUB, "anna", "member")
        claim = await lab.hub.claim(anna, "pc")
        board = lab.hub.state.claims[claim.id].board
        lab.rack.trying = asyncio.Event()
        testing = asyncio.ensure_future(lab.hub.wire_tests.test(anna, board, force=True))
        await until(lambda: ("active-check", board) in asked(lab), 60)
        with pytest.raises(ForbiddenError, match="only anna"):
            await lab.hub.wire_tests.call_off(narrowed(anna, Role.VIEWER, None), board)
        await lab.hub.wire_tests.call_off(anna, board)
        with pytest.raises(ConflictError, match="anna called it off"):
            await testing


def asked(lab: Lab) -> list[tuple[str, object]]:
    return [(kind, body.get("board")) for kind, body in lab.rack.requests]


async def test_a_test_without_a_verdict_quarantines_nobody(tmp_path: Path) -> None:
    """A rack that is away or was told something else says nothing of the wires."""
    async with running(tmp_path) as lab:
        lab.rack.tried["pc-1"] = {
            "ok": False,
            "crossed": [],
            "interrupted": "it is claimed now",
            "checks": [],
        }
        with pytest.raises(UnavailableError, match="it is claimed now"):
            await lab.hub.wire_tests.test(HUB, "pc-1")
        assert lab.hub.state.boards["pc-1"].lifecycle is Lifecycle.AVAILABLE


async def test_a_claimed_board_is_tested_for_its_holder_and_only_when_forced(tmp_path: Path) -> None:
    """Its power is cut: nobody else may, and the holder must say that it may be. The claim stays."""
    async with running(tmp_path) as lab:
        anna, bert = (Principal(name, Role.MEMBER) for name in ("anna", "bert"))
        for one in (anna, bert):
            await lab.hub.create_principal(HUB, one.name, "member")
        claim = await lab.hub.claim(anna, "pc")
        board = lab.hub.state.claims[claim.id].board
        with pytest.raises(ConflictError, match="--force"):
            await lab.hub.wire_tests.test(anna, board)
        with pytest.raises(ForbiddenError, match="held by anna"):
            await lab.hub.wire_tests.test(bert, board, force=True)
        with pytest.raises(ForbiddenError, match="only an admin"):
            await lab.hub.wire_tests.test(bert, "arm-1")
        lab.rack.tried[board] = {**WRONG, "crossed": []}
        assert (await lab.hub.wire_tests.test(anna, board, force=True))["ok"] is False
        record = lab.hub.state.boards[board]
        assert (record.lifecycle, record.claim) == (Lifecycle.CLAIMED, claim.id)


async def test_all_boards_are_tested_and_those_that_cannot_be_are_told(tmp_path: Path) -> None:
    """One answer for the lab; a board somebody holds is named with the reason and left alone."""
    async with served(tmp_path) as api:
        held = (await api.anna.post("/claims", json={"class": "arm"})).json()
        assert held["board"] == "arm-1"
        answer = (await api.admin.post("/check", json={"active": True})).json()
        assert answer["ok"] is False
        (bad,) = [row for row in answer["checks"] if not row["ok"]]
        assert bad["what"] == "wires of arm-1"
        assert "held by anna" in bad["text"] or "claimed" in bad["text"]
        boards = {str(body["board"]) for kind, body in api.lab.rack.requests if kind == "active-check"}
        assert boards == {"pc-1", "pc-2"}
        answer = (await api.admin.post("/check", json={"active": True, "class": "pc"})).json()
        assert (answer["ok"], len(answer["checks"])) == (True, 2)
        assert (await api.admin.post("/check", json={"active": True, "class": "mac"})).status_code == 404
        assert (await api.anna.post("/check", json={"active": True})).status_code == 403
        assert (await api.admin.post("/boards/pc-9/check", json={})).status_code == 404
        assert (await api.admin.post("/boards/pc-1/check", json={"seconds": 0})).status_code == 422


async def test_a_machine_is_searched_for_and_its_table_written(tmp_path: Path) -> None:
    """What the rack found comes back with the lines for lab.toml, which applied make it a board."""
    async with served(tmp_path) as api:
        facts = {"uuid": "b0a2d0e4-0009-4c6f-9a35-6d1f2c7e0009", "serial": "To be filled by O.E.M."}
        stranger = Stranger(MAC, "boot", facts, 1.0, 2.0)
        await api.lab.rack.link.observe(f"stranger/{MAC}", to_document(stranger))
        await until(lambda: api.lab.hub.state.boards.get("unknown-525400aa0001"))
        wire = {"equipment": "rack1", "params": {"port": 7}}
        api.lab.rack.found = {"ok": False, "mac": MAC, "power": wire, "console": None, "checks": []}
        path = f"/discovered/{MAC}/find-wires"
        found = (await api.admin.post(path, json={"name": "pc-3", "class": "pc"})).json()
        assert found["board"] == "unknown-525400aa0001"
        assert found["power"] == wire
        table = tomllib.loads(found["toml"])["boards"]["pc-3"]
        assert table == {
            "class": "pc", "mac": MAC, "uuid": facts["uuid"], "power": {"equipment": "rack1", "port": 7},
        }  # fmt: skip
        text = (await api.admin.get("/inventory")).json()["text"]
        assert (await api.admin.put("/inventory", content=text + found["toml"])).status_code == 200
        assert (await api.admin.get("/boards/pc-3")).json()["lifecycle"] == "available"
        again = await api.admin.post(path, json={})
        assert (again.status_code, "already" in again.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("mac", "body", "status"),
    [
        ("52:54:00:00:00:99", {}, 404),
        ("nonsense", {}, 422),
        (MAC, {"name": "pc-3"}, 422),
        (MAC, {"name": "pc 3", "class": "pc"}, 422),
        (MAC, {"name": "unknown-1", "class": "pc"}, 422),
        (MAC, {"name": "pc-1", "class": "pc"}, 409),
        (MAC, {"name": "pc-3", "class": "mac"}, 404),
        ("52:54:00:00:00:01", {}, 409),
    ],
)
async def test_a_search_that_cannot_be_is_refused_before_anything_is_switched(
    tmp_path: Path, mac: str, body: dict[str, str], status: int
) -> None:
    """Each mistake has its own answer, and the rack is not asked."""
    async with served(tmp_path) as api:
        await api.lab.rack.link.observe(f"stranger/{MAC}", to_document(Stranger(MAC, "boot", {}, 1.0, 2.0)))
        await until(lambda: api.lab.hub.state.boards.get("unknown-525400aa0001"))
        answer = await api.admin.post(f"/discovered/{mac}/find-wires", json=body)
        assert answer.status_code == status, answer.text
        assert (await api.anna.post(f"/discovered/{MAC}/find-wires", json={})).status_code == 403
        assert "find-wires" not in [kind for kind, _ in api.lab.rack.requests]


@pytest.mark.parametrize("name", ["b1", "b.1", "B-1_x"])
def test_a_table_reads_back_as_what_was_found(name: str) -> None:
    """Whatever is in names, keys and values, the lines are TOML and say the same."""
    odd = 'a "quoted" \\ value\twith\x7f \u2603'
    wire = {"equipment": "x", "params": {"outlet": odd, "active_low": True, "line": 3, "command": ["a", odd]}}
    text = board_table(name, "pc", MAC, {"network": "boot", "serial": odd}, {"power": wire}, network=True)
    assert tomllib.loads(text)["boards"][name] == {
        "class": "pc", "network": "boot", "mac": MAC, "serial": odd,
        "power": {"equipment": "x", "outlet": odd, "active_low": True, "line": 3, "command": ["a", odd]},
    }  # fmt: skip
