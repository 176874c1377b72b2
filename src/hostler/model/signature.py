"""Signatures of images: ed25519 over the encoded chunk index, and which of them count.

The index binds every byte of the image, each chunk by its SHA-256 and what is left out as zeros; its first
bytes tell it from anything else that one might sign. A signature says nothing of the image's name.

Only the standard library is used: the agent on a board decides with this module.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.ed25519 import KEY_BYTES, SIGNATURE_BYTES, is_key, verify

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST_SIGNATURES = 16
"""Of one image: each travels with every order to install it."""

_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")
_SIGNATURE = re.compile(rf"[0-9a-f]{{{2 * SIGNATURE_BYTES}}}")


class SignatureError(ValueError):
    """What was given is no key or no signature; the message says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What the holder of a key said of an index.

    Attributes:
        key: The public key, 64 lower-case hex digits.
        value: The signature, 128 lower-case hex digits.
    """

    key: str
    value: str

    @classmethod
    def of(cls, key: object, value: object) -> Signature:
        """Take one from outside; raises SignatureError for what has not the form of one."""
        if not isinstance(value, str) or not _SIGNATURE.fullmatch(value):
            raise SignatureError(f"a signature is {2 * SIGNATURE_BYTES} lower-case hex digits")
        return cls(checked_key(key), value)

    def holds(self, encoded: bytes) -> bool:
        """Return whether it was made over these bytes."""
        return verify(bytes.fromhex(self.key), encoded, bytes.fromhex(self.value))


def checked_key(key: object) -> str:
    """Return a public key from outside; raises SignatureError when nothing can be signed with such a key."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise SignatureError(f"a public key is {2 * KEY_BYTES} lower-case hex digits")
    if not is_key(bytes.fromhex(key)):
        raise SignatureError(f"{key} is no ed25519 public key")
    return key


def key_id(key: str) -> str:
    """Return what people call a public key by: the first 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()[:16]


def key_ids(keys: Iterable[str]) -> str:
    """Return the ids of some public keys for a sentence; ``nobody`` if there are none."""
    return ", ".join(key_id(key) for key in keys) or "nobody"


def signer(encoded: bytes, signatures: Iterable[Signature], trusted: Collection[str]) -> str | None:
    """Return the trusted key that signed these bytes, or None."""
    for signature in signatures:
        if signature.key in trusted and signature.holds(encoded):
            return signature.key
    return None
