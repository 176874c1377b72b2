"""``image.toml``: how a system that comes over the network is described."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hostler.hub import metadata, template_sandbox
from hostler.hub.duration import seconds
from hostler.hub.errors import Fault, InvalidError
from hostler.hub.image_records import TemplateSource
from hostler.hub.template_sandbox import TemplateFaultError
from hostler.hub.toml_lines import Places
from hostler.model.netboot_order import DoneSignal

FILE = "image.toml"
TEMPLATES = 32
"""Most templates of an image; an installer needs one to three."""

# What it is called in a URL, and so in one word of any boot language.
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# Day-long installs are mistakes: mirrors that hang for ever end here.
_Within = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=86400)]


def _served(text: str) -> str:
    if not _SERVED.fullmatch(text):
        raise ValueError('is not a name to be served under; use letters, digits, ".", "_", "+" and "-"')
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


_Name = Annotated[str, AfterValidator(_served)]
_Place = Annotated[str, Field(min_length=1, max_length=4096)]
_Pattern = Annotated[str, AfterValidator(_pattern)]
_Table = Annotated[dict[str, Any], AfterValidator(metadata.checked)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DoneTable(_Closed):
    """``[done]``: what tells that it has come up, or that an installer has finished."""

    signal: DoneSignal = DoneSignal.CALLBACK
    pattern: _Pattern = ""
    within: _Within | None = None


class BootTable(_Closed):
    """``[boot]``: what tells that a system which was installed has booted from its disk."""

    console: _Pattern = "login:"
    within: _Within = 600.0


class ArchTable(_Closed):
    """``[for.ARCH]``: what is different for an architecture."""

    platforms: list[str] | None = None
    kernel: _Place | None = None
    initrd: str | None = None
    cmdline: str | None = None
    files: dict[_Name, _Place] = Field(default_factory=dict)


class Description(_Closed):
    """The whole file; ``kernel``, ``initrd`` and ``files`` are paths beside it, or addresses."""

    description: str = ""
    arch: Literal["amd64", "arm64"] | None = None
    platforms: list[str] = Field(default_factory=list)
    kernel: _Place | None = None
    initrd: str = ""
    cmdline: str = ""
    installs: bool = False
    files: dict[_Name, _Place] = Field(default_factory=dict)
    templates: dict[_Name, _Place] = Field(default_factory=dict, max_length=TEMPLATES)
    metadata: _Table = Field(default_factory=dict)
    done: DoneTable = Field(default_factory=DoneTable)
    boot: BootTable = Field(default_factory=BootTable)
    arches: dict[Literal["amd64", "arm64"], ArchTable] = Field(default_factory=dict, alias="for")

    def for_arch(self, arch: str) -> Description:
        """Return it as it is for one architecture."""
        own = self.arches.get(arch)  # type: ignore[call-overload]
        if own is None:
            return self.model_copy(update={"arch": arch})
        changed = {name: value for name in ("platforms", "kernel", "initrd", "cmdline")
                   if (value := getattr(own, name)) is not None}  # fmt: skip
        return self.model_copy(update={**changed, "arch": arch, "files": {**self.files, **own.files}})


@dataclass(frozen=True, slots=True)
class Instead:
    """Files that take the place of what a description names: paths beside it, or addresses.

    Attributes:
        kernel: Its kernel; None: as described.
        initrd: Its initramfs; None: as described.
        files: Further files by name.
    """

    kernel: str | None = None
    initrd: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def read(text: str, arch: str | None = None, instead: Instead | None = None) -> Description:
    """Read a description.

    Args:
        text: TOML.
        arch: For which architecture; None: the one it names.
        instead: What takes the place of files it names.

    Raises:
        InvalidError: with every mistake found, each with its line.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        match = re.search(r"\(at line (\d+)", str(error))
        line = int(match[1]) if match else text.count("\n") + 1
        raise _bad([Fault(f"this is not TOML: {error}", FILE, line)]) from None
    places = Places(text)
    try:
        found = Description.model_validate(raw)
    except ValidationError as error:
        faults = []
        for detail in error.errors(include_url=False):
            path = tuple(str(part) for part in detail["loc"] if part != "[key]")
            said = detail["msg"].removeprefix("Value error, ")
            known = ", ".join(field.alias or name for name, field in Description.model_fields.items())
            if detail["type"] == "extra_forbidden":
                said = f"there is no such key; at the top there are {known}"
            faults.append(Fault(f"{'.'.join(path)}: {said}", FILE, places.line(path), ".".join(path)))
        raise _bad(faults) from None
    found = found.for_arch(arch or found.arch or "")
    if instead is not None:
        files = {**found.files, **instead.files}
        kernel, initrd = instead.kernel or found.kernel, instead.initrd or found.initrd
        found = found.model_copy(update={"kernel": kernel, "initrd": initrd, "files": files})
    faults = list(_faults(found, places))
    if faults:
        raise _bad(faults)
    return found


def _faults(found: Description, places: Places) -> list[Fault]:
    faults = []

    def wrong(key: str, text: str) -> None:
        faults.append(Fault(text, FILE, places.line(tuple(key.split("."))), key))

    for name in found.files:
        if not _SERVED.fullmatch(name):
            wrong(f"files.{name}", f'"{name}" is not a name to be served under')
    if not found.arch:
        wrong("arch", 'it does not say what it is for: add arch = "amd64" or "arm64", or give --arch')
    if found.kernel is None:
        wrong("kernel", "it has no kernel: add one, or give --kernel FILE")
    if found.done.signal is DoneSignal.CONSOLE and not found.done.pattern:
        wrong("done.signal", 'signal = "console" needs a pattern')
    if found.done.signal is not DoneSignal.CONSOLE and found.done.pattern:
        wrong("done.pattern", 'a pattern is for signal = "console" only')
    return faults


def templates(found: Description, text: str, texts: Mapping[str, str]) -> dict[str, TemplateSource]:
    """Return the command line (under the empty name) and the templates, each checked for its syntax.

    Args:
        found: The description.
        text: The text it was read from.
        texts: What its template files hold, by path.

    Raises:
        InvalidError: a file is absent or not a template; nothing would tell the end.
    """
    places = Places(text)
    own = ("for", found.arch or "", "cmdline")
    overridden = found.arch in found.arches and found.arches[found.arch].cmdline is not None
    line = places.line(own if overridden else ("cmdline",)) or 1
    sources = {"": TemplateSource(FILE, found.cmdline, line)}
    faults = []
    for name, path in found.templates.items():
        if path not in texts:
            said = f'template "{name}": there is no file {path}'
            faults.append(Fault(said, FILE, places.line(("templates", name)), f"templates.{name}"))
            continue
        sources[name] = TemplateSource(path, texts[path])
    for source in sources.values():
        try:
            template_sandbox.check(source.text)
        except TemplateFaultError as error:
            faults.append(Fault(str(error), source.file, source.line + (error.line or 1) - 1))
    told = any(word in source.text for source in sources.values() for word in ("done_url", "token"))
    if found.done.signal is DoneSignal.CALLBACK and not faults and not told:
        said = (
            "nothing tells its end: no template posts to done_url; have one do so, or choose another "
            '[done] signal: "console" or "second-boot"'
        )
        faults.append(Fault(said, FILE, places.line(("done",)), "done.signal"))
    if faults:
        raise _bad(faults)
    return sources


def _bad(faults: list[Fault]) -> InvalidError:
    return InvalidError("\n".join(map(str, faults)), kind="bad-image", faults=tuple(faults))
