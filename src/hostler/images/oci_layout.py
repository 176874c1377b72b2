"""An OCI image layout made into one root file system: its index, a manifest, and layers put over each other.

Source: OCI image specification 1.0 (image-layout.md, image-index.md, manifest.md, layer.md). Docker's media
types (schema 2) name the same things. Everything is looked up by its digest, and the digest is checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from tarfile import BLOCKSIZE
from typing import TYPE_CHECKING, Any

from hostler.images.rootfs_tar import Spool, is_tar, read_tar
from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError
from hostler.images.unpack import ERRORS, READ_SIZE, DamagedError, peeked, sniff
from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAYOUT, _INDEX = "oci-layout", "index.json"
_MOST_JSON = 4 * 1024 * 1024  # bytes; registries refuse manifests of more
_DEEPEST = 4  # indexes in indexes
_MOST_NAMED = 2000  # by all indexes together
_MOST_LAYERS = 500
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def is_layout(tree: Tree) -> bool:
    """Whether what a tar held is an OCI image layout."""
    return tree.holds(_LAYOUT, Kind.FILE) and tree.holds(_INDEX, Kind.FILE)


def root_file_system(layout: Tree, arch: str, spool: Spool) -> Tree:
    """Put the layers of the one image for an architecture over each other.

    Args:
        layout: What the layout's tar held.
        arch: ``amd64`` or ``arm64``.
        spool: Keeps what files hold.

    Raises:
        TreeError: It has no such image, or more than one; something of it is missing, not what its digest
            says, or of a kind that is not taken.
        DamagedError, EOFError: A layer is not whole.
    """
    index = layout.find(_INDEX)
    assert index is not None
    found = list(_manifests(layout, index, arch, spool))
    if len(found) != 1:
        names = ", ".join(name for name, _ in found[:8])
        raise TreeError(
            f"the OCI layout has more than one image for {arch}: {names}; copy the one that is meant into a "
            "layout of its own (skopeo copy oci:PLACE:NAME oci:NEW)"
            if found
            else f"the OCI layout has no image for linux/{arch}"
        )
    layers = found[0][1].get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= _MOST_LAYERS:
        raise TreeError("the OCI manifest names no layers")
    tree = Tree()
    for descriptor in layers:
        blob = _blob(layout, descriptor)
        read_tar(_ended(_plain(blob, str(descriptor["digest"]))), tree, spool, layer=True)
    return tree


def _manifests(layout: Tree, index: Node, arch: str, spool: Spool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the manifests for an architecture that an index leads to, each once, with its name."""
    pending = deque([(index, _INDEX, 1)])
    seen: set[str] = set()
    named = 0
    while pending:
        index, what, depth = pending.popleft()
        descriptors = _parsed(index, what).get("manifests")
        if not isinstance(descriptors, list) or depth > _DEEPEST:
            raise TreeError("the index of the OCI layout names no manifests")
        named += len(descriptors)
        if named > _MOST_NAMED:
            raise TreeError(f"the index of the OCI layout names more than {_MOST_NAMED} manifests")
        for descriptor in descriptors:
            spool.beat()
            blob = _blob(layout, descriptor, absent=True)
            digest = str(descriptor["digest"])
            if blob is None or digest in seen or not _fits(descriptor.get("platform"), arch):
                continue
            seen.add(digest)
            if descriptor.get("mediaType") in _INDEXES:
                pending.append((blob, digest, depth + 1))
            elif descriptor.get("mediaType") in _MANIFESTS:
                document = _parsed(blob, digest)
                if _fits(_parsed(_blob(layout, document.get("config")), "its config"), arch):
                    notes = descriptor.get("annotations")
                    name = notes.get("org.opencontainers.image.ref.name") if isinstance(notes, dict) else None
                    yield printable(str(name or digest), 100), document


def _fits(platform: Any, arch: str) -> bool:
    """Whether what names ``os`` and ``architecture``, a platform or a config, is for Linux on this one."""
    if platform is None:
        return True  # the config tells
    return isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == (
        "linux",
        arch,
    )


def _blob(layout: Tree, descriptor: Any, *, absent: bool = False) -> Any:
    """Return the file a descriptor means, its length and digest checked; None: ``absent`` and not there."""
    match = _DIGEST.match(str(descriptor.get("digest"))) if isinstance(descriptor, dict) else None
    if match is None:
        raise TreeError("something in the OCI layout is named by no SHA-256 digest")
    node = layout.find(f"blobs/sha256/{match[1]}")
    if node is None or node.kind is not Kind.FILE:
        if absent:
            return None  # an index may name platforms that were not copied
        raise TreeError(f"the OCI layout lacks the blob {match[1]}")
    found = node.digest or hashlib.sha256().digest()
    if found.hex() != match[1] or descriptor.get("size") not in (None, node.size):
        raise TreeError(f"the blob {match[1]} of the OCI layout is damaged: it is not what its digest says")
    return node


def _parsed(node: Node, what: str) -> dict[str, Any]:
    if node.size > _MOST_JSON or node.content is None:
        raise TreeError(f"{what} of the OCI layout is empty, or has more than {_MOST_JSON} bytes")
    try:
        document = json.loads(node.content.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TreeError(f"{what} of the OCI layout is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise TreeError(f"{what} of the OCI layout is no JSON object")
    return document


def _plain(blob: Node, digest: str) -> Iterator[bytes]:
    """Yield the tar of a layer: what it is packed with is told from its bytes."""
    head, data = peeked(_bytes(blob))
    form = sniff(head)
    if form is not None:
        head, data = peeked(form[1](data))
    if not is_tar(head) and head.strip(b"\0"):
        raise TreeError(f"the layer {digest} is no tar, plain or compressed; it may be encrypted")
    try:
        yield from data
    except ERRORS as error:
        raise DamagedError(f"layer {digest}: {error}") from error


def _ended(layer: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a layer and an end mark: umoci leaves it out, and the digest has said that all is there."""
    length = 0
    for piece in layer:
        length += len(piece)
        yield piece
    yield bytes(-length % BLOCKSIZE + 2 * BLOCKSIZE)


def _bytes(blob: Node) -> Iterator[bytes]:
    if blob.content is not None:
        with blob.content.open("rb") as file:
            while piece := file.read(READ_SIZE):
                yield piece
