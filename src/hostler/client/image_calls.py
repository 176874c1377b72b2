"""The calls about images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.client.followed_work import SECONDS, followed
from hostler.client.transport import part
from hostler.client.upload_calls import UploadCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostler.client.documents import Image, ImportProgress
    from hostler.client.image_bundle import Instead
    from hostler.client.upload_content import UploadContent


class ImageCalls(UploadCalls):
    """Methods of ``Client``."""

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
        kernel: Path | None = None,
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
            block_map: Path or address of a ``.bmap`` of it.
            kernel: A tar with a kernel for a root file system that has none.
            size: Bytes of the disk that is made of a root file system; None: as it needs.
            append: More for the command line of its kernel.
            progress: Called with bytes sent while uploading, then with what the server tells.

        A file whose sending was interrupted goes on where it stopped when the same is imported again.

        Raises:
            OSError: a file cannot be read.
        """
        query = _terms(name, arch, platforms, done_console, done_seconds)
        query |= {"size": None if size is None else str(size), "append": append or None}
        files = {"upload": _content(source), "bmap": _content(block_map), "kernel": _content(kernel)}
        query |= {"url": _address(source), "bmap_url": _address(block_map)}
        return self._import("images", query, files, progress)

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
        from hostler.client.upload_content import told

        query = _terms(name, arch, platforms or [], done_console, done_seconds)
        query |= {"append": append or None, "done": done, "url": _address(source)}
        if isinstance(source, Path) and (source.is_dir() or source.suffix == ".toml"):
            changed = instead or Instead()
            query |= changed.query()
            content: UploadContent | None = bundle(source, changed, arch).content(told(source))
        else:
            content = _content(source)
        return self._import("images/netboot", query, {"upload": content}, progress)

    def _import(
        self,
        path: str,
        query: Mapping[str, str | list[str] | bool | None],
        files: Mapping[str, UploadContent | None],
        progress: Callable[[ImportProgress], None],
    ) -> Image:
        """Ask whether the terms are good, send the files, and have the server import them."""
        name = str(query["name"])
        if any(files.values()):
            self._http.call("POST", path, query={**query, "dry_run": True})
        sent: dict[str, str] = {
            key: self.send(content, f"{key} of {name}", progress)
            for key, content in files.items()
            if content is not None
        }
        with self._http.stream("POST", path, query={**query, **sent}, seconds=SECONDS) as response:
            return cast("Image", followed(response, f'the import of "{name}"', progress)["image"])


def _terms(
    name: str, arch: str | None, platforms: list[str], done_console: str | None, done_seconds: float | None
) -> dict[str, str | list[str] | bool | None]:
    return {
        "name": name,
        "arch": arch,
        "platforms": ",".join(platforms) or None,
        "done_console": done_console,
        "done_seconds": None if done_seconds is None else str(done_seconds),
    }


def _address(source: Path | str | None) -> str | None:
    """Return what the server is to fetch; None: nothing."""
    return source if isinstance(source, str) and source.startswith(("http://", "https://")) else None


def _content(source: Path | str | None) -> UploadContent | None:
    """Return what is to be sent of a file, or of an OCI layout's folder; None: the server fetches it."""
    if source is None or _address(source) is not None:
        return None
    # Not at the start: most verbs send nothing, and tarfile takes its time.
    from hostler.client.image_bundle import oci_members
    from hostler.client.upload_content import file_content, tar_content, told

    path = Path(source)
    if path.is_dir():
        return tar_content(told(path), oci_members(path))
    return file_content(path)
