"""Who may do what: the one place where that is decided.

- The lab's **admins** may do everything. What concerns all is theirs alone: inventory, agents, principals,
  weights and quotas, boards that were put aside.
- A **claim** belongs to a principal and a project. Its owner, the admins of its project and those of the lab
  may do everything with it; whom it is shared with may use its boards, or look on; the other members of its
  project see it whole, but not what its boards print; everybody else sees that a board is held or
  booked, by whom and until when. What comes of a claim (runs, boots and their traces, events) is seen by
  whoever sees the claim.
- A **viewer** of the lab sees what the members of its projects see, and changes nothing but its own logins.
- Everybody signed in sees boards, classes and agents, and images but those of projects they are not in
  (``image_sight``). A member imports, verifies and exports images, and removes, shares and signs its own.
- A **token** may narrow its principal to a weaker role or one project; then nothing outside of it is theirs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.hub.errors import ForbiddenError, InvalidError
from hostler.hub.records import DEFAULT_PROJECT, Principal, Role
from hostler.model.claim import ClaimState, Sharing
from hostler.model.schedule import booked

if TYPE_CHECKING:
    from hostler.model.claim import Claim


def projects(principal: Principal) -> dict[str, Role]:
    """Return the projects of a principal and its role in each."""
    return principal.projects or {DEFAULT_PROJECT: principal.role}


_RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2}


def weaker(one: Role, other: Role) -> Role:
    """Return the role that may do less."""
    return min(one, other, key=_RANK.__getitem__)


def narrowed(principal: Principal, role: Role | None, project: str | None) -> Principal:
    """Return a principal that may do no more than a role allows, and only for one project; None: no limit.

    Raises:
        ForbiddenError: it does not belong to that project.
    """
    cap = role or Role.ADMIN
    if project is None:
        mine = {name: weaker(own, cap) for name, own in principal.projects.items()}
        return replace(principal, role=weaker(principal.role, cap), projects=mine)
    own = role_in(principal, project)
    # Being an admin of the whole lab ends where one project ends.
    lab = weaker(weaker(principal.role, Role.MEMBER), cap)
    if own is None:
        raise ForbiddenError(f'{principal.name} does not belong to project "{project}"')
    return replace(principal, role=lab, projects={project: weaker(own, cap)}, only=project)


def role_in(principal: Principal, project: str) -> Role | None:
    """Return what a principal is in a project; None: it does not belong to it."""
    if principal.admin:
        return Role.ADMIN
    role = projects(principal).get(project)
    return Role.VIEWER if role is not None and principal.role is Role.VIEWER else role


def admin_only(principal: Principal, what: str) -> None:
    """Raise ForbiddenError unless this is an admin of the lab."""
    if not principal.admin:
        raise ForbiddenError(f"only an admin may {what}")


def member_only(principal: Principal, what: str) -> None:
    """Raise ForbiddenError for those who may only look, wherever they belong."""
    if all(role_in(principal, name) is Role.VIEWER for name in projects(principal)):
        raise ForbiddenError(f"{principal.name} may only look; only a member may {what}")


def may_know(principal: Principal, other: Principal) -> bool:
    """Tell whether somebody may know of another: admins of everybody, others of those in their projects."""
    if principal.admin or principal.name == other.name:
        return True
    return not projects(principal).keys().isdisjoint(projects(other))


def in_scope(principal: Principal, claim: Claim) -> bool:
    """Tell whether a claim is one of those the principal's token lets it act on."""
    return principal.only is None or principal.only == claim.project


def project_of(principal: Principal, wanted: str | None) -> str:
    """Return the project somebody acts for.

    Raises:
        InvalidError: they belong to several and did not say which.
        ForbiddenError: they may only look there, or do not belong to it.
    """
    if wanted is None:
        mine = sorted(projects(principal))
        usable = [name for name in mine if role_in(principal, name) is not Role.VIEWER]
        if len(usable) > 1:
            raise InvalidError(f"say for which project: {', '.join(usable)}")
        wanted = (usable or mine)[0]
    role = role_in(principal, wanted)
    if role is None:
        raise ForbiddenError(f'{principal.name} does not belong to project "{wanted}"')
    if role is Role.VIEWER:
        raise ForbiddenError(f'{principal.name} may only look in project "{wanted}"')
    return wanted


def may_control(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may release, extend, share and hand over a claim."""
    if not in_scope(principal, claim):
        return False
    if role_in(principal, claim.project) is Role.ADMIN:
        return True
    return claim.principal == principal.name and principal.role is not Role.VIEWER


def may_kick(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may end a claim against its owner's will."""
    return in_scope(principal, claim) and role_in(principal, claim.project) is Role.ADMIN


def may_use(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may power a claim's boards, run plans on them and type on their consoles."""
    if may_control(principal, claim):
        return True
    shared = claim.shares.get(principal.name) is Sharing.WRITE and in_scope(principal, claim)
    return shared and principal.role is not Role.VIEWER


def may_watch(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may read what a claim's boards print, now and afterwards."""
    mine = claim.principal == principal.name or principal.name in claim.shares
    return may_use(principal, claim) or (mine and in_scope(principal, claim))


def may_see(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody sees all of a claim, and not only that it holds boards."""
    return may_watch(principal, claim) or role_in(principal, claim.project) is not None


def may_see_times(principal: Principal, claim: Claim, now: float) -> bool:
    """Tell whether somebody sees when a claim has boards: everybody does, once they are kept for it."""
    return claim.state is not ClaimState.PENDING or booked(claim, now) or may_see(principal, claim)
