"""The HTTP boot listener against curl and aiohttp's client, on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hostler.model.boot import BootIntent
from hostler.model.trace import TraceEvent
from hostler.netboot.boot_files import BootFiles
from hostler.netboot.file_response import send_virtual
from hostler.netboot.http_server import BootHttp, HttpBindError
from hostler.netboot.table import BootTable, NetworkConfig, Target
from hostler.netboot.virtual_file import VirtualFile

MAC, TOKEN = "52:54:00:00:00:01", "secret-of-this-boot"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Bench:
    """A listener, what it knows, and what it told."""

    port: int
    root: Path
    table: BootTable = field(default_factory=BootTable)
    leases: dict[IPv4Address, str] = field(default_factory=lambda: {IPv4Address("127.0.0.1"): MAC})
    events: list[TraceEvent] = field(default_factory=list)
    signs: list[tuple[str, str]] = field(default_factory=list)
    reports: list[tuple[str, str, str, Any]] = field(default_factory=list)
    answer: int = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self, board: str, boot: str, at: float) -> None:
        assert at > 0
        self.signs.append((board, boot))

    async def report(self, kind: str, board: str, boot: str, body: Any) -> int:
        self.reports.append((kind, board, boot, body))
        return self.answer

    def file(self, name: str, size: int) -> tuple[str, bytes]:
        content = os.urandom(size)
        path = self.root / name
        path.write_bytes(content)
        artefact = hashlib.sha256(content).hexdigest()
        self.table.put_artefact(artefact, path)
        return artefact, content

    def step(self, **fields: Any) -> Target:
        target = Target("b1", "x86-uefi", "amd64", (MAC,), intent=BootIntent.STEP, boot="boot-1", token=TOKEN,
                        kernel="k", initrd="i")  # fmt: skip
        target = replace(target, **fields)
        self.table.put(target)
        return target

    def told(self, kind: str) -> list[TraceEvent]:
        return [event for event in self.events if event.kind == kind]


def network(port: int) -> NetworkConfig:
    first, last = IPv4Address("127.0.0.100"), IPv4Address("127.0.0.200")
    return NetworkConfig("bench", "lo", IPv4Interface("127.0.0.1/8"), first, last, http_port=port)


@asynccontextmanager
async def listening(root: Path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    bench = Bench(port, root)
    networks = [network(port)]
    loader = root / "snponly.efi"
    loader.write_bytes(b"MZ" + bytes(1998))
    named = BootFiles(bench.table, networks, bench.leases.get, {loader.name: loader})
    server = BootHttp(
        bench.table, networks, bench.leases.get, bench.events.append, bench, root / "store", named.open
    )
    await server.start()
    try:
        yield bench
    finally:
        await server.close()


@pytest.fixture
async def bench(tmp_path: Path):
    async with listening(tmp_path) as made:
        yield made


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def curl(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", *arguments, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_files_arrive_whole(bench: Bench):
    """With curl one gets the very bytes, and the trace has the number and the rate."""
    kernel, content = bench.file("kernel", 5_000_003)
    initrd, other = bench.file("initrd", 1)
    bench.step(kernel=kernel, initrd=initrd)
    urls = [f"{bench.url}/boot/file/{artefact}" for artefact in (kernel, initrd, kernel)]
    assert await curl(*urls) == content + other + content
    done = bench.told("done")
    assert [event.data["bytes"] for event in done] == [5_000_003, 1, 5_000_003]
    assert {event.board for event in done} == {"b1"}
    assert [event.data["file"] for event in bench.told("get")] == ["kernel", "initrd", "kernel"]


async def test_connections_are_kept(bench: Bench):
    """Two requests of one client share a connection, also after an error."""
    kernel, _ = bench.file("kernel", 1000)
    bench.step(kernel=kernel)
    out = await curl(
        "-w", "%{num_connects}\n", "-o", "/dev/null", f"{bench.url}/boot/ipxe", "-o", "/dev/null",
        f"{bench.url}/nothing", "-o", "/dev/null", f"{bench.url}/boot/file/{kernel}",
    )  # fmt: skip
    assert out.split() == [b"1", b"0", b"0"]


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-", 206, slice(0, None)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=990-5000", 206, slice(990, None)),
        ("bytes=-7", 206, slice(993, None)),
        ("bytes=-5000", 206, slice(0, None)),
        ("bytes=1000-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=20-10", 200, slice(0, None)),
        ("bytes=0-1,5-6", 200, slice(0, None)),
        ("chapters=1-2", 200, slice(0, None)),
    ],
)
async def test_ranges(
    bench: Bench, client: aiohttp.ClientSession, asked: str, status: int, part: slice | None
):
    """One range is honoured; one outside the file is 416; what is no range gets the whole file (RFC 9110)."""
    kernel, content = bench.file("kernel", 1000)
    bench.step(kernel=kernel)
    async with client.get(f"{bench.url}/boot/file/{kernel}", headers={"Range": asked}) as answer:
        assert answer.status == status
        assert await answer.read() == (content[part] if part else b"")
        if status == 416:
            assert answer.headers["Content-Range"] == "bytes */1000"
        elif status == 206 and part:
            first, last, _ = part.indices(1000)
            assert answer.headers["Content-Range"] == f"bytes {first}-{last - 1}/1000"


async def test_a_broken_download_is_resumed(bench: Bench, tmp_path: Path):
    """A download continues with curl -C where it stopped."""
    kernel, content = bench.file("kernel", 300_000)
    bench.step(kernel=kernel)
    part = tmp_path / "part"
    part.write_bytes(content[:123_457])
    await curl("-C", "-", "-o", str(part), f"{bench.url}/boot/file/{kernel}")
    assert part.read_bytes() == content


async def test_head_tells_the_size(bench: Bench, client: aiohttp.ClientSession):
    """HEAD has the length and the tag of the file, and no body."""
    kernel, _ = bench.file("kernel", 12345)
    bench.step(kernel=kernel)
    async with client.head(f"{bench.url}/boot/file/{kernel}") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "12345")
        assert answer.headers["ETag"] == f'"{kernel}"'
    assert [event.kind for event in bench.events] == ["head"]


async def test_what_tftp_serves_is_there_by_the_same_name(bench: Bench, client: aiohttp.ClientSession):
    """UEFI HTTP boot asks for the size first, and takes the file for a program by its type."""
    bench.step()
    url = f"{bench.url}/boot/snponly.efi"
    async with client.head(url) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "2000")
        assert answer.headers["Content-Type"] == "application/efi"
    async with client.get(url) as answer:
        assert await answer.read() == (bench.root / "snponly.efi").read_bytes()
    for name in ("kernel", "..%2fkernel", "%2e%2e/%2e%2e/etc/passwd", ""):
        async with client.get(f"{bench.url}/boot/{name}") as answer:
            assert answer.status == 404
    told = [(event.kind, event.data["file"]) for event in bench.events[:3]]
    assert told == [("head", "snponly.efi"), ("get", "snponly.efi"), ("done", "snponly.efi")]


async def test_a_file_of_many_parts_arrives_whole_and_in_ranges(bench: Bench, client: aiohttp.ClientSession):
    """What is put together while it is sent is the same over all its seams, and resumed by its tag."""
    kernel, _ = bench.file("kernel", 10)
    initrd, content = bench.file("initrd", 100_001)
    bench.step(kernel=kernel, initrd=initrd)
    url = f"{bench.url}/boot/boot/initrd"
    async with client.get(url) as answer:
        whole, tag = await answer.read(), answer.headers["ETag"]
    assert whole.endswith(content)
    assert len(whole) > len(content)
    seam = len(whole) - len(content)
    for first, last in ((0, 0), (seam - 3, seam + 3), (seam, seam), (seam - 1, len(whole) - 1)):
        headers = {"Range": f"bytes={first}-{last}", "If-Range": tag}
        async with client.get(url, headers=headers) as answer:
            assert answer.status == 206
            assert await answer.read() == whole[first : last + 1]
    bench.step(kernel=kernel, initrd=initrd, token="of another boot")
    async with client.get(url, headers={"Range": "bytes=5-", "If-Range": tag}) as answer:
        assert answer.status == 200, "it is another file now"


async def test_who_takes_nothing_fills_no_memory() -> None:
    """A disk in memory has megabytes that are in no file: they wait until the client takes what came before.

    Anybody on the network may ask for one, on many connections, and then read nothing.
    """
    waiting: list[int] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        waiting.append(0)
        write = transport.write

        def counted(data: bytes) -> None:
            write(data)
            waiting.append(transport.get_write_buffer_size())

        transport.write = counted  # type: ignore[method-assign]
        with VirtualFile(bytes(32 << 20)) as file:
            response, _ = await send_virtual(request, file)
        return response

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            await reader.readline()
            while not max(waiting, default=0):
                await asyncio.sleep(0.01)
        assert max(waiting) < 1 << 20
        writer.transport.abort()
    finally:
        await runner.cleanup()


async def test_double_slashes_are_no_redirect(bench: Bench):
    """When iPXE joins URLs with two slashes, that is the same page at once."""
    bench.step(intent=BootIntent.LOCAL)
    out = await curl("-w", "%{http_code}", f"{bench.url}//boot//ipxe")
    assert out.startswith(b"#!ipxe")
    assert out.endswith(b"200")


async def test_a_stranger_is_held_and_gets_nothing(bench: Bench, client: aiohttp.ClientSession):
    """An unknown address gets the hold script, and no file even if it knows the id."""
    kernel, _ = bench.file("kernel", 10)
    bench.step(kernel=kernel)
    bench.leases.clear()
    async with client.get(f"{bench.url}/boot/ipxe") as answer:
        assert f"{bench.url}/boot/ipxe?uuid=${{uuid}}&serial=" in await answer.text()
    async with client.get(f"{bench.url}/boot/ipxe?uuid=") as answer:
        assert "nobody knows this machine" in await answer.text()
    for path in (f"/boot/file/{kernel}", "/boot/config.cpio"):
        async with client.get(bench.url + path) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    "path",
    ["/", "/boot", "/boot/", "/boot/file/", "/boot/file/../../etc/passwd", "/etc/passwd", "/store/chunks/"],
)
async def test_no_directory_is_served(bench: Bench, path: str):
    """Only registered files exist, by id; no path leads to the disk."""
    bench.step(kernel="k")
    assert await curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", bench.url + path) == b"404"


async def test_what_a_stranger_writes_is_printable_in_the_trace(bench: Bench):
    """Paths and headers come into the trace as one line that no terminal and no JSON writer stumbles over."""
    bench.step(kernel=bench.file("kernel", 10)[0])
    await curl("-o", "/dev/null", bench.url + "/x%1b%5d0;y%07%0a%ff")
    await curl("-o", "/dev/null", bench.url + "/boot/file/%1b%5bm")
    await curl(
        "-o",
        "/dev/null",
        "-H",
        b"Range: x\xff\xed\xa0\x80",
        f"{bench.url}/boot/file/{bench.table.by_mac(MAC).kernel}",
    )
    assert len(bench.events) >= 3
    for event in bench.events:
        assert event.text.isprintable()
        assert str(event.data.get("range", "")).isprintable()


async def test_a_board_fetches_only_its_own_kernel(bench: Bench, client: aiohttp.ClientSession):
    """A registered file that is not this board's is not found; a board without work fetches nothing."""
    mine, _ = bench.file("mine", 10)
    other, _ = bench.file("other", 10)
    bench.step(kernel=mine)
    async with client.get(f"{bench.url}/boot/file/{other}") as answer:
        assert answer.status == 404
    bench.step(kernel=mine, intent=BootIntent.LOCAL)
    async with client.get(f"{bench.url}/boot/file/{mine}") as answer:
        assert answer.status == 403


