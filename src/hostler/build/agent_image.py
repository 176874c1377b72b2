"""The agent: a Debian kernel and an initramfs with Python, zstd and our code, for one architecture."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build import deb, elf, python_tree
from hostler.build.apt import ARCHITECTURES, Apt, describe
from hostler.build.cache import kept, key_of, source_digest
from hostler.build.errors import BuildError, PackageError
from hostler.build.hardware import agent_wants
from hostler.build.initramfs import pack, skeleton
from hostler.build.kernel import read_kernel
from hostler.build.progress import silent
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostler.build.apt import Archive
    from hostler.build.progress import Progress

_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_PYTHON_PACKAGES = ("libpython3.", "python3.", "python3-zstandard")
_OUR_MODULES = (
    "hostler",
    "hostler.agent",
    "hostler.model",
    "hostler.model.chunkindex",
    "hostler.model.cleaning",
    "hostler.model.ed25519",
    "hostler.model.disk_hint",
    "hostler.model.emmc_boot",
    "hostler.model.fat_layout",
    "hostler.model.first_boot",
    "hostler.model.install_target",
    "hostler.model.medium",
    "hostler.model.partitions",
    "hostler.model.peer_ticket",
    "hostler.model.signature",
    "hostler.model.disk_health",
    "hostler.model.wipe",
    "hostler.model.volume",
    "hostler.wire",
    "hostler.wire.carousel",
    "hostler.wire.carousel_receiver",
    "hostler.wire.fat",
)
_CODE_HOME = "usr/lib/hostler"
_STAGES = 5
_DEVICE_TREE = re.compile(r"usr/lib/linux-image-[^/]+/broadcom/bcm2[78]\d\d-rpi-[^/]+\.dtb")


@dataclass(frozen=True, slots=True)
class AgentImage:
    """A built agent.

    Attributes:
        arch: ``amd64`` or ``arm64``.
        kernel: Kernel file: a bzImage on amd64, an uncompressed EFI-stub ``Image`` on arm64.
        initrd: zstd-compressed newc archive; its length is a multiple of 4, so another may follow it.
        record: JSON file with the packages, their versions and hashes.
        device_trees: Device trees of this kernel that boards' firmware fetches by name; empty on amd64.
    """

    arch: str
    kernel: Path
    initrd: Path
    record: Path
    device_trees: Mapping[str, Path] = field(default_factory=dict)


def our_sources(modules: Sequence[str] = _OUR_MODULES) -> dict[str, bytes]:
    """Source of the agent and what it may import, by path below the package root.

    Args:
        modules: Packages (all their modules, not their subpackages) and single modules.

    Raises:
        BuildError: One of them is not there.
    """
    root = Path(str(resources.files("hostler"))).parent
    found: dict[str, bytes] = {}
    for module in modules:
        place = root / module.replace(".", "/")
        if place.with_suffix(".py").is_file():
            paths = [place.with_suffix(".py")]
        elif module == "hostler.agent":
            paths = sorted(place.rglob("*.py"))
        else:
            paths = [place / "__init__.py"]
        for path in paths:
            if not path.is_file():
                raise BuildError(f"the agent needs the module {module}, which is not installed")
            found[str(path.relative_to(root))] = path.read_bytes()
    return found


def build_agent(
    arch: str,
    output_dir: Path,
    cache_dir: Path,
    progress: Progress = silent,
    *,
    code: Mapping[str, bytes] | None = None,
    trusted_keys: Sequence[str] = (),
    require_signed: bool = False,
    refresh: bool = False,
) -> AgentImage:
    """Build the agent for ``arch``, or find it where an earlier call left it.

    Args:
        arch: ``amd64`` or ``arm64``.
        output_dir: Where ``agent-<arch>-<key>/`` appears, whole or not at all.
        cache_dir: Package lists and archives.
        progress: Told about stages.
        code: The Python program, by path below the package root; it must hold ``hostler/agent/__main__.py``.
            None: Hostler's own.
        trusted_keys: Public keys, hex, whose signatures of images it takes.
        require_signed: Whether it writes nothing to a disk that none of them signed.
        refresh: Ask Debian for newer packages even if there is an image.

    Raises:
        BuildError: See its subclasses in `hostler.build.errors`.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(f'unknown architecture "{arch}"; known are {", ".join(ARCHITECTURES)}')
    program = dict(our_sources() if code is None else code)
    trust = json.dumps({"keys": list(trusted_keys), "require_signed": require_signed}).encode()
    key = key_of(
        {
            "arch": arch,
            "builder": source_digest("hostler.build", "hostler.wire.newc"),
            "code": {path: text.decode() for path, text in program.items()},
            "trust": trust.decode(),
        }
    )

    def make(place: Path) -> None:
        _make(arch, program, trust, place, cache_dir, progress)

    place = kept(output_dir, f"agent-{arch}", key, make, fresh=refresh)
    progress(f"agent {arch}", _STAGES, _STAGES)
    trees = {path.name: path for path in sorted((place / "dtb").glob("*.dtb"))}
    return AgentImage(arch, place / "kernel", place / "initrd", place / "packages.json", trees)


