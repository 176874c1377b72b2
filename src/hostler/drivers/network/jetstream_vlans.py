"""VLANs of TP-Link's JetStream, Omada and Festa switches, by their command line over ssh or telnet.

The table of the equipment is that of ``switch-cli`` with ``dialect = "tp-link"``. Ports are ``general`` ones:
any number of VLANs, tagged or not, and one PVID (CLI Reference Guide of the T1600G, "802.1Q VLAN Commands").
What is set is in force at once and gone when the switch loses power, until ``save``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.cli_session import KEYS, CliAccess, cli_session
from hostler.drivers.errors import DidNotHappen, EquipmentRefused, UnknownPort
from hostler.drivers.power.answers import shown
from hostler.drivers.power.calls import deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED = re.compile(r"(?im)^[^\r\n]*(?:error:|bad command|invalid)[^\r\n]*")
_NO_PORT = re.compile(r"(?i)invalid (?:port|interface|unit)")
_PVID = re.compile(r"(?im)^[ \t]*PVID:[ \t]*(\d+)")
_MEMBER = re.compile(r"(?im)^[ \t]*(\d+)[ \t]+\S*[ \t]+(tagged|untagged)[ \t\r]*$")
_VLAN = re.compile(r"(?im)^[ \t]*(\d+)[ \t]+(\S+)[ \t]+active\b")
_LAST_VLAN = 4094


@dataclass(frozen=True, slots=True)
class PortVlans:
    """What a port carries.

    Attributes:
        pvid: The VLAN of what comes in without a tag.
        untagged: VLANs that leave without a tag.
        tagged: VLANs that leave with one.
    """

    pvid: int
    untagged: frozenset[int]
    tagged: frozenset[int]


class JetstreamVlans:
    """One switch."""

    def __init__(self, access: CliAccess, timeout: float) -> None:
        self._access = access
        self._timeout = timeout

    @classmethod
    def from_equipment(cls, equipment: Mapping[str, object]) -> JetstreamVlans:
        """Make the driver from the table of the equipment.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "dialect", "timeout", "min_off_seconds", *KEYS)
        return cls(CliAccess.parse(equipment), settings.seconds(equipment, "timeout", 9.0))

    async def vlans(self) -> dict[int, str]:
        """Return the switch's VLANs and their names."""
        output = await self._say("show vlan")
        return {int(number): name for number, name in _VLAN.findall(output)}

    async def create(self, vlan: int, name: str = "") -> None:
        """Make a VLAN; one that is there already stays, with this name if one is given."""
        _valid(vlan)
        lines = ["configure", f"vlan {vlan}"]
        if name:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", name):  # what every model takes
                raise ValueError(f'"{name}" is no name of a VLAN: letters, digits, "_" and "-", at most 16')
            lines.append(f"name {name}")
        await self._say(*lines)

    async def remove(self, vlan: int) -> None:
        """Take a VLAN away; one that is not there is gone already."""
        _valid(vlan)
        if vlan in await self.vlans():
            await self._say("configure", f"no vlan {vlan}")

    async def port(self, port: str) -> PortVlans:
        """Return what a port carries; ``port`` is a number on a switch of its own, or ``1/0/3``.

        Raises:
            UnknownPort: The switch has no such port.
        """
        output = await self._say(f"show interface switchport gigabitEthernet {_name(port)}")
        pvid = _PVID.search(output)
        if pvid is None:
            raise EquipmentRefused(f"{self}: tells no PVID of port {port}: {shown(output)}")
        members = [(int(number), rule.lower()) for number, rule in _MEMBER.findall(output)]
        return PortVlans(
            int(pvid[1]),
            frozenset(number for number, rule in members if rule == "untagged"),
            frozenset(number for number, rule in members if rule == "tagged"),
        )

    async def attach(self, port: str, vlan: int, *, tagged: bool) -> PortVlans:
        """Let a port carry a VLAN, without tags also as its PVID; returns what it carries then.

        Raises:
            UnknownPort: The switch has no such port.
            DidNotHappen: It agreed, but reading back shows another picture.
        """
        _valid(vlan)
        lines = [f"switchport general allowed vlan {vlan} {'tagged' if tagged else 'untagged'}"]
        if not tagged:
            lines.append(f"switchport pvid {vlan}")
        await self._say("configure", f"interface gigabitEthernet {_name(port)}", *lines)
        carried = await self.port(port)
        if vlan not in (carried.tagged if tagged else carried.untagged) or (
            not tagged and carried.pvid != vlan
        ):
            raise DidNotHappen(f"{self}: port {port} does not carry VLAN {vlan} though it agreed: {carried}")
        return carried

    async def detach(self, port: str, vlan: int) -> PortVlans:
        """Let a port carry a VLAN no more; returns what it carries then.

        Raises:
            UnknownPort: The switch has no such port.
            DidNotHappen: It agreed, but reading back shows that it still carries it.
        """
        _valid(vlan)
        await self._say(
            "configure",
            f"interface gigabitEthernet {_name(port)}",
            f"no switchport general allowed vlan {vlan}",
        )
        carried = await self.port(port)
        if vlan in carried.untagged | carried.tagged:
            raise DidNotHappen(f"{self}: port {port} still carries VLAN {vlan} though it agreed")
        return carried

    async def save(self) -> None:
        """Make what is in force what the switch starts with."""
        await self._say("copy running-config startup-config")

    async def _say(self, *lines: str) -> str:
        output = ""
        async with deadline(str(self), self._timeout), cli_session(self._access) as session:
            for line in ("enable", *lines):
                if line == "enable" and session.privileged:
                    continue
                output = (await session.run(line)).removeprefix(line)
                refused = _REFUSED.search(output)
                if refused is not None:
                    kind = UnknownPort if _NO_PORT.search(refused[0]) else EquipmentRefused
                    raise kind(f"{self}: at {line!r}: {shown(refused[0].strip())}")
        return output

    def __str__(self) -> str:
        return f"tp-link switch, {self._access}"


def _name(port: str) -> str:
    if re.fullmatch(r"\d{1,4}", port):
        return f"1/0/{port}"
    if not re.fullmatch(r"\d{1,2}/\d{1,2}/\d{1,4}", port):
        raise ValueError(f'"{port}" is no port; write a number, or unit/slot/port such as 1/0/3')
    return port


def _valid(vlan: int) -> None:
    if not 1 <= vlan <= _LAST_VLAN:
        raise ValueError(f"{vlan} is no VLAN; they go from 1 to {_LAST_VLAN}")