async def test_a_client_that_goes_away_is_told_in_the_trace(bench: Bench):
    """A connection broken in mid-file is ``aborted`` with the bytes that went."""
    kernel, _ = bench.file("kernel", 200_000_000)
    bench.step(kernel=kernel)
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    writer.write(f"GET /boot/file/{kernel} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readexactly(100_000)
    writer.transport.abort()
    async with asyncio.timeout(60):
        while not bench.told("aborted"):
            await asyncio.sleep(0.02)
    sent = bench.told("aborted")[0].data["bytes"]
    assert isinstance(sent, int)
    assert 100_000 <= sent < 200_000_000


async def test_a_failed_stage_is_told_in_the_trace(bench: Bench, client: aiohttp.ClientSession):
    """A script tells which of its fetches failed; anything else in the query is nothing."""
    bench.step(intent=BootIntent.HOLD)
    for stage in ("initrd", "evil%0a"):
        async with client.get(f"{bench.url}/boot/ipxe?failed={stage}") as answer:
            assert answer.status == 200
    assert [event.text for event in bench.told("failed")] == ["b1: iPXE could not get its initrd"]


async def test_an_agent_shows_its_token(bench: Bench, client: aiohttp.ClientSession):
    """No token 401, a wrong one 403, the right one gets its step; none now is 204."""
    step = {"run": "r", "step": 0, "kind": "wipe", "params": {}}
    bench.step(step=step)
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Basic x"}, 401),
        ({"Authorization": "Bearer x"}, 403),
    ):
        async with client.get(f"{bench.url}/agent/step", headers=headers) as answer:
            assert answer.status == status
    async with client.get(f"{bench.url}/agent/step", headers=AUTH) as answer:
        assert await answer.json() == step
    bench.step(step=None)
    async with client.get(f"{bench.url}/agent/step", headers=AUTH) as answer:
        assert answer.status == 204
    assert bench.signs == [("b1", "boot-1")], "at most one sign of life a second"


