"""Agents from a medium ask who they are: who is believed, what they are told, and what the trace keeps."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from test_http import MAC, TOKEN, Bench, listening

from hostler.model.boot import BootIntent
from hostler.model.netboot_order import NetbootOrder
from hostler.netboot.table import Target
from hostler.rack.strangers import Strangers

if TYPE_CHECKING:
    from pathlib import Path

UUID = "4c4c4544-0042-3510-8051-b4c04f583132"
OTHER = "52:54:00:00:00:02"


async def ask(bench: Bench, **facts: Any) -> tuple[int, Any]:
    """Ask as a machine that says this of itself."""
    query = [
        (key, one) for key, value in facts.items() for one in (value if isinstance(value, list) else [value])
    ]
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{bench.url}/boot/join", params=query) as answer,
    ):
        body = await answer.text()
        return answer.status, await answer.json() if answer.content_type == "application/json" else body


async def test_the_holder_of_a_lease_gets_the_configuration_of_its_boot(tmp_path: Path) -> None:
    """As often as it asks: an agent that started over asks again."""
    async with listening(tmp_path) as bench:
        bench.step()
        for _ in range(2):
            status, answer = await ask(bench, mac=[MAC, OTHER], uuid=UUID)
            boot = {"rack": bench.url, "token": TOKEN, "board": "b1", "boot": "boot-1"}
            assert (status, answer) == (200, {"answer": "step", "boot": boot})
        assert [event.board for event in bench.told("get")] == ["b1", "b1"]
        assert TOKEN not in repr(bench.events)


async def test_whoever_holds_another_boards_address_is_that_board(tmp_path: Path) -> None:
    """A board that says it is another one gets nothing: its address says who it is."""
    async with listening(tmp_path) as bench:
        bench.table.put(Target("thief", "x86-bios", "amd64", (MAC,), intent=BootIntent.LOCAL))
        bench.step(macs=(OTHER,), uuid=UUID, serial="SN-7")
        for facts in ({"mac": OTHER}, {"uuid": UUID.upper()}, {"serial": "sn-7"}):
            status, answer = await ask(bench, **facts)
            assert status == 403
            assert TOKEN not in answer
        assert (await ask(bench, mac=MAC))[1]["answer"] == "local"
        refused = bench.told("refused")
        assert [event.board for event in refused] == ["thief"] * 3
        assert "its address belongs to thief; UUID" in refused[1].text


async def test_where_the_address_tells_nothing_a_boot_is_given_once(tmp_path: Path) -> None:
    """Behind somebody else's router a machine is believed, but a second one that says the same is not."""
    async with listening(tmp_path) as bench:
        bench.leases.clear()
        bench.step(uuid=UUID)
        assert (await ask(bench, mac=OTHER, uuid=UUID))[1]["answer"] == "step"
        assert (await ask(bench, mac=OTHER, uuid=UUID))[1]["answer"] == "step"  # the same one again
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.9", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"{bench.url}/boot/join", params={"mac": MAC}) as answer,
        ):
            assert answer.status == 403
        assert "given to another machine" in bench.told("refused")[0].text
        bench.step(uuid=UUID, boot="boot-2", token="another")
        assert (await ask(bench, uuid=UUID))[1]["boot"]["boot"] == "boot-2"


async def test_facts_of_two_boards_are_a_conflict(tmp_path: Path) -> None:
    """No board is guessed."""
    async with listening(tmp_path) as bench:
        bench.leases.clear()
        bench.step()
        bench.table.put(Target("b2", "x86-bios", "amd64", (OTHER,), serial="SN-2"))
        status, answer = await ask(bench, mac=MAC, serial="SN-2")
        assert status == 403
        assert "different boards" in answer


async def test_a_board_with_nothing_to_do_waits_and_one_that_is_to_boot_its_disk_leaves(
    tmp_path: Path,
) -> None:
    """Waiting is traced once, leaving each time with its count; why a board cannot leave is traced too."""
    async with listening(tmp_path) as bench:
        bench.step(intent=BootIntent.HOLD, message="Board is held.")
        for _ in range(3):
            assert (await ask(bench, mac=MAC))[1] == {
                "answer": "wait", "message": "Board is held.", "seconds": 10.0
            }  # fmt: skip
        assert len(bench.told("get")) == 1
        bench.step(intent=BootIntent.LOCAL)
        for _ in range(3):
            assert (await ask(bench, mac=MAC))[1]["answer"] == "local"
        assert "3 times in this boot" in bench.told("get")[-1].text
        await ask(bench, mac=MAC, failed="no\x1b[31m disk")
        assert (
            "cannot leave its medium for its disk: no\N{REPLACEMENT CHARACTER}[31m disk"
            in bench.told("failed")[0].text
        )


async def test_a_system_over_the_network_is_not_for_a_medium(tmp_path: Path) -> None:
    """The agent's token is not given for a step that is another system's."""
    async with listening(tmp_path) as bench:
        bench.step(netboot=NetbootOrder("installer", "kernel"))
        answer = (await ask(bench, mac=MAC))[1]
        assert answer["answer"] == "wait"
        assert "installer comes over the network" in answer["message"]


async def test_a_machine_nobody_knows_becomes_a_stranger(tmp_path: Path) -> None:
    """It waits, and the lab learns its MAC, UUID and serial number, for somebody to adopt it."""
    async with listening(tmp_path) as bench:
        bench.leases[IPv4Address("127.0.0.1")] = OTHER
        bench.step()
        answer = (await ask(bench, mac=[OTHER], uuid=UUID, serial="SN-9"))[1]
        assert answer["answer"] == "wait"
        assert "nobody knows this machine" in answer["message"]
        (event,) = bench.told("stranger")
        stranger = Strangers().note(event)
        assert stranger is not None
        assert (stranger.mac, stranger.network) == (OTHER, "bench")
        assert (stranger.facts["uuid"], stranger.facts["serial"]) == (UUID, "SN-9")


@pytest.mark.parametrize(
    "facts", [{"mac": "nonsense"}, {"mac": [f"52:54:00:00:01:{n:02x}" for n in range(17)]}]
)
async def test_nonsense_is_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    """A MAC that is none, and more of them than a machine has."""
    async with listening(tmp_path) as bench:
        bench.step()
        assert (await ask(bench, **facts))[0] == 400
        async with aiohttp.ClientSession() as client, client.post(f"{bench.url}/boot/join") as answer:
            assert answer.status == 405
