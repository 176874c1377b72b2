"""Where a machine is plugged in and how its port does, asked of a switch over SNMP.

Reads the forwarding table of Q-BRIDGE-MIB (RFC 4363), one per VLAN, or that of BRIDGE-MIB (RFC 4188) where a
switch has no other. The table of the equipment is that of ``snmp-poe``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.drivers.errors import UnknownPort
from hostler.drivers.network.protocol import PortPicture, PortState, SwitchPort
from hostler.drivers.snmp import SnmpClient, snmp_client

if TYPE_CHECKING:
    from collections.abc import Mapping

_Oid = tuple[int, ...]

_BRIDGE: _Oid = (1, 3, 6, 1, 2, 1, 17)
_BASE_PORT_INTERFACE: _Oid = (*_BRIDGE, 1, 4, 1, 2)  # dot1dBasePortIfIndex
_FDB_PORT: _Oid = (*_BRIDGE, 4, 3, 1, 2)  # dot1dTpFdbPort, indexed by MAC
_Q_FDB_PORT: _Oid = (*_BRIDGE, 7, 1, 2, 2, 1, 2)  # dot1qTpFdbPort, indexed by forwarding database and MAC
_INTERFACE_STATUS: _Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1, 8)  # ifOperStatus
_STP_STATE: _Oid = (*_BRIDGE, 2, 15, 1, 3)  # dot1dStpPortState, indexed by port
_STP_STATES = {1: "disabled", 2: "blocking", 3: "listening", 4: "learning", 5: "forwarding", 6: "broken"}
_UP = 1
_MOST_DATABASES = 256  # forwarding databases asked; a boot network is among the first few
_LAST_MAC: _Oid = (255,) * 6
_PVID: _Oid = (*_BRIDGE, 7, 1, 4, 5, 1, 1)  # dot1qPvid
_EGRESS: _Oid = (*_BRIDGE, 7, 1, 4, 2, 1, 4)  # dot1qVlanCurrentEgressPorts, by time mark and VLAN
_UNTAGGED: _Oid = (*_BRIDGE, 7, 1, 4, 2, 1, 5)  # dot1qVlanCurrentUntaggedPorts
_MOST_HEARD = 1000  # MACs: on a switch that leads to a whole campus the rest would take minutes


class SnmpBridge:
    """Asks one switch."""

    def __init__(self, client: SnmpClient) -> None:
        self._client = client

    @classmethod
    def from_equipment(cls, equipment: Mapping[str, object]) -> SnmpBridge:
        """Make the driver from the table of the equipment.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        return cls(snmp_client(equipment))

    async def find(self, mac: str) -> SwitchPort | None:
        """Return the port a MAC was last heard on; None: the switch knows none.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        octets = tuple(int(pair, 16) for pair in mac.split(":"))
        number = await self._of_vlans(octets)
        if not number:
            number = await self._value((*_FDB_PORT, *octets))
        if not number:  # 0: learned, but not on a port (RFC 4188, dot1dTpFdbPort)
            return None
        interface = await self._value((*_BASE_PORT_INTERFACE, number))
        return SwitchPort(number, interface, await self._link(interface))

    async def state(self, number: int) -> PortState:
        """Return link and spanning tree of a port, as far as the switch tells.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        interface = await self._value((*_BASE_PORT_INTERFACE, number))
        tree = await self._value((*_STP_STATE, number))
        return PortState(await self._link(interface), _STP_STATES.get(tree) if tree is not None else None)

    async def ports(self) -> list[PortPicture]:
        """Return every port with its link, spanning tree, VLANs and who was heard on it.

        Raises:
            DriverError: EquipmentUnreachable, EquipmentRefused or DriverTimeout.
        """
        client = self._client
        interfaces = _by_port(await client.walk(_BASE_PORT_INTERFACE))
        status = _by_port(await client.walk(_INTERFACE_STATUS))
        trees = _by_port(await client.walk(_STP_STATE))
        pvids = _by_port(await client.walk(_PVID))
        tagged = await self._tagged()
        heard = await self._heard()
        return [
            PortPicture(
                number,
                status[interface] == _UP if interface in status else None,
                _STP_STATES.get(trees.get(number, 0)),
                pvids.get(number),
                tuple(sorted(tagged.get(number, ()))),
                tuple(sorted(heard.get(number, ()))),
            )
            for number, interface in sorted(interfaces.items())
        ]

    async def _tagged(self) -> dict[int, set[int]]:
        """Return the VLANs that leave each port with a tag."""
        egress = await self._client.walk_octets(_EGRESS)
        untagged = await self._client.walk_octets(_UNTAGGED)
        found: dict[int, set[int]] = {}
        for index, ports in egress.items():
            for port in _ports_of(ports) - _ports_of(untagged.get(index, b"")):
                found.setdefault(port, set()).add(index[-1])
        return found

    async def _heard(self) -> dict[int, set[str]]:
        """Return whom the switch has heard on each port, of all VLANs, or of its only table."""
        rows = await self._client.walk(_Q_FDB_PORT, _MOST_HEARD)
        rows = rows or await self._client.walk(_FDB_PORT, _MOST_HEARD)
        found: dict[int, set[str]] = {}
        for index, port in rows:
            if port:
                found.setdefault(port, set()).add(":".join(f"{octet:02x}" for octet in index[-6:]))
        return found

    async def _link(self, interface: int | None) -> bool | None:
        status = await self._value((*_INTERFACE_STATUS, interface)) if interface is not None else None
        return None if status is None else status == _UP

    async def _of_vlans(self, octets: _Oid) -> int | None:
        """Look in every VLAN's table without reading any whole one: they hold thousands of MACs."""
        place = _Q_FDB_PORT
        for _ in range(_MOST_DATABASES):
            following = await self._client.after(place)
            if following is None or following[0][: len(_Q_FDB_PORT)] != _Q_FDB_PORT:
                return None
            database = following[0][len(_Q_FDB_PORT)]
            number = await self._value((*_Q_FDB_PORT, database, *octets))
            if number:
                return number
            place = (*_Q_FDB_PORT, database, *_LAST_MAC)
        return None

    async def _value(self, oid: _Oid) -> int | None:
        try:
            (value,) = await self._client.get([oid])
        except UnknownPort:
            return None  # how version 1 says that there is no such object
        return value

    def __str__(self) -> str:
        return f"switch {self._client.host}"


def _by_port(rows: list[tuple[_Oid, int | None]]) -> dict[int, int]:
    return {index[0]: value for index, value in rows if len(index) == 1 and value is not None}


def _ports_of(octets: bytes) -> set[int]:
    """Return the ports in a PortList: bit 7 of the first octet is port 1 (RFC 4188 section 4)."""
    return {at * 8 + bit + 1 for at, octet in enumerate(octets) for bit in range(8) if octet & (0x80 >> bit)}
