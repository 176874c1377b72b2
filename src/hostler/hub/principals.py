"""Who asks, and with what right. Tokens are shown once and kept only as hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from hostler.hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from hostler.hub.records import HUB, Principal, Role, Token

if TYPE_CHECKING:
    from hostler.hub.state import Draft, State

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


def digest(token: str) -> str:
    """Return what is kept of a token: it is 32 random bytes, so that a plain hash cannot be searched back."""
    return hashlib.sha256(token.encode()).hexdigest()


def authenticate(state: State, authorization: str | None) -> Principal:
    """Return who sent this ``Authorization`` header; raises UnauthenticatedError."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("send your token as: Authorization: Bearer hst_…", kind="no-token")
    # Looked up by hash: how long that takes tells nothing about any token.
    known = state.tokens.get(digest(token.strip()))
    principal = state.principals.get(known.principal) if known is not None else None
    if principal is None:
        raise UnauthenticatedError(
            "this token is not known; ask an admin for a new one", kind="unknown-token"
        )
    return principal


def admin_only(principal: Principal, what: str) -> None:
    """Raise ForbiddenError unless this is an admin."""
    if not principal.admin:
        raise ForbiddenError(f"only an admin may {what}")


def create(draft: Draft, by: Principal, name: str, role: str) -> tuple[Principal, str]:
    """Make a principal and its token; the token is returned here and never again."""
    admin_only(by, "make principals")
    if not _NAME.fullmatch(name) or name == HUB.name:
        raise InvalidError(f'"{name}" is not a name; use letters, digits, ".", "_", "@" and "-", at most 63')
    if role not in tuple(Role):
        raise InvalidError(f'there is no role "{role}"; roles: {", ".join(Role)}')
    if name in draft.principals:
        raise ConflictError(f'there is a principal "{name}" already')
    principal = Principal(name, Role(role), draft.now)
    token = f"hst_{secrets.token_urlsafe(32)}"
    draft.principals.put(name, principal)
    hashed = digest(token)
    draft.tokens.put(hashed, Token(f"t-{secrets.token_hex(4)}", hashed, name, "first", created=draft.now))
    draft.event("principal.created", f"{by.name} made {role} {name}", principal=by.name)
    return principal, token


def remove(draft: Draft, by: Principal, name: str) -> None:
    """Take a principal and its tokens away; what it holds stays until its time is over."""
    admin_only(by, "remove principals")
    principal = draft.principals.get(name)
    if principal is None:
        raise NotFoundError(f'there is no principal "{name}"', kind="unknown-principal")
    if principal.admin and sum(other.admin for other in draft.principals.values()) == 1:
        raise ConflictError(f'"{name}" is the last admin; make another one first')
    draft.principals.remove(name)
    draft.forget_logins(name)
    draft.event("principal.removed", f"{by.name} removed {name}", principal=by.name)
