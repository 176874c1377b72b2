"""Nothing that no trusted key signed, and nothing that was changed since, reaches a disk."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hostler.agent.signed import SignatureRefusedError, Trust, proven_index
from hostler.agent.work import StepError
from hostler.build.agent_image import our_sources
from hostler.images.importer import import_image
from hostler.images.store import ImageStore
from hostler.model.chunkindex import ChunkIndex
from hostler.model.signature import MOST_SIGNATURES, key_id

MIB = 1024 * 1024
KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\2")
INDEX = ChunkIndex.build(8192, 4096, [(0, b"\1" * 32)]).encode()
CHANGED = ChunkIndex.build(8192, 4096, [(0, b"\2" * 32)]).encode()


def public(key: Ed25519PrivateKey) -> str:
    """Return its public half."""
    return key.public_key().public_bytes_raw().hex()


def signed(data: bytes, *keys: Ed25519PrivateKey) -> list[dict[str, str]]:
    """Return signatures as an order has them."""
    return [{"key": public(key), "signature": key.sign(data).hex()} for key in keys]


TRUSTING = Trust((public(KEY),))
STRICT = Trust((public(KEY),), required=True)


@pytest.mark.parametrize(
    ("trust", "params"),
    [
        (Trust(), {}),
        (Trust(), {"signatures": signed(INDEX, OTHER)}),
        (TRUSTING, {}),
        (TRUSTING, {"signatures": signed(CHANGED, OTHER)}),
        (TRUSTING, {"signatures": signed(INDEX, KEY), "require_signed": True}),
        (STRICT, {"signatures": signed(INDEX, OTHER, KEY)}),
        (STRICT, {"signatures": signed(INDEX, KEY), "require_signed": False}),
    ],
)
def test_an_index_that_may_be_written(trust: Trust, params: dict[str, Any]) -> None:
    """Signed by one it trusts, or by nobody it trusts where neither the agent nor the order asks for it."""
    assert proven_index(INDEX, params, trust, lambda _: None).encode() == INDEX


@pytest.mark.parametrize(
    ("trust", "params", "says"),
    [
        (STRICT, {}, "the image is not signed and was not written"),
        (STRICT, {"require_signed": False}, "the image is not signed"),
        (TRUSTING, {"require_signed": True}, f"this agent trusts {key_id(public(KEY))}"),
        (Trust(), {"require_signed": True, "signatures": signed(INDEX, KEY)}, "this agent trusts nobody"),
        (STRICT, {"signatures": signed(INDEX, OTHER)}, f"signed by {key_id(public(OTHER))}"),
        (STRICT, {"signatures": signed(CHANGED, KEY)}, "does not hold for this image"),
        # It asks for no signature, but one that does not hold is no accident.
        (TRUSTING, {"signatures": signed(CHANGED, KEY)}, "does not hold for this image"),
        (
            STRICT,
            {"signatures": [{"key": public(KEY), "signature": OTHER.sign(INDEX).hex()}]},
            "does not hold for this image",
        ),
    ],
)
def test_an_index_that_may_not_be_written(trust: Trust, params: dict[str, Any], says: str) -> None:
    """Whatever the order leaves out: an agent that was built to ask for a signature asks for one."""
    with pytest.raises(SignatureRefusedError, match=says):
        proven_index(INDEX, params, trust, lambda _: None)


@pytest.mark.parametrize(
    "params",
    [
        {"require_signed": "no"},
        {"require_signed": 0},
        {"signatures": {"key": "x"}},
        {"signatures": ["x"]},
        {"signatures": [{"key": public(KEY)}]},
        {"signatures": [{"key": public(KEY), "signature": "00"}]},
        {"signatures": signed(INDEX, KEY) * (MOST_SIGNATURES + 1)},
    ],
)
def test_an_order_that_cannot_be_understood_writes_nothing(params: dict[str, Any]) -> None:
    """It is no order without signatures."""
    with pytest.raises(StepError, match=r"the step"):
        proven_index(INDEX, params, TRUSTING, lambda _: None)


def test_what_an_agent_trusts_is_read_from_its_own_file(tmp_path: Path) -> None:
    """Without the file: nobody, and it asks for nothing; one that is damaged lets nothing be written."""
    file = tmp_path / "trust.json"
    assert Trust.read(file) == Trust()
    file.write_text(json.dumps({"keys": [public(KEY)], "require_signed": False}))
    assert Trust.read(file) == TRUSTING
    file.write_text(json.dumps({"keys": [public(KEY)], "require_signed": True}))
    assert Trust.read(file) == STRICT
    for damaged in ("", "{", "[]", '{"keys": []}', '{"keys": ["00"], "require_signed": false}', "\ud800x"):
        file.write_text(damaged, errors="surrogatepass")
        assert Trust.read(file) == Trust(required=True)


def test_no_other_part_of_the_agent_reads_an_index() -> None:
    """What is written comes out of ``proven_index``, wherever it is written to."""
    readers = {
        path
        for path, source in our_sources().items()
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Attribute)
        and isinstance(call.value, ast.Name)
        and (call.value.id, call.attr) == ("ChunkIndex", "decode")
    }
    assert readers == {"hostler/agent/signed.py"}


def brought(store: ImageStore, tmp_path: Path) -> str:
    """Import an image and return its index's id."""
    (tmp_path / "image").write_bytes(b"".join(bytes([n + 1]) * MIB for n in range(4)))
    return import_image(tmp_path / "image", store).index


