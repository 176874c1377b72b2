"""The part of Debian's Python that one program needs, found by following its imports.

The imports are read from the source (``ast``), never run, so the answer is the same on every
machine and for every architecture. Imports inside functions count too.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.build.errors import BuildError
from hostler.build.tool import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_COMPILE_DEADLINE = 120.0
_EXTENSION = re.compile(r"^(?P<name>.+?)\.(cpython-[^/]+|abi3)\.so$")

# Started before the first import of ours, or looked up by name at run time.
INTERPRETER_NEEDS = (
    "abc",
    "codecs",
    "encodings",
    "encodings.aliases",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_16_le",
    "encodings.utf_8",
    "importlib.machinery",
    "importlib.util",
    "io",
    "os",
    "pkgutil",
    "runpy",
    "site",
    "zipimport",
)

# Reached by imports that are tried and forgiven, or by functions nobody calls on a board.
# TLS alone is 2 MB: the agent speaks plain HTTP on its rack's network, with a token per boot.
_UNWANTED_LINES = (
    "_pydecimal _pyio _strptime asyncio bdb bz2 cmd code ctypes.macholib ctypes.wintypes curses",
    "doctest distutils ftplib getpass gzip lib2to3 lzma mimetypes multiprocessing nturl2path netrc",
    "optparse pdb pickletools pydoc readline smtplib socketserver sqlite3 ssl tarfile test tkinter",
    "unittest webbrowser xml xmlrpc zipfile zstandard.backend_cffi importlib.metadata",
    "importlib.resources _osx_support plistlib",
)
UNWANTED = frozenset(word for line in _UNWANTED_LINES for word in line.split())

_COMPILER = """\
import importlib.util, json, marshal, pathlib, sys
for name, source in json.load(sys.stdin):
    text = pathlib.Path(source).read_bytes()
    code = compile(text, "/" + name, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text)
    pathlib.Path(source).with_suffix(".pyc").write_bytes(head + marshal.dumps(code))
"""


def closure(
    roots: Iterable[str], sources: Mapping[str, bytes], packages: frozenset[str], extensions: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Modules that ``roots`` import, near and far: those with source, and those that are extensions.

    Args:
        roots: Names of modules.
        sources: Source text by module name; a package goes by its own name.
        packages: Which of them are packages.
        extensions: Names of extension modules.

    Raises:
        BuildError: A root is neither, or a module does not parse.
    """
    found: set[str] = set()
    native: set[str] = set()
    waiting = list(roots)
    for root in waiting:
        if root not in sources and root not in extensions:
            raise BuildError(f"there is no module {root} to put into the agent")
    while waiting:
        name = waiting.pop()
        if name in found or name in native or _unwanted(name):
            continue
        if name in extensions:
            native.add(name)
        if name not in sources:
            continue  # compiled into the interpreter, or a name inside a module
        found.add(name)
        try:
            tree = ast.parse(sources[name])
        except SyntaxError as error:
            raise BuildError(f"module {name} does not parse: {error}") from error
        waiting.extend(_imports(tree, name, is_package=name in packages))
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return found, native


def module_names(paths: Iterable[str]) -> dict[str, str]:
    """Module name by path relative to its root: ``json/__init__.py`` → ``json``."""
    names = {}
    for path in paths:
        if path.endswith(".py"):
            names[path] = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return names


def extension_name(filename: str) -> str | None:
    """``_json.cpython-311-x86_64-linux-gnu.so`` → ``_json``; None when it is no extension module."""
    match = _EXTENSION.match(filename)
    return match["name"] if match is not None else None


def compiled(sources: Mapping[str, bytes], version: str) -> dict[str, bytes]:
    """Byte code for ``sources``, or the sources themselves where this machine lacks that Python.

    Compiling on the board would cost more time than everything else the agent does when it starts.

    Args:
        sources: Source text by path in the initramfs, ending in ``.py``.
        version: Of the Python that will run it, such as ``3.11``.

    Returns:
        Contents by path: ``….pyc`` beside where the source would lie, or ``….py``.
    """
    compiler = _interpreter(version)
    if compiler is None:
        return dict(sources)
    with tempfile.TemporaryDirectory(prefix="hostler-compile-") as directory:
        work = []
        for number, (path, text) in enumerate(sorted(sources.items())):
            place = Path(directory) / f"{number}.py"
            place.write_bytes(text)
            work.append((path, str(place)))
        # A fixed hash seed: the order of frozen sets in byte code depends on it.
        run(
            [compiler, "-I", "-S", "-X", "frozen_modules=off", "-c", _COMPILER],
            deadline=_COMPILE_DEADLINE,
            environment={"PYTHONHASHSEED": "0"},
            stdin=json.dumps(work).encode(),
        )
        return {f"{path}c": Path(place).with_suffix(".pyc").read_bytes() for path, place in work}


def _interpreter(version: str) -> str | None:
    ours = os.path.realpath(sys.executable)
    same = f"{sys.version_info.major}.{sys.version_info.minor}" == version
    if same and sys.implementation.name == "cpython" and os.access(ours, os.X_OK):
        return ours
    return shutil.which(f"python{version}")


def _unwanted(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[: count + 1]) in UNWANTED for count in range(len(parts)))


def _imports(tree: ast.AST, name: str, *, is_package: bool) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                keep = len(parts) - node.level + (1 if is_package else 0)
                base = ".".join([*parts[:keep], *([node.module] if node.module else [])])
            found.append(base)
            found.extend(f"{base}.{alias.name}" for alias in node.names)
    return [each for each in found if each]
