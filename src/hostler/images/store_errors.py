"""What can go wrong in the store of images."""

from __future__ import annotations


class StoreError(Exception):
    """Something is wrong with the store or with what was asked of it; the message says what."""


class UnknownArtefactError(StoreError):
    """The store holds nothing under this id."""


class StoreFullError(StoreError):
    """There is no space left for what was to be stored; nothing of it was kept."""


class StoreLimitError(StoreFullError):
    """The store may not hold as much; nothing was kept."""


class StoreBusyError(StoreError):
    """Others had names come and go for too long; try again later."""
