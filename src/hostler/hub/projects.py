"""Projects: on whose account boards are held, and who belongs to them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub import access
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.records import DEFAULT_PROJECT, HUB, Principal, Project, Role
from hostler.model.claim import ClaimState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.hub.state import Draft, State

ALL_CLASSES = "*"
MAX_WEIGHT = 1000.0
MAX_PRIORITY = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def find(known: Draft | State, name: str) -> Project:
    """Return a project; the default one is always there.

    Raises:
        NotFoundError: there is none of that name.
    """
    project = known.projects.get(name)
    if project is None and name == DEFAULT_PROJECT:
        return Project(DEFAULT_PROJECT)
    if project is None:
        raise NotFoundError(f'there is no project "{name}"', kind="unknown-project")
    return project


def every(state: State) -> list[Project]:
    """Return every project by name, the default one included."""
    named = {DEFAULT_PROJECT: find(state, DEFAULT_PROJECT), **state.projects}
    return [named[name] for name in sorted(named)]


def members(known: Draft | State, name: str) -> dict[str, Role]:
    """Return who belongs to a project, and what they are in it."""
    people = sorted(known.principals.values(), key=lambda one: one.name)
    return {one.name: role for one in people if (role := access.projects(one).get(name)) is not None}


def add(draft: Draft, by: Principal, name: str, **terms: object) -> Project:
    """Make a project; ``terms`` as for ``change``."""
    access.admin_only(by, "make projects")
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f'"{name}" is not a project name; use letters, digits, ".", "_" and "-", at most 63'
        )
    if name in (DEFAULT_PROJECT, HUB.name) or name in draft.projects:  # the hub's own claims are on its name
        raise ConflictError(f'there is a project "{name}" already')
    project = _changed(draft, Project(name, created=draft.now), **terms)  # type: ignore[arg-type]
    draft.projects.put(name, project)
    data = {"project": name, "weight": project.weight, "priority": project.priority, "quotas": project.quotas}
    draft.event("project.created", f'{by.name} made project "{name}"', principal=by.name, data=data)
    return project


def change(draft: Draft, by: Principal, name: str, **terms: object) -> Project:
    """Set ``weight``, ``priority`` or ``quotas`` of a project; what is None stays.

    Of quotas, a class with None loses its limit, and a class that is not named keeps the one it has.

    Raises:
        InvalidError: a value is out of range, or a class is unknown.
    """
    access.admin_only(by, "set a project's weight, priority and quotas")
    before = find(draft, name)
    project = _changed(draft, before, **terms)  # type: ignore[arg-type]
    if project != before:
        draft.projects.put(name, project)
        data = {"project": name, "weight": project.weight, "priority": project.priority}
        data |= {"quotas": project.quotas}
        draft.event("project.changed", f'{by.name} changed project "{name}"', principal=by.name, data=data)
    return project


def _changed(
    draft: Draft, project: Project, *, weight: float | None = None, priority: int | None = None,
    quotas: Mapping[str, int | None] | None = None,
) -> Project:  # fmt: skip
    if weight is not None and not (math.isfinite(weight) and 0 < weight <= MAX_WEIGHT):
        raise InvalidError(f"a weight is more than 0 and at most {MAX_WEIGHT:g}, not {weight:g}")
    if priority is not None and not 0 <= priority <= MAX_PRIORITY:
        raise InvalidError(f"a priority is 0 to {MAX_PRIORITY}, not {priority}")
    limits = dict(project.quotas)
    for board_class, limit in (quotas or {}).items():
        if limit is None:
            limits.pop(board_class, None)
            continue
        if board_class != ALL_CLASSES and board_class not in draft.inventory.classes:
            known = ", ".join(sorted(draft.inventory.classes)) or "none yet"
            raise InvalidError(
                f'there is no class "{board_class}" to limit; classes: {known}; "*" is all together',
                kind="unknown-class",
            )
        if limit < 0:
            raise InvalidError(f'the quota of "{board_class}" is a number of boards, not {limit}')
        limits[board_class] = limit
    return replace(
        project,
        weight=project.weight if weight is None else weight,
        priority=project.priority if priority is None else priority,
        quotas=limits,
    )


def remove(draft: Draft, by: Principal, name: str) -> None:
    """Take a project away; its members belong to it no more.

    Raises:
        ConflictError: it is the default one, or has claims that are not closed, or images.
    """
    access.admin_only(by, "remove projects")
    find(draft, name)
    if name == DEFAULT_PROJECT:
        raise ConflictError(f'"{DEFAULT_PROJECT}" is for those who are in no other project, and stays')
    still = sorted(
        claim.id
        for claim in draft.claims.values()
        if claim.project == name and claim.state is not ClaimState.CLOSED
    )
    if still:
        raise ConflictError(
            f'project "{name}" has {len(still)} open claims ({", ".join(still[:5])}); release them first',
            kind="project-in-use",
        )
    # Whoever made a project of this name later would have them.
    if images := sorted(image.name for image in draft.images.values() if image.project == name):
        raise ConflictError(
            f'{len(images)} images are for project "{name}" ({", ".join(images[:5])}); remove them, or say '
            "who else sees them: hostler image share NAME",
            kind="project-in-use",
        )
    draft.projects.remove(name)
    for one in list(draft.principals.values()):
        if name in one.projects:
            draft.principals.put(one.name, replace(one, projects=_without(one.projects, name)))
    draft.event(
        "project.removed", f'{by.name} removed project "{name}"', principal=by.name, data={"project": name}
    )


def set_member(draft: Draft, by: Principal, name: str, who: str, role: str | None) -> Principal:
    """Make somebody admin, member or viewer of a project; with None they belong to it no more.

    Raises:
        ForbiddenError: neither an admin of the project nor of the lab asks.
        NotFoundError: there is no such project or principal, or they do not belong to it.
        InvalidError: there is no such role.
    """
    if access.role_in(by, name) is not Role.ADMIN:
        raise ForbiddenError(f'only an admin of project "{name}" may say who belongs to it')
    find(draft, name)
    if role is not None and role not in tuple(Role):
        raise InvalidError(f'there is no role "{role}"; roles: {", ".join(Role)}')
    principal = draft.principals.get(who)
    if principal is None:
        raise NotFoundError(f'there is no principal "{who}"', kind="unknown-principal")
    if role is None and name not in principal.projects:
        raise NotFoundError(f'{who} was not put into project "{name}"', kind="unknown-member")
    mine = _without(principal.projects, name) if role is None else {**principal.projects, name: Role(role)}
    if mine == principal.projects:
        return principal
    principal = replace(principal, projects=mine)
    draft.principals.put(who, principal)
    text = f"{by.name} made {who} {role} of" if role else f"{by.name} took {who} out of"
    draft.event(
        "project.member", f'{text} project "{name}"', principal=by.name,
        data={"project": name, "member": who, "role": role},
    )  # fmt: skip
    return principal


def _without(mine: Mapping[str, Role], name: str) -> dict[str, Role]:
    return {project: role for project, role in mine.items() if project != name}
