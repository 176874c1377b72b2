"""A tree written into an ext4 file system in a plain file: no root, no loop device, no mount, no unpacking.

``mke2fs`` makes it empty and ``debugfs`` fills it. Owners, devices and attributes are words of its script,
so that they need no right on this machine, and no name of the tree is ever one of this machine's file system.
(``mke2fs -d`` takes a tar from version 1.47.1 on; before, and so in Debian 12, it takes a folder, which would
have to be unpacked as root or under fakeroot.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.images.rootfs_tree import Kind, Node, Tree, TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostler.images.system_tool import SystemTool

BLOCK = 4096
_INODE_BYTES = 256
_JOURNAL = 64 * 1024 * 1024  # the largest that mke2fs takes below some gigabytes
_LONGEST_LINE = 8000  # of debugfs's script, in bytes; it reads 8191 of one
_LONGEST_IN_LINE = 1000  # bytes of an attribute's value, each four in the script; longer ones get a file
_LINKS_IN_A_BLOCK = 12  # entries of 255 bytes that go into a block of a directory for certain
_FOUND = "lost+found"
_TYPES = {
    Kind.FILE: 0o100000,
    Kind.DIRECTORY: 0o040000,
    Kind.SYMLINK: 0o120000,
    Kind.CHARACTER: 0o020000,
    Kind.BLOCK: 0o060000,
    Kind.FIFO: 0o010000,
}
_DEVICES = {Kind.CHARACTER: "c", Kind.BLOCK: "b", Kind.FIFO: "p"}
# The clock stands still, and the id is given: the same tree gives the same bytes.
_CLOCK = {"E2FSPROGS_FAKE_TIME": "1", "E2FSCK_TIME": "1"}
# metadata_csum_seed: GRUB 2.06 does not read it. orphan_file: e2fsck before 1.47 refuses it, and the tree may
# have an older one than this machine.
_FEATURES = "^metadata_csum_seed,^orphan_file"


def needed(tree: Tree) -> tuple[int, int]:
    """Return how many bytes of blocks, and how many inodes, a tree takes; its own administration aside."""
    size, inodes = 2 * BLOCK, 0
    seen: set[int] = set()
    for _, node in tree.walk():
        if id(node) in seen:
            continue
        seen.add(id(node))
        inodes += 1
        size += -(-node.size // BLOCK) * BLOCK + (BLOCK if node.xattrs else 0)
        if node.kind is Kind.DIRECTORY:
            entries = sum(len(_bytes(name)) + 12 for name in node.children)
            size += BLOCK * (2 + 2 * entries // BLOCK)
        elif node.kind is Kind.SYMLINK:
            size += BLOCK if len(_bytes(node.target)) >= 60 else 0
    return size, inodes


def room_for(tree: Tree) -> int:
    """Return the bytes of a file system that holds a tree, with a quarter and 128 MiB for what it does."""
    size, inodes = needed(tree)
    return size + size // 4 + 128 * 1024 * 1024 + _JOURNAL + 2 * inodes * _INODE_BYTES


def write_ext4(
    path: Path, size: int, label: str, identity: str, tree: Tree, scratch: Path, tool: SystemTool,
    beat: Callable[[], None],
) -> None:  # fmt: skip
    """Make a file system that holds a tree.

    Args:
        path: Of the file.
        size: Its bytes.
        label: Sixteen characters at most.
        identity: UUID of the file system.
        tree: What is in it, but for what lies in ``/lost+found``.
        scratch: Folder for what is needed meanwhile.
        tool: Runs programs.
        beat: Called all the while; what it raises ends the work.

    Raises:
        TreeError: Something in the tree does not go into it.
        ToolError: A program is missing or failed.
    """
    _, inodes = needed(tree)
    with path.open("wb") as file:
        file.truncate(size)
    tool(
        "e2fsprogs", "mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", str(_INODE_BYTES),
        "-N", str(max(4096, 2 * inodes, size // 32768)), "-L", label, "-U", identity, "-m", "1",
        "-E", f"hash_seed={identity},lazy_itable_init=0,root_owner=0:0", "-O", _FEATURES, path,
        environment=_CLOCK,
    )  # fmt: skip
    script = scratch / "debugfs"
    with script.open("wb") as file:
        for line in _script(tree, scratch):
            if len(line) > _LONGEST_LINE:
                raise TreeError("a path in it is too long: " + line[:200].decode("utf-8", "replace") + "…")
            file.write(line + b"\n")
            beat()
    said = tool("e2fsprogs", "debugfs", "-w", "-f", script, path, environment=_CLOCK)
    # It ends with status 0 whatever failed; the first line is its name and version.
    if failed := said.splitlines()[1:]:
        raise TreeError(f"debugfs cannot write it: {failed[0][:300]}")
    # Counts of links are checked by it, and large directories get their index.
    tool("e2fsprogs", "e2fsck", "-f", "-p", "-D", path, environment=_CLOCK, good=(0, 1))


def _script(tree: Tree, scratch: Path) -> Iterator[bytes]:
    """Yield the commands, ``debugfs(8)``; paths of this machine are in no danger of being the tree's."""
    links: dict[int, int] = {}
    for _, node in tree.walk():
        links[id(node)] = links.get(id(node), 0) + 1
    first: dict[int, str] = {}
    values = 0
    yield from _attributes(b'"/"', tree.root, 0)
    here, linked = "", 0
    for path, node in tree.walk():
        above, _, name = path.rpartition("/")
        if path == f"/{_FOUND}" or path.startswith(f"/{_FOUND}/"):
            continue  # e2fsck's own
        if above != here:
            yield b"cd " + _quoted(above or "/")
            here, linked = above, 0
        there = _quoted(f"./{name}")
        if id(node) in first:
            linked += 1
            if linked % _LINKS_IN_A_BLOCK == 1:
                yield b'expand_dir "."'  # ln does not do so itself
            yield b"ln " + _quoted(first[id(node)]) + b" " + _quoted(name)
            continue
        yield _made(node, name)
        count = links[id(node)] if node.kind is not Kind.DIRECTORY else 0
        yield from _attributes(there, node, count)
        for key, value in sorted(node.xattrs.items()):
            if len(value) <= _LONGEST_IN_LINE:
                text = "".join(f"\\{byte:03o}" for byte in value)
                yield b"ea_set " + there + b" " + _quoted(key) + f' "{text}"'.encode()
                continue
            values += 1
            file = scratch / f"value-{values}"
            file.write_bytes(value)
            yield b"ea_set -f " + _quoted(str(file)) + b" " + there + b" " + _quoted(key)
        if count > 1:
            first[id(node)] = path


