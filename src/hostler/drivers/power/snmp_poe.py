"""Power over Ethernet of any switch with POWER-ETHERNET-MIB (RFC 3621), over SNMP.

Equipment: ``host = "10.0.0.2"`` or ``"10.0.0.2:161"``; ``community = "env:NAME" | "file:PATH"``, or for SNMP
v3 ``user`` with ``auth_password`` and ``privacy_password``; optional ``timeout`` (seconds per attempt),
``min_off_seconds``. Binding: ``port``, optional ``group``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import UnknownPort
from hostler.drivers.power.protocol import PanelReading
from hostler.drivers.snmp import SNMP_KEYS, SnmpClient, snmp_client
from hostler.model.power import PowerCapabilities, PowerReading, PowerState
from hostler.model.power_budget import PoolReading

if TYPE_CHECKING:
    from collections.abc import Mapping

# pethPsePortEntry columns, indexed by group and port (RFC 3621 section 4).
_PORT_ENTRY = (1, 3, 6, 1, 2, 1, 105, 1, 1, 1)
# pethMainPseEntry columns, indexed by group: pethMainPsePower and pethMainPseConsumptionPower, in watts.
_MAIN_ENTRY = (1, 3, 6, 1, 2, 1, 105, 1, 3, 1, 1)
_MAIN_POWER, _MAIN_CONSUMPTION = 2, 4

_ADMIN_ENABLE = 3
_DETECTION_STATUS = 6

_TRUE, _FALSE = 1, 2  # TruthValue (RFC 2579)

# pethPsePortDetectionStatus: name, and whether the port feeds its device. test(5) feeds it or not: unknown.
_DETECTION = {
    1: ("disabled", PowerState.OFF),
    2: ("searching", PowerState.OFF),
    3: ("delivering power", PowerState.ON),
    4: ("fault", PowerState.OFF),
    5: ("test", PowerState.UNKNOWN),
    6: ("other fault", PowerState.OFF),
}


@dataclass(frozen=True, slots=True)
class SnmpPoeConfig:
    """One port of one switch.

    Attributes:
        client: Its agent.
        group: pethPsePortGroupIndex: the stack member or module, 1 on most switches.
        port: pethPsePortIndex.
        min_off_seconds: Time without power that surely resets a board behind this switch.
    """

    client: SnmpClient
    group: int
    port: int
    min_off_seconds: float


class SnmpPoe:
    """The PoE supply of one switch port; see SnmpPoeConfig."""

    def __init__(self, config: SnmpPoeConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)
        self.pool = f"group {config.group}"
        self._client = config.client

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> SnmpPoe:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, *SNMP_KEYS, "min_off_seconds")
        settings.only(binding, "port", "group")
        return cls(
            SnmpPoeConfig(
                client=snmp_client(equipment),
                group=settings.whole_number(binding, "group", least=1, most=2**31 - 1, default=1),
                port=settings.whole_number(binding, "port", least=1, most=2**31 - 1),
                # Switches keep their output capacitors charged for a moment, boards theirs for longer.
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 2.0),
            )
        )

    @classmethod
    async def ends(cls, equipment: Mapping[str, object]) -> list[dict[str, object]]:
        """List the ports the switch has, as the keys of their wires (see ``ListsEnds``); nothing is switched.

        Raises:
            DriverError: As ``get``, or DriverConfigError for a wrong table.
        """
        client = snmp_client(equipment)
        rows = [index for index, _ in await client.walk((*_PORT_ENTRY, _ADMIN_ENABLE)) if len(index) == 2]
        return [_keys(group, port) for group, port in rows]

    @classmethod
    async def panel(cls, equipment: Mapping[str, object]) -> PanelReading:
        """Read every port and supply of the switch (see ``ReadsPanel``).

        Raises:
            DriverError: As ``get``, or DriverConfigError for a wrong table.
        """
        client = snmp_client(equipment)
        admin = dict(await client.walk((*_PORT_ENTRY, _ADMIN_ENABLE)))
        detection = dict(await client.walk((*_PORT_ENTRY, _DETECTION_STATUS)))
        ends = [
            (_keys(*index), _reading(admin.get(index), detection.get(index)))
            for index in sorted(admin.keys() | detection.keys())
            if len(index) == 2
        ]
        limits = dict(await client.walk((*_MAIN_ENTRY, _MAIN_POWER)))
        drawn = dict(await client.walk((*_MAIN_ENTRY, _MAIN_CONSUMPTION)))
        pools = {
            f"group {group[0]}": _pool(limits.get(group), drawn.get(group))
            for group in sorted(limits.keys() | drawn.keys())
            if len(group) == 1
        }
        return PanelReading(tuple(ends), pools)

    async def set(self, state: PowerState) -> None:
        """Set pethPsePortAdminEnable; the switch answers before the power has changed."""
        if state is PowerState.UNKNOWN:
            raise ValueError("a port can be switched on or off, not to unknown")
        await self._client.set(self._oid(_ADMIN_ENABLE), _TRUE if state is PowerState.ON else _FALSE)

    async def get(self) -> PowerReading:
        """Read detection status and admin state in one request; where they disagree, ``detail`` says so."""
        admin, detection = await self._client.get([self._oid(_ADMIN_ENABLE), self._oid(_DETECTION_STATUS)])
        if admin is None and detection is None:
            raise UnknownPort(f"{self._client}: has no PoE port {self.config.group}.{self.config.port}")
        return _reading(admin, detection)

    async def budget(self) -> PoolReading:
        """Read what the port's supply has and delivers; a switch that says 0 W does not know."""
        limit, drawn = await self._client.get(
            [(*_MAIN_ENTRY, column, self.config.group) for column in (_MAIN_POWER, _MAIN_CONSUMPTION)]
        )
        return _pool(limit, drawn)

    def _oid(self, column: int) -> tuple[int, ...]:
        return (*_PORT_ENTRY, column, self.config.group, self.config.port)


def _keys(group: int, port: int) -> dict[str, object]:
    return {"port": port} if group == 1 else {"port": port, "group": group}


def _reading(admin: int | None, detection: int | None) -> PowerReading:
    name, state = _DETECTION.get(detection or 0, (f"detection status {detection}", PowerState.UNKNOWN))
    detail = name
    enabled = {_TRUE: True, _FALSE: False}.get(admin or 0)
    if enabled is False and state is PowerState.ON:
        detail = f"{name}, although the port is disabled"
    elif enabled and detection == 1:
        detail = f"{name}, although the port is enabled"
    elif enabled is None:
        detail = f"{name}, admin state {admin}"
    return PowerReading(state, None, detail)


def _pool(limit: int | None, drawn: int | None) -> PoolReading:
    return PoolReading(float(limit) if limit else None, None if drawn is None else float(drawn))
