"""The virtual PoE switch: an SNMP v2c agent with the parts of its MIBs that a lab needs.

POWER-ETHERNET-MIB (RFC 3621): pethPsePortTable and pethMainPseTable. SNMPv2-MIB: the system group.
IF-MIB: ifNumber, ifIndex, ifDescr, ifAdminStatus, ifOperStatus. BRIDGE-MIB (RFC 4188): dot1dBase,
dot1dBasePortTable, dot1dStpPortState, dot1dTpFdbTable. Q-BRIDGE-MIB (RFC 4363): dot1qFdbTable and
dot1qTpFdbTable of its one VLAN. Only pethPsePortAdminEnable can be written. Get, GetNext, GetBulk and Set
(RFC 3416); other communities and other versions get no answer.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]
from pysnmp.proto import api

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Oid = tuple[int, ...]

_V2C: Any = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
_log = logging.getLogger(__name__)

_GROUP = 1
_SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
_INTERFACES: Oid = (1, 3, 6, 1, 2, 1, 2)
_PSE_PORT: Oid = (1, 3, 6, 1, 2, 1, 105, 1, 1, 1)
_MAIN_PSE: Oid = (1, 3, 6, 1, 2, 1, 105, 1, 3, 1, 1)
_BRIDGE: Oid = (1, 3, 6, 1, 2, 1, 17)
_FDB: Oid = (*_BRIDGE, 4, 3, 1)
_Q_FDB: Oid = (*_BRIDGE, 7, 1, 2)
_VLAN = 1
_LEARNED = 3  # dot1dTpFdbStatus, dot1qTpFdbStatus
_TRANSPARENT_ONLY = 2  # dot1dBaseType
_ADMIN_ENABLE: Oid = (*_PSE_PORT, 3)
_DISABLED, _SEARCHING, _DELIVERING, _FAULT = 1, 2, 3, 4
_WRONG_TYPE, _WRONG_VALUE, _NO_CREATION, _NOT_WRITABLE = 7, 10, 11, 17
_WATTS_PER_PORT = 15
_MOST_BINDS = 32  # keeps an answer within one unfragmented datagram


class Load(ABC):
    """What hangs on a port."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Return what the port's description says."""

    @abstractmethod
    def supply(self, on: bool) -> None:
        """Take power, or lose it at once. Never waits."""

    @abstractmethod
    def drawing(self) -> bool:
        """Return whether it really draws power now."""

    @abstractmethod
    def fault(self) -> str:
        """Return why it does not run although it is fed, or nothing."""


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """How the bridge treats a port.

    Attributes:
        up: Whether its end of the cable is on.
        spanning_tree: As dot1dStpPortState: 1 disabled, 2 blocking, 3 listening, 4 learning, 5 forwarding.
    """

    up: bool = True
    spanning_tree: int = 5