def _make(
    arch: str, program: Mapping[str, bytes], trust: bytes, place: Path, cache_dir: Path, progress: Progress
) -> None:
    stage = f"agent {arch}"
    progress(stage, 0, _STAGES)
    apt = Apt(arch, cache_dir, progress)
    roots = (f"linux-image-{arch}", "busybox-static", "python3-minimal", "python3-zstandard")
    archives = apt.fetch(roots, lambda package: _carried(package.name))
    packages = {archive.package.name: archive for archive in archives}
    progress(stage, 1, _STAGES)

    kernel_name = next((name for name in packages if name.startswith("linux-image-")), None)
    if kernel_name is None:
        raise PackageError(f"linux-image-{arch} depends on no kernel package")
    kernel = read_kernel(packages[kernel_name].path, lambda inner: agent_wants(arch, inner))
    progress(stage, 2, _STAGES)

    busybox = {
        member.path: member.data for member in deb.members(packages["busybox-static"].path, _is_busybox)
    }
    if not busybox:
        raise PackageError("busybox-static holds no busybox")
    python = _python_entries(arch, program, [packages[name] for name in packages if name != kernel_name])
    progress(stage, 3, _STAGES)

    init = resources.files("hostler.build")
    entries = [
        *skeleton(next(iter(busybox.values()))),
        newc.file("init", (init / "agent_init.sh").read_bytes(), 0o755),
        newc.file("etc/udhcpc.sh", (init / "agent_udhcpc.sh").read_bytes(), 0o755),
        newc.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        newc.directory("etc/hostler", 0o700),
        newc.file("etc/hostler/trust.json", trust, 0o600),
        *kernel.entries(),
        *python,
    ]
    initrd = pack(entries)
    progress(stage, 4, _STAGES)
    (place / "kernel").write_bytes(kernel.image)
    (place / "initrd").write_bytes(initrd)
    (place / "packages.json").write_text(json.dumps(describe(archives), indent=1) + "\n")
    trees = list(deb.members(packages[kernel_name].path, _is_fetched_device_tree))
    if trees:
        (place / "dtb").mkdir()
    for tree in trees:
        (place / "dtb" / tree.path.rpartition("/")[2]).write_bytes(tree.data)


def _carried(name: str) -> bool:
    """Whether the package ``name`` has a part in the image; the closure has many that do not."""
    libraries = ("libc6", "libexpat1", "libffi8", "libssl3", "libssl3t64", "libzstd1", "zlib1g", "libgcc-s1")
    return (
        name in libraries
        or name == "busybox-static"
        or name.startswith(_PYTHON_PACKAGES)
        # The package of the kernel itself carries its version; linux-image-<arch> is empty.
        or (name.startswith("linux-image-") and name[len("linux-image-")].isdigit())
    )


def _is_busybox(path: str) -> bool:
    return path in ("usr/bin/busybox", "bin/busybox")


def _is_fetched_device_tree(path: str) -> bool:
    """Whether it belongs to a Raspberry Pi: U-Boot and UEFI bring their own, its firmware fetches one."""
    return _DEVICE_TREE.fullmatch(path) is not None


