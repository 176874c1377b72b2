"""Files that come in pieces: tus 1.0.0, spoken with the protocol's own client and with broken ones."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tusclient.client import TusClient

from served_lab import Served, served

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}


async def begun(api: Served, length: int) -> str:
    """Begin an upload and return its path below the API."""
    made = await api.anna.post("/uploads", headers={**TUS, "Upload-Length": str(length)})
    assert made.status_code == 201, made.text
    return str(made.headers["location"]).removeprefix("/api/v1")


async def test_the_protocols_own_client_is_served(tmp_path: Path) -> None:
    """One sends a file in pieces, stops, asks for the offset, goes on (tuspy); what came becomes an image."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(os.urandom(3 * MIB))

    def some(api: Served) -> str:
        headers = {"Authorization": f"Bearer {api.tokens['anna']}"}
        client = TusClient(f"{api.url}/api/v1/uploads", headers=headers)
        with disk.open("rb") as file:
            first = client.uploader(
                file_stream=file, chunk_size=MIB, metadata={"filename": "disk.raw", "fingerprint": "f"}
            )
            first.upload_chunk()
            assert first.offset == MIB
        return str(first.url)

    def rest(api: Served, url: str) -> int:
        headers = {"Authorization": f"Bearer {api.tokens['anna']}"}
        with disk.open("rb") as file:
            again = TusClient(f"{api.url}/api/v1/uploads", headers=headers).uploader(
                file_stream=file, chunk_size=MIB, url=url
            )
            began = again.offset
            again.upload()
        return int(began)

    async with served(tmp_path) as api:
        assert (await api.anna.options("/uploads")).headers["tus-version"] == "1.0.0"
        url = await asyncio.to_thread(some, api)
        [listed] = (await api.anna.get("/uploads")).json()
        assert (listed["offset"], listed["length"], listed["filename"], listed["fingerprint"]) == (
            MIB, 3 * MIB, "disk.raw", "f",
        )  # fmt: skip
        terms = {"name": "disk", "arch": "amd64", "upload": listed["id"]}
        early = await api.anna.post("/images", params=terms)
        assert f"{MIB} of its {3 * MIB} bytes have come" in early.text
        assert await asyncio.to_thread(rest, api, url) == MIB
        assert (await api.bert.post("/images", params=terms)).status_code == 404
        made = await api.anna.post("/images", params=terms)
        assert json.loads(made.text.splitlines()[-1])["image"]["source"] == "disk.raw"
        assert (await api.anna.get("/images/disk/content")).content == disk.read_bytes()
        assert (await api.anna.get("/uploads")).json() == []
        assert list((tmp_path / "uploads").iterdir()) == []


async def test_a_connection_that_is_no_more_holds_nothing_up(tmp_path: Path) -> None:
    """What came over a connection that went silent counts; whoever asks for the offset goes on at once."""
    content = os.urandom(2 * MIB)
    async with served(tmp_path) as api:
        path = await begun(api, len(content))
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
        lines = [
            f"PATCH /api/v1{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.tokens['anna']}",
            f"Content-Length: {len(content)}", "Upload-Offset: 0", *(f"{k}: {v}" for k, v in PIECE.items()),
        ]  # fmt: skip
        writer.write("\r\n".join([*lines, "", ""]).encode() + content[: MIB + 5])
        await writer.drain()
        upload = next(iter(api.lab.hub.uploads._known.values()))
        async with asyncio.timeout(60):
            while api.lab.hub.uploads.offset(upload) < MIB + 5:
                await asyncio.sleep(0.01)
        found = await api.anna.head(path, headers=TUS)
        assert (found.headers["upload-offset"], found.headers["cache-control"]) == (str(MIB + 5), "no-store")
        async with asyncio.timeout(60):
            assert b"204" in await reader.readline()  # the silent one was told how far it had come
        writer.close()
        rest = {**PIECE, "Upload-Offset": str(MIB + 5)}
        done = await api.anna.patch(path, headers=rest, content=content[MIB + 5 :])
        assert done.headers["upload-offset"] == str(len(content))
        assert api.lab.hub.uploads._data(upload.key).read_bytes() == content


async def test_what_is_not_the_protocol_is_refused(tmp_path: Path) -> None:
    """Another version, content type or offset, or no length: each in words, and nothing is written."""
    async with served(tmp_path) as api:
        path = await begun(api, 4)
        for headers, status in (
            ({**PIECE, "Upload-Offset": "0", "Tus-Resumable": "0.2.2"}, 412),
            ({**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"}, 415),
            ({**PIECE, "Upload-Offset": "2"}, 409),
            (PIECE, 422),
        ):
            refused = await api.anna.patch(path, headers=headers, content=b"abcd")
            assert (refused.status_code, refused.headers["content-type"]) == (
                status, "application/problem+json",
            ), refused.text  # fmt: skip
            assert refused.headers["tus-resumable"] == "1.0.0"
            assert refused.headers.get("tus-version") == ("1.0.0" if status == 412 else None)
        assert (await api.anna.head(path, headers=TUS)).headers["upload-offset"] == "0"
        assert (await api.anna.post("/uploads", headers=TUS)).status_code == 422
        odd = {**TUS, "Upload-Length": "4", "Upload-Metadata": "filename ???"}
        assert "not base64" in (await api.anna.post("/uploads", headers=odd)).text
        huge = {**TUS, "Upload-Length": str(1 << 60)}
        assert (await api.anna.post("/uploads", headers=huge)).status_code == 507


async def test_terms_are_looked_at_before_anything_is_sent(tmp_path: Path) -> None:
    """A dry run refuses what the import would refuse, and reserves nothing."""
    async with served(tmp_path) as api:
        for path, terms, status in (
            ("/images", {"name": "a", "arch": "mips"}, 422),
            ("/images", {"name": "a", "arch": "amd64"}, 204),
            ("/images", {"name": "a", "arch": "amd64"}, 204),
            ("/images/netboot", {"name": "Bad Name"}, 422),
            ("/images/netboot", {"name": "a"}, 204),
        ):
            answer = await api.anna.post(path, params={**terms, "dry_run": "true"})
            assert answer.status_code == status, answer.text
