"""Who may do what: principals, projects, tokens, ssh keys."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hostler.api import session
from hostler.api.access_documents import (
    KeyRequest,
    LinkRequest,
    MeDocument,
    MemberRequest,
    PrincipalChange,
    PrincipalDocument,
    PrincipalRequest,
    ProjectChange,
    ProjectDocument,
    ProjectRequest,
    SshKeyDocument,
    TokenDocument,
    TokenRequest,
    key_document,
    memberships,
    principal_document,
    project_document,
    token_document,
    unix,
)
from hostler.api.gate import Caller, TheHub
from hostler.hub import access, principals, projects, ssh_keys, tokens
from hostler.hub.errors import ForbiddenError, NotFoundError
from hostler.hub.hub import Hub
from hostler.hub.records import Principal
from hostler.hub.state import Draft

router = APIRouter()


@router.get("/me")
async def get_me(hub: TheHub, caller: Caller) -> MeDocument:
    """Return who the token belongs to, and what it lets them do."""
    token = tokens.find(hub.state.tokens.values(), caller.token) if caller.token else None
    return MeDocument(
        name=caller.name,
        role=caller.role,
        projects=memberships(caller),
        login=token_document(token, hub.now()) if token else None,
    )


@router.delete("/me/tokens/current", status_code=204)
async def revoke_current_token(hub: TheHub, caller: Caller, request: Request, response: Response) -> None:
    """End the token this is asked with; a browser forgets its cookie, too."""
    session.end(response, request.scope)
    if caller.token:
        await hub.change(lambda draft: tokens.revoke(draft, caller, caller.token))


# Principals


@router.get("/principals")
async def list_principals(hub: TheHub, caller: Caller) -> list[PrincipalDocument]:
    """List who may ask: all for an admin, else those one shares a project with."""
    everybody = sorted(hub.state.principals.values(), key=lambda one: one.name)
    return [principal_document(one) for one in everybody if access.may_know(caller, one)]


@router.post("/principals", status_code=201)
async def create_principal(hub: TheHub, caller: Caller, body: PrincipalRequest) -> PrincipalDocument:
    """Let somebody in (admin); the answer has the token, which is never shown again."""
    principal, token = await hub.create_principal(caller, body.name, body.role)
    return principal_document(principal, token)


@router.get("/principals/{name}")
async def get_principal(hub: TheHub, caller: Caller, name: str) -> PrincipalDocument:
    """Return somebody one shares a project with, or anybody for an admin."""
    principal = hub.state.principals.get(name)
    if principal is None or not access.may_know(caller, principal):
        raise NotFoundError(f'there is no principal "{name}" that you know', kind="unknown-principal")
    return principal_document(principal)


@router.patch("/principals/{name}")
async def change_principal(
    hub: TheHub, caller: Caller, name: str, body: PrincipalChange
) -> PrincipalDocument:
    """Give somebody another role in the lab, shut them out or let them in again (admin)."""
    role, disabled = body.role, body.disabled
    changed = await hub.change(
        lambda draft: principals.change(draft, caller, name, role=role, disabled=disabled)
    )
    return principal_document(changed)


@router.put("/principals/{name}/link")
async def link_principal(hub: TheHub, caller: Caller, name: str, body: LinkRequest) -> PrincipalDocument:
    """Say who somebody is at the lab's OpenID Connect provider (admin)."""
    access.admin_only(caller, "link principals")
    subject = hub.logins.oidc.plan.subject(body.sub) if body.sub else ""
    return principal_document(await hub.change(lambda draft: principals.link(draft, caller, name, subject)))


@router.delete("/principals/{name}", status_code=204)
async def remove_principal(hub: TheHub, caller: Caller, name: str) -> None:
    """Let somebody in no more (admin); what they hold stays theirs until its time is over."""
    await hub.remove_principal(caller, name)


# Projects


@router.get("/projects")
async def list_projects(hub: TheHub, caller: Caller) -> list[ProjectDocument]:
    """List the projects: all for an admin, else one's own."""
    mine = (one for one in projects.every(hub.state) if access.role_in(caller, one.name) is not None)
    return [project_document(hub, project) for project in mine]


@router.post("/projects", status_code=201)
async def create_project(hub: TheHub, caller: Caller, body: ProjectRequest) -> ProjectDocument:
    """Make a project (admin)."""
    terms = body.model_dump()
    return project_document(hub, await hub.change(lambda draft: projects.add(draft, caller, **terms)))


@router.get("/projects/{name}")
async def get_project(hub: TheHub, caller: Caller, name: str) -> ProjectDocument:
    """Return a project one belongs to, or any for an admin."""
    if access.role_in(caller, name) is None:
        raise NotFoundError(f'there is no project "{name}" of yours', kind="unknown-project")
    return project_document(hub, projects.find(hub.state, name))


