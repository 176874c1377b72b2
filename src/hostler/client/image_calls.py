"""The calls about images."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.client.followed_work import SECONDS, followed
from hostler.client.transport import part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hostler.client.documents import Image, ImportProgress
    from hostler.client.image_bundle import Instead
    from hostler.client.transport import Transport

_BLOCK = 1024 * 1024


class ImageCalls:
    """Methods of ``Client``."""

    _http: Transport

    def images(self) -> list[Image]:
        """Return the images."""
        return cast("list[Image]", self._http.call("GET", "images"))

    def image(self, name: str) -> Image:
        """Return one image."""
        return cast("Image", self._http.call("GET", f"images/{part(name)}"))

    def remove_image(self, name: str) -> None:
        """Remove an image from the catalogue; refused while a run uses it."""
        self._http.call("DELETE", f"images/{part(name)}")

    def share_image(self, name: str, project: str | None) -> Image:
        """Say who sees an image: the members of a project, or everybody (None)."""
        return cast("Image", self._http.call("PATCH", f"images/{part(name)}", body={"project": project}))

    def image_index(self, name: str) -> bytes:
        """Return the encoded chunk index of an image of a disk: what a signature is made over."""
        with self._http.stream("GET", f"images/{part(name)}/index", seconds=SECONDS) as response:
            return response.read()

    def sign_image(self, name: str, key: str, signature: str) -> Image:
        """Bring a signature over an image's index, and the public key it holds under, both in hex."""
        body = {"key": key, "signature": signature}
        return cast("Image", self._http.call("POST", f"images/{part(name)}/signatures", body=body))

    def unsign_image(self, name: str, key: str) -> Image:
        """Take the signature of a key, or of its id, off an image."""
        return cast("Image", self._http.call("DELETE", f"images/{part(name)}/signatures/{part(key)}"))

    def import_image(
        self,
        name: str,
        source: Path | str,
        *,
        arch: str,
        platforms: list[str],
        done_console: str | None = None,
        done_seconds: float | None = None,
        block_map: Path | str | None = None,
        size: int | None = None,
        append: str = "",
        progress: Callable[[ImportProgress], None] = lambda _: None,
    ) -> Image:
        """Import a disk image: a file is uploaded from here, an ``http(s)://`` one is fetched by the server.

        Args:
            name: Name in the catalogue.
            source: Path or address; of a tar of a root file system, or of an OCI layout (its folder too), a
                disk is made.
            arch: ``amd64`` or ``arm64``.
            platforms: Platforms it boots on.
            done_console: Pattern on the console that means it has booted.
            done_seconds: Longest time until then.
            block_map: Path or address of a ``.bmap`` of it; of one at an address an address.
            size: Bytes of the disk that is made of a root file system; None: as it needs.
            append: More for the command line of its kernel.
            progress: Called with bytes sent while uploading, then with what the server tells.

        Raises:
            OSError: a file cannot be read.
        """
        query = _terms(name, arch, platforms, done_console, done_seconds)
        query |= {"size": None if size is None else str(size), "append": append or None}
        if isinstance(block_map, Path):
            text = block_map.read_bytes()
            query["bmap_bytes"] = str(len(text))
            blocks = chain((text,), _blocks(Path(source), progress))
            return self._import("images", {**query, "filename": _told(Path(source))}, blocks, progress)
        if isinstance(source, Path) and source.is_dir():
            from hostler.client.image_bundle import files_tar, oci_members

            query["filename"] = _told(source)
            return self._import("images", query, files_tar(oci_members(source), progress), progress)
        return self._import("images", {**query, "bmap_url": block_map}, source, progress)

    def import_netboot_image(
        self,
        name: str,
        source: Path | str,
        *,
        arch: str | None = None,
        platforms: list[str] | None = None,
        instead: Instead | None = None,
        append: str = "",
        done: str | None = None,
        done_console: str | None = None,
        done_seconds: float | None = None,
        progress: Callable[[ImportProgress], None] = lambda _: None,
    ) -> Image:
        """Import a system that comes over the network; a path is sent from here, an address fetched there.

        Args:
            name: Name in the catalogue.
            source: An ``image.toml`` or the folder it is in, a live ISO, or KIWI's tar.
            arch: ``amd64`` or ``arm64``; None: as it says of itself.
            platforms: Platforms it boots on; None: as it says.
            instead: What takes the place of files an ``image.toml`` names.
            append: More for its command line.
            done: What tells its end: ``callback``, ``console`` or ``second-boot``; None: as it says.
            done_console: Pattern on the console that means it has come up; None: as it says.
            done_seconds: Longest time until its end.
            progress: Called with bytes sent while uploading, then with what the server tells.

        Raises:
            ClientError: A file that is named is not there.
            OSError: A file cannot be read.
        """
        from hostler.client.image_bundle import Instead, bundle

        query = _terms(name, arch, platforms or [], done_console, done_seconds)
        query |= {"append": append or None, "done": done}
        described = isinstance(source, Path) and (source.is_dir() or source.suffix == ".toml")
        if isinstance(source, str) or not described:
            return self._import("images/netboot", query, source, progress)
        changed = instead or Instead()
        tar = bundle(source, changed, arch).tar(progress)
        query["filename"] = _told(source)
        return self._import("images/netboot", {**query, **changed.query()}, tar, progress)

    def _import(
        self,
        path: str,
        query: Mapping[str, str | list[str] | None],
        source: Path | str | Iterator[bytes],
        progress: Callable[[ImportProgress], None],
    ) -> Image:
        remote = isinstance(source, str) and source.startswith(("http://", "https://"))
        content: Iterator[bytes] | None = None
        if isinstance(source, (Path, str)):
            content = None if remote else _blocks(Path(source), progress)
            query = {**query, "filename": None if remote else _told(Path(source))}
        else:
            content = source
        query = {**query, "url": str(source) if remote else None}
        headers = {} if remote else {"Content-Type": "application/octet-stream"}
        with self._http.stream(
            "POST", path, query=query, content=content, headers=headers, seconds=SECONDS
        ) as response:
            return cast("Image", followed(response, f'the import of "{query["name"]}"', progress)["image"])


def _terms(
    name: str, arch: str | None, platforms: list[str], done_console: str | None, done_seconds: float | None
) -> dict[str, str | list[str] | None]:
    return {
        "name": name,
        "arch": arch,
        "platforms": ",".join(platforms) or None,
        "done_console": done_console,
        "done_seconds": None if done_seconds is None else str(done_seconds),
    }


def _told(path: Path) -> str:
    """Return what a file is called, also where its name is no text."""
    return path.name.encode(errors="replace").decode()


def _blocks(path: Path, progress: Callable[[ImportProgress], None]) -> Iterator[bytes]:
    """Yield a file in blocks and tell how much was sent; opens it at once, so that errors come early."""
    file = path.open("rb")
    size = path.stat().st_size

    def read() -> Iterator[bytes]:
        sent = 0
        with file:
            while block := file.read(_BLOCK):
                yield block
                sent += len(block)
                progress({"event": "progress", "read": sent, "of": size, "out": 0})

    return read()
