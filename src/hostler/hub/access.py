"""Who may do what with a claim and its boards: the one place where that is decided.

A claim belongs to a principal and a project. Its owner, the admins of its project and those of the lab
may do everything with it; whom it is shared with may use its boards, or look on; the other members of its
project see it whole; everybody else sees that a board is held, by whom and until when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.hub.errors import ForbiddenError, InvalidError
from hostler.hub.records import DEFAULT_PROJECT, Principal, Role
from hostler.model.claim import Sharing

if TYPE_CHECKING:
    from hostler.model.claim import Claim


def projects(principal: Principal) -> dict[str, Role]:
    """Return the projects of a principal and its role in each."""
    return principal.projects or {DEFAULT_PROJECT: principal.role}


def role_in(principal: Principal, project: str) -> Role | None:
    """Return what a principal is in a project; None: it does not belong to it."""
    return Role.ADMIN if principal.admin else projects(principal).get(project)


def project_of(principal: Principal, wanted: str | None) -> str:
    """Return the project somebody acts for.

    Raises:
        InvalidError: they belong to several and did not say which.
        ForbiddenError: they may only look there, or do not belong to it.
    """
    mine = projects(principal)
    if wanted is None:
        if len(mine) > 1:
            raise InvalidError(f"say for which project: {', '.join(sorted(mine))}")
        wanted = next(iter(mine))
    role = role_in(principal, wanted)
    if role is None:
        raise ForbiddenError(f'{principal.name} does not belong to project "{wanted}"')
    if role is Role.VIEWER:
        raise ForbiddenError(f'{principal.name} may only look in project "{wanted}"')
    return wanted


def may_control(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may release, extend, share and hand over a claim."""
    if role_in(principal, claim.project) is Role.ADMIN:
        return True
    return claim.principal == principal.name and principal.role is not Role.VIEWER


def may_use(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may power a claim's boards, run plans on them and type on their consoles."""
    if may_control(principal, claim):
        return True
    return claim.shares.get(principal.name) is Sharing.WRITE and principal.role is not Role.VIEWER


def may_watch(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody may read what a claim's boards print, now and afterwards."""
    return may_use(principal, claim) or claim.principal == principal.name or principal.name in claim.shares


def may_see(principal: Principal, claim: Claim) -> bool:
    """Tell whether somebody sees all of a claim, and not only that it holds boards."""
    return may_watch(principal, claim) or role_in(principal, claim.project) is not None