@router.patch("/projects/{name}")
async def change_project(hub: TheHub, caller: Caller, name: str, body: ProjectChange) -> ProjectDocument:
    """Set weight, priority or quotas of a project (admin)."""
    terms = body.model_dump()
    return project_document(
        hub, await hub.change(lambda draft: projects.change(draft, caller, name, **terms))
    )


@router.delete("/projects/{name}", status_code=204)
async def remove_project(hub: TheHub, caller: Caller, name: str) -> None:
    """Take a project without open claims away (admin)."""
    await hub.change(lambda draft: projects.remove(draft, caller, name))


@router.put("/projects/{name}/members/{who}")
async def set_member(
    hub: TheHub, caller: Caller, name: str, who: str, body: MemberRequest
) -> ProjectDocument:
    """Make somebody admin, member or viewer of a project (its admins)."""
    await hub.change(lambda draft: projects.set_member(draft, caller, name, who, body.role))
    return project_document(hub, projects.find(hub.state, name))


@router.delete("/projects/{name}/members/{who}", status_code=204)
async def remove_member(hub: TheHub, caller: Caller, name: str, who: str) -> None:
    """Take somebody out of a project (its admins)."""
    await hub.change(lambda draft: projects.set_member(draft, caller, name, who, None))


# Tokens and keys


@router.get("/tokens")
async def list_tokens(
    hub: TheHub, caller: Caller, principal: str | None = None, *, ended: bool = False
) -> list[TokenDocument]:
    """List tokens, oldest first: one's own, or as an admin those of ``principal``, ``*``: of everybody.

    Those that ended within the last 30 days are told with ``ended``.
    """
    whose, now = _whose(hub, caller, principal), hub.now()
    found = (token for token in hub.state.tokens.values() if whose in ("*", token.principal))
    shown = (token for token in found if ended or tokens.alive(token, now))
    return [token_document(token, now) for token in sorted(shown, key=lambda one: (one.created, one.id))]


@router.post("/tokens", status_code=201)
async def create_token(hub: TheHub, caller: Caller, body: TokenRequest) -> TokenDocument:
    """Make a token for oneself, or as an admin for others; the answer has its text, once."""

    def make(draft: Draft) -> TokenDocument:
        token, text = tokens.mint(
            draft,
            caller if body.owner in (None, caller.name) else principals.find(draft, body.owner or ""),
            name=body.name,
            expires=None if body.expires is None else unix(body.expires, draft.now),
            role=body.role,
            project=body.project,
            once=body.once,
            by=caller,
        )
        return token_document(token, draft.now, text)

    if body.owner not in (None, caller.name) and not caller.admin:
        raise ForbiddenError("only an admin may make tokens for others")
    return await hub.change(make)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(hub: TheHub, caller: Caller, token_id: str) -> None:
    """End a token by its id, or one of one's own by its name."""
    await hub.change(lambda draft: tokens.revoke(draft, caller, token_id))


@router.get("/keys")
async def list_keys(hub: TheHub, caller: Caller, principal: str | None = None) -> list[SshKeyDocument]:
    """List ssh keys, oldest first: one's own, or as an admin those of ``principal``, ``*``: of everybody."""
    whose = _whose(hub, caller, principal)
    found = [key for key in hub.state.keys.values() if whose in ("*", key.principal)]
    return [key_document(key) for key in sorted(found, key=lambda one: (one.created, one.fingerprint))]


@router.post("/keys", status_code=201)
async def add_key(hub: TheHub, caller: Caller, body: KeyRequest) -> SshKeyDocument:
    """Register an ssh key for oneself, or as an admin for others."""
    owner = body.owner or caller.name
    return key_document(
        await hub.change(lambda draft: ssh_keys.add(draft, caller, owner, body.key, body.name))
    )


@router.delete("/keys/{key:path}", status_code=204)
async def remove_key(hub: TheHub, caller: Caller, key: str) -> None:
    """Remove an ssh key by its fingerprint, or one of one's own by its name."""
    await hub.change(lambda draft: ssh_keys.remove(draft, caller, key))


def _whose(hub: Hub, caller: Principal, principal: str | None) -> str:
    """Return whose tokens or keys are asked for; ``*``: everybody's."""
    if principal in (None, caller.name):
        return caller.name
    access.admin_only(caller, "look at the tokens and keys of others")
    if principal != "*" and principal not in hub.state.principals:
        raise NotFoundError(f'there is no principal "{principal}"', kind="unknown-principal")
    return str(principal)
