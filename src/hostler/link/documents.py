"""Values of ``model/`` as the JSON documents that cross the link and lie in the database, and back."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

if TYPE_CHECKING:
    from hostler.model.json import Document

T = TypeVar("T")


class DocumentError(ValueError):
    """A document is not what its reader expects; the text names the field."""


def to_document(value: object) -> Document:
    """Return a frozen dataclass of ``model/`` as a JSON object."""
    return cast("Document", _adapter(cast("Any", type(value))).dump_python(value, mode="json"))


def to_text(value: object) -> str:
    """Return a frozen dataclass of ``model/`` as the text of a JSON object."""
    return _adapter(cast("Any", type(value))).dump_json(value).decode()


def document_text(document: Document) -> str:
    """Return a JSON object as text; three times as fast as ``json`` on what crosses the link."""
    return to_json(document).decode()


def from_document(kind: type[T], document: Document) -> T:
    """Read what ``to_document`` wrote; unknown keys are ignored, so that a newer side may add some.

    Raises:
        DocumentError: a field is missing or of the wrong kind.
    """
    try:
        return cast("T", _adapter(cast("Any", kind)).validate_python(document))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"{kind.__name__}: {where or 'document'}: {first['msg']}") from error


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