def order(index: str, signatures: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    """Return an order to install it."""
    params = {"index": index, "size": None, "disk": None, "signatures": signatures, **more}
    return {"run": "run-1", "step": 1, "kind": "install", "params": params}


def test_a_signed_image_is_installed(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """And the log says who signed it."""
    index = brought(store, tmp_path)
    encoded = store.artefact_path(index).read_bytes()
    disk = board.add_disk("vda", 8 * MIB)
    server.steps = [order(index, signed(encoded, KEY), require_signed=True)]
    board.start(trust=STRICT)
    until(lambda: server.reports("done"), "the installation")
    board.finish()
    assert disk.read_bytes()[: 4 * MIB] == (tmp_path / "image").read_bytes()
    assert f"signed by {key_id(public(KEY))}" in board.screen.getvalue()


def evil(store: ImageStore, index: str) -> str:
    """Change one chunk and the index with it, as whoever has the server can; return the new index's id."""
    plain = b"evil".ljust(MIB, b"!")
    digest = hashlib.sha256(plain)
    store.chunk_path(digest.hexdigest()).parent.mkdir(exist_ok=True)
    store.chunk_path(digest.hexdigest()).write_bytes(zstandard.compress(plain))
    old = store.index(index)
    digests = [(chunk.offset // MIB, bytes.fromhex(chunk.digest)) for chunk in old]
    digests[2] = (2, digest.digest())
    changed = ChunkIndex.build(old.size, old.chunk_size, digests)
    store.artefact_path(changed.id).write_bytes(changed.encode())
    return changed.id


@pytest.mark.parametrize("attack", ["no signature", "other key", "index", "index in place", "signature"])
def test_nothing_changed_reaches_a_disk(
    attack: str, board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """A rack that lies in any of these ways gets a refusal with the reason, and the disk is not touched."""
    index = brought(store, tmp_path)
    encoded = store.artefact_path(index).read_bytes()
    signatures = signed(encoded, KEY)
    cause = "signature-refused"
    if attack == "no signature":
        signatures = []
    elif attack == "other key":
        signatures = signed(encoded, OTHER)
    elif attack == "index":
        index = evil(store, index)
    elif attack == "index in place":
        changed = store.artefact_path(evil(store, index)).read_bytes()
        store.artefact_path(index).write_bytes(changed)
        cause = "image-damaged"
    else:
        signatures[0]["signature"] = "00" + signatures[0]["signature"][2:]
    before = os.urandom(8 * MIB)
    disk = board.add_disk("vda", 8 * MIB, before)
    server.steps = [order(index, signatures)]
    board.start(trust=STRICT)
    until(lambda: server.reports("fail"), "the refusal")
    board.finish()
    (failed,) = server.reports("fail")
    assert failed["cause"] == cause, failed
    assert server.chunks == []
    assert disk.read_bytes() == before


def test_a_changed_chunk_is_not_written(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """The index binds each chunk by its SHA-256: other bytes under that name fail the step."""
    index = brought(store, tmp_path)
    encoded = store.artefact_path(index).read_bytes()
    target = store.index(index).distinct()[2]
    server.frame = lambda digest, frame: zstandard.compress(b"E" * MIB) if digest == target else frame
    disk = board.add_disk("vda", 8 * MIB)
    server.steps = [order(index, signed(encoded, KEY), require_signed=True)]
    board.start(trust=STRICT)
    until(lambda: server.reports("fail"), "the failure")
    board.finish()
    (failed,) = server.reports("fail")
    assert failed["cause"] == "image-damaged"
    assert target in failed["error"]
    assert b"EEEE" not in disk.read_bytes()
