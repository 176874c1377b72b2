"""Which signatures of an image count."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hostler.model.chunkindex import ChunkIndex
from hostler.model.signature import Signature, SignatureError, checked_key, key_id, key_ids, signer

INDEX = ChunkIndex.build(8192, 4096, [(0, b"\1" * 32)]).encode()
OTHER = ChunkIndex.build(8192, 4096, [(1, b"\1" * 32)]).encode()


def signed(private: Ed25519PrivateKey, data: bytes = INDEX) -> Signature:
    """Sign as somebody."""
    return Signature.of(private.public_key().public_bytes_raw().hex(), private.sign(data).hex())


def test_only_a_trusted_key_that_signed_this_index_counts() -> None:
    """Not another key, not another index of the same key, not a signature shown under another key."""
    anna, ben = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    by_anna, by_ben = signed(anna), signed(ben)
    assert signer(INDEX, [by_ben, by_anna], {by_anna.key}) == by_anna.key
    assert signer(INDEX, [by_ben], {by_anna.key}) is None
    assert signer(INDEX, [by_anna], ()) is None
    assert signer(INDEX, [], {by_anna.key}) is None
    assert signer(OTHER, [by_anna], {by_anna.key}) is None
    assert signer(INDEX, [signed(anna, OTHER)], {by_anna.key}) is None
    assert signer(INDEX, [Signature(by_anna.key, by_ben.value)], {by_anna.key}) is None


def test_one_that_holds_is_enough() -> None:
    """A broken signature beside it changes nothing: the bytes are those that were signed."""
    private = Ed25519PrivateKey.generate()
    good = signed(private)
    assert signer(INDEX, [signed(private, OTHER), good], {good.key}) == good.key


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (None, "00" * 64, "a public key is"),
        ("00" * 31, "00" * 64, "a public key is"),
        ("AA" * 32, "00" * 64, "a public key is"),
        ("ff" * 32, "00" * 64, "no ed25519 public key"),
        ("01" + "00" * 31, "00" * 64, "no ed25519 public key"),
        ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "00" * 63, "a signature is"),
        ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", 7, "a signature is"),
    ],
)
def test_what_has_not_the_form_of_one_is_refused(key: object, value: object, says: str) -> None:
    """With what it should look like; a key that anybody could sign with is none."""
    with pytest.raises(SignatureError, match=says):
        Signature.of(key, value)


def test_a_key_is_called_by_a_short_id() -> None:
    """The same for the same key, and a word where there is none."""
    key = checked_key("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert key_id(key) == "21fe31dfa154a261"
    assert key_ids([key, key]) == f"{key_id(key)}, {key_id(key)}"
    assert key_ids([]) == "nobody"
