"""The kernel that an import brings for a root file system without one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.agent import cache_directory
from hostler.cli.progress import progress
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output

DEBIAN = "debian"
_PACKAGE = b"!<arch>\n"


def disk_kernel(args: argparse.Namespace, out: Output) -> Path | None:
    """Return the tar that is sent for ``--kernel``, made of a package if need be; None: none is sent.

    Raises:
        ClientError: It is no file, or cannot be made; the text says why.
    """
    if not args.kernel:
        return None
    path = None if args.kernel == DEBIAN else Path(args.kernel)
    if path is not None and not path.is_file():
        raise ClientError(
            f"there is no file {path}",
            f"--kernel takes {DEBIAN}, a linux-image package, or a tar with kernel, initramfs and modules",
        )
    if path is not None:
        with path.open("rb") as file:
            if file.read(len(_PACKAGE)) != _PACKAGE:
                return path
    from hostler.build.disk_kernel import build_disk_kernel
    from hostler.build.errors import BuildError

    cache = cache_directory()
    pi = any(name.startswith("raspberrypi") for name in args.platforms.split(","))
    with progress(live=out.live, quiet=out.json) as view:
        try:
            return build_disk_kernel(
                args.arch, cache / "agent", cache,
                lambda stage, done, total: view.part(args.name, stage, done, total),
                package=path, raspberry_pi=pi,
            )  # fmt: skip
        except BuildError as error:
            raise ClientError(f"cannot make a kernel for {args.arch}: {error}") from None
