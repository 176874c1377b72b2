"""A kernel and a chosen set of its modules, ready for an initramfs.

The tables that ``modprobe`` reads are written here from the modules' own ``.modinfo``, so no
``depmod`` of the host has a say in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.build import deb, elf
from hostler.build.errors import PackageError
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_MODULE = re.compile(r"^usr/lib/modules/(?P<release>[^/]+)/kernel/(?P<inner>.+\.ko)$")


@dataclass(frozen=True, slots=True)
class Module:
    """One module.

    Attributes:
        inner: Path below ``kernel/``.
        depends: Names of modules it cannot do without, own names with ``_``.
        soft: Names it works better with (``softdep: pre``).
        aliases: Device patterns it serves and names it goes by.
    """

    inner: str
    depends: tuple[str, ...]
    soft: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name as the kernel tells it."""
        return module_name(self.inner)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What an initramfs takes from a kernel package.

    Attributes:
        release: ``uname -r``.
        image: The kernel.
        modules: The chosen modules with what they depend on, and their contents.
        builtin: Paths of what is compiled in, below ``kernel/``.
    """

    release: str
    image: bytes
    modules: Mapping[Module, bytes]
    builtin: tuple[str, ...]

    def entries(self) -> list[newc.Entry]:
        """Modules and modprobe's tables, below ``usr/lib/modules``."""
        base = f"usr/lib/modules/{self.release}"
        modules = sorted(self.modules, key=lambda module: module.inner)
        table = dependency_table(modules)
        aliases = "".join(f"alias {alias} {module.name}\n" for module in modules for alias in module.aliases)
        softdeps = "".join(
            f"softdep {module.name} pre: {' '.join(module.soft)}\n" for module in modules if module.soft
        )
        builtin = "".join(f"kernel/{inner}\n" for inner in self.builtin)
        return [
            *(newc.file(f"{base}/kernel/{module.inner}", self.modules[module]) for module in modules),
            newc.file(f"{base}/modules.dep", table.encode()),
            newc.file(f"{base}/modules.alias", aliases.encode()),
            newc.file(f"{base}/modules.softdep", softdeps.encode()),
            newc.file(f"{base}/modules.builtin", builtin.encode()),
        ]


def module_name(inner: str) -> str:
    """``drivers/net/foo-bar.ko`` → ``foo_bar``."""
    return inner.rpartition("/")[2].removesuffix(".ko").replace("-", "_")


def read_kernel(package: Path, wanted: Callable[[str], bool]) -> Kernel:
    """Take the image and the modules whose path below ``kernel/`` is wanted, and all they need.

    Args:
        package: A ``linux-image-…`` package.
        wanted: Chooses modules by path.

    Raises:
        PackageError: It holds no kernel, or a module needs one that is not in it.
    """
    image = b""
    release = ""
    builtin: tuple[str, ...] = ()
    known: dict[str, Module] = {}
    contents: dict[str, bytes] = {}
    for member in deb.members(package, _kernel_part):
        match = _MODULE.match(member.path)
        if match is not None:
            release = match["release"]
            module = _read_module(match["inner"], member.data)
            known[module.name] = module
            if wanted(module.inner):
                contents[module.name] = member.data
        elif member.path.startswith("boot/vmlinuz-"):
            image = member.data
        elif member.path.endswith("/modules.builtin"):
            builtin = tuple(line.removeprefix("kernel/") for line in member.data.decode().split())
    if not image or not known:
        raise PackageError(f"{package.name} holds no kernel with modules")
    chosen = closure(sorted(contents), known, {module_name(inner) for inner in builtin})
    absent = {known[name].inner for name in chosen if name not in contents}
    # A second pass instead of keeping every module of the package in memory (400 MB).
    for member in deb.members(package, lambda path: _inner(path) in absent):
        contents[module_name(_inner(member.path))] = member.data
    return Kernel(release, image, {known[name]: contents[name] for name in chosen}, builtin)


def closure(names: Sequence[str], known: Mapping[str, Module], builtin: set[str]) -> list[str]:
    """``names`` and all they depend on, sorted; soft dependencies come along where they exist.

    Raises:
        PackageError: A dependency is neither a module nor compiled in.
    """
    chosen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        chosen.add(name)
        for other in known[name].depends:
            if other in known:
                waiting.append(other)
            elif other not in builtin:
                raise PackageError(f"kernel module {name} depends on {other}, which its package lacks")
        waiting.extend(other for other in known[name].soft if other in known)
    return sorted(chosen)


def dependency_table(modules: Sequence[Module]) -> str:
    """The text of ``modules.dep``: every module with all it needs, those to be loaded first last."""
    by_name = {module.name: module for module in modules}

    def ordered(name: str, into: list[str]) -> None:
        for other in by_name[name].depends:
            if other in by_name:
                if other in into:
                    into.remove(other)
                into.append(other)
                ordered(other, into)

    lines = []
    for module in modules:
        needs: list[str] = []
        ordered(module.name, needs)
        lines.append(f"kernel/{module.inner}:" + "".join(f" kernel/{by_name[need].inner}" for need in needs))
    return "".join(f"{line}\n" for line in lines)


def _read_module(inner: str, data: bytes) -> Module:
    pairs = elf.modinfo(data)
    depends = [name for key, value in pairs if key == "depends" for name in value.split(",") if name]
    soft = [word for key, value in pairs if key == "softdep" for word in _soft_before(value)]
    aliases = [value for key, value in pairs if key == "alias"]
    return Module(inner, _names(depends), _names(soft), tuple(aliases))


def _soft_before(value: str) -> list[str]:
    """The modules a ``softdep`` line wants loaded before: ``pre: a b post: c`` → a, b."""
    before = value.partition("post:")[0]
    return before.replace("pre:", " ").split()


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.replace("-", "_") for name in names))


def _inner(path: str) -> str:
    match = _MODULE.match(path)
    return match["inner"] if match is not None else ""


def _kernel_part(path: str) -> bool:
    return bool(_MODULE.match(path)) or path.startswith("boot/vmlinuz-") or path.endswith("/modules.builtin")
