"""A root file system as a value: names and what they are, put together of one archive or of many layers.

Nothing of it exists on this machine. Links are followed within the tree alone, so no name leads out of it,
and devices are numbers. What files hold lies elsewhere, under names of our own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.model.trace import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NAMES = 500_000
"""A desktop system has 300 000; each costs about half a kilobyte of memory."""
_MOST_TEXT = 64 * 1024 * 1024  # bytes of names, of links' targets and of attributes
_DEEPEST = 256
_MOST_LINKS = 40  # as many as Linux follows in one path (path_resolution(7))
_NAME_BYTES = 255
_TARGET_BYTES = 4095


class TreeError(Exception):
    """The tree cannot be what it is asked to be; the text names what is wrong with it."""


class Kind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"


@dataclass(slots=True, eq=False)
class Node:
    """What one or, with hard links, several names stand for.

    Attributes:
        kind: What it is.
        mode: Permissions, with the set-id and sticky bits.
        uid: Owner.
        gid: Group.
        mtime: Seconds since 1970.
        size: Bytes of a file.
        content: Where they are; None: it is empty.
        digest: Their SHA-256; nothing of an empty file.
        target: Of a symbolic link.
        device: Major and minor number.
        xattrs: Extended attributes.
        children: Of a directory.
    """

    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    content: Path | None = None
    digest: bytes = b""
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)

    def text(self, path: str, most: int) -> bytes:
        """Return what it holds; raises TreeError when that is more than it may have, in bytes."""
        if self.size > most:
            raise TreeError(f"{_shown(path)} has {self.size} bytes; more than {most} are not taken")
        return b"" if self.content is None else self.content.read_bytes()


class Tree:
    """A tree that grows name by name. Names are text as Python decodes file names (``surrogateescape``)."""

    def __init__(self) -> None:
        self.root = Node(Kind.DIRECTORY)
        self._names = 0
        self._text = 0
        self._brought: set[tuple[Node, str]] | None = None

    def begin_layer(self) -> None:
        """From now on, all comes from one layer over what is there, and whiteouts take away that alone."""
        self._brought = set()

    def place(self, path: str, node: Node) -> None:
        """Put something at a path, as unpacking would: directories above it are made, what is there goes.

        A directory where there is one already changes that one's attributes, and what is in it stays.

        Raises:
            TreeError: The path leads outside, or is no name; or the tree becomes too large.
        """
        self._count(path, node)
        parts = _parts(path)
        if not parts:
            if node.kind is Kind.DIRECTORY:
                _dress(self.root, node)
                return
            raise TreeError("its root is not a directory")
        parent = self._parent(parts, path)
        there = parent.children.get(parts[-1])
        if there is not None and there.kind is node.kind is Kind.DIRECTORY:
            _dress(there, node)
        else:
            parent.children[parts[-1]] = node
        if self._brought is not None:
            self._brought.add((parent, parts[-1]))

    def link(self, path: str, target: str) -> None:
        """Give a second name to what has one; raises TreeError if there is no such name."""
        parts = _parts(target)
        above = self._directory(parts[:-1]) if parts else None
        node = above.children.get(parts[-1]) if above is not None else None
        if node is None or node.kind is Kind.DIRECTORY:
            raise TreeError(f"{_shown(path)} is a hard link to {_shown(target)}, which is no file in it")
        self.place(path, node)

    def find(self, path: str) -> Node | None:
        """Return what a path leads to, links followed within the tree; None: nothing."""
        trail = self._resolve(path)
        return trail[-1] if trail else None

    def holds(self, path: str, *kinds: Kind) -> bool:
        """Whether a path leads to something of these kinds."""
        found = self.find(path)
        return found is not None and found.kind in kinds

    def names(self, path: str) -> list[str]:
        """Return what a directory holds, sorted; nothing where there is none."""
        found = self.find(path)
        return sorted(found.children) if found is not None else []

    def hide(self, path: str) -> None:
        """Remove what layers before this one have at a path (a whiteout)."""
        parts = _parts(path)
        parent = self._directory(parts[:-1]) if parts else None
        if parent is not None:
            self._hide(parent, parts[-1])

    def hide_all(self, path: str) -> None:
        """Remove what layers before this one have in a directory (an opaque whiteout)."""
        found = self._directory(_parts(path))
        if found is not None:
            for name in list(found.children):
                self._hide(found, name)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield every path but the root's, sorted within a directory, directories before what is in them."""
        pending = [("", self.root)]
        while pending:
            above, directory = pending.pop()
            for name, node in sorted(directory.children.items()):
                yield f"{above}/{name}", node
                if node.kind is Kind.DIRECTORY:
                    pending.append((f"{above}/{name}", node))

    def digest(self) -> bytes:
        """Return the SHA-256 of everything in it: two trees have the same when they are the same."""
        whole = hashlib.sha256()
        for path, node in [("", self.root), *self.walk()]:
            facts = (path, node.kind, node.mode, node.uid, node.gid, node.mtime, node.digest, node.target,
                     node.device, sorted(node.xattrs.items()))  # fmt: skip
            whole.update(repr(facts).encode())
        return whole.digest()

    def _hide(self, parent: Node, name: str) -> None:
        """Remove a name unless this layer brought it, or something in it."""
        node = parent.children.get(name)
        if node is None:
            return
        for inner in list(node.children):
            self._hide(node, inner)
        # By the name: with hard links, a layer gives a new one to what an older layer has.
        if not node.children and (parent, name) not in (self._brought or ()):
            del parent.children[name]

    def _count(self, path: str, node: Node) -> None:
        self._names += 1
        self._text += len(path) + len(node.target)
        self._text += sum(len(name) + len(value) for name, value in node.xattrs.items())
        if self._names > MOST_NAMES:
            raise TreeError(f"it has more than {MOST_NAMES} names")
        if self._text > _MOST_TEXT:
            raise TreeError(f"its names and attributes have more than {_MOST_TEXT} bytes")
        if node.kind is Kind.SYMLINK:
            _check(path, node.target, _TARGET_BYTES, "the target of")

    def _parent(self, parts: list[str], path: str) -> Node:
        """Return the directory a name is in, made where there is none."""
        node, depth = self.root, 1
        for number, name in enumerate(parts[:-1], 1):
            child, depth = node.children.get(name), depth + 1
            if child is not None and child.kind is Kind.SYMLINK:
                trail = self._resolve("/".join(parts[:number]))
                if not trail or trail[-1].kind is not Kind.DIRECTORY:
                    raise TreeError(f"{_shown(path)} lies behind a link that leads to no directory")
                child, depth = trail[-1], len(trail)
            if child is None:
                self._names += 1
                child = node.children[name] = Node(Kind.DIRECTORY)
            elif child.kind is not Kind.DIRECTORY:
                raise TreeError(f"{_shown(path)} lies in what is a {child.kind}")
            node = child
        if depth > _DEEPEST:
            raise TreeError(f"{_shown(path)} is more than {_DEEPEST} directories deep")
        return node

    def _directory(self, parts: list[str]) -> Node | None:
        found = self.find("/".join(parts))
        return found if found is not None and found.kind is Kind.DIRECTORY else None

    def _resolve(self, path: str) -> list[Node]:
        """Walk a path as the kernel does below a root of its own, where ``..`` stops.

        Returns what was walked through, the root first and what the path leads to last; empty: nothing.
        """
        trail = [self.root]
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                trail = trail[:-1] or [self.root]
                continue
            child = trail[-1].children.get(name)
            if child is None:
                return []
            if child.kind is Kind.SYMLINK:
                links += 1
                if links > _MOST_LINKS:
                    return []
                trail = [self.root] if child.target.startswith("/") else trail
                pending += child.target.split("/")[::-1]
                continue
            trail.append(child)
        return trail


def _dress(there: Node, node: Node) -> None:
    there.mode, there.uid, there.gid, there.mtime = node.mode, node.uid, node.gid, node.mtime
    there.xattrs = node.xattrs


def _parts(path: str) -> list[str]:
    """Split a path, without a slash it begins with; raises TreeError for one that leads outside."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise TreeError(f'{_shown(path)} leads outside it, by ".."')
    for part in parts:
        _check(path, part, _NAME_BYTES, "a part of")
    return parts


def _check(path: str, text: str, longest: int, what: str) -> None:
    if not text or len(text.encode("utf-8", "surrogateescape")) > longest:
        raise TreeError(f"{what} {_shown(path)} is empty, or longer than {longest} bytes")
    if "\n" in text or "\0" in text or "\r" in text:
        raise TreeError(f"{what} {_shown(path)} has a line break, which is not taken here")


def _shown(path: str) -> str:
    return printable(path.encode("utf-8", "replace").decode(), 200)
