"""The calls about who may do what: principals, projects, tokens, ssh keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from hostler.client.transport import part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.client.transport import Transport


class Membership(TypedDict):
    """A project and what somebody is in it."""

    name: str
    role: str


class Principal(TypedDict):
    """Somebody who may ask; ``token`` is there only right after they were made."""

    name: str
    role: str
    projects: list[Membership]
    disabled: bool
    created: str | None
    token: str | None


class Project(TypedDict):
    """A project; ``quotas`` by class (``*``: all together), ``members``: what each is in it."""

    name: str
    weight: float
    priority: int
    quotas: dict[str, int]
    created: str | None
    members: dict[str, str]


class Token(TypedDict):
    """A token; ``token``, its text, is there only right after it was made."""

    id: str
    principal: str
    name: str
    role: str | None
    project: str | None
    once: bool
    created: str
    expires: str | None
    used: str | None
    state: str
    token: str | None


class Key(TypedDict):
    """A public ssh key that logs somebody in."""

    fingerprint: str
    key: str
    principal: str
    name: str
    created: str


class AccessCalls:
    """What a client asks about who may do what."""

    _http: Transport

    def principals(self) -> list[Principal]:
        """Return everybody this principal may know of."""
        return cast("list[Principal]", self._http.call("GET", "principals"))

    def principal(self, name: str) -> Principal:
        """Return one principal."""
        return cast("Principal", self._http.call("GET", f"principals/{part(name)}"))

    def add_principal(self, name: str, role: str = "member") -> Principal:
        """Let somebody in; the result has their first token."""
        return cast("Principal", self._http.call("POST", "principals", body={"name": name, "role": role}))

    def change_principal(
        self, name: str, *, role: str | None = None, disabled: bool | None = None
    ) -> Principal:
        """Give somebody another role in the lab, or shut them out or let them in again."""
        body = {"role": role, "disabled": disabled}
        return cast("Principal", self._http.call("PATCH", f"principals/{part(name)}", body=body))

    def link_principal(self, name: str, sub: str) -> Principal:
        """Say who somebody is at the lab's OpenID Connect provider; an empty ``sub``: nobody."""
        return cast("Principal", self._http.call("PUT", f"principals/{part(name)}/link", body={"sub": sub}))

    def remove_principal(self, name: str) -> None:
        """Let somebody in no more."""
        self._http.call("DELETE", f"principals/{part(name)}")

    def projects(self) -> list[Project]:
        """Return the projects this principal belongs to; an admin's are all."""
        return cast("list[Project]", self._http.call("GET", "projects"))

    def project(self, name: str) -> Project:
        """Return one project."""
        return cast("Project", self._http.call("GET", f"projects/{part(name)}"))

    def add_project(self, name: str, **terms: Any) -> Project:
        """Make a project; ``weight``, ``priority``, ``quotas`` as for ``change_project``."""
        return cast("Project", self._http.call("POST", "projects", body={"name": name, **_said(terms)}))

    def change_project(
        self,
        name: str,
        *,
        weight: float | None = None,
        priority: int | None = None,
        quotas: Mapping[str, int | None] | None = None,
    ) -> Project:
        """Set a project's weight, priority or quotas; a quota of None has no limit, what is None stays."""
        body = _said({"weight": weight, "priority": priority, "quotas": quotas})
        return cast("Project", self._http.call("PATCH", f"projects/{part(name)}", body=body))

    def remove_project(self, name: str) -> None:
        """Take a project without open claims away."""
        self._http.call("DELETE", f"projects/{part(name)}")

    def set_member(self, project: str, who: str, role: str) -> Project:
        """Make somebody ``admin``, ``member`` or ``viewer`` of a project."""
        path = f"projects/{part(project)}/members/{part(who)}"
        return cast("Project", self._http.call("PUT", path, body={"role": role}))

    def remove_member(self, project: str, who: str) -> None:
        """Take somebody out of a project."""
        self._http.call("DELETE", f"projects/{part(project)}/members/{part(who)}")

    def tokens(self, principal: str | None = None, *, ended: bool = False) -> list[Token]:
        """Return one's tokens; as an admin those of ``principal``, ``*``: everybody's."""
        query = {"principal": principal, "ended": ended or None}
        return cast("list[Token]", self._http.call("GET", "tokens", query=query))

    def add_token(self, name: str = "", **terms: Any) -> Token:
        """Make a token; the result has its text.

        Args:
            name: What it is for.
            terms: ``expires`` (``30d`` or a time), ``role``, ``project``, ``once``, ``owner`` (by an admin).
        """
        terms = {"for" if key == "owner" else key: value for key, value in terms.items()}
        return cast("Token", self._http.call("POST", "tokens", body={"name": name, **_said(terms)}))

    def revoke_token(self, token: str) -> None:
        """End a token by its id, or one's own by its name."""
        self._http.call("DELETE", f"tokens/{part(token)}")

    def keys(self, principal: str | None = None) -> list[Key]:
        """Return one's ssh keys; as an admin those of ``principal``, ``*``: everybody's."""
        return cast("list[Key]", self._http.call("GET", "keys", query={"principal": principal}))

    def add_key(self, key: str, name: str = "", owner: str | None = None) -> Key:
        """Register a public key, for ``owner`` as an admin."""
        body = _said({"key": key, "name": name, "for": owner})
        return cast("Key", self._http.call("POST", "keys", body=body))

    def remove_key(self, key: str) -> None:
        """Remove a key by its fingerprint, or one's own by its name."""
        self._http.call("DELETE", f"keys/{part(key)}")


def _said(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in terms.items() if value is not None}