async def test_a_token_is_of_no_use_to_another_board(bench: Bench, client: aiohttp.ClientSession):
    """A board that shows another board's token is refused, and the trace says so."""
    bench.step()
    bench.table.put(Target("b2", "x86-uefi", "amd64", ("52:54:00:00:00:02",)))
    bench.leases[IPv4Address("127.0.0.1")] = "52:54:00:00:00:02"
    async with client.get(f"{bench.url}/agent/step", headers=AUTH) as answer:
        assert answer.status == 403
    assert "shown by b2" in bench.told("refused")[0].text


async def test_reports_reach_the_rack_before_they_are_answered(bench: Bench, client: aiohttp.ClientSession):
    """Each kind is handed over with board and boot, and the rack's status is the answer."""
    bench.step()
    for kind in ("hello", "progress", "done", "fail"):
        async with client.post(f"{bench.url}/agent/{kind}", headers=AUTH, json={"n": kind}) as answer:
            assert answer.status == 204
    assert bench.reports == [
        (kind, "b1", "boot-1", {"n": kind}) for kind in ("hello", "progress", "done", "fail")
    ]
    bench.answer = 409
    async with client.post(f"{bench.url}/agent/done", headers=AUTH, json={}) as answer:
        assert answer.status == 409


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("done", b"{", 400),
        ("done", b"[1]", 400),
        ("done", b'{"a": NaN}', 400),
        ("done", b"[" * 100_000, 400),
        ("done", b"\xff", 400),
        ("hello", b'{"facts": {"serial": "\\ud800"}}', 400),
        ("progress", b'{"run": "r", "step": 0, "done": 1e999, "total": 1}', 400),
        ("progress", b'"' + b"x" * 5000 + b'"', 413),
        ("done", b'"' + b"x" * (1 << 20) + b'"', 413),
        ("reboot", b"{}", 404),
        ("done/x", b"{}", 404),
    ],
)
async def test_bad_reports_change_nothing(
    bench: Bench, client: aiohttp.ClientSession, path: str, body: bytes, status: int
):
    """What is not a small JSON object for a known report never reaches the rack."""
    bench.step()
    async with client.post(f"{bench.url}/agent/{path}", headers=AUTH, data=body) as answer:
        assert answer.status == status
    assert bench.reports == []


