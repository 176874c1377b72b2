"""Taking in signatures of images, and taking them off again. Private keys never come here.

A signature by a key that some agent trusts proves itself: any member may bring one, and it always has room.
Any other is for who imported the image, or an admin, to bring.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub.access import member_only
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from hostler.hub.image_home import refuse_elsewhere
from hostler.hub.image_sight import event_data, find_image, in_charge
from hostler.model.signature import MOST_SIGNATURES, Signature, SignatureError, key_id, key_ids

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.hub.hub import Hub
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import Principal
    from hostler.hub.state import Draft


def index_file(hub: Hub, by: Principal, name: str) -> Path:
    """Return where the encoded chunk index of an image is: what a signature is made over.

    Raises:
        Refusal: there is no such image, or it has no index.
        UnavailableError: the store has lost it.
    """
    image = _signable(find_image(hub.state, name, by))
    path = hub.images.files.file(image.index)
    if not path.is_file():
        raise UnavailableError(
            f'the store has lost the index of image "{name}"; import it again', kind="store"
        )
    return path


async def sign(hub: Hub, by: Principal, name: str, key: str, value: str) -> ImageRecord:
    """Keep a signature of an image; one of the same key takes the place of the one before.

    Args:
        hub: The lab.
        by: Who brings it: an admin, who imported the image, or any member if some agent trusts the key.
        name: The image.
        key: The public key it holds under, hex.
        value: The signature, hex.

    Raises:
        Refusal: there is no such image, it cannot be signed, who asks may not, or the signature does not
            hold.
    """
    member_only(by, "sign images")
    try:
        signature = Signature.of(key, value)
    except SignatureError as error:
        raise InvalidError(str(error), kind="bad-signature") from error
    index = find_image(hub.state, name, by).index
    path = index_file(hub, by, name)
    encoded = await hub.images.in_thread(path.read_bytes)
    if hashlib.sha256(encoded).hexdigest() != index:
        raise UnavailableError(
            f'the index of image "{name}" is damaged in the store; import it again', kind="store"
        )
    if not await hub.images.in_thread(lambda: signature.holds(encoded)):
        raise InvalidError(
            f'this is no signature by {key_id(key)} of the index of image "{name}" ({index})',
            kind="bad-signature",
        )
    return await hub.change(lambda draft: _add(draft, by, name, index, signature))


def _add(draft: Draft, by: Principal, name: str, index: str, signature: Signature) -> ImageRecord:
    image = find_image(draft, name, by)
    if image.index != index:
        raise ConflictError(f'image "{name}" is another one by now; look at it and sign it again')
    if signature in image.signatures:
        return image
    trusted = {key for agent in draft.agents.values() for key in agent.trusted_keys}
    if signature.key not in trusted and not in_charge(by, image):
        raise ForbiddenError(
            f"no agent trusts {key_id(signature.key)}; only an admin or who imported it may sign image "
            f'"{name}" with such a key'
        )
    others = [one for one in image.signatures if one.key != signature.key]
    if len(others) >= MOST_SIGNATURES:
        idle = next((one for one in others if one.key not in trusted), None)
        if signature.key not in trusted or idle is None:
            raise ConflictError(
                f'image "{name}" has {MOST_SIGNATURES} signatures, and can have no more; take one off first'
            )
        others.remove(idle)
    image = replace(image, signatures=(*others, signature))
    draft.images.put(name, image)
    text = f'{by.name} brought a signature of image "{name}" by {key_id(signature.key)}'
    data = {**event_data(image), "key": signature.key}
    draft.event("image.signed", text, principal=by.name, data=data)
    return image


def unsign(draft: Draft, by: Principal, name: str, key: str) -> ImageRecord:
    """Take a signature off an image.

    Args:
        draft: The lab.
        by: Who asks: an admin, or who imported the image.
        name: The image.
        key: The key that made it, or its id.

    Raises:
        Refusal: who asks may not, or there is no such signature.
    """
    image = find_image(draft, name, by)
    if not in_charge(by, image):
        raise ForbiddenError(f'only an admin or who imported it may take a signature off image "{name}"')
    gone = [one for one in image.signatures if key in (one.key, key_id(one.key))]
    if not gone:
        signers = key_ids(one.key for one in image.signatures)
        raise NotFoundError(
            f'image "{name}" has no signature by {key}; it is signed by {signers}', kind="unknown-signature"
        )
    image = replace(image, signatures=tuple(one for one in image.signatures if one not in gone))
    draft.images.put(name, image)
    text = f'{by.name} took the signature by {key_id(gone[0].key)} off image "{name}"'
    data = {**event_data(image), "key": gone[0].key}
    draft.event("image.unsigned", text, principal=by.name, data=data)
    return image


def _signable(image: ImageRecord) -> ImageRecord:
    if image.netboot is not None:
        raise InvalidError(
            f'image "{image.name}" comes over the network and has no index to sign; only an image of a disk '
            "can be signed",
            kind="not-a-disk-image",
        )
    refuse_elsewhere(image, "ask for its index and its signatures")
    return image
