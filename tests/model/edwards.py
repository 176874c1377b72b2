"""The curve of ed25519 in affine coordinates, slow and plain: what a forger computes with in tests."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Affine = tuple[int, int]
NEUTRAL: Affine = (0, 1)


def add(one: Affine, other: Affine) -> Affine:
    """Add two points (RFC 8032, section 5.1)."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(count: int, point: Affine) -> Affine:
    """Add a point to itself."""
    result = NEUTRAL
    while count:
        if count & 1:
            result = add(result, point)
        point = add(point, point)
        count >>= 1
    return result


def on_curve(y: int, sign: int = 0) -> Affine | None:
    """Return the point of this height."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (x if x & 1 == sign else -x % P), y % P


def encoded(point: Affine) -> bytes:
    """Encode a point the canonical way."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


_BASE = on_curve(4 * pow(5, -1, P) % P)
assert _BASE is not None
BASE: Affine = _BASE


def small_points() -> list[Affine]:
    """Return the eight points whose order divides the cofactor."""
    y = 2
    while True:
        point = on_curve(y)
        torsion = times(ORDER, point) if point is not None else NEUTRAL
        if times(4, torsion) != NEUTRAL:  # of order eight: it makes the others
            return [times(count, torsion) for count in range(8)]
        y += 1


def challenge(commitment: bytes, key: bytes, message: bytes) -> int:
    """Return what the signer has to answer, modulo the group's order."""
    return int.from_bytes(hashlib.sha512(commitment + key + message).digest(), "little") % ORDER


def scalar(number: int) -> bytes:
    """Encode S."""
    return number.to_bytes(32, "little")
