"""Images that come over the network, imported into a simulated lab as the command line does it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostler.client.image_bundle import Instead, bundle
from hostler.hub import netboot_imports
from hostler.hub.netboot_description import Instead as ToldInstead
from hostler.hub.netboot_imports import NetbootTerms
from hostler.hub.records import HUB
from hostler.model.netboot_order import NetbootOrder
from simulated_rack import until

if TYPE_CHECKING:
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import RunRecord
    from simulated_rack import Lab

KEYS = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF+aqlpLTxyIzuxlJYPZvblr9CcB/Wx8NsE8rV0hraWQ",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIWfsdi1jyXyZHTRiEE37ihlJNjrLWrbkCrU5hvGQN8h",
]
INSTALLER = """\
description = "an installer"
arch = "amd64"
kernel = "linux"
initrd = "initrd.gz"
installs = true
cmdline = "auto url={{ text_url('seed') }} {{ metadata.more | default('') }}"

[files]
"disk.squashfs" = "rootfs"

[templates]
seed = "seed.txt"

[done]
signal = "callback"
within = "1h"
"""
SEED = "host {{ hostname }}\nfetch {{ file_url('disk.squashfs') }}\ntell {{ done_url }}\n"


def folder(place: Path, description: str = INSTALLER, **files: str | bytes) -> Path:
    """Write an ``image.toml`` and its files; a name's last ``_`` stands for a dot."""
    place.mkdir(parents=True, exist_ok=True)
    given: dict[str, str | bytes] = {
        "linux": b"kernel",
        "initrd.gz": b"initrd",
        "rootfs": b"root",
        "seed.txt": SEED,
    }
    given |= {".".join(name.rsplit("_", 1)): data for name, data in files.items()}
    for name, data in given.items():
        (place / name).write_bytes(data.encode() if isinstance(data, str) else data)
    (place / "image.toml").write_text(description)
    return place


async def imported(
    lab: Lab, name: str, source: Path, *, instead: Instead | None = None, by: Any = HUB, **terms: Any
) -> ImageRecord:
    """Import a folder with ``image.toml``, or a file as it is."""
    told = ToldInstead()
    if source.is_dir():
        instead = instead or Instead()
        tar = lab.store.root.parent / f"{name}.tar"
        content = bundle(source, instead, terms.get("arch")).content("image")
        tar.write_bytes(b"".join(content.read(0, content.length)))
        query = instead.query()
        files = dict(word.split("=", 1) for word in query["file"] or [])
        told = ToldInstead(query["kernel"], query["initrd"], files)  # type: ignore[arg-type]
        source = tar
    with lab.hub.images.reserve_name(by, name):
        return await netboot_imports.take(
            lab.hub, by, NetbootTerms(name, instead=told, **terms), source, source.name, lambda _: None
        )


def ordered(run: RunRecord, step: int = 0) -> NetbootOrder:
    """Return what a run brings over the network."""
    return NetbootOrder.from_json(run.order.steps[step].params["netboot"])


async def ended(lab: Lab, run: RunRecord) -> None:
    """Wait until a run is over."""
    await until(lambda: lab.hub.state.runs[run.id].status.state.ended)
