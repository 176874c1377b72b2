"""Whose images are: who sees one, who is in charge of it, and handing it to a project or to everybody.

An image with a project is there for those who belong to that project, and for the lab's admins; for anybody
else there is none of that name. One that was imported is for everybody at first, a captured one for the
project of the claim that held the board: what is on a board is as private as what it prints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.hub import access, projects
from hostler.hub.errors import ForbiddenError, NotFoundError
from hostler.hub.image_home import refuse_elsewhere
from hostler.hub.records import Role

if TYPE_CHECKING:
    from hostler.hub.image_records import ImageRecord
    from hostler.hub.records import Principal
    from hostler.hub.state import Draft, State


def sees(by: Principal, image: ImageRecord) -> bool:
    """Tell whether an image is there for somebody."""
    return not image.project or access.role_in(by, image.project) is not None


def seen_images(known: Draft | State, by: Principal) -> list[ImageRecord]:
    """Return the images that are there for somebody, by name."""
    return sorted((one for one in known.images.values() if sees(by, one)), key=lambda one: one.name)


def find_image(known: Draft | State, name: str, by: Principal) -> ImageRecord:
    """Return an image; raises NotFoundError naming those that are there for whoever asks."""
    image = known.images.get(name)
    if image is None or not sees(by, image):
        there = ", ".join(one.name for one in seen_images(known, by)) or "none yet"
        raise NotFoundError(f'there is no image "{name}"; images: {there}', kind="unknown-image")
    return image


def in_charge(by: Principal, image: ImageRecord) -> bool:
    """Tell whether somebody may remove an image, and say who sees it.

    They are the lab's admins, who brought it, and the admins of its project.
    """
    if by.admin or (image.principal == by.name and by.role is not Role.VIEWER):
        return True
    return bool(image.project) and access.role_in(by, image.project) is Role.ADMIN


def event_data(image: ImageRecord) -> dict[str, Any]:
    """Return what an event about an image tells of it; by its project it is seen who is shown the event."""
    return {"image": image.name, "index": image.index, "project": image.project}


def share(draft: Draft, by: Principal, name: str, project: str | None) -> ImageRecord:
    """Say for whom an image is: for those who belong to a project, or for everybody (None).

    Raises:
        NotFoundError: There is no such image, or no such project.
        ForbiddenError: Who asks is not in charge of it, or does not belong to the project.
    """
    image = find_image(draft, name, by)
    refuse_elsewhere(image, "say who sees it")
    if not in_charge(by, image):
        raise ForbiddenError(f'only an admin or who brought it may say who sees image "{name}"')
    if project is not None:
        projects.find(draft, project)
        access.project_of(by, project)
    if (project or "") == image.project:
        return image
    made = replace(image, project=project or "")
    draft.images.put(name, made)
    whom = f'project "{project}"' if project else "everybody"
    draft.event(
        "image.shared", f'{by.name} made image "{name}" one for {whom}', principal=by.name,
        data={**event_data(made), "before": image.project},
    )  # fmt: skip
    return made
