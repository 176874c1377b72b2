"""Outlets behind a pdudaemon that is there already, over its HTTP listener.

Equipment: ``host = "10.0.0.5"`` or ``"10.0.0.5:16421"``; optional ``pdu`` (the PDU's ``hostname`` in its
configuration), ``timeout``, ``min_off_seconds``. Binding: ``port``, with ``pdu`` when it is not the
equipment's; or ``alias``. pdudaemon takes a wish and tells neither whether it came true nor what is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, UnknownPort
from hostler.drivers.http import HttpHost
from hostler.drivers.power.calls import wants_on
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PdudaemonConfig:
    """One outlet as pdudaemon names it.

    Attributes:
        host: The daemon.
        outlet: ``alias``, or ``hostname`` and ``port``.
        min_off_seconds: Time without power that surely resets a board; the daemon queues, so a bit more.
    """

    host: HttpHost
    outlet: tuple[tuple[str, str], ...]
    min_off_seconds: float


class Pdudaemon:
    """One outlet; see PdudaemonConfig."""

    def __init__(self, config: PdudaemonConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=False, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> Pdudaemon:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        settings.only(equipment, "host", "pdu", "timeout", "min_off_seconds")
        settings.only(binding, "pdu", "port", "alias")
        host, port = settings.address(equipment, "host", default_port=16421)
        if "alias" in binding:
            for key in ("port", "pdu"):
                if key in binding:
                    raise DriverConfigError(key, "is given twice, the alias stands for it")
            outlet: tuple[tuple[str, str], ...] = (("alias", settings.text(binding, "alias")),)
        else:
            pdu = settings.text(binding if "pdu" in binding else equipment, "pdu")
            number = settings.whole_number(binding, "port", least=0, most=65535)
            outlet = (("hostname", pdu), ("port", str(number)))
        return cls(
            PdudaemonConfig(
                HttpHost(
                    name=f"pdudaemon {host}:{port}",
                    url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
                    timeout=settings.seconds(equipment, "timeout", 5.0),
                ),
                outlet,
                settings.seconds(equipment, "min_off_seconds", 8.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Hand the wish over; without a delay of 0 the daemon would sit on it for five seconds."""
        verb = "on" if wants_on(state) else "off"
        query = urlencode([*self.config.outlet, ("delay", "0")])
        async with self.config.host.connect() as talk:
            status, answer = await talk.ask("GET", f"/power/control/{verb}?{query}")
        if status == 200:
            return
        said = answer.decode(errors="replace").strip()[:300] or "no word"
        name = " ".join(value for _, value in self.config.outlet)
        # Version 0.0.8 says no more than that its table has no such PDU or alias; later ones name it.
        if "not found" in said.lower() or "invalid request" in said.lower():
            raise UnknownPort(f"{self.config.host.name}: does not know {name}: {said}")
        raise EquipmentRefused(f"{self.config.host.name}: answers {status} for {name}: {said}")

    async def get(self) -> PowerReading:
        """Tell that nothing can be told."""
        return PowerReading(PowerState.UNKNOWN, None, "pdudaemon cannot tell")
