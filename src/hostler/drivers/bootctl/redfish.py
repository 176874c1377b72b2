"""Servers whose management controller overrides the boot order once, by Redfish (DSP0268, Boot property).

Equipment: that of the power driver ``redfish``. Binding: ``system`` and ``host`` as there; optional
``network`` (``"Pxe"``, or ``"UefiHttp"``), ``disk`` (``"Hdd"``; ``"None"`` takes an override back and leaves
the rest to the firmware) and ``mode`` (``"UEFI"`` or ``"Legacy"``, where the controller has to be told).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostler.drivers import settings
from hostler.drivers.errors import DidNotHappen, DriverConfigError, EquipmentRefused
from hostler.drivers.power.redfish import Redfish, member, own_words
from hostler.model.boot import BootTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.drivers.http import HttpTalk

_NETWORK = ("Pxe", "UefiHttp")
_DISK = ("Hdd", "None")
_MODES = ("UEFI", "Legacy")
_ALLOWED = "BootSourceOverrideTarget@Redfish.AllowableValues"
_PRECONDITION_FAILED = 412
_READINGS = 4  # controllers answer before they have stored it; a second each is what the slow ones take
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RedfishBootConfig:
    """What one system is told.

    Attributes:
        server: The system and how to reach it.
        network: Boot source for a boot from the network.
        disk: Boot source for a local boot; ``None`` for no override.
        mode: UEFI, Legacy, or empty: as it is.
    """

    server: Redfish
    network: str
    disk: str
    mode: str


class RedfishBoot:
    """The boot override of one server; see RedfishBootConfig."""

    def __init__(self, config: RedfishBootConfig) -> None:
        self.config = config

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> RedfishBoot:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(binding, "host", "system", "network", "disk", "mode")
        of_system = {key: binding[key] for key in ("host", "system") if key in binding}
        return cls(
            RedfishBootConfig(
                server=Redfish.from_config(equipment, of_system),
                network=_one_of(binding, "network", _NETWORK, "Pxe"),
                disk=_one_of(binding, "disk", _DISK, "Hdd"),
                mode=_one_of(binding, "mode", _MODES, ""),
            )
        )

    async def direct(self, target: BootTarget) -> str:
        """Override the boot source for one boot, and read that back."""
        server = self.config.server
        source = self.config.network if target is BootTarget.NETWORK else self.config.disk
        async with server.config.host.connect() as talk:
            system = await server.system(talk)
            boot = member(system, "Boot")
            offered = boot.get(_ALLOWED)
            if isinstance(offered, list) and source not in offered and source != "None":
                raise EquipmentRefused(
                    f"{server}: cannot boot from {source}, only {', '.join(map(str, offered))}"
                )
            if not _is(boot, source):
                await self._override(talk, system, source)
                boot = await self._read_back(talk, source)
        enabled = boot.get("BootSourceOverrideEnabled")
        return f"{server}: boots from {source} ({enabled})" if source != "None" else f"{server}: no override"

    async def look(self) -> str:
        """Read the override."""
        server = self.config.server
        async with server.config.host.connect() as talk:
            boot = member(await server.system(talk), "Boot")
        if not boot:
            raise EquipmentRefused(f"{server}: has no boot override")
        return f"override {boot.get('BootSourceOverrideTarget')} ({boot.get('BootSourceOverrideEnabled')})"

    async def _override(self, talk: HttpTalk, system: dict[str, Any], source: str) -> None:
        wanted = {
            "BootSourceOverrideTarget": source,
            "BootSourceOverrideEnabled": "Disabled" if source == "None" else "Once",
        }
        if self.config.mode and source != "None":
            wanted["BootSourceOverrideMode"] = self.config.mode
        tag = talk.etag or system.get("@odata.etag", "")
        path = str(system.get("@odata.id") or "")
        if not path.startswith("/"):
            raise EquipmentRefused(f"{self.config.server}: does not say where the system is")
        body = {"Boot": wanted}
        status, answer = await talk.ask_json("PATCH", path, body, match=str(tag))
        if status == _PRECONDITION_FAILED:
            # Some controllers change the tag on every reading, or do not know their own weak ones.
            status, answer = await talk.ask_json("PATCH", path, body)
        if not 200 <= status < 300:
            raise EquipmentRefused(
                f"{self.config.server}: refuses to boot from {source} ({status}): {own_words(answer)}"
            )

    async def _read_back(self, talk: HttpTalk, source: str) -> dict[str, Any]:
        for reading in range(_READINGS):
            if reading:
                await asyncio.sleep(_PAUSE_SECONDS)
            boot = member(await self.config.server.system(talk), "Boot")
            if _is(boot, source):
                return boot
        raise DidNotHappen(
            f"{self.config.server}: agreed to boot from {source}, but its override reads "
            f"{boot.get('BootSourceOverrideTarget')} ({boot.get('BootSourceOverrideEnabled')})"
        )


def _is(boot: dict[str, Any], source: str) -> bool:
    """Tell whether the override is so; one that stays (Continuous) is as good for the boot that comes."""
    off = boot.get("BootSourceOverrideEnabled") == "Disabled"
    if source == "None":
        return off or boot.get("BootSourceOverrideTarget") == "None"
    return boot.get("BootSourceOverrideTarget") == source and not off


def _one_of(table: Mapping[str, object], key: str, known: tuple[str, ...], default: str) -> str:
    value = table.get(key, default)
    if value not in known and not (value == default and key not in table):
        raise DriverConfigError(key, f"must be one of {', '.join(known)}, not {value!r}")
    return str(value)