class PoeSwitch:
    """The switch: ports, what hangs on them, and the objects an agent shows of them.

    Args:
        ports: Number of ports, counted from 1.
        loads: What hangs on which port; the others are empty.
    """

    def __init__(self, ports: int, loads: Mapping[int, Load]) -> None:
        self.ports = ports
        self._loads = dict(loads)
        self._enabled = dict.fromkeys(range(1, ports + 1), False)
        self._bridged: dict[int, PortForwarding] = {}
        self._started = time.monotonic()
        self._fixed = self._build()
        self._learned: dict[str, int] = {}
        self._objects = self._fixed | self._forwarding()
        self._order = sorted(self._objects)

    def learn(self, ports: Mapping[str, int]) -> None:
        """Take over which MAC (lower case with colons) the bridge last heard on which port."""
        if ports != self._learned:
            self._learned = dict(ports)
            self._objects = self._fixed | self._forwarding()
            self._order = sorted(self._objects)

    def connect(self, forwarding: Mapping[int, PortForwarding]) -> None:
        """Take over how the bridge treats its ports; of those that it does not tell nothing is known."""
        self._bridged = dict(forwarding)

    def any_drawing(self) -> bool:
        """Return whether any board runs: else nobody is there to be heard."""
        return any(load.drawing() for load in self._loads.values())

    def get(self, oid: Oid) -> Any:
        """Return an object's value, or the exception value RFC 3416 section 4.2.1 wants."""
        read = self._objects.get(oid)
        return read() if read is not None else _V2C.NoSuchInstance("")

    def get_next(self, oid: Oid) -> tuple[Oid, Any]:
        """Return the object after ``oid`` in the tree, or endOfMibView."""
        index = bisect.bisect_right(self._order, oid)
        if index == len(self._order):
            return oid, _V2C.EndOfMibView("")
        following = self._order[index]
        return following, self._objects[following]()

    def check_set(self, oid: Oid, value: Any) -> int:
        """Return 0 when the object could be set to the value, else an SNMP error status."""
        if oid[:-2] != _ADMIN_ENABLE:
            return _NOT_WRITABLE
        if oid not in self._objects:
            return _NO_CREATION
        if not isinstance(value, _V2C.Integer):
            return _WRONG_TYPE
        return 0 if int(value) in (1, 2) else _WRONG_VALUE

    def apply_set(self, oid: Oid, value: Any) -> None:
        """Set a port's admin state; the value was checked."""
        port, on = oid[-1], int(value) == 1
        if self._enabled[port] == on:
            return
        self._enabled[port] = on
        _log.info("port %d: %s", port, "enabled" if on else "disabled")
        if port in self._loads:
            self._loads[port].supply(on)

    def _detection(self, port: int) -> int:
        load = self._loads.get(port)
        if load is not None and load.drawing():
            return (
                _DELIVERING  # also for the moment it takes a disabled port's board to die: it tells what is
            )
        if not self._enabled[port]:
            return _DISABLED
        return _FAULT if load is not None and load.fault() else _SEARCHING

    def _has_link(self, port: int) -> bool:
        return self._detection(port) == _DELIVERING and self._bridged.get(port, PortForwarding()).up

    def _watts(self) -> int:
        return sum(7 for load in self._loads.values() if load.drawing())

    def _build(self) -> dict[Oid, Callable[[], Any]]:
        integer, gauge, octets = _V2C.Integer32, _V2C.Gauge32, _V2C.OctetString
        objects: dict[Oid, Callable[[], Any]] = {
            (*_SYSTEM, 1, 0): lambda: octets("Hostler virtual PoE switch"),
            # Below RFC 5612's example enterprise, as nothing is registered for a switch that is not one.
            (*_SYSTEM, 2, 0): lambda: _V2C.ObjectIdentifier((1, 3, 6, 1, 4, 1, 32473, 1)),
            (*_SYSTEM, 3, 0): lambda: _V2C.TimeTicks(int((time.monotonic() - self._started) * 100) % 2**32),
            (*_SYSTEM, 4, 0): lambda: octets(""),
            (*_SYSTEM, 5, 0): lambda: octets("virtual-switch"),
            (*_SYSTEM, 6, 0): lambda: octets("virtual lab"),
            (*_INTERFACES, 1, 0): lambda: integer(self.ports),
            (*_MAIN_PSE, 2, _GROUP): lambda: gauge(self.ports * _WATTS_PER_PORT),
            (*_MAIN_PSE, 3, _GROUP): lambda: integer(1),
            (*_MAIN_PSE, 4, _GROUP): lambda: gauge(self._watts()),
            (*_MAIN_PSE, 5, _GROUP): lambda: integer(80),
            (*_BRIDGE, 1, 1, 0): lambda: octets(bytes.fromhex("02484f535401")),  # that of network.py
            (*_BRIDGE, 1, 2, 0): lambda: integer(self.ports),
            (*_BRIDGE, 1, 3, 0): lambda: integer(_TRANSPARENT_ONLY),
        }
        for port in range(1, self.ports + 1):
            for table, columns in (
                (_PSE_PORT, self._pse_port(port)),
                ((*_INTERFACES, 2, 1), self._interface(port)),
                ((*_BRIDGE, 1, 4, 1), self._bridge_port(port)),
                ((*_BRIDGE, 2, 15, 1), self._spanning_tree(port)),
                ((*_BRIDGE, 7, 1, 4, 5, 1), {1: lambda: gauge(_VLAN)}),  # dot1qPvid
            ):
                index = (_GROUP, port) if table == _PSE_PORT else (port,)
                objects |= {(*table, column, *index): read for column, read in columns.items()}
        return objects

    def _pse_port(self, port: int) -> dict[int, Callable[[], Any]]:
        integer, octets = _V2C.Integer32, _V2C.OctetString
        load = self._loads.get(port)
        return {
            3: lambda: integer(1 if self._enabled[port] else 2),  # pethPsePortAdminEnable
            4: lambda: integer(2),  # pethPsePortPowerPairsControlAbility: false
            5: lambda: integer(1),  # pethPsePortPowerPairs: signal
            6: lambda: integer(self._detection(port)),  # pethPsePortDetectionStatus
            7: lambda: integer(3),  # pethPsePortPowerPriority: low
            9: lambda: octets(load.description if load else ""),  # pethPsePortType
            10: lambda: integer(4 if load else 1),  # pethPsePortPowerClassifications: class3, class0
        }

    def _interface(self, port: int) -> dict[int, Callable[[], Any]]:
        integer, octets = _V2C.Integer32, _V2C.OctetString
        return {
            1: lambda: integer(port),  # ifIndex
            2: lambda: octets(f"port{port}"),  # ifDescr
            7: lambda: integer(1),  # ifAdminStatus: up
            8: lambda: integer(1 if self._has_link(port) else 2),  # ifOperStatus
        }

    def _bridge_port(self, port: int) -> dict[int, Callable[[], Any]]:
        integer = _V2C.Integer32
        return {
            1: lambda: integer(port),  # dot1dBasePort
            2: lambda: integer(port),  # dot1dBasePortIfIndex
        }

    def _spanning_tree(self, port: int) -> dict[int, Callable[[], Any]]:
        # dot1dStpPortState (RFC 4188)
        return {3: lambda: _V2C.Integer32(self._bridged.get(port, PortForwarding()).spanning_tree)}

    def _forwarding(self) -> dict[Oid, Callable[[], Any]]:
        integer, octets, counter = _V2C.Integer32, _V2C.OctetString, _V2C.Counter32
        count = len(self._learned)
        objects: dict[Oid, Callable[[], Any]] = {
            (*_Q_FDB, 1, 1, 2, _VLAN): partial(counter, count),  # dot1qFdbDynamicCount
        }
        for mac, port in self._learned.items():
            address = bytes.fromhex(mac.replace(":", ""))
            objects |= {
                (*_FDB, 1, *address): partial(octets, address),
                (*_FDB, 2, *address): partial(integer, port),
                (*_FDB, 3, *address): partial(integer, _LEARNED),
                (*_Q_FDB, 2, 1, 2, _VLAN, *address): partial(integer, port),
                (*_Q_FDB, 2, 1, 3, _VLAN, *address): partial(integer, _LEARNED),
            }
        return objects


