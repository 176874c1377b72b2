"""The JSON documents on who may do what: principals, projects, tokens, ssh keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hostler.api.documents import iso, iso_or_none
from hostler.hub import access, projects, tokens
from hostler.hub.duration import seconds
from hostler.hub.hub import Hub
from hostler.hub.records import Principal, Project, SshKey, Token

RoleWord = Literal["admin", "member", "viewer"]


class Request(BaseModel):
    """A body with no key that is not known."""

    model_config = ConfigDict(extra="forbid")


def moment(value: Any) -> Any:
    """Read an end as a length of time from now (``30d``) or as ISO 8601; raises ValueError.

    Returns:
        Seconds from now as a float, or Unix time as a ``datetime``.
    """
    if isinstance(value, str) and "-" in value.strip()[1:]:
        try:
            then = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise ValueError("is not a time; write for example 30d, 8h or 2030-01-31T12:00:00Z") from None
        return then if then.tzinfo else then.replace(tzinfo=UTC)
    return seconds(value)


Moment = Annotated[float | datetime, BeforeValidator(moment, json_schema_input_type=float | str)]
"""A length of time from now, or a time."""


def unix(moment: float | datetime, now: float) -> float:
    """Return a moment as Unix time."""
    return moment.timestamp() if isinstance(moment, datetime) else now + moment


class PrincipalRequest(Request):
    """Who is to be let in."""

    name: str
    role: RoleWord = "member"


class PrincipalChange(Request):
    """What is to be otherwise; what is left out stays."""

    role: RoleWord | None = None
    disabled: bool | None = None


class LinkRequest(Request):
    """Who somebody is at the lab's OpenID Connect provider (its ``sub``); empty: nobody."""

    sub: str = Field(max_length=255)


class ProjectRequest(Request):
    """A project to be."""

    name: str
    weight: float = 1.0
    priority: int = Field(default=0, ge=-(2**31), lt=2**31)
    quotas: dict[str, int] = Field(default_factory=dict)


class ProjectChange(Request):
    """What is to be otherwise; a quota of null has no limit, and what is left out stays."""

    weight: float | None = None
    priority: int | None = Field(default=None, ge=-(2**31), lt=2**31)
    quotas: dict[str, int | None] | None = None


class MemberRequest(Request):
    """What somebody is to be in a project."""

    role: RoleWord


class TokenRequest(Request):
    """A token to be; ``expires`` as ``30d`` or as a time, ``for``: whose, by an admin."""

    name: str = ""
    expires: Moment | None = None
    role: RoleWord | None = None
    project: str | None = None
    once: bool = False
    owner: str | None = Field(default=None, alias="for")


class KeyRequest(Request):
    """A public key as in ``id_ed25519.pub``; ``for``: whose, by an admin."""

    key: str
    name: str = ""
    owner: str | None = Field(default=None, alias="for")


class MembershipDocument(BaseModel):
    """A project and what somebody is in it."""

    name: str
    role: str


class PrincipalDocument(BaseModel):
    """Somebody who may ask; ``token`` is there only in the answer that made it."""

    name: str
    role: str
    projects: list[MembershipDocument]
    disabled: bool
    created: str | None
    token: str | None = None


class TokenDocument(BaseModel):
    """A token; its text is there only in the answer that made it."""

    id: str
    principal: str
    name: str
    role: str | None
    project: str | None
    once: bool
    created: str
    expires: str | None
    used: str | None
    state: Literal["good", "expired", "revoked", "used"]
    token: str | None = None


class MeDocument(BaseModel):
    """Who asks, as far as the token at hand lets them act."""

    name: str
    role: str
    projects: list[MembershipDocument]
    login: TokenDocument | None = None


class SshKeyDocument(BaseModel):
    """A public key that logs somebody in."""

    fingerprint: str
    key: str
    principal: str
    name: str
    created: str


class ProjectDocument(BaseModel):
    """A project; ``quotas`` by class, ``*``: of all together; ``members``: what each is in it."""

    name: str
    weight: float
    priority: int
    quotas: dict[str, int]
    created: str | None
    members: dict[str, str]


def memberships(principal: Principal) -> list[MembershipDocument]:
    """Return the projects of a principal and what it is in each."""
    names = sorted(access.projects(principal))
    return [
        MembershipDocument(name=name, role=role)
        for name in names
        if (role := access.role_in(principal, name)) is not None
    ]


def principal_document(principal: Principal, token: str | None = None) -> PrincipalDocument:
    """Return a principal."""
    return PrincipalDocument(
        name=principal.name,
        role=principal.role,
        projects=memberships(principal),
        disabled=principal.disabled,
        created=iso_or_none(principal.created),
        token=token,
    )


def token_document(token: Token, now: float, text: str | None = None) -> TokenDocument:
    """Return a token as it is now."""
    state: Any = token.why or ("good" if tokens.alive(token, now) else "expired")
    return TokenDocument(
        id=token.id,
        principal=token.principal,
        name=token.name,
        role=token.role,
        project=token.project,
        once=token.once,
        created=iso(token.created),
        expires=iso_or_none(token.expires),
        used=iso_or_none(token.used),
        state=state,
        token=text,
    )


def key_document(key: SshKey) -> SshKeyDocument:
    """Return an ssh key."""
    return SshKeyDocument(
        fingerprint=key.fingerprint,
        key=key.key,
        principal=key.principal,
        name=key.name,
        created=iso(key.created),
    )


def project_document(hub: Hub, project: Project) -> ProjectDocument:
    """Return a project with its members."""
    return ProjectDocument(
        name=project.name,
        weight=project.weight,
        priority=project.priority,
        quotas=project.quotas,
        created=iso_or_none(project.created),
        members={name: str(role) for name, role in projects.members(hub.state, project.name).items()},
    )
