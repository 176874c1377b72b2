"""Which images a board may be given for their signatures, as far as the hub can tell.

The agent is the one that decides (``agent/signed.py``): this refuses early, and says what to do, where it
would refuse on the board.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.errors import ConflictError
from hostler.model.signature import key_ids

if TYPE_CHECKING:
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import Agent
    from hostler.model.board import BoardClass
    from hostler.model.json import Document


def refuse_unsigned(image: ImageRecord, board_class: BoardClass, arch: str, agent: Agent | None) -> None:
    """Raise ConflictError when boards of a class take signed images only, and this is none for them.

    Args:
        image: What is to be brought to one.
        board_class: Their class.
        arch: Their architecture.
        agent: The agent they run, or None: there is none yet.
    """
    if board_class.require_signed:
        who = f'class "{board_class.name}" takes signed images only'
    elif agent is not None and agent.require_signed:
        who = f"the agent for {arch} writes signed images only"
    else:
        return
    if image.netboot is not None:
        raise _refused(
            f'{who}, and image "{image.name}" comes over the network, where nothing checks a signature; '
            "take an image of a disk"
        )
    trusted = agent.trusted_keys if agent is not None else ()
    if not trusted:
        raise _refused(
            f"{who}, and the agent for {arch} trusts nobody; an admin builds one that does: "
            f"hostler agent build --arch {arch} --trust FILE.pub"
        )
    if not image.signatures:
        raise _refused(
            f'{who}, and image "{image.name}" is not signed; sign it: '
            f"hostler image sign {image.name} --key FILE"
        )
    if not any(one.key in trusted for one in image.signatures):
        raise _refused(
            f'{who}; image "{image.name}" is signed by {key_ids(one.key for one in image.signatures)}, but '
            f"the agent for {arch} trusts {key_ids(trusted)}"
        )


def told_of(image: ImageRecord, board_class: BoardClass) -> Document:
    """Return what an order to install an image tells the agent of its signatures."""
    told: Document = {}
    if image.signatures:
        told["signatures"] = [{"key": one.key, "signature": one.value} for one in image.signatures]
    if board_class.require_signed:
        told["require_signed"] = True
    return told


def _refused(text: str) -> ConflictError:
    return ConflictError(text, kind="not-signed")