class SnmpAgent(asyncio.DatagramProtocol):
    """Answers SNMP requests for a switch; hand it to ``create_datagram_endpoint``."""

    def __init__(self, switch: PoeSwitch, community: str) -> None:
        self._switch = switch
        self._community = community
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        # Not isinstance: the event loop's datagram transport is none by inheritance before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer one request; rubbish is dropped, as agents do."""
        try:
            answer = self.answer(data)
        except (PyAsn1Error, ValueError, TypeError, KeyError, IndexError) as error:
            _log.info("from %s: not a request this agent understands: %s", addr[0], error)
            return
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    def answer(self, data: bytes) -> bytes | None:
        """Return the answer to one message; None when there is none to give.

        Raises:
            PyAsn1Error: The bytes are no SNMP message.
        """
        request, _rest = decoder.decode(data, asn1Spec=_V2C.Message())
        if int(_V2C.apiMessage.get_version(request)) != api.SNMP_VERSION_2C:
            return None
        if str(_V2C.apiMessage.get_community(request)) != self._community:
            return None
        response = _V2C.apiMessage.get_response(request)
        asked = _V2C.apiMessage.get_pdu(request)
        told = _V2C.apiMessage.get_pdu(response)
        binds = [(tuple(oid), value) for oid, value in _V2C.apiPDU.get_varbinds(asked)]
        if asked.isSameTypeWith(_V2C.GetRequestPDU()):
            result = [(oid, self._switch.get(oid)) for oid, _ in binds]
        elif asked.isSameTypeWith(_V2C.GetNextRequestPDU()):
            result = [self._switch.get_next(oid) for oid, _ in binds]
        elif asked.isSameTypeWith(_V2C.GetBulkRequestPDU()):
            result = self._bulk(asked, [oid for oid, _ in binds])
        elif asked.isSameTypeWith(_V2C.SetRequestPDU()):
            result = binds
            self._set(told, binds)
        else:
            return None
        _V2C.apiPDU.set_varbinds(told, result)
        return bytes(encoder.encode(response))

    def _bulk(self, asked: Any, oids: list[Oid]) -> list[tuple[Oid, Any]]:
        single = max(0, int(_V2C.apiBulkPDU.get_non_repeaters(asked)))
        repetitions = int(_V2C.apiBulkPDU.get_max_repetitions(asked))
        result = [self._switch.get_next(oid) for oid in oids[:single]]
        rows = oids[single:]
        for _ in range(repetitions):
            if not rows or len(result) + len(rows) > _MOST_BINDS:
                break
            step = [self._switch.get_next(oid) for oid in rows]
            result += step
            rows = [oid for oid, _ in step]
        return result

    def _set(self, told: Any, binds: list[tuple[Oid, Any]]) -> None:
        # All or nothing (RFC 3416 section 4.2.5): everything is checked before anything is done.
        for index, (oid, value) in enumerate(binds, start=1):
            status = self._switch.check_set(oid, value)
            if status:
                _V2C.apiPDU.set_error_status(told, status)
                _V2C.apiPDU.set_error_index(told, index)
                return
        for oid, value in binds:
            self._switch.apply_set(oid, value)
