"""Public ssh keys that log a principal in, and proof that somebody has the other half."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.records import Principal, SshKey

if TYPE_CHECKING:
    import asyncssh

    from hostler.hub.state import Draft, State

NAMESPACE = "hostler-login"
"""What signatures are made for (``ssh-keygen -Y sign -n``): one made for anything else logs nobody in."""
RSA_BITS = 2048
"""Shorter ones can be factored with the means of a large organisation (NIST SP 800-57 part 1, table 2)."""
MOST = 100
"""Keys a principal may have."""
_LONGEST = 16384
_KINDS = frozenset(
    {
        "ssh-ed25519", "ssh-ed448", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)  # fmt: skip


def parse(text: str) -> tuple[str, str, str]:
    """Read one line as in ``id_ed25519.pub``; returns fingerprint, key without comment, and comment.

    Raises:
        InvalidError: it is no public key, or one too weak to log in with.
    """
    words = text.strip().split(None, 2)
    if "\n" in text.strip() or len(words) < 2 or len(text) > _LONGEST:
        raise _malformed("it must be one line such as: ssh-ed25519 AAAA… name")
    kind, blob, comment = words[0], words[1], words[2] if len(words) > 2 else ""
    if kind == "ssh-dss":
        raise InvalidError("DSA keys are too weak; make one with: ssh-keygen -t ed25519", kind="weak-key")
    if kind not in _KINDS:
        raise _malformed(f'"{kind[:40]}" is no kind of key; kinds: {", ".join(sorted(_KINDS))}')
    key = _read(f"{kind} {blob}")
    if key.get_algorithm() != kind:
        raise _malformed(f"it says {kind}, but is {key.get_algorithm()}")
    bits = getattr(key.pyca_key, "key_size", None)
    if kind == "ssh-rsa" and isinstance(bits, int) and bits < RSA_BITS:
        raise InvalidError(
            f"an RSA key of {bits} bits is too weak; make one with: ssh-keygen -t ed25519", kind="weak-key"
        )
    exported = key.export_public_key().decode().split()
    return key.get_fingerprint(), f"{exported[0]} {exported[1]}", comment


def _read(line: str) -> asyncssh.SSHKey:
    # Loaded when the first key comes: it takes longer than the rest of the hub together.
    import asyncssh

    try:
        return asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError, binascii.Error, OverflowError) as error:
        raise _malformed(str(error)) from None


def _malformed(why: str) -> InvalidError:
    return InvalidError(f"this is not a public ssh key: {why}", kind="bad-key")


def add(draft: Draft, by: Principal, owner: str, text: str, name: str = "") -> SshKey:
    """Register a public key for oneself, or as an admin for somebody else.

    Raises:
        InvalidError: it is malformed or too weak.
        ConflictError: the key is somebody's already.
        ForbiddenError: it is for somebody else, or the token at hand may do less than its owner.
    """
    _whole(draft, by, owner)
    if owner not in draft.principals:
        raise NotFoundError(f'there is no principal "{owner}"', kind="unknown-principal")
    fingerprint, key, comment = parse(text)
    name = name or comment[:100]
    if len(name) > 100 or not name.isprintable():
        raise InvalidError("a key's name is one line of at most 100 signs")
    known = draft.keys.get(fingerprint)
    if known is not None:
        whose = "yours" if known.principal == by.name else "somebody's"
        raise ConflictError(
            f"key {fingerprint} is {whose} already; a key logs one principal in", kind="known-key"
        )
    if sum(other.principal == owner for other in draft.keys.values()) >= MOST:
        raise ConflictError(f"{owner} has {MOST} keys; remove some first")
    added = SshKey(fingerprint, key, owner, name, draft.now)
    draft.keys.put(fingerprint, added)
    whose = "" if by.name == owner else f" for {owner}"
    draft.event(
        "key.added", f"{by.name} registered ssh key {fingerprint}{whose}", principal=by.name,
        data={"fingerprint": fingerprint, "of": owner},
    )  # fmt: skip
    return added


def remove(draft: Draft, by: Principal, wanted: str) -> SshKey:
    """Take a key away by its fingerprint, or one of one's own by its name.

    Raises:
        NotFoundError: there is none that this principal may see.
        ConflictError: the name is not unique.
    """
    known = [key for key in draft.keys.values() if by.admin or key.principal == by.name]
    found = [key for key in known if key.fingerprint == wanted]
    found = found or [key for key in known if key.principal == by.name and key.name == wanted]
    if len(found) > 1:
        prints = ", ".join(sorted(key.fingerprint for key in found))
        raise ConflictError(f'several of your keys are named "{wanted}": {prints}; use the fingerprint')
    if not found:
        raise NotFoundError(f'there is no ssh key "{wanted}"', kind="unknown-key")
    key = found[0]
    _whole(draft, by, key.principal)
    draft.keys.remove(key.fingerprint)
    draft.event(
        "key.removed", f"{by.name} removed ssh key {key.fingerprint}", principal=by.name,
        data={"fingerprint": key.fingerprint, "of": key.principal},
    )  # fmt: skip
    return key


def principal_of(state: State, fingerprint: str) -> Principal | None:
    """Return who a key logs in; None: nobody, or somebody who is shut out."""
    key = state.keys.get(fingerprint)
    principal = state.principals.get(key.principal) if key is not None else None
    return None if principal is None or principal.disabled else principal


def signed(key: str, message: bytes, signature: str) -> bool:
    """Tell whether an armoured SSHSIG over a message, made for this namespace, is of a key.

    The format is OpenSSH's PROTOCOL.sshsig; ``ssh-keygen -Y sign`` makes it.
    """
    import asyncssh
    from asyncssh.sshsig import SSHAllowedSigners  # not named by the package for type checkers

    signers = SSHAllowedSigners(f'login namespaces="{NAMESPACE}" {key}\n')
    armoured = signature.strip().replace("\r\n", "\n").encode() + b"\n"
    try:
        return asyncssh.validate_sshsig(message, armoured, "login", signers)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError):  # nobody's signature looks like that
        return False


def _whole(draft: Draft, by: Principal, owner: str) -> None:
    """Raise ForbiddenError unless this principal may say how another one logs in.

    A key logs in without any limit, so that nobody gets further by one than by the token at hand.
    """
    if owner != by.name and not by.admin:
        raise ForbiddenError("only an admin may register and remove the keys of others")
    kept = draft.principals.get(by.name)
    if kept is not None and (by.role is not kept.role or by.only is not None or by.projects != kept.projects):
        raise ForbiddenError(
            "your token may do less than you; log in with all your rights to change your keys"
        )
