"""What can go wrong while something is put together, named by what the operator must do."""

from __future__ import annotations


class BuildError(Exception):
    """A build did not finish; nothing was left in the place of its result."""


class ToolMissingError(BuildError):
    """A program the build needs is not installed."""


class ToolFailedError(BuildError):
    """A program failed or passed its deadline; the message ends with its last lines."""


class NetworkError(BuildError):
    """The package sources could not be reached."""


class PackageError(BuildError):
    """No such package, or its dependencies cannot be met, from this machine's Debian sources."""


class SpaceError(BuildError):
    """The file system of the cache or of the result is full."""
