"""What an installed system is to be told about itself before it starts for the first time.

Shared with the agent, so it has the standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*\Z")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+(?: [^\n\r]*)?\Z")
_PATH = re.compile(r"/[^\0\n]*[^/\0\n]\Z")
MOST_BYTES = 1 << 20
"""Files beyond this belong into an image."""


class FirstBootError(ValueError):
    """It cannot be told like this; the text names the value and what would do."""


class Way(StrEnum):
    """How a system is told.

    Attributes:
        AUTO: By a seed where the image has cloud-init or cannot be looked into, else by files.
        SEED: A NoCloud seed: a small partition behind the image that cloud-init reads.
        FILES: Files written into the image's root file system.
    """

    AUTO = "auto"
    SEED = "seed"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """First-boot configuration of a disk image.

    Attributes:
        hostname: The system's name; empty: the image's own.
        ssh_keys: Lines for ``authorized_keys``.
        user: Whose they are; empty: cloud-init's default user, or root.
        files: Further files by absolute path.
        network: Network configuration in cloud-init's version 2, or None; only a seed can tell it.
        way: How it is told.

    Raises:
        FirstBootError: A value cannot be what it is given as.
    """

    hostname: str = ""
    ssh_keys: tuple[str, ...] = ()
    user: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    network: Mapping[str, Any] | None = None
    way: Way = Way.AUTO

    def __post_init__(self) -> None:
        if self.hostname and (len(self.hostname) > 253 or not _HOSTNAME.match(self.hostname)):
            raise FirstBootError(
                f'"{self.hostname}" is not a host name; use letters, digits and hyphens, at most 63 in a part'
            )
        if self.user and not _USER.match(self.user):
            raise FirstBootError(f'"{self.user}" is not a user name; use small letters, digits, - and _')
        for key in self.ssh_keys:
            if not _KEY.match(key):
                raise FirstBootError(f'"{key[:60]}" is not an OpenSSH public key')
        for path in self.files:
            if not _PATH.match(path) or ".." in path.split("/"):
                raise FirstBootError(f'"{path}" is not the absolute path of a file')
        if sum(len(text.encode()) for text in self.files.values()) > MOST_BYTES:
            raise FirstBootError(f"the files have more than {MOST_BYTES >> 20} MiB; put them into the image")
        if self.network is not None and self.way is Way.FILES:
            raise FirstBootError("a network configuration needs a seed, which cloud-init reads")
        if self.network is not None and self.network.get("version") != 2:
            raise FirstBootError(
                'the network configuration is to be of cloud-init\'s version 2: "version": 2'
            )

    def seed(self) -> dict[str, str]:
        """Return the files of a NoCloud seed: JSON, which is YAML too."""
        config: dict[str, Any] = {}
        if self.hostname:
            config["preserve_hostname"] = False
            config["hostname"] = self.hostname
        if self.ssh_keys and not self.user:
            config["ssh_authorized_keys"] = list(self.ssh_keys)
        elif self.user:
            user: dict[str, Any] = {"name": self.user, "ssh_authorized_keys": list(self.ssh_keys)}
            if self.user == "root":
                config["disable_root"] = False
            else:
                user |= {"shell": "/bin/bash", "lock_passwd": True, "sudo": "ALL=(ALL) NOPASSWD:ALL"}
            config["users"] = ["default", user]
        if self.files:
            config["write_files"] = [
                {"path": path, "content": text} for path, text in sorted(self.files.items())
            ]
        user_data = "#cloud-config\n" + json.dumps(config, indent=1, sort_keys=True) + "\n"
        # cloud-init does everything anew when this changes, and it changes with what is to be done.
        identity = hashlib.sha256((user_data + json.dumps(self.network)).encode()).hexdigest()[:16]
        meta: dict[str, Any] = {"instance-id": f"hostler-{identity}"}
        if self.hostname:
            meta["local-hostname"] = self.hostname
        told = {"user-data": user_data, "meta-data": json.dumps(meta, sort_keys=True) + "\n"}
        if self.network is not None:
            told["network-config"] = json.dumps(self.network, indent=1, sort_keys=True) + "\n"
        return told

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, for a step's parameters."""
        return {
            "hostname": self.hostname,
            "ssh_keys": list(self.ssh_keys),
            "user": self.user,
            "files": dict(self.files),
            "network": dict(self.network) if self.network is not None else None,
            "way": self.way.value,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> FirstBoot:
        """Read what ``to_json`` wrote; raises FirstBootError."""
        try:
            return cls(
                hostname=str(document.get("hostname", "")),
                ssh_keys=tuple(map(str, document.get("ssh_keys", ()))),
                user=str(document.get("user", "")),
                files={str(path): str(text) for path, text in dict(document.get("files", {})).items()},
                network=document.get("network"),
                way=Way(document.get("way", "auto")),
            )
        except (TypeError, ValueError) as error:
            raise FirstBootError(str(error)) from error
