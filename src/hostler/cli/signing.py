"""The verbs image key, image sign and image unsign: who vouches for an image. Private keys stay here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.words import size_text
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.documents import Image
    from hostler.client.signing_key import PublicKey, SigningKey

ACTIONS = ("key", "sign", "unsign")


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add them to the verb image; returns those that print a document."""
    key = verbs.add_parser("key", help="make a key that signs images", allow_abbrev=False)
    kinds = key.add_subparsers(dest="key_action", required=True, metavar="new|show")
    new = kinds.add_parser("new", help="make FILE, which only you read, and FILE.pub", allow_abbrev=False)
    new.add_argument("file", metavar="FILE", type=Path)
    new.add_argument("--passphrase", action="store_true", help="ask for one that protects it")
    show = kinds.add_parser("show", help="what a key is called", allow_abbrev=False)
    show.add_argument("file", metavar="FILE.pub", type=Path)
    sign = verbs.add_parser("sign", help="sign an image of a disk", allow_abbrev=False)
    sign.add_argument("name", metavar="NAME")
    how = sign.add_mutually_exclusive_group(required=True)
    how.add_argument("--key", metavar="FILE", type=Path, help="with this private key, which stays here")
    how.add_argument("--write-index", metavar="FILE", type=Path, help="write what is to be signed elsewhere")
    how.add_argument(
        "--signature", metavar="FILE", type=Path, help="bring the 64 bytes that came of it; needs --by"
    )
    sign.add_argument("--by", metavar="FILE.pub", type=Path, help="the public key of that signature")
    sign.add_argument(
        "--of", metavar="FILE", type=Path,
        help="read this image here too, and sign only if it is the one the server has",
    )  # fmt: skip
    unsign = verbs.add_parser("unsign", help="take a signature off an image", allow_abbrev=False)
    unsign.add_argument("name", metavar="NAME")
    unsign.add_argument("key", metavar="KEY", help="what the key is called in `image show`")
    return [new, show, sign, unsign]


def signing(args: argparse.Namespace, out: Output) -> int:
    """Carry out one of them."""
    if args.action == "key":
        return _key(args, out)
    if args.action == "unsign":
        with Client() as client:
            image = client.unsign_image(args.name, args.key)
        return _tell(image, out)
    if (args.signature is None) != (args.by is None):
        out.note("hostler: --signature and --by belong together")
        return 2
    key = signing_key(args.key, out) if args.key is not None else None
    with Client() as client:
        if key is not None:
            return _tell(sign(client, args.name, key, args.of), out)
        if args.signature is not None:
            if args.of is not None:
                _index(client, args.name, args.of)
            return _bring(client, args, out)
        index = _index(client, args.name, args.of)
        _write(args.write_index, index)
    if out.json:
        out.document({"file": str(args.write_index), "bytes": len(index)})
    out.line(f"{args.write_index}: {size_text(len(index))} to sign with ed25519, not hashed before")
    return 0


def signing_key(file: Path, out: Output) -> SigningKey:
    """Read a private key, and ask for its passphrase if it has one; raises ClientError."""
    from hostler.client.signing_key import load

    return load(
        file, lambda: _passphrase(f"passphrase of {file}: "), lambda text: out.note(f"hostler: {text}")
    )


def sign(client: Client, name: str, key: SigningKey, of: Path | None = None) -> Image:
    """Sign an image and tell the server.

    Args:
        client: The server.
        name: The image.
        key: Whose signature it is to be.
        of: The image as a file; None: what the server says that it has is signed.

    Raises:
        ClientError: there is no such image, it is not that of the file, or the server gave no index.
    """
    return client.sign_image(name, key.public.hex, key.sign(_index(client, name, of)))


def _index(client: Client, name: str, of: Path | None) -> bytes:
    """Fetch the index of an image, and hold it against the one of a file."""
    from hostler.model.chunkindex import ChunkIndex, ChunkIndexError

    index = client.image_index(name)
    try:
        # Whatever else a server gave, it would be signed; and sizes in it are not believed before.
        decoded = ChunkIndex.decode(index)
    except ChunkIndexError as error:
        raise ClientError(f'what the server gave is not the index of image "{name}": {error}') from None
    if of is not None and index != _index_of(of, decoded.chunk_size):
        raise ClientError(
            f'image "{name}" on the server is not the image in {of}', "nothing was signed; import it again"
        )
    return index


def _index_of(file: Path, chunk_size: int) -> bytes:
    """Take an image in as the server does, into a store that is thrown away, and return its index."""
    import tempfile

    from hostler.images.importer import import_image
    from hostler.images.source import SourceError
    from hostler.images.store import ImageStore
    from hostler.images.store_errors import StoreError

    with tempfile.TemporaryDirectory(prefix="hostler-sign-") as folder:
        store = ImageStore(Path(folder))
        try:
            brought = import_image(file, store, chunk_size=chunk_size)
        except (SourceError, StoreError) as error:
            raise ClientError(f"cannot compare with {file}: {error}") from None
        return store.artefact_path(brought.index).read_bytes()


def _bring(client: Client, args: argparse.Namespace, out: Output) -> int:
    from hostler.client.signing_key import load_public

    by = load_public(args.by)
    try:
        signature: bytes = args.signature.read_bytes()
    except OSError as error:
        raise ClientError(f"cannot read {args.signature}: {error.strerror}") from None
    if len(signature) != 64:
        raise ClientError(f"{args.signature} has {len(signature)} bytes; an ed25519 signature has 64")
    return _tell(client.sign_image(args.name, by.hex, signature.hex()), out)


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise ClientError(f"cannot write {file}: {error.strerror}") from None


def _key(args: argparse.Namespace, out: Output) -> int:
    from hostler.client.signing_key import load_public, make

    if args.key_action == "show":
        _tell_key(load_public(args.file), args.file, out)
        return 0
    passphrase = None
    if args.passphrase:
        passphrase = _passphrase("new passphrase: ")
        if not passphrase or passphrase != _passphrase("once more: "):
            raise ClientError("that was not the same twice, or nothing", "no key was made")
    public = make(args.file, passphrase)
    _tell_key(public, args.file.with_name(args.file.name + ".pub"), out)
    out.line(
        f"keep {args.file} to yourself; agents trust it with: hostler agent build --trust {args.file}.pub"
    )
    return 0


def _tell_key(key: PublicKey, file: Path, out: Output) -> None:
    if out.json:
        out.document({"id": key.id, "key": key.hex, "file": str(file)})
    out.pairs([("key", key.id), ("public key", key.hex), ("file", str(file))])


def _tell(image: Image, out: Output) -> int:
    if out.json:
        out.document(image)
    out.line(f"image {image['name']} is signed by {signers(image)}")
    return 0


def signers(image: Image) -> str:
    """Return who signed an image, by what their keys are called."""
    return ", ".join(one["id"] for one in image["signatures"]) or "nobody"


def _passphrase(prompt: str) -> str:
    import getpass

    if not sys.stdin.isatty():
        raise ClientError("a passphrase is asked for, and nobody is there to type it", "run it in a terminal")
    return getpass.getpass(prompt)
