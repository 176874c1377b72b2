"""Hooks: added, taken away, and kept in step with ``lab.toml``."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.records import HUB, Hook
from hostler.model.event_kinds import check_pattern, matches

if TYPE_CHECKING:
    from hostler.hub.inventory import Inventory
    from hostler.hub.records import Event, Principal
    from hostler.hub.state import Draft, State

MOST = 100
"""Hooks there may be: each follows every event there is."""


def add(draft: Draft, by: Principal, url: str, kinds: tuple[str, ...], secret: str = "") -> Hook:
    """Have events posted to an address from now on.

    Commands are not to be had this way: who may use the API may not run programs on the server.

    Raises:
        ForbiddenError: ``by`` is no admin.
        InvalidError: the address, a pattern or the reference to the secret is malformed.
        ConflictError: there are too many.
    """
    _admin_only(by)
    problem = url_fault(url) or secret_fault(secret)
    if problem:
        raise InvalidError(problem)
    try:
        kinds = tuple(check_pattern(kind) for kind in kinds)
    except ValueError as error:
        raise InvalidError(str(error)) from None
    if sum(1 for _ in draft.hooks.values()) >= MOST:
        raise ConflictError(f"there are {MOST} hooks already; remove one first")
    hook = Hook(f"h-{secrets.token_hex(4)}", url, (), kinds, secret, by.name, draft.now, draft.last_event)
    draft.hooks.put(hook.id, hook)
    draft.event(
        "hook.added", f"{by.name} has events told to {_host(url)}", principal=by.name, data={"hook": hook.id}
    )
    return hook


def remove(draft: Draft, by: Principal, hook_id: str) -> None:
    """Tell a hook nothing more; one of ``lab.toml`` is taken out there."""
    _admin_only(by)
    hook = draft.hooks.get(hook_id)
    if hook is None:
        raise NotFoundError(f'there is no hook "{hook_id}"', kind="unknown-hook")
    if hook_id in draft.inventory.hooks:
        raise ConflictError(f'hook "{hook_id}" stands in lab.toml; take it out there')
    draft.hooks.remove(hook_id)
    draft.event(
        "hook.removed", f'{by.name} removed hook "{hook_id}"', principal=by.name, data={"hook": hook_id}
    )


def apply(draft: Draft, by: Principal, new: Inventory) -> None:
    """Let there be the hooks of this inventory; what one was told already it is not told again.

    Raises:
        ForbiddenError: it brings a command that is not in force, and was not read from the server's own file.
    """
    before = {name: plan.command for name, plan in draft.inventory.hooks.items()}
    for name, plan in new.hooks.items():
        if plan.command and by != HUB and before.get(name) != plan.command:
            raise ForbiddenError(
                f"[hooks.{name}] runs a command on the server; such a hook is taken only from the lab.toml "
                "that the server was started with (hostler serve --config)"
            )
    for name in draft.inventory.hooks.keys() - new.hooks.keys():
        draft.hooks.remove(name)
    for name, plan in new.hooks.items():
        known = draft.hooks.get(name)
        if known is None:
            known = Hook(name, "", (), (), "", by.name, draft.now, draft.last_event)
        hook = replace(known, url=plan.url, command=plan.command, kinds=plan.kinds, secret=plan.secret)
        draft.hooks.put(name, hook)


def find(state: State, hook_id: str) -> Hook:
    """Return a hook; raises NotFoundError naming those there are."""
    hook = state.hooks.get(hook_id)
    if hook is None:
        known = ", ".join(sorted(state.hooks)) or "none"
        raise NotFoundError(f'there is no hook "{hook_id}"; hooks: {known}', kind="unknown-hook")
    return hook


def wanted(hook: Hook, event: Event) -> bool:
    """Tell whether a hook is to be told of an event; of its own troubles it is not."""
    if event.data.get("hook") == hook.id:
        return False
    return matches(event.kind, hook.kinds) if hook.kinds else not event.trace


def url_fault(url: str) -> str:
    """Return what is wrong with the address of a hook, or an empty text."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"the address of a hook is malformed: {error}"
    if parts.scheme not in ("http", "https") or not host or any(sign <= " " for sign in url):
        return "the address of a hook begins with http:// or https:// and names a host"
    return ""


def secret_fault(reference: str) -> str:
    """Return what is wrong with a reference to a secret, or an empty text."""
    kind, _, name = reference.partition(":")
    if reference and (kind not in ("env", "file") or not name):
        return 'the secret of a hook is said by "env:NAME" or "file:PATH", never by what it is'
    return ""


def _admin_only(by: Principal) -> None:
    if not by.admin:
        raise ForbiddenError("only an admin may have events told elsewhere")


def _host(url: str) -> str:
    """Return the host: the rest of the address of a webhook often is its secret."""
    return urlsplit(url).hostname or url
