"""Servers with a management controller that speaks Redfish (DMTF DSP0266).

Equipment: ``host = "10.0.0.9"`` or ``"10.0.0.9:443"``, ``user``, ``password`` (a reference); optional
``ca_file``, ``verify`` (false takes any certificate: most controllers come with one of their own), ``tls``
(true), ``timeout``, ``min_off_seconds``. Binding: ``system``, its id where the controller has several;
``host`` when it is not the equipment's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, UnknownPort
from hostler.drivers.http import HttpHost, HttpTalk
from hostler.drivers.power.calls import wants_on
from hostler.drivers.secrets import SecretReference
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYSTEMS = "/redfish/v1/Systems"
# Resource.PowerState; what is changing is neither. Paused holds its memory.
_STATES = {"On": PowerState.ON, "Off": PowerState.OFF, "Paused": PowerState.ON}
_RESETS = {True: ("On", "ForceOn"), False: ("ForceOff",)}


@dataclass(frozen=True, slots=True)
class RedfishConfig:
    """One computer system.

    Attributes:
        host: Its controller.
        system: Its id; empty where it is the only one.
        min_off_seconds: Time without power that surely resets the server.
    """

    host: HttpHost
    system: str
    min_off_seconds: float


class Redfish:
    """The power of one server; see RedfishConfig."""

    def __init__(self, config: RedfishConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Redfish:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        keys = ("host", "user", "password", "tls", "ca_file", "verify", "timeout", "min_off_seconds")
        settings.only(equipment, *keys)
        settings.only(binding, "host", "system")
        tls, verify = _flag(equipment, "tls"), _flag(equipment, "verify")
        if "ca_file" in equipment and not (tls and verify):
            raise DriverConfigError("ca_file", "vouches for nothing without tls and verify")
        host, port = settings.address(
            binding if "host" in binding else equipment, "host", default_port=443 if tls else 80
        )
        return cls(
            RedfishConfig(
                HttpHost(
                    name=f"redfish {host}:{port}",
                    url=f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}",
                    timeout=settings.seconds(equipment, "timeout", 8.0),
                    user=settings.text(equipment, "user"),
                    password=SecretReference.parse("password", equipment.get("password")),
                    ca_file=settings.text(equipment, "ca_file") if "ca_file" in equipment else "",
                    verify=verify,
                ),
                system=settings.text(binding, "system") if "system" in binding else "",
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Reset the system hard to on or off; to one that is so already nothing is sent: some refuse that."""
        on = wants_on(state)
        async with self.config.host.connect() as talk:
            system = await self.system(talk)
            if _STATES.get(str(system.get("PowerState"))) is state:
                return
            action = member(member(system, "Actions"), "#ComputerSystem.Reset")
            target = action.get("target")
            if not isinstance(target, str) or not target.startswith("/"):
                raise EquipmentRefused(f"{self}: offers no reset to this user")
            offered = action.get("ResetType@Redfish.AllowableValues")
            allowed = offered if isinstance(offered, list) else _RESETS[on]
            reset = next((kind for kind in _RESETS[on] if kind in allowed), None)
            if reset is None:
                raise EquipmentRefused(f"{self}: can only {', '.join(map(str, allowed))}")
            status, answer = await talk.ask_json("POST", target, {"ResetType": reset})
            if not 200 <= status < 300:
                raise EquipmentRefused(f"{self}: refuses {reset} ({status}): {own_words(answer)}")

    async def get(self) -> PowerReading:
        """Read the system's power state."""
        async with self.config.host.connect() as talk:
            said = (await self.system(talk)).get("PowerState")
        detail = said if isinstance(said, str) and said else "no power state"
        return PowerReading(_STATES.get(detail, PowerState.UNKNOWN), None, detail)

    async def system(self, talk: HttpTalk) -> dict[str, Any]:
        """Read the whole computer system.

        Raises:
            UnknownPort: There is no such system, or which one it is was not said.
            EquipmentRefused: The controller does not tell.
        """
        path = f"{_SYSTEMS}/{quote(self.config.system, safe='')}"
        if not self.config.system:
            path = await self._only_system(talk)
        status, system = await talk.ask_json("GET", path)
        if status == 404:
            raise UnknownPort(f"{self}: has no such system; check system")
        if status != 200:
            raise EquipmentRefused(f"{self}: answers {status}: {own_words(system)}")
        return system

    async def _only_system(self, talk: HttpTalk) -> str:
        status, systems = await talk.ask_json("GET", _SYSTEMS)
        if status != 200:
            raise EquipmentRefused(f"{self}: answers {status}: {own_words(systems)}; does it speak Redfish?")
        members = systems.get("Members")
        listed = members if isinstance(members, list) else []
        ids = [item.get("@odata.id") for item in listed if isinstance(item, dict)]
        paths = [path for path in ids if isinstance(path, str) and path.startswith("/")]
        if len(paths) != 1:
            names = ", ".join(path.rstrip("/").rpartition("/")[2] for path in paths) or "none"
            raise UnknownPort(f"{self}: has {len(paths)} systems ({names}); name one of them with system")
        return paths[0]

    def __str__(self) -> str:
        return f"{self.config.host.name} {self.config.system}".rstrip()


def _flag(table: Mapping[str, object], key: str) -> bool:
    value = table.get(key, True)
    if not isinstance(value, bool):
        raise DriverConfigError(key, f"must be true or false, not {value!r}")
    return value


def member(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key; an empty one where there is none."""
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def own_words(answer: dict[str, Any]) -> str:
    """Return the controller's own words (Redfish error responses, DSP0266 section 8.6)."""
    error = member(answer, "error")
    details = error.get("@Message.ExtendedInfo")
    for info in [*(details if isinstance(details, list) else []), {"Message": error.get("message")}]:
        if isinstance(info, dict) and isinstance(info.get("Message"), str):
            return str(info["Message"])[:300]
    return "no word"
