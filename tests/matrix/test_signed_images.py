"""Signed images on the real agent: it writes what its key signed, and a lying rack changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from boot_paths import BootPath
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from imaging_board import MIB, ImagingBoard, imported, noise_image
from matrix_lab import RUN_SECONDS, MatrixLab
from test_process_qemu import setup
from uefi_boards import CACHE

from hostler.client.waiting import wait_claim
from hostler.images.store import ImageStore
from hostler.model.chunkindex import ChunkIndex
from hostler.model.first_stages import Loader
from hostler.virtual.disks import DiskConfig, DiskKind

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.demo.material import Material
    from hostler.netboot.setup import NetbootSetup
    from netns import Lan

__all__ = ["setup"]

pytestmark = [pytest.mark.matrix, pytest.mark.netns, pytest.mark.qemu]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\2")
DISK, IMAGE = 24 * MIB, 16 * MIB
EVIL = b"evil" * (MIB // 4)
DIRT = b"\xa5" * DISK


def public(key: Ed25519PrivateKey) -> str:
    """Return its public half."""
    return key.public_key().public_bytes_raw().hex()


def signed(key: Ed25519PrivateKey, index: ChunkIndex) -> dict[str, Any]:
    """Return the signature of an index as an order has it."""
    return {"signatures": [{"key": public(key), "signature": key.sign(index.encode()).hex()}]}


def with_evil(store: ImageStore, index: ChunkIndex) -> ChunkIndex:
    """Put a chunk of one's own into an image, and all that belongs to it into the store."""
    digest = hashlib.sha256(EVIL)
    path = store.chunk_path(digest.hexdigest())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zstandard.compress(EVIL))
    digests = {chunk.offset // MIB: bytes.fromhex(chunk.digest) for chunk in index}
    changed = ChunkIndex.build(index.size, MIB, {**digests, 3: digest.digest()}.items())
    store.artefact_path(changed.id).write_bytes(changed.encode())
    return changed


async def test_only_what_the_agents_key_signed_is_written(
    lan: Lan, setup: NetbootSetup, tmp_path: Path
) -> None:
    """The rack asks for no signature; the agent, which was built to, does all the same."""
    board = ImagingBoard(
        lan, setup, tmp_path, [DiskConfig(DiskKind.VIRTIO, DISK, "S1")], trusted_keys=[public(KEY)]
    )
    noise_image(tmp_path / "image", IMAGE)
    store = board.store()
    index = imported(store, tmp_path / "image")
    evil = with_evil(store, index)
    board.content().write_bytes(DIRT)
    async with board.served(), board.powered() as machine:
        for offered, params, says in (
            (index, {}, "is not signed"),
            (index, signed(OTHER, index), "this agent trusts"),
            (index, {**signed(OTHER, index), "require_signed": False}, "this agent trusts"),
            (evil, signed(KEY, index), "does not hold for this image"),
            (evil, signed(OTHER, evil), "this agent trusts"),
        ):
            board.order_install(offered, **params)
            verb, report = await board.outcome(machine)
            assert (verb, report["cause"]) == ("fail", "signature-refused"), report
            assert says in report["error"]
            assert await asyncio.to_thread(board.content().read_bytes) == DIRT
        board.order_install(index, **signed(KEY, index), require_signed=True)
        verb, report = await board.outcome(machine)
        assert verb == "done", report
        assert board.content().read_bytes()[:IMAGE] == (tmp_path / "image").read_bytes()
    assert b"is not signed and was not written" in machine.output


BOARD = "pc"
ROW = BootPath(BOARD, "BIOS, PXE", "x86-bios", Loader.IPXE, "x86-bios", image="tiny-amd64")


def changed_behind_the_hub(lab: MatrixLab, image: str) -> None:
    """Change an image in store and catalogue, as whoever has the server can: its signature stays."""
    lab.server.stop()
    store = ImageStore(lab.data / "images")
    with sqlite3.connect(lab.data / "hostler.db") as database:
        (text,) = database.execute("SELECT doc FROM images WHERE name = ?", [image]).fetchone()
        document = json.loads(text)
        document["index"] = with_evil(store, store.index(document["index"])).id
        database.execute("UPDATE images SET doc = ? WHERE name = ?", [json.dumps(document), image])
    lab.serve()
    lab.settle()


def test_a_person_signs_deploys_and_learns_that_an_image_was_changed(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All by the command line: refused unsigned, deployed signed, and refused on the board once changed."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/hostler").symlink_to(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    key = tmp_path / "release.key"
    lab = MatrixLab(tmp_path / "lab", [ROW])
    lab.toml.write_text(lab.toml.read_text().replace("[boards.pc]", "require_signed = true\n[boards.pc]"))

    def hostler(*words: str, status: int = 0) -> str:
        done = lab.hostler(*words, seconds=RUN_SECONDS)
        assert done.status == status, f"{words}: {done.out}{done.err}"
        return done.out + done.err

    try:
        lab.start()
        hostler("image", "key", "new", str(key))
        hostler(
            "agent", "build", "--arch", "amd64", "--output", str(CACHE / "built"), "--trust", f"{key}.pub"
        )
        hostler(
            "image", "import", "tiny", str(material.images["tiny-amd64"]), "--arch", "amd64",
            "--platforms", "x86-bios", "--done-console", "login:", "--done-seconds", "600",
        )  # fmt: skip
        claim = lab.client.claim(BOARD, ttl="2h", wait=True)
        wait_claim(lab.client, claim["id"], seconds=RUN_SECONDS)
        assert 'class "pc" takes signed images only' in hostler("deploy", BOARD, "tiny", status=1)
        hostler("image", "sign", "tiny", "--key", str(key), "--of", str(material.images["tiny-amd64"]))
        hostler("deploy", BOARD, "tiny")
        changed_behind_the_hub(lab, "tiny")
        said = hostler("deploy", BOARD, "tiny", status=1)
        assert "does not hold for this image, which was not written" in said
        assert json.loads(hostler("why", BOARD, "--json"))["cause"] == "signature-refused"
        assert EVIL not in lab.disk(BOARD).read_bytes()
    finally:
        lab.stop()