async def test_a_get_moves_nothing(bench: Bench, client: aiohttp.ClientSession):
    """A report is a POST; firmware may repeat a GET at will."""
    bench.step()
    async with client.get(f"{bench.url}/agent/done", headers=AUTH) as answer:
        assert answer.status == 404
    async with client.post(f"{bench.url}/boot/ipxe", data=b"x") as answer:
        assert answer.status == 405
    assert bench.reports == []


async def test_chunks_are_counted_not_listed(bench: Bench, client: aiohttp.ClientSession):
    """A thousand chunks are one line of the trace, written at the report; a missing one is named."""
    folder = bench.root / "store" / "chunks"
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]
    for digest in digests:
        (folder / digest[:2]).mkdir(parents=True, exist_ok=True)
        (folder / digest[:2] / digest).write_bytes(b"frame of " + digest.encode())
    bench.step()
    for digest in digests:
        async with client.get(f"{bench.url}/agent/chunk/{digest}", headers=AUTH) as answer:
            assert await answer.read() == b"frame of " + digest.encode()
    for digest, status in (("0" * 64, 404), ("..%2f..%2fsecret", 404)):
        async with client.get(f"{bench.url}/agent/chunk/{digest}", headers=AUTH) as answer:
            assert answer.status == status
    async with client.get(f"{bench.url}/agent/chunk/{digests[0]}") as answer:
        assert answer.status == 401
    async with client.post(f"{bench.url}/agent/done", headers=AUTH, json={}) as answer:
        assert answer.status == 204
    chunks = bench.told("chunks")
    assert [(event.data["requests"], event.data["bytes"]) for event in chunks] == [(5, 5 * 73)]
    assert len(bench.told("missing")) == 1


async def test_only_the_index_of_the_step_is_given(bench: Bench, client: aiohttp.ClientSession):
    """An agent reads the chunk index its step names, from the store or as a registered artefact."""
    index, content = bench.file("index", 2000)
    other, _ = bench.file("other", 10)
    bench.step(step={"run": "r", "step": 1, "kind": "install", "params": {"index": index}})
    async with client.get(f"{bench.url}/agent/index/{index}", headers=AUTH) as answer:
        assert await answer.read() == content
    async with client.get(f"{bench.url}/agent/index/{other}", headers=AUTH) as answer:
        assert answer.status == 404


async def test_a_taken_port_is_named(bench: Bench):
    """A port in use is an error that names address, port and the way out."""
    second = BootHttp(
        bench.table,
        [network(bench.port)],
        bench.leases.get,
        bench.events.append,
        bench,
        bench.root,
        lambda _client, _name: None,
    )
    with pytest.raises(HttpBindError, match=rf"127\.0\.0\.1 port {bench.port}.*in use.*http_port"):
        await second.start()
