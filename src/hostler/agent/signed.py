"""Whether an image may be written: who signed its index, and whom this agent trusts.

The trusted keys are part of the agent, as is whether it writes anything else: what the rack says can ask for
more, never for less. What is checked is the index that is then decoded, byte for byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.agent.work import ImageFaultError, StepError
from hostler.model.chunkindex import ChunkIndex, ChunkIndexError
from hostler.model.signature import (
    MOST_SIGNATURES,
    Signature,
    SignatureError,
    checked_key,
    key_id,
    key_ids,
    signer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostler.model.json import Document

TRUST_FILE = Path("/etc/hostler/trust.json")


class SignatureRefusedError(StepError):
    """The image lacks a signature that this agent takes: sign it, or build an agent that trusts who did."""

    cause = "signature-refused"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose images an agent writes.

    Attributes:
        keys: Public keys, hex.
        required: Whether it writes nothing that none of them signed, whatever its orders say.
    """

    keys: tuple[str, ...] = ()
    required: bool = False

    @classmethod
    def read(cls, path: Path = TRUST_FILE) -> Trust:
        """Read what the agent was built with; without the file it trusts nobody and asks for nothing.

        One that cannot be understood was meant to ask for something: then nothing may be written.
        """
        try:
            document = json.loads(path.read_bytes())
            keys = tuple(checked_key(key) for key in document["keys"])
            return cls(keys, document["require_signed"] is not False)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError):
            return cls(required=True)


NOBODY = Trust()
"""What an agent trusts that was built without a key."""


def proven_index(encoded: bytes, params: Document, trust: Trust, say: Callable[[str], None]) -> ChunkIndex:
    """Return an index that may be written to a disk.

    Args:
        encoded: The index as it came.
        params: The step's: its ``signatures``, and whether its class has ``require_signed``.
        trust: Whom this agent trusts.
        say: Takes a line for the step's log.

    Raises:
        SignatureRefusedError: no key that this agent trusts signed it, and it should have; or one is said to
            have signed it and did not.
        ImageFaultError: it is not an index.
        StepError: the step's signatures cannot be understood.
    """
    signatures = _signatures(params)
    required = params.get("require_signed", False)
    if not isinstance(required, bool):
        raise StepError("the step says neither true nor false for require_signed")
    by = signer(encoded, signatures, trust.keys)
    if by is not None:
        say(f"install: signed by {key_id(by)}")
    elif trust.required or required or any(one.key in trust.keys for one in signatures):
        raise SignatureRefusedError(_why(signatures, trust))
    try:
        return ChunkIndex.decode(encoded)
    except ChunkIndexError as error:
        raise ImageFaultError(str(error)) from error


def _signatures(params: Document) -> list[Signature]:
    told = params.get("signatures") or []
    if not isinstance(told, list) or len(told) > MOST_SIGNATURES:
        raise StepError(f"the step's signatures are not a list of at most {MOST_SIGNATURES}")
    found = []
    for one in told:
        values = one if isinstance(one, dict) else {}
        try:
            found.append(Signature.of(values.get("key"), values.get("signature")))
        except SignatureError as error:
            raise StepError(f"the step's signatures: {error}") from error
    return found


def _why(signatures: Sequence[Signature], trust: Trust) -> str:
    trusts = f"this agent trusts {key_ids(trust.keys)}"
    if not signatures:
        return f"the image is not signed and was not written; {trusts}"
    broken = [one.key for one in signatures if one.key in trust.keys]
    if broken:
        return (
            f"the signature of {key_ids(broken)} does not hold for this image, which was not written: the "
            "image or its signature was changed"
        )
    return f"the image is signed by {key_ids(one.key for one in signatures)} and was not written; {trusts}"
