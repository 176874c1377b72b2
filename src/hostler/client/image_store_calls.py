"""The calls about stored images: compare them, look through them, clear up, and fetch them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from hostler.client.errors import ClientError, UnreachableError
from hostler.client.followed_work import SECONDS, followed
from hostler.client.transport import part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostler.client.documents import Image, ImageDiff, ImportProgress, Swept, Verified
    from hostler.client.transport import Transport

_TRIES = 5
"""How often a download is taken up again without a byte having come."""
_PAUSE = 1.0  # seconds longer each time that nobody answers: a server may be restarted
_SILENCE = 60.0  # seconds without a byte


class ImageStoreCalls:
    """Methods of ``Client``."""

    _http: Transport

    def image_diff(self, name: str, other: str) -> ImageDiff:
        """Return how image ``other`` differs from image ``name``."""
        found = self._http.call("GET", f"images/{part(name)}/diff", query={"other": other}, seconds=SECONDS)
        return cast("ImageDiff", found)

    def verify_images(
        self, name: str | None = None, progress: Callable[[ImportProgress], None] = lambda _: None
    ) -> Verified:
        """Have the server look through an image, or all images and agents; tells bytes read of how many."""
        with self._http.stream(
            "POST", "images/verify", query={"name": name}, seconds=SECONDS
        ) as response:  # fmt: skip
            return cast("Verified", followed(response, "the verification", progress)["found"])

    def fetch_image(self, name: str, progress: Callable[[ImportProgress], None] = lambda _: None) -> Image:
        """Have the server fetch all of an image of its upstream; tells plain bytes there, of how many."""
        with self._http.stream("POST", f"images/{part(name)}/fetch", seconds=SECONDS) as response:
            return cast("Image", followed(response, "the fetch", progress)["image"])

    def shrink_image(
        self, name: str, new: str, progress: Callable[[ImportProgress], None] = lambda _: None
    ) -> tuple[Image, str]:
        """Have the server make a smaller image of one; returns it, and why it is not smaller still."""
        with self._http.stream(
            "POST", f"images/{part(name)}/shrink", query={"new": new}, seconds=SECONDS
        ) as response:
            done = followed(response, "the shrinking", progress)
        return cast("Image", done["image"]), str(done["note"])

    def sweep_images(self, *, dry_run: bool = False) -> Swept:
        """Have the server clear away what no image needs, or only tell what that is."""
        found = self._http.call("POST", "images/sweep", query={"dry_run": dry_run}, seconds=SECONDS)
        return cast("Swept", found)

    def image_content(
        self, name: str, form: str = "raw", progress: Callable[[int, int], None] = lambda *_: None
    ) -> Iterator[bytes]:
        """Yield an image of a disk in pieces; what breaks off is taken up where it was.

        Args:
            name: Name in the catalogue.
            form: ``raw`` or ``zst``.
            progress: Called with bytes that came and of how many.

        Raises:
            ClientError: the image changed meanwhile, or cannot be given out whole.
        """
        done, total, tag, tries = 0, -1, "", 0
        while done != total:
            headers = {"Range": f"bytes={done}-", "If-Range": tag} if tag else {}
            before, answered = done, False
            try:
                with self._http.stream(
                    "GET", f"images/{part(name)}/content", query={"form": form}, headers=headers,
                    seconds=_SILENCE,
                ) as response:  # fmt: skip
                    answered = True
                    if done and response.status_code != 206:
                        raise ClientError(f'image "{name}" changed while it was fetched', "fetch it again")
                    tag = response.headers["etag"]
                    if not done:
                        total = int(response.headers["content-length"])
                    for piece in response.iter_raw():
                        done += len(piece)
                        progress(done, total)
                        yield piece
            except UnreachableError:
                if not tag:
                    raise
            tries = 0 if done > before else tries + 1
            if tries > _TRIES:
                raise ClientError(
                    f'image "{name}" came only to byte {done} of {total}',
                    f"look what is wrong with it: hostler image verify {name}",
                )
            if not answered:
                time.sleep(tries * _PAUSE)

    def image_block_map(self, name: str) -> bytes:
        """Return the block map of an image of a disk, as ``bmaptool`` reads it."""
        with self._http.stream("GET", f"images/{part(name)}/bmap", seconds=SECONDS) as response:
            return response.read()
