"""Which board runs this iPXE, where neither its address nor its DHCP packets tell: its script asks it.

A board whose boot interface is not in the inventory, and whose UUID is unknown or junk, is still known by its
serial number and by the MACs of its other interfaces. Only iPXE can say these, and before anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.identity import is_junk, normal_mac
from hostler.netboot import quoting
from hostler.netboot.dhcp_identity import ADVICE, Sender

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.model.json import Document
    from hostler.netboot.table import BootTable, Target

_INTERFACES = 8
_SERIAL = re.compile(r"[\x20-\x7e]{1,128}\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Told:
    """What an iPXE says of the machine it runs on; what is junk counts as not said.

    Attributes:
        uuid: SMBIOS UUID, lower case, or None.
        serial: SMBIOS serial number, or None.
        macs: Those of its interfaces, lower case with colons.
    """

    uuid: str | None = None
    serial: str | None = None
    macs: tuple[str, ...] = ()

    def to_json(self) -> Document:
        """Return what is known, for the trace."""
        document: Document = {"macs": list(self.macs)}
        return document | {k: v for k, v in (("uuid", self.uuid), ("serial", self.serial)) if v is not None}


def render_question(base: str) -> str:
    """Return the script that has iPXE ask again and say what machine it runs on.

    Args:
        base: URL of the boot listener without a slash at the end.
    """
    macs = "".join(f"&mac{number}=${{net{number}/mac:hexhyp}}" for number in range(_INTERFACES))
    facts = f"uuid=${{uuid}}&serial=${{serial:uristring}}{macs}"
    return "\n".join(
        (
            "#!ipxe",
            ":ask",
            f"chain --autofree --replace {quoting.url(base)}/boot/ipxe?{facts} ||",
            "sleep 5 ||",
            "goto ask",
            "",
        )
    )


def told(query: Mapping[str, str]) -> Told | None:
    """Read the answer; None: it was not asked yet. Whatever is not as iPXE writes it was not said."""
    if "uuid" not in query:
        return None
    uuid, serial = query["uuid"].strip().lower(), query.get("serial", "").strip()
    macs = []
    for number in range(_INTERFACES):
        try:
            macs.append(normal_mac(query.get(f"mac{number}", "")))
        except ValueError:
            continue  # it has no such interface
    return Told(
        uuid if _UUID.match(uuid) and not is_junk(uuid) else None,
        serial if _SERIAL.match(serial) and not is_junk(serial) else None,
        tuple(dict.fromkeys(macs)),
    )


def board_of(table: BootTable, says: Told) -> Sender:
    """Return the board that has these facts; a conflict if they belong to several, nobody if to none."""
    hits: list[tuple[str, Target]] = [(f"MAC {mac}", found) for mac in says.macs if (found := table.own(mac))]
    if says.uuid and (by_uuid := table.by_uuid(says.uuid)) is not None:
        hits.append((f"UUID {says.uuid}", by_uuid))
    if says.serial:
        hits += [(f"serial {says.serial}", target) for target in _with_serial(table.boards(), says.serial)]
    boards = {target.board: target for _, target in hits}
    if len(boards) > 1:
        which = "; ".join(f"{fact} belongs to {target.board}" for fact, target in hits)
        return Sender(None, f"its facts belong to different boards: {which}; {ADVICE}")
    return Sender(next(iter(boards.values()), None))


def _with_serial(targets: Iterable[Target], serial: str) -> list[Target]:
    wanted = serial.lower()
    return [target for target in targets if target.serial and target.serial.strip().lower() == wanted]
