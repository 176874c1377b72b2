"""Keys that sign images: ed25519 in the usual PEM files, made and used on the signer's own machine.

A private key is PKCS #8 and a public one SubjectPublicKeyInfo (RFC 8410), so that OpenSSL and hardware tokens
make and read them too.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LARGEST = 64 * 1024  # what is larger is an image, given by mistake


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who signed.

    Attributes:
        hex: Its 32 bytes.
    """

    hex: str

    @property
    def id(self) -> str:
        """What people call it by, as the server does: 16 hex digits of its SHA-256."""
        return hashlib.sha256(bytes.fromhex(self.hex)).hexdigest()[:16]


class SigningKey:
    """A private key; it never leaves this process."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> PublicKey:
        """The half that is told."""
        return PublicKey(self._private.public_key().public_bytes_raw().hex())

    def sign(self, data: bytes) -> str:
        """Return the signature over some bytes, in hex."""
        return self._private.sign(data).hex()


def make(path: Path, passphrase: str | None = None) -> PublicKey:
    """Make a key: the private one in a file that only its owner reads, the public one beside it as ``.pub``.

    Args:
        path: The private key's file; neither it nor the other may be there yet.
        passphrase: What protects it; None: nothing but the file's permissions.

    Raises:
        ClientError: a file is there or cannot be written; then neither is made.
    """
    private = Ed25519PrivateKey.generate()
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    public_path = path.with_name(path.name + ".pub")
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made: list[Path] = []
    try:
        for place, content, mode in (
            (path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600),
            (public_path, public, 0o644),
        ):
            # Never over an old key: what it signed could not be signed again.
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                made.append(place)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for place in made:
            with suppress(OSError):
                place.unlink()
        raise ClientError(
            f"cannot make {error.filename or path}: {error.strerror}", "choose another name"
        ) from None
    return SigningKey(private).public


def load(path: Path, ask: Callable[[], str], warn: Callable[[str], None]) -> SigningKey:
    """Read a private key.

    Args:
        path: Its file.
        ask: Returns the passphrase; called only for a key that has one.
        warn: Takes what is dangerous about the file.

    Raises:
        ClientError: there is no such file, it holds no ed25519 key, or the passphrase is another one.
    """
    data = _read(path)
    try:
        try:
            private = load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            private = load_pem_private_key(data, ask().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ClientError(
            f"{path} is no private key in a PEM file, or the passphrase is another one",
            "hostler image key new FILE makes one",
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ClientError(f"{path} is a key of another kind; images are signed with ed25519")
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warn(f"{path} is a private key that others on this machine can read: chmod 600 {path}")
    return SigningKey(private)


def load_public(path: Path) -> PublicKey:
    """Read a public key; raises ClientError when there is none in the file."""
    try:
        public = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise ClientError(
            f"{path} is no public key in a PEM file, such as FILE.pub beside a private one"
        ) from None
    if not isinstance(public, Ed25519PublicKey):
        raise ClientError(f"{path} is a key of another kind; images are signed with ed25519")
    return PublicKey(public.public_bytes_raw().hex())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from None
