"""Checking ed25519 signatures (RFC 8032) with nothing but the standard library: the agent has no more.

Only verification is here, and only public values go in, so that nothing need be hidden from who measures
time; keys are made and used with a library. It is the strict kind, which leaves an attacker no choice of
encodings: both points must be canonical and of more than small order, S must be below the group's order, and
the equation of section 5.1.7 must hold as it stands, without the cofactor.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_COFACTOR_DOUBLINGS = 3  # 8


class _Point(NamedTuple):
    """A point of the curve in extended homogeneous coordinates (section 5.1.4)."""

    x: int
    y: int
    z: int
    t: int


_NEUTRAL = _Point(0, 1, 1, 0)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature over a message was made with the private half of this key.

    Args:
        key: The public key, 32 bytes.
        message: What was signed.
        signature: 64 bytes. Any other length, as of the key, is a signature that does not hold.
    """
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    public = _decoded(key)
    commitment = signature[:32]
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or _is_small(public) or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(commitment + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    expected = _sum_of_products(scalar, _BASE, challenge, _negative(public))
    # A point has one canonical encoding: what equals it byte for byte is canonical too.
    return not _is_small(expected) and _encoded(expected) == commitment


def is_key(key: bytes) -> bool:
    """Return whether these bytes are a public key under which a signature can hold."""
    point = _decoded(key) if len(key) == KEY_BYTES else None
    return point is not None and not _is_small(point)


def _add(one: _Point, other: _Point) -> _Point:
    a = (one.y - one.x) * (other.y - other.x) % _P
    b = (one.y + one.x) * (other.y + other.x) % _P
    c = 2 * one.t * other.t * _D % _P
    d = 2 * one.z * other.z % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(point: _Point) -> _Point:
    a, b = point.x * point.x % _P, point.y * point.y % _P
    h = a + b
    e = h - (point.x + point.y) * (point.x + point.y)
    g = a - b
    f = 2 * point.z * point.z + g
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _negative(point: _Point) -> _Point:
    return _Point(-point.x % _P, point.y, point.z, -point.t % _P)


def _sum_of_products(first: int, one: _Point, second: int, other: _Point) -> _Point:
    """Return ``first * one + second * other``, with one doubling for both a bit."""
    both = _add(one, other)
    result = _NEUTRAL
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        result = _double(result)
        choice = (first >> bit & 1, second >> bit & 1)
        if choice == (1, 1):
            result = _add(result, both)
        elif choice == (1, 0):
            result = _add(result, one)
        elif choice == (0, 1):
            result = _add(result, other)
    return result


def _is_small(point: _Point) -> bool:
    """Whether its order divides the cofactor: such a key accepts signatures that nobody made."""
    for _ in range(_COFACTOR_DOUBLINGS):
        point = _double(point)
    return point.x % _P == 0 and (point.y - point.z) % _P == 0


def _encoded(point: _Point) -> bytes:
    """Section 5.1.2."""
    inverse = pow(point.z, -1, _P)
    x, y = point.x * inverse % _P, point.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(data: bytes) -> _Point | None:
    """Section 5.1.3; None for what is no point, or not the one encoding of it."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= _P:
        return None
    x = _root((y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P)
    if x is None or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return _Point(x, y, 1, x * y % _P)


def _root(square: int) -> int | None:
    root = pow(square, (_P + 3) // 8, _P)
    if (root * root - square) % _P:
        root = root * _ROOT_OF_MINUS_ONE % _P
    return None if (root * root - square) % _P else root


def _base() -> _Point:
    point = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert point is not None  # a constant of the curve, section 5.1
    return point


_BASE = _base()
