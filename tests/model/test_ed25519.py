"""Signatures are checked as RFC 8032 says and a library does; where these leave a choice, strictly."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from edwards import BASE, NEUTRAL, ORDER, P, add, challenge, encoded, scalar, small_points, times
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.model.ed25519 import is_key, verify

# RFC 8032, section 7.1: TEST 1, TEST 2, TEST 3 and TEST SHA(abc).
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
        "454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
]
MESSAGE = b"the index of an image"


def library_verifies(key: bytes, message: bytes, signature: bytes) -> bool:
    """Ask the library that makes keys."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_rfc(key: str, message: str, signature: str) -> None:
    """Each holds; none does with another message, nor with any one bit of it changed."""
    public, signed = bytes.fromhex(key), bytes.fromhex(signature)
    assert verify(public, bytes.fromhex(message), signed)
    assert not verify(public, bytes.fromhex(message) + b"\0", signed)
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(public, bytes.fromhex(message), bytes(changed))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(max_size=300),
    change=st.one_of(
        st.none(), st.tuples(st.sampled_from("kms"), st.integers(0, 1 << 20), st.integers(0, 7))
    ),
)
def test_it_says_what_the_library_says(
    seed: bytes, message: bytes, change: tuple[str, int, int] | None
) -> None:
    """Of whatever the library signed, as it is or with a bit of key, message or signature changed."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    parts = {"k": private.public_key().public_bytes_raw(), "m": message, "s": private.sign(message)}
    if change is not None and parts[change[0]]:
        which, place, bit = change
        data = bytearray(parts[which])
        data[place % len(data)] ^= 1 << bit
        parts[which] = bytes(data)
    said = verify(parts["k"], parts["m"], parts["s"])
    assert said == library_verifies(parts["k"], parts["m"], parts["s"])
    assert said == (change is None or parts[change[0]] == b"")


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_make_it_fail(key: bytes, signature: bytes) -> None:
    """Whatever comes instead of a key and a signature does not hold, and raises nothing."""
    assert not verify(key, MESSAGE, signature)
    assert not verify(key[:32].ljust(32, b"\1"), MESSAGE, signature[:64].ljust(64, b"\0"))
    is_key(key)


@pytest.mark.parametrize(
    ("key", "signature"), [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0), (32, 128)]
)
def test_other_lengths_do_not_hold(key: int, signature: int) -> None:
    """Not even a genuine signature with something behind it."""
    private = Ed25519PrivateKey.generate()
    public, signed = private.public_key().public_bytes_raw(), private.sign(MESSAGE)
    assert not verify((public + public)[:key], MESSAGE, (signed + signed)[:signature])


def test_a_second_form_of_a_signature_does_not_hold() -> None:
    """S and S plus the group's order solve the same equation; only the lower one is a signature."""
    private = Ed25519PrivateKey.generate()
    public, signed = private.public_key().public_bytes_raw(), private.sign(MESSAGE)
    number = int.from_bytes(signed[32:], "little")
    assert verify(public, MESSAGE, signed)
    for more in range(1, 2**256 // ORDER):
        if number + more * ORDER < 2**256:
            assert not verify(public, MESSAGE, signed[:32] + scalar(number + more * ORDER))


def encodings(y: int) -> list[bytes]:
    """Return every way of writing a height, the canonical ones first."""
    heights = [y, *([y + P] if y + P < 2**255 else [])]
    return [(height | sign << 255).to_bytes(32, "little") for height in heights for sign in (0, 1)]


def test_a_key_of_small_order_signs_nothing() -> None:
    """With one, R = -kA and S = 0 solve the equation for one message in eight and nobody's secret."""
    points = small_points()
    assert len(set(points)) == 8
    written = {way for _, y in points for way in encodings(y)}
    assert len(written) >= 14
    solved = 0
    for way in sorted(written):
        assert not is_key(way)
        for number in range(16):
            message = MESSAGE + bytes([number])
            for point in points:
                commitment = encoded(point)
                for answer in (0, 5):
                    shown = encoded(add(point, times(answer, BASE))) if answer else commitment
                    if answer and point != NEUTRAL:
                        continue
                    solved += library_verifies(way, message, shown + scalar(answer))
                    assert not verify(way, message, shown + scalar(answer))
    assert solved > 0  # so the forgeries are ones that a less strict check takes


def test_a_commitment_of_small_order_does_not_hold() -> None:
    """Whoever has the secret can make R a point of small order, which no honest signer does."""
    secret = 1234567 * 8
    key = encoded(times(secret, BASE))
    assert is_key(key)
    commitment = encoded(NEUTRAL)
    answer = challenge(commitment, key, MESSAGE) * secret % ORDER
    assert library_verifies(key, MESSAGE, commitment + scalar(answer))
    assert not verify(key, MESSAGE, commitment + scalar(answer))


def test_the_equation_holds_without_the_cofactor() -> None:
    """A part of small order in R vanishes when all is multiplied by eight; here it is in the way."""
    secret, once = 7654321, 99
    key = encoded(times(secret, BASE))
    for torsion in small_points():
        commitment = encoded(add(times(once, BASE), torsion))
        answer = (once + challenge(commitment, key, MESSAGE) * secret) % ORDER
        assert verify(key, MESSAGE, commitment + scalar(answer)) == (torsion == NEUTRAL)


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1])
def test_a_height_beyond_the_field_is_no_key(y: int) -> None:
    """It would be a second way of writing the same point."""
    for sign in (0, 1):
        assert not is_key((y | sign << 255).to_bytes(32, "little"))


def test_a_height_without_a_point_is_no_key() -> None:
    """Half of all heights have none."""
    found = [is_key(y.to_bytes(32, "little")) for y in range(2, 60)]
    assert any(found)
    assert not all(found)
