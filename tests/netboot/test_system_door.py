"""What installers and live systems fetch and say, asked for by aiohttp, curl and wget on loopback."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv4Address
from typing import Any

import aiohttp
import pytest
from test_http import TOKEN, Bench, bench, client

from hostler.model.boot import BootIntent
from hostler.model.netboot_order import BASE_MARK, TOKEN_MARK, DoneSignal, NetbootOrder
from hostler.netboot.table import Target

__all__ = ["bench", "client"]

ORDER = NetbootOrder(
    "debian-installer",
    "k" * 64,
    "i" * 64,
    cmdline=f"auto=true url={BASE_MARK}/boot/text/preseed.cfg?token={TOKEN_MARK}",
    texts={"preseed.cfg": f"d-i preseed/late_command string wget {BASE_MARK}/boot/done?token={TOKEN_MARK}\n"},
)


def system(bench: Bench, **files: str) -> Target:
    order = NetbootOrder(
        **{**{name: getattr(ORDER, name) for name in ORDER.__dataclass_fields__}, "files": files}
    )
    return bench.step(netboot=order)


def nobody_has_the_address(bench: Bench) -> None:
    bench.leases.clear()


def another_board_has_the_address(bench: Bench) -> None:
    bench.leases[IPv4Address("127.0.0.1")] = "52:54:00:00:00:02"
    bench.table.put(Target("b2", "x86-uefi", "amd64", ("52:54:00:00:00:02",), intent=BootIntent.STEP))


async def test_a_text_is_told_how_to_reach_us_and_with_which_token(
    bench: Bench, client: aiohttp.ClientSession
):
    """What was left open when the plan was made is filled in for the board that asks."""
    system(bench)
    async with client.get(f"{bench.url}/boot/text/preseed.cfg") as answer:
        assert answer.status == 200
        assert (
            await answer.text()
        ) == f"d-i preseed/late_command string wget {bench.url}/boot/done?token={TOKEN}\n"
        assert answer.content_type == "text/plain"


async def test_a_file_comes_whole_or_in_part(bench: Bench, client: aiohttp.ClientSession):
    """A large file can be resumed, as the tools in an initramfs do."""
    artefact, content = bench.file("squashfs", 300_000)
    system(bench, **{"live.squashfs": artefact})
    url = f"{bench.url}/boot/image/live.squashfs"
    async with client.get(url) as answer:
        assert await answer.read() == content
    async with client.get(url, headers={"Range": "bytes=299990-"}) as answer:
        assert (answer.status, await answer.read()) == (206, content[-10:])
    async with client.head(url) as answer:
        assert (answer.status, answer.content_length) == (200, 300_000)
    assert [event.data["bytes"] for event in bench.told("done")] == [300_000, 10]


@pytest.mark.parametrize("path", ["/boot/image/other", "/boot/text/other", "/boot/text/", "/boot/image/../x"])
async def test_only_what_the_order_names_is_there(bench: Bench, client: aiohttp.ClientSession, path: str):
    """Names lead to what was registered for this board, and nowhere else."""
    artefact, _ = bench.file("squashfs", 10)
    system(bench, squashfs=artefact)
    async with client.get(f"{bench.url}{path}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("path", ["/boot/text/preseed.cfg", "/boot/image/squashfs"])
async def test_an_unknown_address_needs_the_token(bench: Bench, client: aiohttp.ClientSession, path: str):
    """An installer's second interface has no lease of ours; the token in the URL says whose it is."""
    artefact, _ = bench.file("squashfs", 10)
    system(bench, squashfs=artefact)
    nobody_has_the_address(bench)
    async with client.get(f"{bench.url}{path}") as answer:
        assert answer.status == 403
    async with client.get(f"{bench.url}{path}?token=wrong") as answer:
        assert answer.status == 403
    async with client.get(f"{bench.url}{path}?token={TOKEN}") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/boot/text/preseed.cfg", "/boot/done", "/boot/fail"])
async def test_another_board_cannot_use_the_token(bench: Bench, client: aiohttp.ClientSession, path: str):
    """A token read from somebody's console is of no use on another board."""
    system(bench)
    another_board_has_the_address(bench)
    async with client.get(f"{bench.url}{path}?token={TOKEN}") as answer:
        assert answer.status == 403
    assert not bench.reports
    assert "shown by b2" in bench.told("refused")[0].text
    assert TOKEN not in "".join(event.text + json.dumps(event.data) for event in bench.events)


