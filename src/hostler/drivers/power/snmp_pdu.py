"""Switched rack PDUs over SNMP: one table row a make, and ``generic`` for a PDU that no row describes.

Equipment: ``model`` (a key of MODELS, or ``generic``), ``host``, and how to be let in as for ``snmp-poe``;
optional ``timeout``, ``min_off_seconds``. A generic one is described by ``control`` and ``status`` (object
ids without the outlet), ``on`` and ``off`` (what is written), ``reads_on`` and ``reads_off`` (what is read
when it differs). Binding: ``outlet``, a number, or where units are chained the whole index: ``"2.1.5"``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, UnknownPort
from hostler.drivers.power.calls import wants_on
from hostler.drivers.power.protocol import PanelReading
from hostler.drivers.snmp import SNMP_KEYS, SnmpClient, snmp_client
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

Oid = tuple[int, ...]

_ON, _OFF, _UNKNOWN = PowerState.ON, PowerState.OFF, PowerState.UNKNOWN
_HIGHEST = 2**31 - 1


def _states(on: int, off: int, others: Mapping[int, tuple[str, PowerState]] | None = None) -> States:
    return {on: ("on", _ON), off: ("off", _OFF), **(others or {})}


States = dict[int, tuple[str, PowerState]]


@dataclass(frozen=True, slots=True)
class PduModel:
    """What differs between makes.

    Attributes:
        set_on: Object written to switch on, and the value.
        set_off: Object written to switch off, and the value.
        status: Object that tells what the relay does, not what was asked of it.
        states: Its values in words; any other value is unknown.
        above: The index before the outlet's number on a PDU that stands alone: unit, or unit and branch.
    """

    set_on: tuple[Oid, int]
    set_off: tuple[Oid, int]
    status: Oid
    states: States = field(hash=False)
    above: Oid = ()


def _model(control: str, on: int, off: int, status: str, states: States, above: Oid = ()) -> PduModel:
    written = _oid(control)
    return PduModel((written, on), (written, off), _oid(status), states, above)


def _oid(dotted: str) -> Oid:
    return tuple(map(int, dotted.strip(".").split(".")))


_EATON = "1.3.6.1.4.1.534.6.6.7.6.6.1"

MODELS = {
    # PowerNet-MIB; the three generations number on and off differently.
    "apc-masterswitch": _model(  # AP9210 … AP9225: sPDUOutletCtl
        "1.3.6.1.4.1.318.1.1.4.4.2.1.3", 1, 2, "1.3.6.1.4.1.318.1.1.4.4.2.1.3", _states(1, 2)
    ),
    "apc-rpdu": _model(  # AP79xx: rPDUOutletControlOutletCommand, rPDUOutletStatusOutletState
        "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4", 1, 2, "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4", _states(1, 2)
    ),
    "apc-rpdu2": _model(  # AP86xx, AP89xx: rPDU2OutletSwitchedControlCommand, …StatusState: 1 is off here
        "1.3.6.1.4.1.318.1.1.26.9.2.4.1.5", 1, 2, "1.3.6.1.4.1.318.1.1.26.9.2.3.1.5", _states(2, 1)
    ),
    "cyberpower": _model(  # CPS-MIB: ePDUOutletControlOutletCommand, ePDUOutletStatusOutletState
        "1.3.6.1.4.1.3808.1.1.3.3.3.1.1.4", 1, 2, "1.3.6.1.4.1.3808.1.1.3.3.5.1.1.4", _states(1, 2)
    ),
    # EATON-EPDU-MIB: a command object each, whose value is a delay in seconds; index unit, outlet.
    "eaton": PduModel(
        (_oid(f"{_EATON}.4"), 0),
        (_oid(f"{_EATON}.3"), 0),
        _oid(f"{_EATON}.2"),
        _states(1, 0, {2: ("on, off is pending", _ON), 3: ("off, on is pending", _OFF)}),
        (0,),
    ),
    "raritan": _model(  # PDU2-MIB (PX2, PX3): switchingOperation, outletSwitchingState; index PDU, outlet
        "1.3.6.1.4.1.13742.6.4.1.2.1.2", 1, 0, "1.3.6.1.4.1.13742.6.4.1.2.1.3", _states(7, 8), (1,)
    ),
    # Sentry3-MIB (CDU) and Sentry4-MIB (PRO): index tower, infeed or cord, outlet.
    "servertech": _model(
        "1.3.6.1.4.1.1718.3.2.3.1.11",
        1,
        2,
        "1.3.6.1.4.1.1718.3.2.3.1.5",
        _states(
            1,
            0,
            {
                2: ("waiting to be off", _UNKNOWN),
                3: ("waiting to be on", _UNKNOWN),
                4: ("error: should be off", _UNKNOWN),
                5: ("error: should be on", _UNKNOWN),
                6: ("no communication with the outlet", _UNKNOWN),
                7: ("reading", _UNKNOWN),
                8: ("off, fuse blown", _UNKNOWN),
                9: ("on, fuse blown", _UNKNOWN),
            },
        ),
        (1, 1),
    ),
    "servertech-pro": _model(
        "1.3.6.1.4.1.1718.4.1.8.5.1.2", 1, 2, "1.3.6.1.4.1.1718.4.1.8.3.1.1", _states(1, 2), (1, 1)
    ),
}

_GENERIC = ("control", "status", "on", "off", "reads_on", "reads_off")


@dataclass(frozen=True, slots=True)
class SnmpPduConfig:
    """One outlet of one PDU.

    Attributes:
        client: The PDU's agent.
        model: How it is switched and read.
        index: The outlet, with unit and branch where the make has them.
        min_off_seconds: Time without power that surely resets what hangs on it.
    """

    client: SnmpClient
    model: PduModel
    index: Oid
    min_off_seconds: float


class SnmpPdu:
    """One outlet of a rack PDU; see SnmpPduConfig."""

    def __init__(self, config: SnmpPduConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(can_read=True, min_off_seconds=config.min_off_seconds)

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> SnmpPdu:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        name = settings.text(equipment, "model")
        if name != "generic" and name not in MODELS:
            raise DriverConfigError("model", f'must be one of {", ".join(MODELS)}, generic; not "{name}"')
        settings.only(
            equipment, "model", *SNMP_KEYS, "min_off_seconds", *(_GENERIC if name == "generic" else ())
        )
        settings.only(binding, "outlet")
        model = _model_of(equipment)
        return cls(
            SnmpPduConfig(
                client=snmp_client(equipment),
                model=model,
                index=_index(binding, model),
                # Power supplies of PCs and servers run on for seconds from their capacitors.
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    @classmethod
    async def panel(cls, equipment: Mapping[str, object]) -> PanelReading:
        """Read every outlet of the PDU and of those chained to it (see ``ReadsPanel``).

        Raises:
            DriverError: As ``get``, or DriverConfigError for a wrong table.
        """
        model = _model_of(equipment)
        rows = await snmp_client(equipment).walk(model.status)
        return PanelReading(
            tuple(
                ({"outlet": _outlet(index, model)}, _reading(value, model))
                for index, value in rows
                if value is not None and len(index) == len(model.above) + 1
            )
        )

    async def set(self, state: PowerState) -> None:
        """Command the outlet; the PDU answers before the relay has moved."""
        model = self.config.model
        oid, value = model.set_on if wants_on(state) else model.set_off
        await self.config.client.set((*oid, *self.config.index), value)

    async def get(self) -> PowerReading:
        """Read what the outlet does; a value without a meaning in the table is unknown."""
        config = self.config
        (value,) = await config.client.get([(*config.model.status, *config.index)])
        if value is None:
            raise UnknownPort(
                f"{config.client}: has no outlet {'.'.join(map(str, config.index))} of this model; "
                "check model and outlet"
            )
        return _reading(value, config.model)


def _model_of(equipment: Mapping[str, object]) -> PduModel:
    name = settings.text(equipment, "model")
    return _described(equipment) if name == "generic" else MODELS[name]


def _reading(value: int, model: PduModel) -> PowerReading:
    detail, state = model.states.get(value, (f"status {value}", PowerState.UNKNOWN))
    return PowerReading(state, None, detail)


def _outlet(index: Oid, model: PduModel) -> int | str:
    """Return an outlet as ``lab.toml`` calls it: a number on the PDU that stands alone or is the first."""
    return index[-1] if index[:-1] == model.above else ".".join(map(str, index))


def _described(equipment: Mapping[str, object]) -> PduModel:
    oids = {}
    for key in ("control", "status"):
        value = settings.text(equipment, key)
        if not re.fullmatch(r"\.?[0-2](\.[0-9]{1,10})+", value):
            raise DriverConfigError(key, f'must be an object id like "1.3.6.1.4.1.318", not "{value}"')
        oids[key] = _oid(value)

    def number(key: str, default: int | None = None) -> int:
        return settings.whole_number(equipment, key, least=-_HIGHEST, most=_HIGHEST, default=default)

    on, off = number("on"), number("off")
    reads_on, reads_off = number("reads_on", on), number("reads_off", off)
    if on == off:
        raise DriverConfigError("off", "is the same as on")
    if reads_on == reads_off:
        raise DriverConfigError("reads_off", "is the same as reads_on")
    control = oids["control"]
    return PduModel((control, on), (control, off), oids["status"], _states(reads_on, reads_off))


def _index(binding: Mapping[str, object], model: PduModel) -> Oid:
    value = binding.get("outlet")
    if not isinstance(value, str):
        return (*model.above, settings.whole_number(binding, "outlet", least=1, most=_HIGHEST))
    parts = len(model.above) + 1
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})*", value):
        raise DriverConfigError("outlet", f'must be a number or numbers with dots between, not "{value}"')
    index = _oid(value)
    if model in MODELS.values() and len(index) != parts:
        raise DriverConfigError("outlet", f'must have {parts} number(s) for this model, not "{value}"')
    return index
