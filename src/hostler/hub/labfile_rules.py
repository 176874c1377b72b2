"""What holds between the tables of ``lab.toml``: names that must exist, things only one board may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostler.hub.errors import Fault
from hostler.hub.hooks import url_fault
from hostler.hub.inventory import Inventory, OidcPlan, UpstreamPlan
from hostler.hub.labfile_networks import NetworkRules
from hostler.model.board import Binding, Board, BoardClass, Equipment
from hostler.model.health import HealthPlan
from hostler.model.hook import HookPlan
from hostler.model.identity import serial_digits
from hostler.model.platform import PLATFORMS, UBOOT_PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from hostler.hub.labfile_schema import BoardTable, HookTable, LabFile, WireTable
    from hostler.hub.toml_lines import Places


_ON_THE_CONSOLE = frozenset({"uboot-console"})
"""Boot controls that type on the board's console."""


class Reader:
    """Makes an inventory of a file whose tables are right one by one, and gathers what is wrong between them.

    Attributes:
        faults: Every mistake found so far.
    """

    def __init__(
        self, parsed: LabFile, places: Places, file: str, base: Path,
        drivers: Mapping[str, Collection[str]],
        check: Callable[[str, str, Mapping[str, Any], Mapping[str, Any]], str] | None,
        names: Mapping[str, Collection[str]],
    ) -> None:  # fmt: skip
        self.faults: list[Fault] = []
        self._parsed = parsed
        self._places = places
        self._file = file
        self._base = base
        self._drivers = drivers
        self._all_drivers = {driver for group in drivers.values() for driver in group}
        self._check = check
        # Every table that stands in the file, also those left out of ``parsed`` for a mistake of their own.
        self._names = names
        self._owners: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def inventory(self, text: str) -> Inventory:
        """Return the inventory; of no use when there are faults."""
        parsed = self._parsed
        networks = NetworkRules(parsed.networks, self._names["networks"], self._base, self._fault).plans()
        equipment = {}
        for name, unit in parsed.equipment.items():
            if unit.driver not in self._all_drivers:
                self._unknown(("equipment", name, "driver"), "driver", unit.driver, self._all_drivers)
            equipment[name] = Equipment(
                name, unit.driver, self._placed(unit.params), tuple(unit.ports), unit.budget_watts,
                unit.stagger,
            )  # fmt: skip
        classes = {}
        for name, table in parsed.classes.items():
            if table.platform not in PLATFORMS:
                self._unknown(("classes", name, "platform"), "platform", table.platform, PLATFORMS)
            elif table.loader is not None and table.loader not in PLATFORMS[table.platform].choices:
                path = ("classes", name, "loader")
                self._unknown(
                    path, f"loader for {table.platform}", table.loader, PLATFORMS[table.platform].choices
                )
            elif table.device_tree is not None and table.platform not in UBOOT_PLATFORMS:
                self._wrong(
                    ("classes", name, "device_tree"),
                    f"firmware of {table.platform} brings or finds its own; leave it out",
                )
            health = HealthPlan(**table.health.model_dump()) if table.health else None
            classes[name] = BoardClass(
                name, table.platform, table.idle_off, health, table.max_ttl, table.loader, table.metadata,
                table.device_tree, disk=table.disk, removable=table.removable,
                grow=table.grow, wipe=table.wipe,
                require_signed=table.require_signed,
            )  # fmt: skip
        boards = {name: self._board(name, table) for name, table in parsed.boards.items()}
        hooks = {name: self._hook(name, table) for name, table in parsed.hooks.items()}
        oidc = OidcPlan(**self._placed(parsed.lab.oidc.model_dump())) if parsed.lab.oidc else None
        upstream = None
        if (images := parsed.images) is not None:
            files = self._placed({"token": images.token, "ca": images.ca})
            upstream = UpstreamPlan(images.upstream, files["token"], files["ca"], images.cache)
        return Inventory(
            parsed.lab.name, text, networks, equipment, classes, boards, hooks, oidc, parsed.lab.keep,
            parsed.lab.keep_traces, parsed.lab.metadata, parsed.lab.image_limit,
            parsed.lab.image_limit_per_person, upstream,
        )  # fmt: skip

    def _hook(self, name: str, table: HookTable) -> HookPlan:
        fault = url_fault(table.url) if table.url else ""
        if fault:
            self._fault(("hooks", name, "url"), f'hook "{name}": {fault}')
        secret = str(self._placed({"secret": table.secret})["secret"])
        return HookPlan(name, table.url, tuple(table.command), tuple(table.kinds), secret)

    def _fault(self, path: tuple[str, ...], text: str) -> None:
        self.faults.append(Fault(text, self._file, self._places.line(path), ".".join(path)))

    def _wrong(self, path: tuple[str, ...], text: str) -> None:
        """Note a wrong value, with the key it stands at."""
        self._fault(path, f"{'.'.join(path)}: {text}")

    def _unknown(self, path: tuple[str, ...], what: str, name: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none yet"
        self._wrong(path, f'there is no {what} "{name}"; known: {names}')

    def _board(self, name: str, table: BoardTable) -> Board:
        path = ("boards", name)
        if table.board_class not in self._names["classes"]:
            self._unknown((*path, "class"), "class", table.board_class, self._names["classes"])
        port = " of ".join(part for part in (table.circuit_id, table.remote_id) if part)
        if not table.all_macs and not port and not self._tells_serial(table):
            self._fault(path, f'board "{name}" has no MAC; add mac = "…" so that it is known when it boots')
        if port:
            self._alone(name, "relay port", port, (*path, "circuit_id" if table.circuit_id else "remote_id"))
        for mac in table.all_macs:
            self._alone(name, "MAC", mac, (*path, "mac" if mac == table.mac else "macs"))
        if table.uuid:
            self._alone(name, "UUID", table.uuid.lower(), (*path, "uuid"))
        if table.serial:
            self._alone(name, "serial", table.serial, (*path, "serial"))
        for wire in table.bootctl:
            if wire.driver in _ON_THE_CONSOLE and table.console is None:
                self._fault(
                    (*path, "bootctl"),
                    f'board "{name}" is to be taken over on its console and has none; add console = {{ … }}',
                )
        network = self._network_of(name, table)
        if table.address is not None:
            self._address(name, table, network)
        return Board(
            name, table.board_class, network, table.all_macs,
            table.uuid.lower() if table.uuid else None, table.serial,
            str(table.address) if table.address else None, table.labels,
            tuple(self._wire(name, "power", wire) for wire in table.power),
            self._wire(name, "console", table.console) if table.console else None,
            self._watts(name, table),
            tuple(self._wire(name, "bootctl", wire) for wire in table.bootctl),
            table.circuit_id, table.remote_id, table.metadata, table.disk,
        )  # fmt: skip

    def _tells_serial(self, table: BoardTable) -> bool:
        """Whether a board is known by its serial number alone: a Raspberry Pi's EEPROM tells it by DHCP."""
        of_class = self._parsed.classes.get(table.board_class)
        return (
            of_class is not None
            and of_class.platform in ("raspberrypi4", "raspberrypi5")
            and serial_digits(table.serial) is not None
        )

    def _watts(self, name: str, table: BoardTable) -> float | None:
        """Return what a board draws; one on equipment with a budget must say it and fit in."""
        of_class = self._parsed.classes.get(table.board_class)
        watts = table.watts if table.watts is not None else of_class.watts if of_class else None
        for wire in table.power:
            unit = self._parsed.equipment.get(wire.equipment or "")
            if unit is None or unit.budget_watts is None:
                continue
            path = ("boards", name, "watts" if table.watts is not None else "power")
            if watts is None and of_class is not None:
                self._fault(
                    path,
                    f'board "{name}" hangs on equipment "{wire.equipment}", which has a budget, and does not '
                    f"say what it draws; add watts to it or to [classes.{table.board_class}]",
                )
            elif watts is not None and watts > unit.budget_watts:
                self._fault(
                    path,
                    f'board "{name}" draws {watts:g} W, more than the {unit.budget_watts:g} W of equipment '
                    f'"{wire.equipment}"; correct one of them',
                )
        return watts

    def _network_of(self, name: str, table: BoardTable) -> str:
        networks = self._names["networks"]
        if table.network is not None:
            if table.network not in networks:
                self._unknown(("boards", name, "network"), "network", table.network, networks)
            return table.network
        if len(networks) != 1:
            which = f"one of {', '.join(networks)}" if networks else "a [networks.NAME] table and its name"
            self._fault(
                ("boards", name), f'board "{name}" does not say on which network it is; add network: {which}'
            )
            return ""
        return next(iter(networks))

    def _address(self, name: str, table: BoardTable, network: str) -> None:
        path = ("boards", name, "address")
        self._alone(name, "address", str(table.address), path)
        known = self._parsed.networks.get(network)
        if known is None or table.address is None:
            return
        if table.address not in known.subnet:
            self._wrong(path, f'address {table.address} is outside network "{network}" ({known.subnet})')
        elif table.address == known.own:
            self._wrong(path, f"address {table.address} is the host's own; give the board another")
        elif table.address in (known.subnet.network_address, known.subnet.broadcast_address):
            self._wrong(path, f"address {table.address} is everybody's on {known.subnet}; give another")

    def _wire(self, board: str, kind: str, wire: WireTable) -> Binding:
        path = ("boards", board, kind)
        params = self._placed(wire.params)
        unit = None
        driver = wire.driver
        if wire.equipment is not None:
            unit = self._parsed.equipment.get(wire.equipment)
            if wire.equipment not in self._names["equipment"]:
                self._unknown(path, "equipment", wire.equipment, self._names["equipment"])
            if unit is None:
                return Binding("", wire.equipment, params)
            driver = driver or unit.driver
            if wire.driver is None and driver not in self._all_drivers:
                return Binding(driver, wire.equipment, params)  # told at the equipment
        if driver is None:
            self._fault(path, f'the {kind} wire of board "{board}" has neither equipment nor driver; add one')
            return Binding("", None, params)
        known = self._drivers[kind]
        if driver not in known:
            self._unknown(path, f"{kind} driver", driver, known)
        elif self._check is not None:
            wrong = self._check(kind, driver, self._placed(unit.params) if unit else {}, params)
            if wrong:
                self._fault(path, f'{kind} wire of board "{board}": {wrong}')
        self._wire_alone(board, kind, wire)
        return Binding(driver, wire.equipment, params)

    def _placed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a driver's keys; a secret's file is looked for beside this one, wherever the server runs."""
        placed: dict[str, Any] = {}
        for key, value in params.items():
            if isinstance(value, dict):
                placed[key] = self._placed(value)
            elif isinstance(value, str) and value.startswith("file:") and value != "file:":
                placed[key] = f"file:{self._base.absolute() / value.removeprefix('file:')}"
            else:
                placed[key] = value
        return placed

    def _wire_alone(self, board: str, kind: str, wire: WireTable) -> None:
        """Two boards on one port: switching one would switch the other."""
        params = {key: str(value) for key, value in wire.params.items()}
        if wire.equipment is None:
            if not {"host", "port"} <= params.keys():
                return  # what makes a wire of its own unique is known to its driver alone
            params = {"host": params["host"], "port": params["port"]}
        end = " ".join(f"{key} {params[key]}" for key in sorted(params))
        through = f' of {self._driver_noun(wire.equipment)} "{wire.equipment}"' if wire.equipment else ""
        # One controller may have a board's power and its console; both are then its only one.
        among = kind if wire.equipment else ""
        self._alone(board, "", f"{end}{through}", ("boards", board, kind), advice="its own port", among=among)

    def _driver_noun(self, equipment: str) -> str:
        return "switch" if "poe" in self._parsed.equipment[equipment].driver else "equipment"

    def _alone(
        self, board: str, what: str, value: str, path: tuple[str, ...], advice: str = "", among: str = ""
    ) -> None:
        """Let only one board have this, among those of one kind."""
        named = f"{what} {value}" if what else value
        owner = self._owners.setdefault((among, what, value.lower()), path)
        if owner == path:
            return
        if owner[1] == board:
            self._fault(path, f'board "{board}" has {named} twice; remove one')
            return
        fix = f"give one of them {advice or f'its own {what}'}"
        self._fault(path, f'board "{board}" and board "{owner[1]}" both use {named}; {fix}')