async def test_a_board_with_no_such_step_gets_nothing(bench: Bench, client: aiohttp.ClientSession):
    """While the agent works, or nothing does, there is no system to fetch anything for."""
    bench.step()
    async with client.get(f"{bench.url}/boot/text/preseed.cfg") as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", {}),
        (b" \n", {}),
        (b'{"kernel": "6.1"}', {"body": {"kernel": "6.1"}}),
        (b"all went well\nin 300 s\n", {"body": "all went well\nin 300 s"}),
        (b"\xff\x1b[2J\x00", {"body": "\ufffd\ufffd[2J\ufffd"}),
        (b"[1, 2]", {"body": "[1, 2]"}),
    ],
)
@pytest.mark.parametrize(("path", "kind"), [("done", "system-done"), ("fail", "system-fail")])
async def test_what_a_system_says_reaches_the_rack(
    bench: Bench, client: aiohttp.ClientSession, path: str, kind: str, body: bytes, said: Any
):
    """A JSON object is kept as one, anything else as words that no terminal stumbles over."""
    system(bench)
    bench.answer = 204
    async with client.post(f"{bench.url}/boot/{path}?token={TOKEN}", data=body) as answer:
        assert (answer.status, await answer.text()) == (200, "noted\n")
    assert bench.reports == [(kind, "b1", "boot-1", said)]


async def test_a_signal_needs_its_token(bench: Bench, client: aiohttp.ClientSession):
    """The right address alone moves no run: firmware may repeat a request at will."""
    system(bench)
    async with client.get(f"{bench.url}/boot/done") as answer:
        assert answer.status == 403
    async with client.put(f"{bench.url}/boot/done?token={TOKEN}") as answer:
        assert answer.status == 405
    assert not bench.reports


async def test_a_signal_nobody_waits_for_is_refused(bench: Bench, client: aiohttp.ClientSession):
    """Who says that it is done hears when that was not taken."""
    system(bench)
    bench.answer = 409
    async with client.get(f"{bench.url}/boot/done?token={TOKEN}") as answer:
        assert answer.status == 409


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_a_largest_size(bench: Bench, client: aiohttp.ClientSession, chunked: bool):
    """64 KiB are enough for a summary; a whole log is refused, whether or not its length was told."""
    system(bench)
    url = f"{bench.url}/boot/fail?token={TOKEN}"

    async def parts():
        for _ in range(65):
            yield b"x" * 1024

    async with client.post(url, data=parts() if chunked else b"x" * (65 << 10)) as answer:
        assert answer.status == 413
    async with client.post(url, data=b"x" * (64 << 10)) as answer:
        assert answer.status == 200
    assert len(bench.reports) == 1


@pytest.mark.parametrize(
    "command",
    [["curl", "-sf", "-d", "done well"], ["wget", "-qO-", "--post-data=done well"], ["wget", "-qO-"]],
)
async def test_the_tools_installers_have_can_say_it(bench: Bench, command: list[str]):
    """Curl and wget, by POST and by GET."""
    system(bench)
    process = await asyncio.create_subprocess_exec(
        *command, f"{bench.url}/boot/done?token={TOKEN}", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"noted\n")
    assert bench.reports[0][3] == ({"body": "done well"} if len(command) > 2 and "d" in command[-1] else {})


async def test_a_systems_kernel_is_served_and_the_agents_is_not(bench: Bench, client: aiohttp.ClientSession):
    """The step's own kernel goes to the board; the agent's configuration, with its powers, does not."""
    kernel, content = bench.file("kernel", 1000)
    agents, _ = bench.file("agents", 1000)
    order = NetbootOrder("memtest", kernel, done=DoneSignal.CONSOLE, pattern="PASS")
    bench.step(netboot=order, kernel=agents)
    async with client.get(f"{bench.url}/boot/file/{kernel}") as answer:
        assert await answer.read() == content
    for path in (f"file/{agents}", "config.cpio"):
        async with client.get(f"{bench.url}/boot/{path}") as answer:
            assert answer.status in (403, 404)
    async with client.get(f"{bench.url}/boot/ipxe") as answer:
        script = await answer.text()
    assert f"kernel --name kernel {bench.url}/boot/file/{kernel} || goto failed" in script
    assert "\ninitrd" not in script
