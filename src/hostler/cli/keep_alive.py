"""Holding a claim for as long as this process lives, or a command that it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostler.client.errors import ClientError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from hostler.client.claim_calls import Claim
    from hostler.client.client import Client

_BEATS = 4  # signs of life in the time after which the server takes the client for gone
_KILL_SECONDS = 10.0  # between asking a command to end and making it


class LostClaimError(ClientError):
    """The claim has ended while it was still used."""


class KeptClaim:
    """Tells the server that this process lives, from a thread of its own.

    Args:
        client: The server.
        claim: A claim with ``keep_alive``.
    """

    def __init__(self, client: Client, claim: Claim) -> None:
        self._client = client
        self.claim = claim
        self.over = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="keep-alive", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell no more."""
        self._stop.set()
        self._thread.join(timeout=15.0)

    def _beat(self) -> None:
        pause = (self.claim["keep_alive"] or 30.0) / _BEATS
        while not self._stop.wait(pause):
            try:
                self.claim = self._client.keep_alive(self.claim["id"])
            except UnreachableError:
                continue  # it may be back before it takes us for gone
            except RefusedError:
                self.over.set()
                return
            if self.claim["state"] in ("releasing", "closed"):
                self.over.set()
                return

    def refuse_lost(self) -> None:
        """Raise LostClaimError if the claim has ended."""
        if self.over.is_set():
            reason = self.claim["reason"] or self.claim["state"]
            raise LostClaimError(f"claim {self.claim['id']} has ended: {reason}")


class _Stopped(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _raise_stopped(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


@contextmanager
def kept(client: Client, claim: Claim) -> Iterator[KeptClaim]:
    """Keep a claim alive inside the block, and give it back at its end, however it ends."""
    keeper = KeptClaim(client, claim)
    former = {number: signal.signal(number, _raise_stopped) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield keeper
    except _Stopped as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        keeper.close()
        if not keeper.over.is_set():
            client.release(claim["id"])


def stay(keeper: KeptClaim) -> None:
    """Stay until a signal or the end of the claim; raises LostClaimError for that."""
    while not keeper.over.wait(1.0):
        pass
    keeper.refuse_lost()


def run_command(keeper: KeptClaim, command: Sequence[str]) -> int:
    """Run a command with the claim in its environment and return its exit status, as a shell gives it.

    Raises:
        LostClaimError: the claim ended first; the command was stopped.
        ClientError: the command cannot be run.
    """
    boards = keeper.claim["boards"]
    environment = {
        "HOSTLER_CLAIM": keeper.claim["id"],
        "HOSTLER_BOARD": boards[0] if boards else "",
        "HOSTLER_BOARDS": " ".join(boards),
    }
    sys.stdout.flush()
    try:
        process = subprocess.Popen(command, env={**os.environ, **environment})
    except OSError as error:
        raise ClientError(f"cannot run {command[0]}: {error.strerror}") from None
    try:
        while True:
            try:
                status = process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                keeper.refuse_lost()
            else:
                return status if status >= 0 else 128 - status
    except KeyboardInterrupt:
        # The terminal has sent it to the command, too; it may take its time to end well.
        return _end(process, signal.SIGINT)
    except _Stopped as stopped:
        _end(process, stopped.number)
        raise
    except LostClaimError:
        _end(process, signal.SIGTERM)
        raise


def _end(process: subprocess.Popen[bytes], number: int) -> int:
    """Ask a command to end, make it after a while, and return its exit status."""
    if number != signal.SIGINT:
        process.send_signal(number)
    try:
        status = process.wait(timeout=_KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    return status if status >= 0 else 128 - status