def _python_entries(arch: str, program: Mapping[str, bytes], archives: Sequence[Archive]) -> list[newc.Entry]:
    """Interpreter, the modules the program reaches, and the shared libraries these need."""
    triplet = _TRIPLETS[arch]
    files: dict[str, deb.Member] = {}
    for archive in archives:
        for member in deb.members(archive.path, lambda path: _python_part(path, triplet)):
            files[member.path] = member
    version = _version(files)
    home = f"usr/lib/python{version}"
    roots = {home: "", f"{home}/lib-dynload": "", "usr/lib/python3/dist-packages": ""}

    sources: dict[str, tuple[str, bytes]] = {}
    extensions: dict[str, deb.Member] = {}
    for path, member in files.items():
        root = next((root for root in sorted(roots, reverse=True) if path.startswith(f"{root}/")), None)
        if root is None or member.is_link:
            continue
        inner = path.removeprefix(f"{root}/")
        where = home if root == home else _CODE_HOME
        if inner.endswith(".py"):
            sources[python_tree.module_names([inner])[inner]] = (f"{where}/{inner}", member.data)
        elif (name := python_tree.extension_name(inner.replace("/", "."))) is not None:
            extensions[name] = member
    for inner, text in program.items():
        sources[python_tree.module_names([inner])[inner]] = (f"{_CODE_HOME}/{inner}", text)

    ours = [name for name, (path, _) in sources.items() if path.removeprefix(f"{_CODE_HOME}/") in program]
    if "hostler.agent.__main__" not in ours:
        raise BuildError("the agent has no hostler/agent/__main__.py to start")
    wanted = ["zstandard", *ours, *(name for name in python_tree.INTERPRETER_NEEDS if name in sources)]
    found, native = python_tree.closure(
        wanted,
        {name: text for name, (_, text) in sources.items()},
        frozenset(name for name, (path, _) in sources.items() if path.endswith("/__init__.py")),
        frozenset(extensions),
    )
    code = python_tree.compiled({sources[name][0]: sources[name][1] for name in found}, version)
    binary = files[f"usr/bin/python{version}"].data
    programs = {f"usr/bin/python{version}": binary}
    for name in native:
        path = extensions[name].path.replace("usr/lib/python3/dist-packages", _CODE_HOME)
        programs[path] = extensions[name].data
    libraries = _libraries(programs, files, triplet)
    return [
        *(newc.file(path, data) for path, data in code.items()),
        *(newc.file(path, data, 0o755) for path, data in programs.items()),
        *libraries,
        newc.symlink("usr/bin/python3", f"python{version}"),
        newc.directory(f"{home}/lib-dynload"),
    ]


def _python_part(path: str, triplet: str) -> bool:
    if path.startswith(("usr/lib/python3.", "usr/lib/python3/dist-packages/zstandard/")):
        return path.endswith((".py", ".so")) and "/test/" not in path
    if path.startswith("usr/bin/python3."):
        return True
    library = path.startswith((f"usr/lib/{triplet}/", "usr/lib64/", "usr/lib/ld-linux"))
    return library and ".so" in path and path.count("/") <= 3


def _version(files: Mapping[str, deb.Member]) -> str:
    for path, member in files.items():
        if path.startswith("usr/bin/python3.") and stat.S_ISREG(member.mode):
            return path.removeprefix("usr/bin/python")
    raise PackageError("the Python packages hold no interpreter")


def _libraries(
    programs: Mapping[str, bytes], files: Mapping[str, deb.Member], triplet: str
) -> list[newc.Entry]:
    """The shared libraries ``programs`` need, under the names they ask for, and the loader."""
    by_name: dict[str, deb.Member] = {}
    for path, member in files.items():
        name = path.rpartition("/")[2]
        # The loader lies in one directory and is a link of the same name in another.
        if ".so" in name and (name not in by_name or not member.is_link):
            by_name[name] = member
    loaders = [name for name in by_name if name.startswith("ld-linux")]
    chosen: dict[str, bytes] = {}
    waiting = [name for data in programs.values() for name in elf.needed(data)] + loaders
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        library = by_name.get(name)
        if library is not None and library.is_link:
            library = by_name.get(library.data.decode().rpartition("/")[2])
        if library is None or library.is_link:
            raise PackageError(f"no package of the agent holds the shared library {name}")
        chosen[name] = library.data
        waiting.extend(elf.needed(library.data))
    entries = []
    for name, data in chosen.items():
        # A program names its loader by full path: /lib64/… on amd64, /lib/… on arm64.
        loader = name.startswith("ld-linux")
        home = ("usr/lib64" if "x86-64" in name else "usr/lib") if loader else f"usr/lib/{triplet}"
        entries.append(newc.file(f"{home}/{name}", data, 0o755))
    return entries
