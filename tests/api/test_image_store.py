"""Stored images over the API: in with a block map, out in parts, and never a damaged byte."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from hostler.api.byte_range import UnsatisfiableError, byte_range
from hostler.client.client import Client
from hostler.client.errors import ClientError
from hostler.client.settings import Settings
from served_lab import Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MIB = 1024 * 1024
IMAGE = random.Random(1).randbytes(2 * MIB) + bytes(3 * MIB) + random.Random(2).randbytes(MIB)


async def sent(api: Served, body: bytes, filename: str = "") -> str:
    """Send a file as an upload and return its id."""
    told = {"Upload-Metadata": f"filename {base64.b64encode(filename.encode()).decode()}"} if filename else {}
    tus = {"Tus-Resumable": "1.0.0"}
    made = await api.anna.post("/uploads", headers={**tus, **told, "Upload-Length": str(len(body))})
    key = str(made.headers["location"]).rpartition("/")[2]
    piece = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert (await api.anna.patch(f"/uploads/{key}", headers=piece, content=body)).status_code == 204
    return key


async def upload(api: Served, name: str, body: bytes, **query: str) -> dict[str, Any]:
    """Import an image and return the last line of the answer."""
    answer = await api.anna.post("/images", params={"name": name, "arch": "amd64", **query}, content=body)
    if answer.status_code != 200:
        return {"problem": answer.json()}
    return json.loads(answer.text.splitlines()[-1])


def block_map(place: Path, image: bytes) -> bytes:
    """Have the real tool make a block map."""
    path = place / "disk.img"
    with path.open("wb") as file:
        file.write(image[: 2 * MIB])
        file.seek(5 * MIB)
        file.write(image[5 * MIB :])
    subprocess.run(
        ["bmaptool", "-q", "create", "-o", str(place / "disk.bmap"), str(path)], check=True, timeout=60
    )
    return (place / "disk.bmap").read_bytes()


async def test_an_image_comes_with_its_block_map(tmp_path: Path):
    """Both are sent before; the answer tells what was new; one that does not fit leaves nothing."""
    async with served(tmp_path) as api:
        mapped = block_map(tmp_path, IMAGE)
        dirty = IMAGE[: 3 * MIB] + b"x" + IMAGE[3 * MIB + 1 :]

        async def together(name: str, image: bytes, **more: str) -> dict[str, Any]:
            files = {"upload": await sent(api, image, "disk\n.img"), "bmap": await sent(api, mapped)}
            return await upload(api, name, b"", **files, **more)

        made = (await together("one", dirty))["image"]
        assert made["data_bytes"] == 3 * MIB
        assert "\n" not in made["source"]
        origin = made["provenance"]
        assert (origin["principal"], origin["new_chunks"], origin["chunks"]) == ("anna", 3, 3)
        plain = (await upload(api, "two", IMAGE))["image"]
        assert plain["index"] == made["index"]
        assert plain["provenance"]["new_chunks"] == 0
        wrong = await together("three", IMAGE[:-1] + b"\0")
        assert "another sha256 checksum than the map says" in wrong["problem"]["detail"]
        assert (await api.anna.get("/uploads")).json() == []
        both = await together("three", IMAGE, url="http://127.0.0.1:1/x")
        assert "with url= or with upload=" in both["problem"]["detail"]
        assert sorted(api.lab.hub.state.images) == ["one", "two"]
        assert len(api.lab.store.indexes()) == 1
        assert not list(api.lab.store.tmp.iterdir())
        given = (await api.anna.get("/images/one/bmap")).content
        assert given.count(b"<Range ") == 3


async def test_curl_takes_up_a_download_where_it_broke_off(tmp_path: Path):
    """Range, Content-Range and ETag as a real client uses them, for either form."""
    async with served(tmp_path) as api:
        await upload(api, "one", IMAGE)
        for form in ("raw", "zst"):
            url = f"{api.url}/api/v1/images/one/content?form={form}"
            whole = (await api.anna.get(f"/images/one/content?form={form}")).content
            assert (zstandard.ZstdDecompressor().stream_reader(whole, read_across_frames=True).read()
                    if form == "zst" else whole) == IMAGE  # fmt: skip
            path = tmp_path / form
            path.write_bytes(whole[:1_000_000])
            command = ["curl", "-sSf", "-C", "-", "-o", str(path), url]
            header = ["-H", f"Authorization: Bearer {api.tokens['anna']}"]
            await asyncio.to_thread(subprocess.run, [*command, *header], check=True, timeout=60)
            assert path.read_bytes() == whole
        beyond = await api.anna.get("/images/one/content", headers={"Range": f"bytes={6 * MIB}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{6 * MIB}")
        last = await api.anna.get("/images/one/content", headers={"Range": "bytes=-5"})
        assert (last.status_code, last.content) == (206, IMAGE[-5:])
        other = {"Range": "bytes=0-4", "If-Range": '"other"'}
        assert (await api.anna.get("/images/one/content", headers=other)).status_code == 200
        assert (await api.anna.get("/images/one/content?form=iso")).status_code == 422


@asynccontextmanager
async def cutting(api: Served, length: int) -> AsyncIterator[str]:
    """Stand before the API and break every connection off once so many bytes have come through it."""
    port = int(api.url.rsplit(":", 1)[1])

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)

        async def up() -> None:
            while data := await reader.read(65536):
                inner_writer.write(data)

        sending = asyncio.ensure_future(up())
        passed = 0
        while passed < length and (data := await inner_reader.read(min(65536, length - passed))):
            passed += len(data)
            writer.write(data)
            await writer.drain()
        sending.cancel()
        inner_writer.close()
        writer.transport.abort()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_our_client_takes_it_up_by_itself(tmp_path: Path):
    """However often the connection breaks, as long as something comes."""
    async with served(tmp_path) as api, cutting(api, 400_000) as url:
        await upload(api, "one", IMAGE)

        def fetch() -> bytes:
            with Client(Settings(url, api.tokens["anna"])) as client:
                return b"".join(client.image_content("one"))

        assert await asyncio.to_thread(fetch) == IMAGE


async def test_a_damaged_image_never_comes_whole(tmp_path: Path):
    """The answer breaks off before the damage, and the client says what to look at."""
    async with served(tmp_path) as api:
        made = (await upload(api, "one", IMAGE))["image"]
        second = list(api.lab.store.index(made["index"]))[1]
        path = api.lab.store.chunk_path(second.digest)
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        got: list[bytes] = []

        def fetch() -> None:
            with Client(Settings(api.url, api.tokens["anna"])) as client:
                for piece in client.image_content("one"):
                    got.append(piece)

        with pytest.raises(ClientError, match=rf'"one" came only to byte {MIB} of {6 * MIB}') as error:
            await asyncio.to_thread(fetch)
        assert "hostler image verify one" in error.value.advice
        assert b"".join(got) == IMAGE[:MIB]


async def test_a_look_through_the_store_tells_how_far_it_is(tmp_path: Path):
    """Lines of progress, then what was found; a viewer is refused before it begins."""
    async with served(tmp_path) as api:
        await upload(api, "one", IMAGE)
        answer = await api.anna.post("/images/verify", params={"name": "one"})
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["event"] for line in lines][-2:] == ["progress", "done"]
        assert lines[-2]["read"] == lines[-2]["of"] == lines[-1]["found"]["read_bytes"]
        assert lines[-1]["found"]["faults"] == []
        assert (await api.anna.post("/images/verify", params={"name": "none"})).status_code == 404


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None), ("bytes=0-", (0, 10)), ("bytes=3-5", (3, 6)), ("bytes=3-99", (3, 10)),
        ("bytes=-4", (6, 10)), ("bytes=-99", (0, 10)), ("bytes=5-3", None), ("bytes=0-1,3-4", None),
        ("bytes=-", None), ("items=0-1", None), ("bytes=a-b", None), (" bytes=9-9 ", (9, 10)),
    ],
)  # fmt: skip
def test_parts_are_understood_as_the_rfc_says(header: str | None, part: tuple[int, int] | None):
    """RFC 9110 §14: what is not one range is as good as absent."""
    assert byte_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_parts_beyond_the_end_are_refused(header: str):
    """There is nothing to send."""
    with pytest.raises(UnsatisfiableError):
        byte_range(header, 10)