def _made(node: Node, name: str) -> bytes:
    quoted = _quoted(name)
    if node.kind is Kind.DIRECTORY:
        return b"mkdir " + quoted
    if node.kind is Kind.SYMLINK:
        return b"symlink " + quoted + b" " + _quoted(node.target)
    if node.kind is Kind.FILE:
        return b"write " + _quoted(str(node.content or "/dev/null")) + b" " + quoted
    major, minor = node.device
    numbers = b"" if node.kind is Kind.FIFO else f" {major} {minor}".encode()
    return b"mknod " + quoted + f" {_DEVICES[node.kind]}".encode() + numbers


def _attributes(there: bytes, node: Node, links: int) -> Iterator[bytes]:
    mode = 0o777 if node.kind is Kind.SYMLINK else node.mode
    values: list[tuple[str, str]] = [("mode", f"0{_TYPES[node.kind] | mode:o}")]
    if node.uid:
        values.append(("uid", str(node.uid)))
    if node.gid:
        values.append(("gid", str(node.gid)))
    if links > 1:
        values.append(("links_count", str(links)))
    values += [(clock, f"@{node.mtime}") for clock in ("mtime", "atime", "ctime", "crtime")]
    for key, value in values:
        yield b"sif " + there + f" {key} {value}".encode()


def _quoted(text: str) -> bytes:
    """Quote one word for debugfs, whose quotes are doubled within quotes; line breaks are in no tree."""
    return b'"' + _bytes(text).replace(b'"', b'""') + b'"'


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
