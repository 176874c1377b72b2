"""How ATA drives purge themselves: SANITIZE DEVICE, then SECURITY ERASE UNIT.

SANITIZE DEVICE goes on after a loss of power, as with NVMe. SECURITY ERASE UNIT needs a password to be set
first and takes it away at its end; in between a loss of power leaves a locked drive that still has its
data. So the password is always the same: every agent unlocks with it and takes it away, when it starts and
before each wipe.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hostler.agent import ata
from hostler.agent.ata import SECTOR, AtaCommand, AtaError
from hostler.agent.purge import Purge, PurgeError, UnsafeError, patience
from hostler.model.wipe import Sanitized

if TYPE_CHECKING:
    from hostler.agent.ata import AtaIdentity, AtaPort
    from hostler.agent.purge import Waiting
    from hostler.model.disk_health import DiskHealth

PASSWORD = b"hostler".ljust(32, b"\0")
"""No secret: it guards nothing, and any agent must be able to take it away."""

_SET_PASSWORD, _UNLOCK, _ERASE_PREPARE, _ERASE_UNIT, _DISABLE = 0xF1, 0xF2, 0xF3, 0xF4, 0xF6
_SANITIZE = 0xB4
_STATUS, _CRYPTO, _BLOCK, _OVERWRITE = 0x00, 0x11, 0x12, 0x14
_MAY_EXIT = 1 << 4  # count: a drive on which it fails may be used again
_CLEAR_FAILURE = 1  # count of the status command
_DONE_WELL, _IN_PROGRESS, _FROZEN = 1 << 15, 1 << 14, 1 << 13
_ONE_PASS = 1
_KEY_SECONDS = 10.0

# Feature, name, what must stand in the address (7.36), and the count besides.
_WAYS = {
    "block": (_BLOCK, "ATA SANITIZE (block erase)", 0x426B4572, 0),
    "crypto": (_CRYPTO, "ATA SANITIZE (crypto scramble)", 0x43727970, 0),
    "overwrite": (_OVERWRITE, "ATA SANITIZE (overwrite)", 0x4F5700000000, _ONE_PASS),
}


class AtaDrive:
    """A drive.

    Attributes:
        declined: Ways it does not have or that failed, and why.
        untouched: Parts of it that a wipe does not reach.
    """

    def __init__(self, port: AtaPort) -> None:
        self._port = port
        self.declined: list[str] = []
        self.untouched: list[str] = []

    def settle(self, wait: Waiting) -> None:
        """Unlock it and take our password away; wait for a sanitize under way."""
        try:
            identity = ata.identify(self._port)
        except AtaError:
            return  # a bridge that knows no ATA
        if release(self._port, identity):
            wait.say("wipe: an erase was cut short before; the drive is unlocked again")
        if not identity.sanitizes:
            return
        try:
            if self._left_failure() is not None:
                wait.say("wipe: a sanitize is under way since before this boot; waiting for it")
                wait.until(self._share, None, "the sanitize under way")
        except AtaError as error:
            raise UnsafeError(f"its last sanitize has not ended well: {error}") from error

    def purges(self) -> list[Purge]:
        """Return the ways it has."""
        try:
            identity = ata.identify(self._port)
        except AtaError as error:
            self.declined.append(f"ATA SANITIZE and SECURITY ERASE UNIT: {error}")
            return []
        return [*self._sanitizes(identity), *self._erases(identity)]

    def health(self) -> DiskHealth | None:
        """Return what SMART tells."""
        try:
            return ata.read_health(self._port)
        except AtaError:
            return None

    def _sanitizes(self, identity: AtaIdentity) -> list[Purge]:
        found = []
        for key, (feature, name, address, count) in _WAYS.items():
            if key not in identity.sanitizes:
                self.declined.append(f"{name}: the drive does not know it")
                continue
            seconds = _KEY_SECONDS if key == "crypto" else _sanitize_seconds(identity)
            do = partial(self._sanitize, feature, address, count, name, seconds)
            found.append(Purge(name, do, seconds=seconds, wears=key != "crypto" and not identity.rotational))
        return found

    def _erases(self, identity: AtaIdentity) -> list[Purge]:
        security = identity.security
        names = "ATA SECURITY ERASE UNIT (enhanced)", "ATA SECURITY ERASE UNIT"
        if not security.supported:
            self.declined.append(f"{names[1]}: the drive does not know it")
            return []
        if security.frozen:
            self.declined.append(
                f"{names[1]}: the board's firmware froze it; plugging the drive in again or a sleep thaws it"
            )
            return []
        found = []
        if security.enhanced:
            # On flash the standard's word for it is clear: what it does there is each maker's affair.
            achieved = Sanitized.PURGE if identity.rotational else Sanitized.CLEAR
            found.append(
                self._erase_way(names[0], identity.enhanced_seconds, achieved, identity, enhanced=True)
            )
        else:
            self.declined.append(f"{names[0]}: the drive does not know it")
        found.append(
            self._erase_way(names[1], identity.erase_seconds, Sanitized.CLEAR, identity, enhanced=False)
        )
        return found

    def _erase_way(
        self, name: str, seconds: float | None, achieved: Sanitized, identity: AtaIdentity, *, enhanced: bool
    ) -> Purge:
        do = partial(self._erase, enhanced=enhanced, seconds=seconds)
        return Purge(name, do, achieved, seconds, wears=not identity.rotational, locks=True)

    def _sanitize(
        self, feature: int, address: int, count: int, name: str, seconds: float | None, wait: Waiting
    ) -> None:
        try:
            self._port.run(AtaCommand(_SANITIZE, feature, count | _MAY_EXIT, address, extended=True))
            wait.until(self._share, seconds, name)
            status = self._status(_CLEAR_FAILURE)
        except AtaError as error:
            with suppress(AtaError):
                self._status(_CLEAR_FAILURE)
            raise PurgeError(str(error)) from error
        if not status & _DONE_WELL:
            raise PurgeError("the drive says that it failed")

    def _left_failure(self) -> float | None:
        """Ask how far a sanitize is; where one failed the drive must be told to forget that first."""
        try:
            return self._share()
        except AtaError:
            self._status(_CLEAR_FAILURE)
            return self._share()

    def _share(self) -> float | None:
        answer = self._port.run(AtaCommand(_SANITIZE, _STATUS, extended=True))
        return (answer.lba & 0xFFFF) / 65536 if answer.count & _IN_PROGRESS else None

    def _status(self, count: int) -> int:
        return self._port.run(AtaCommand(_SANITIZE, _STATUS, count, extended=True)).count

    def _erase(self, _wait: Waiting, *, enhanced: bool, seconds: float | None) -> None:
        port = self._port
        try:
            port.run(AtaCommand(_SET_PASSWORD, sends=security_sector()))
            port.run(AtaCommand(_ERASE_PREPARE))
            port.run(
                AtaCommand(_ERASE_UNIT, sends=security_sector(enhanced=enhanced), seconds=patience(seconds))
            )
        except AtaError as error:
            self._drop_password()
            raise PurgeError(str(error)) from error
        if self._drop_password():
            raise PurgeError("the drive still had its password, which an erase that is done takes away")

    def _drop_password(self) -> bool:
        """Take our password away; tell whether it was still set."""
        try:
            identity = ata.identify(self._port)
        except AtaError as error:
            raise UnsafeError(f"the drive may still have Hostler's password: {error}") from error
        return release(self._port, identity)


def _sanitize_seconds(identity: AtaIdentity) -> float | None:
    """Return how long SANITIZE may take, which no word tells: no less than an erase of every sector.

    The enhanced erase of some drives only makes a new key; its estimate alone says nothing.
    """
    if identity.erase_seconds is None:
        return None
    return max(identity.erase_seconds, identity.enhanced_seconds or 0.0)


def release(port: AtaPort, identity: AtaIdentity) -> bool:
    """Unlock a drive that an erase of ours left locked, and take the password away; tell whether it was so.

    Raises:
        UnsafeError: it is locked with somebody else's password, or does not become free.
    """
    security = identity.security
    if not security.enabled:
        return False
    if security.frozen or security.expired:
        why = "the firmware froze it" if security.frozen else "too many passwords were tried"
        raise UnsafeError(f"the drive has a password, and {why}: cut its power, and try again")
    try:
        if security.locked:
            port.run(AtaCommand(_UNLOCK, sends=security_sector()))
        port.run(AtaCommand(_DISABLE, sends=security_sector()))
        still = ata.identify(port).security.enabled
    except AtaError as error:
        raise UnsafeError(f"the drive is locked with a password that is not Hostler's ({error})") from error
    if still:
        raise UnsafeError("the drive keeps its password although it was told to drop it")
    return True


def security_sector(*, enhanced: bool = False) -> bytes:
    """Return what the SECURITY commands are sent: the user's password, and how to erase (7.41.3)."""
    control = 1 << 1 if enhanced else 0
    return (control.to_bytes(2, "little") + PASSWORD).ljust(SECTOR, b"\0")
