"""What one netboot process serves, told to it before anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hostler.netboot.table import NetworkConfig

if TYPE_CHECKING:
    from hostler.model.json import Document

LEASES_FILE = "leases"
"""Name of the file in ``state_dir`` that keeps the leases."""
LEASES6_FILE = "leases6"
"""Name of the file in ``state_dir`` that keeps the IPv6 leases."""
DUID_FILE = "dhcp6-server-id"
"""Name of the file in ``state_dir`` that keeps the name by which DHCPv6 clients know this server."""


@dataclass(frozen=True)
class NetbootSetup:
    """What one netboot process serves.

    Attributes:
        networks: Networks that share one network namespace.
        store: Root of the chunk store.
        state_dir: Where it keeps its leases; made if missing.
        firmware: First-stage boot loaders by TFTP name (``undionly.kpxe``, ``snponly.efi``).
        netns_pidfile: File with the pid of a process in the namespace; None: our own namespace.
        cache: Root of the cache of another server's chunks; None: there is none.
    """

    networks: tuple[NetworkConfig, ...]
    store: Path
    state_dir: Path
    firmware: dict[str, Path] = field(default_factory=dict)
    netns_pidfile: Path | None = None
    cache: Path | None = None

    def to_json(self) -> Document:
        """Return what the process itself must know as a JSON object."""
        return {
            "networks": [network.to_json() for network in self.networks],
            "firmware": {name: str(path.absolute()) for name, path in self.firmware.items()},
            "store": str(self.store.absolute()),
            "state_dir": str(self.state_dir.absolute()),
            "cache": str(self.cache.absolute()) if self.cache is not None else None,
        }

    @classmethod
    def from_json(cls, document: Document) -> NetbootSetup:
        """Read what ``to_json`` wrote."""
        networks = cast("list[Document]", document["networks"])
        firmware = cast("dict[str, str]", document["firmware"])
        return cls(
            networks=tuple(NetworkConfig.from_json(network) for network in networks),
            store=Path(str(document["store"])),
            state_dir=Path(str(document["state_dir"])),
            firmware={name: Path(path) for name, path in firmware.items()},
            cache=Path(str(document["cache"])) if document["cache"] is not None else None,
        )
