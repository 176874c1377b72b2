"""Whether what is imported is a disk, or a system that comes over the network: looked up in it."""

from __future__ import annotations

from pathlib import Path

PRESET = "preset:"
# Where nobody looks into it, as at an address: most tars have a system that comes over the network.
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst")
_DESCRIPTION = "image.toml"
# Some member of KIWI's tar comes first, and each has one of these in its name (hostler.images.kiwi).
_KIWI = ("pxeboot.", ".xz", ".md5", ".sha256", ".initrd", ".append", ".kernel", ".config.bootoptions")
_OCI = "oci-layout"


def is_description(source: str) -> bool:
    """Whether it is an ``image.toml``, the folder of one, or a preset."""
    folder = not _is_address(source) and Path(source).is_dir()
    return source.startswith(PRESET) or source.endswith(".toml") or (folder and not _is_oci(Path(source)))


def kind_of(source: str) -> str:
    """Return ``disk`` or ``netboot``; of an address by its name alone."""
    name = source.partition("?")[0].lower()
    if is_description(source) or name.endswith(".iso"):
        return "netboot"
    if _is_address(source):
        return "netboot" if name.endswith(_ARCHIVES) else "disk"
    first = _first_member(Path(source))
    if first is None:
        return "netboot" if name.endswith(_ARCHIVES) else "disk"
    return "netboot" if first == _DESCRIPTION or ("/" not in first and _like_kiwi(first)) else "disk"


def _like_kiwi(name: str) -> bool:
    return any(part in name for part in _KIWI)


def _is_oci(folder: Path) -> bool:
    return (folder / _OCI).is_file()


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _first_member(path: Path) -> str | None:
    """Return the first name in a tar, compressed or not; None: it is none, or cannot be read."""
    from hostler.images.rootfs_tar import first_name
    from hostler.images.source import SourceError, open_source

    try:
        if not path.is_file():
            return None
        with open_source(path) as source:
            first = first_name(source.blocks())
    except (SourceError, EOFError):
        return None  # the server says what is wrong with it
    return None if first is None else first.removeprefix("./")
