"""What somebody wants a disk image to be told before its first boot, made into what the agent tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hostler.hub.errors import InvalidError
from hostler.hub.templates import hostname as hostname_of
from hostler.model.first_boot import FirstBoot, FirstBootError, Way

if TYPE_CHECKING:
    from hostler.hub.records import BoardRecord, Principal
    from hostler.hub.state import Draft


@dataclass(frozen=True, slots=True)
class FirstBootWish:
    """A wish as it came.

    Attributes:
        hostname: The system's name; empty: the board's; None: the image's own.
        own_keys: Whether the ssh keys of the board's holder are to be let in.
        ssh_keys: Further ones.
        user: Whose account; empty: cloud-init's default user, or root.
        files: Texts by absolute path.
        network: Network configuration in cloud-init's version 2, or None.
        way: How it is told.
    """

    hostname: str | None = None
    own_keys: bool = False
    ssh_keys: tuple[str, ...] = ()
    user: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    network: Mapping[str, Any] | None = None
    way: Way = Way.AUTO


def first_boot(draft: Draft, record: BoardRecord, holder: Principal, wish: FirstBootWish) -> FirstBoot:
    """Return what the board's system is to be told; raises InvalidError naming what cannot be meant.

    Args:
        draft: The lab.
        record: The board.
        holder: Who asks; the holder of the board's claim goes before.
        wish: What was asked for.
    """
    claim = draft.claims.get(record.claim) if record.claim else None
    user = claim.principal if claim is not None else holder.name
    own = sorted(key.key for key in draft.keys.values() if key.principal == user) if wish.own_keys else []
    if wish.own_keys and not own:
        raise InvalidError(
            f"{user} has no ssh key here; add one with: hostler key add FILE", kind="no-ssh-key"
        )
    try:
        return FirstBoot(
            hostname=hostname_of(record.name) if wish.hostname == "" else wish.hostname or "",
            ssh_keys=tuple(dict.fromkeys((*own, *wish.ssh_keys))),
            user=wish.user,
            files=dict(wish.files),
            network=wish.network,
            way=wish.way,
        )
    except FirstBootError as error:
        raise InvalidError(str(error), kind="bad-first-boot") from error
