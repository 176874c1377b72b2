"""Tokens: made, shown once, narrowed, used up, revoked. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import access, projects
from hostler.hub.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from hostler.hub.records import Principal, Role, Token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostler.hub.state import Draft, State

MAX_SECONDS = 10 * 366 * 86400.0
"""Longest life of a token that has an end; longer is a slip of the pen."""
KEPT_SECONDS = 30 * 86400.0
"""How long one that has ended is kept, so that who still shows it is told what became of it."""
NOTE_SECONDS = 3600.0
"""How exactly the last use is known: finer would cost a write for each request."""
MOST = 200
"""Tokens a principal may have at once."""
_NAME_LENGTH = 100


def digest(token: str) -> str:
    """Return what is kept of a token: it is 32 random bytes, so that a plain hash cannot be searched back."""
    return hashlib.sha256(token.encode()).hexdigest()


def mint(
    draft: Draft, owner: Principal, *, name: str = "", expires: float | None = None, role: str | None = None,
    project: str | None = None, once: bool = False, by: Principal | None = None,
) -> tuple[Token, str]:  # fmt: skip
    """Make a token and return it with its text, which is shown now and never again.

    Args:
        draft: Where it is made.
        owner: Whose it is to be.
        name: What it is for, in its owner's words.
        expires: Unix time it ends; None: never.
        role: The most it may do; None: whatever its owner may.
        project: The only project it may act for; None: every one of its owner's.
        once: Whether its first use is its last.
        by: Who asks for it; None: its owner. Somebody who came with a narrowed token gets none that is wider.

    Raises:
        NotFoundError: there is no such principal.
        ForbiddenError: it is for somebody else and no admin asks, or it would be wider than allowed.
        InvalidError: the role is unknown, the end is past, or the name is too long.
        ConflictError: its owner has too many.
    """
    by = by or owner
    kept = draft.principals.get(owner.name)
    if by.name != owner.name and not by.admin:
        raise ForbiddenError("only an admin may make tokens for others")
    if kept is None:
        raise NotFoundError(f'there is no principal "{owner.name}"', kind="unknown-principal")
    if role is not None and role not in tuple(Role):
        raise InvalidError(f'there is no role "{role}"; roles: {", ".join(Role)}')
    if len(name) > _NAME_LENGTH or not (name.isprintable()):
        raise InvalidError(f"a token's name is one line of at most {_NAME_LENGTH} signs")
    _check_end(draft.now, expires)
    if project is not None:
        projects.find(draft, project)
        access.narrowed(kept, None, project)  # refuses who does not belong to it
    cap, only = _within(draft, by, Role(role) if role else None, project)
    own = [
        token for token in draft.tokens.values() if token.principal == kept.name and alive(token, draft.now)
    ]
    if len(own) >= MOST:
        raise ConflictError(f"{kept.name} has {MOST} tokens; revoke some first")
    text = f"hst_{secrets.token_urlsafe(32)}"
    hashed = digest(text)
    token = Token(f"t-{secrets.token_hex(4)}", hashed, kept.name, name, cap, only, once, draft.now, expires)
    draft.tokens.put(hashed, token)
    whose = "" if by.name == kept.name else f" for {kept.name}"
    draft.event(
        "token.created", f"{by.name} made token {token.id}{whose}", principal=by.name,
        data={"token": token.id, "of": kept.name, "expires": expires, "role": cap, "project": only},
    )  # fmt: skip
    return token, text


def _check_end(now: float, expires: float | None) -> None:
    if expires is not None and expires <= now:
        raise InvalidError("the token would have ended already; choose an end that lies ahead")
    if expires is not None and expires > now + MAX_SECONDS:
        raise InvalidError(f"a token lasts {MAX_SECONDS / 86400:g} days at most, or has no end")


def _within(
    draft: Draft, by: Principal, role: Role | None, project: str | None
) -> tuple[Role | None, str | None]:
    """Return role and project of a new token, no wider than those of the token it was asked for with."""
    shown = find(draft.tokens.values(), by.token) if by.token else None
    if shown is None:
        return role, project
    if shown.project is not None and project not in (None, shown.project):
        raise ForbiddenError(f'your token is for project "{shown.project}" only, and can make no other')
    cap = shown.role if role is None or shown.role is None else access.weaker(role, shown.role)
    return (role if shown.role is None else cap), project or shown.project


def find(known: Iterable[Token], token_id: str) -> Token | None:
    """Return a token by its id."""
    return next((token for token in known if token.id == token_id), None)


def alive(token: Token, now: float) -> bool:
    """Tell whether a token may still be shown."""
    return token.ended is None and (token.expires is None or now < token.expires)


def revoke(draft: Draft, by: Principal, key: str) -> Token:
    """End a token by its id, or one of one's own by its name; ending one that has ended changes nothing.

    Raises:
        NotFoundError: there is none that this principal may see.
        ConflictError: the name is not unique; the text gives the ids.
        ForbiddenError: it may do more than the token at hand: who got hold of that shuts nobody else out.
    """
    known = [token for token in draft.tokens.values() if by.admin or token.principal == by.name]
    token = find(known, key)
    if token is None:
        named = [t for t in known if t.principal == by.name and t.name == key and alive(t, draft.now)]
        if len(named) > 1:
            raise ConflictError(
                f'several of your tokens are named "{key}": {", ".join(t.id for t in named)}; use the id'
            )
        token = named[0] if named else None
    if token is None:
        raise NotFoundError(f'there is no token "{key}"', kind="unknown-token")
    shown = find(draft.tokens.values(), by.token) if by.token else None
    if shown is not None and _wider(token, shown):
        raise ForbiddenError(f"token {token.id} may do more than yours, which cannot end it")
    if token.ended is None:
        token = replace(token, ended=draft.now, why="revoked")
        draft.tokens.put(token.hash, token)
        data = {"token": token.id, "of": token.principal}
        draft.event("token.revoked", f"{by.name} revoked token {token.id}", principal=by.name, data=data)
    return token


def _wider(token: Token, than: Token) -> bool:
    most, own = than.role or Role.ADMIN, token.role or Role.ADMIN
    return access.weaker(own, most) is not own or than.project not in (None, token.project)


def spend(draft: Draft, hashed: str) -> None:
    """Use up a token that is good for one use.

    Raises:
        UnauthenticatedError: somebody was faster.
    """
    token = draft.tokens.get(hashed)
    if token is None or token.ended is not None:
        raise UnauthenticatedError("this token was good for one use, which it has had", kind="used-token")
    draft.tokens.put(hashed, replace(token, ended=draft.now, why="used", used=draft.now))
    text = f"{token.principal} used up token {token.id}"
    draft.event("token.used", text, principal=token.principal, data={"token": token.id})


def note_uses(draft: Draft, uses: dict[str, float]) -> None:
    """Write down when tokens were last used, to the hour."""
    for hashed, at in uses.items():
        token = draft.tokens.get(hashed)
        if token is not None:
            draft.tokens.put(hashed, replace(token, used=at - at % NOTE_SECONDS))


def forget_ended(draft: Draft) -> None:
    """Drop the tokens that ended long ago."""
    for token in list(draft.tokens.values()):
        end = token.ended if token.ended is not None else token.expires
        if end is not None and end + KEPT_SECONDS < draft.now:
            draft.tokens.remove(token.hash)


def shown(state: State, authorization: str | None, now: float) -> tuple[Token, Principal]:
    """Return the token of an ``Authorization`` header and whose it is.

    Whoever shows a token that ended knows it, so that saying why it is refused tells nobody anything new.

    Raises:
        UnauthenticatedError: there is none, or it is not or no longer good.
    """
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise UnauthenticatedError("send your token as: Authorization: Bearer hst_…", kind="no-token")
    # Looked up by hash: how long that takes tells nothing about any token.
    token = state.tokens.get(digest(text.strip()))
    owner = state.principals.get(token.principal) if token is not None else None
    if token is None or owner is None:
        raise UnauthenticatedError(
            "this token is not known; ask an admin for a new one", kind="unknown-token"
        )
    if token.ended is not None:
        said = "was revoked" if token.why == "revoked" else "was good for one use, which it has had"
        raise UnauthenticatedError(f"this token {said}; log in again", kind=f"{token.why}-token")
    if token.expires is not None and token.expires <= now:
        raise UnauthenticatedError("this token has expired; log in again", kind="expired-token")
    if owner.disabled:
        raise UnauthenticatedError(f"{owner.name} is disabled; ask an admin", kind="disabled")
    return token, owner


def bearer(owner: Principal, token: Token) -> Principal:
    """Return a principal as far as a token lets it act.

    Raises:
        UnauthenticatedError: the token is for a project its owner belongs to no more.
    """
    if token.role is None and token.project is None:
        return replace(owner, token=token.id)
    try:
        return replace(access.narrowed(owner, token.role, token.project), token=token.id)
    except ForbiddenError as error:
        raise UnauthenticatedError(
            f"this token is of no use any more: {error}", kind="lost-project"
        ) from None
