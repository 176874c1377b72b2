"""Why something of the upstream's is not to be had."""

from __future__ import annotations

from hostler.images.store_errors import StoreError, UnknownArtefactError


class UpstreamLostError(StoreError):
    """The upstream could not be reached for so long that it is not waited for any more."""


class DamagedUpstreamError(StoreError):
    """The upstream has other bytes under a chunk's name, time and again."""


class NoUpstreamError(UnknownArtefactError):
    """It is not here, and there is no other server to ask."""


class NotYetError(StoreError):
    """It may be had later: ask again."""
