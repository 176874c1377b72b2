"""Who asks: people and machines, let in, given a role, shut out, removed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import tokens
from hostler.hub.access import admin_only
from hostler.hub.errors import ConflictError, InvalidError, NotFoundError
from hostler.hub.records import HUB, Principal, Role

if TYPE_CHECKING:
    from hostler.hub.state import Draft

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


def create(draft: Draft, by: Principal, name: str, role: str) -> tuple[Principal, str]:
    """Make a principal and its first token, which is returned here and never again; raises as ``let_in``."""
    principal = let_in(draft, by, name, role)
    _, token = tokens.mint(draft, principal, name="first", by=by)
    return principal, token


def let_in(draft: Draft, by: Principal, name: str, role: str, *, subject: str = "") -> Principal:
    """Make a principal; ``subject``: who vouches for it elsewhere.

    Raises:
        InvalidError: the name or the role is none.
        ConflictError: there is one of that name.
    """
    admin_only(by, "make principals")
    if not _NAME.fullmatch(name) or name == HUB.name:
        raise InvalidError(f'"{name}" is not a name; use letters, digits, ".", "_", "@" and "-", at most 63')
    if role not in tuple(Role):
        raise InvalidError(f'there is no role "{role}"; roles: {", ".join(Role)}')
    if name in draft.principals:
        raise ConflictError(f'there is a principal "{name}" already')
    principal = Principal(name, Role(role), draft.now, subject=subject)
    draft.principals.put(name, principal)
    data = {"of": name, "role": role}
    draft.event("principal.created", f"{by.name} made {role} {name}", principal=by.name, data=data)
    return principal


def find(draft: Draft, name: str) -> Principal:
    """Return a principal; raises NotFoundError."""
    principal = draft.principals.get(name)
    if principal is None:
        raise NotFoundError(f'there is no principal "{name}"', kind="unknown-principal")
    return principal


def change(
    draft: Draft, by: Principal, name: str, *, role: str | None = None, disabled: bool | None = None
) -> Principal:
    """Give a principal another role in the lab, shut it out, or let it in again; what is None stays.

    Raises:
        InvalidError: there is no such role.
        ConflictError: nobody would be left who is an admin.
    """
    admin_only(by, "change principals")
    before = find(draft, name)
    if role is not None and role not in tuple(Role):
        raise InvalidError(f'there is no role "{role}"; roles: {", ".join(Role)}')
    after = replace(
        before,
        role=before.role if role is None else Role(role),
        disabled=before.disabled if disabled is None else disabled,
    )
    if after == before:
        return before
    if not after.admin or after.disabled:
        _keep_an_admin(draft, before)
    draft.principals.put(name, after)
    if after.role is not before.role:
        draft.event(
            "principal.role", f"{by.name} made {name} {after.role}", principal=by.name,
            data={"of": name, "role": after.role},
        )  # fmt: skip
    if after.disabled != before.disabled:
        kind, done = ("disabled", "shut out") if after.disabled else ("enabled", "let in again")
        data = {"of": name}
        draft.event(f"principal.{kind}", f"{by.name} {done} {name}", principal=by.name, data=data)
    return after


def link(draft: Draft, by: Principal, name: str, subject: str) -> Principal:
    """Say who vouches for a principal elsewhere; empty: nobody any more.

    Raises:
        ConflictError: somebody else is linked with that.
    """
    admin_only(by, "link principals")
    before = find(draft, name)
    other = next((one for one in draft.principals.values() if subject and one.subject == subject), None)
    if other is not None and other.name != name:
        raise ConflictError(f"{other.name} is linked with that already")
    if before.subject == subject:
        return before
    after = replace(before, subject=subject)
    draft.principals.put(name, after)
    draft.event(
        "principal.linked", f"{by.name} linked {name} with {subject or 'nobody'}", principal=by.name,
        data={"of": name, "subject": subject},
    )  # fmt: skip
    return after


def remove(draft: Draft, by: Principal, name: str) -> None:
    """Take a principal, its tokens and its keys away; what it holds stays until its time is over.

    Raises:
        ConflictError: nobody would be left who is an admin.
    """
    admin_only(by, "remove principals")
    _keep_an_admin(draft, find(draft, name))
    draft.principals.remove(name)
    draft.forget_logins(name)
    draft.event("principal.removed", f"{by.name} removed {name}", principal=by.name, data={"of": name})


def renew_admin(draft: Draft) -> str:
    """Make a new token for an admin of a lab whose tokens were lost; an admin is made if there is none.

    For whoever owns the host: nobody else can ask for it.
    """
    admins = [one for one in draft.principals.values() if one.admin]
    chosen = next((one for one in admins if one.name == "admin"), None) or min(
        admins, key=lambda one: (one.disabled, one.created, one.name), default=None
    )
    if chosen is None:
        name = "admin" if "admin" not in draft.principals else f"admin-{int(draft.now)}"
        _, token = create(draft, HUB, name, Role.ADMIN)
        return token
    if chosen.disabled:
        chosen = change(draft, HUB, chosen.name, disabled=False)
    _, token = tokens.mint(draft, chosen, name="made on the host", by=HUB)
    return token


def _keep_an_admin(draft: Draft, principal: Principal) -> None:
    """Raise ConflictError when this is the last admin who can still get in."""
    if principal.admin and not principal.disabled:
        others = (one for one in draft.principals.values() if one.name != principal.name)
        if not any(one.admin and not one.disabled for one in others):
            raise ConflictError(
                f'"{principal.name}" is the last admin; make another one first', kind="last-admin"
            )
