"""What the demo puts on boards: the agent for both architectures, and the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.errors import ClientError

if TYPE_CHECKING:
    from hostler.cli.progress import Progress
    from hostler.client.client import Client
    from hostler.client.documents import ImportProgress

_BOOT_SECONDS = 900.0  # three systems at once under emulation on two cores


@dataclass(frozen=True, slots=True)
class Material:
    """Files that were built, or found in the cache.

    Attributes:
        agents: By architecture, kernel and initramfs.
        images: By name, the raw disk image.
        loaders: By architecture, the boot loaders by the name they are served under, and the tools that
            captures need.
    """

    agents: dict[str, tuple[Path, Path]]
    images: dict[str, Path]
    loaders: dict[str, dict[str, Path]] = field(default_factory=dict)


PLATFORMS = {
    "debian": ("amd64", ["x86-bios", "x86-uefi"]),
    "tiny-amd64": ("amd64", ["x86-bios", "x86-uefi"]),
    "tiny-arm64": ("arm64", ["arm64-uboot"]),
}


def build(cache: Path, view: Progress) -> Material:
    """Build what is not in the cache; raises ClientError with the builder's reason."""
    from hostler.build.agent_image import build_agent
    from hostler.build.debian import build_debian
    from hostler.build.errors import BuildError
    from hostler.build.loaders import build_loaders
    from hostler.build.media_loaders import build_media_loaders
    from hostler.build.tiny import build_tiny
    from hostler.build.tool_pack import build_tool_pack

    def tell(name: str, stage: str, done: int, total: int) -> None:
        view.part(name, stage, done, total)

    agents: dict[str, tuple[Path, Path]] = {}
    images: dict[str, Path] = {}
    loaders: dict[str, dict[str, Path]] = {}
    out = cache / "built"
    try:
        for arch in ("amd64", "arm64"):
            name = f"agent {arch}"
            agent = build_agent(arch, out, cache, lambda *how, name=name: tell(name, *how))
            agents[arch] = (agent.kernel, agent.initrd)
            loaders[arch] = {
                **build_loaders(arch, out, cache, lambda *how, name=name: tell(name, *how)),
                **build_media_loaders(arch, out, cache, lambda *how, name=name: tell(name, *how)),
                **build_tool_pack(arch, out, cache, lambda *how, name=name: tell(name, *how)),
            }
            view.part(name, "built", 1, 1)
        for arch in ("amd64", "arm64"):
            name = f"tiny-{arch}"
            images[name] = build_tiny(arch, out, cache, lambda *how, name=name: tell(name, *how)).path
            view.part(name, "built", 1, 1)
        images["debian"] = build_debian(out, cache, lambda *how: tell("debian", *how)).path
        view.part("debian", "built", 1, 1)
    except BuildError as error:
        raise ClientError(str(error)) from None
    return Material(agents, images, loaders)


def register(client: Client, material: Material, view: Progress) -> None:
    """Register the agents and import the images."""
    for arch, (kernel, initrd) in material.agents.items():
        client.register_agent(arch, kernel, initrd, material.loaders.get(arch))
    for name, path in material.images.items():

        def seen(now: ImportProgress, name: str = name) -> None:
            view.bytes(name, "importing", now["read"], now["of"])

        arch, platforms = PLATFORMS[name]
        client.import_image(
            name, path, arch=arch, platforms=platforms, done_console="login:", done_seconds=_BOOT_SECONDS,
            progress=seen,
        )  # fmt: skip
        view.say(name, "imported")
