"""How NVMe drives purge themselves: Sanitize, then Format NVM with a secure erase.

Sanitize concerns the whole drive, its caches and spare blocks included, and goes on after a loss of power:
the drive refuses reads and writes until it is done. So the next wipe waits for it first. One that failed is
left with Exit Failure Mode, which every sanitize that begins here permits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hostler.agent import nvme
from hostler.agent.nvme import NvmeError
from hostler.agent.purge import Purge, PurgeError, UnsafeError, patience

if TYPE_CHECKING:
    from hostler.agent.purge import Waiting
    from hostler.model.disk_health import DiskHealth

_ACTIONS = (
    (nvme.SANITIZE_BLOCK_ERASE, "NVMe Sanitize (block erase)"),
    (nvme.SANITIZE_CRYPTO_ERASE, "NVMe Sanitize (crypto erase)"),
    (nvme.SANITIZE_OVERWRITE, "NVMe Sanitize (overwrite)"),
)
_KEY_SECONDS = 10.0
"""How long a crypto erase takes where the drive does not say: it only makes a new key."""


class NvmeDrive:
    """A namespace and its drive.

    Attributes:
        declined: Ways it does not have or that failed, and why.
        untouched: Parts of it that a wipe does not reach.
    """

    def __init__(self, port: nvme.NvmePort) -> None:
        self._port = port
        self.declined: list[str] = []
        self.untouched: list[str] = []

    def settle(self, wait: Waiting) -> None:
        """Wait for a sanitize under way, and leave the failure mode."""
        try:
            sanitizes = nvme.identify_controller(self._port).sanitizes
        except NvmeError:
            return  # nothing is known of it; what it cannot do shows when it is read back
        if not sanitizes:
            return
        try:
            status = nvme.sanitize_status(self._port)
            if status.in_progress:
                wait.say("wipe: a sanitize is under way since before this boot; waiting for it")
                wait.until(self._share, _longest(status), "the sanitize under way")
                status = nvme.sanitize_status(self._port)
            if status.failed:
                wait.say("wipe: the last sanitize failed; leaving the failure mode")
                nvme.sanitize(self._port, nvme.SANITIZE_EXIT_FAILURE)
        except NvmeError as error:
            raise UnsafeError(f"its last sanitize has not ended well: {error}") from error

    def purges(self) -> list[Purge]:
        """Return the ways it has: sanitize before format, which leaves caches and other namespaces out."""
        try:
            controller = nvme.identify_controller(self._port)
            seconds = nvme.sanitize_status(self._port).seconds if controller.sanitizes else {}
        except NvmeError as error:
            self.declined.append(f"NVMe Sanitize and Format NVM: {error}")
            return []
        found = []
        for action, name in _ACTIONS:
            if action not in controller.sanitizes:
                self.declined.append(f"{name}: the drive does not know it")
                continue
            crypto = action == nvme.SANITIZE_CRYPTO_ERASE
            estimate = seconds.get(action, _KEY_SECONDS if crypto else None)
            do = partial(self._sanitize, action, name, estimate)
            found.append(Purge(name, do, seconds=estimate, wears=not crypto, everything=True))
        whole = controller.erases_all
        if controller.formats and controller.format_crypto:
            name = "NVMe Format NVM (cryptographic erase)"
            do = partial(self._format, nvme.ERASE_CRYPTO, _KEY_SECONDS)
            found.append(Purge(name, do, seconds=_KEY_SECONDS, wears=False, everything=whole))
        if controller.formats:
            name = "NVMe Format NVM (user data erase)"
            found.append(Purge(name, partial(self._format, nvme.ERASE_USER_DATA, None), everything=whole))
        else:
            self.declined.append("NVMe Format NVM: the drive does not know it")
        return found

    def health(self) -> DiskHealth | None:
        """Return SMART / Health Information."""
        try:
            return nvme.read_health(self._port)
        except NvmeError:
            return None

    def _sanitize(self, action: int, name: str, seconds: float | None, wait: Waiting) -> None:
        try:
            nvme.sanitize(self._port, action)
            wait.until(self._share, seconds, name)
            failed = nvme.sanitize_status(self._port).failed
        except NvmeError as error:
            raise PurgeError(str(error)) from error
        if failed:
            self.settle(wait)
            raise PurgeError("the drive says that it failed")

    def _format(self, erase: int, seconds: float | None, _wait: Waiting) -> None:
        try:
            nvme.format_namespace(self._port, erase, patience(seconds))
        except NvmeError as error:
            raise PurgeError(str(error)) from error

    def _share(self) -> float | None:
        status = nvme.sanitize_status(self._port)
        return status.done if status.in_progress else None


def _longest(status: nvme.SanitizeStatus) -> float | None:
    """Return the longest estimate, since the log does not say plainly which action is under way."""
    return max(status.seconds.values(), default=None)
