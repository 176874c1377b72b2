"""Log in on a board's serial console and run commands there."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.client.console import readable
from hostler.client.errors import DeadlineError, LoginError

if TYPE_CHECKING:
    from hostler.client.console import ConsoleSession

_PROMPT = r"[#$] (?:\x1b\[[0-9;?]*[A-Za-z])*\Z"
_ASKS = (
    rf"(?P<login>login: ?\Z)|(?P<password>[Pp]assword: ?\Z)|(?P<wrong>Login incorrect)|(?P<shell>{_PROMPT})"
)
_QUIET_SECONDS = 0.5
_SETTLE_SECONDS = 5.0
_TRIES = 3
_NUDGE_SECONDS = 10.0  # a slow machine under emulation needs seconds from Enter to prompt


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command on the board did.

    Attributes:
        command: The command as typed.
        status: Its exit status.
        output: What it printed, without terminal controls.
    """

    command: str
    status: int
    output: str


def login(session: ConsoleSession, user: str, password: str, *, seconds: float) -> None:
    """Get to a shell prompt on the console, whatever it shows now.

    Presses Enter, answers what is asked, and starts over when nothing comes: boot messages may have
    overwritten a prompt, and a getty may have lost patience.

    Raises:
        LoginError: the password was not taken, or there was no prompt in time.
        ConsoleClosedError: the server closed the console.
    """
    end = time.monotonic() + seconds
    # What was shown before is not a question to us.
    skip = int(session.attached.get("replay", 0)) - len(session.tail)
    session.send(b"\r")
    wrong = 0
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise LoginError(
                f"{session.board}: no shell on the console within {seconds:.0f} s; "
                f"last was {readable(session.tail)[-200:]!r}"
            )
        try:
            asked = session.expect(_ASKS, seconds=min(left, _NUDGE_SECONDS), ignore=max(0, skip)).lastgroup
        except DeadlineError:
            session.send(b"\r")
            continue
        finally:
            skip = 0
        if asked == "shell":
            return
        if asked == "wrong":
            wrong += 1
            if wrong == _TRIES:
                raise LoginError(f"{session.board}: the console did not let {user} in: login incorrect")
            continue
        if asked == "login":
            # An Enter typed ahead makes getty ask twice; the name must not answer for the password.
            settle = min(end, time.monotonic() + _SETTLE_SECONDS)
            while time.monotonic() < settle and session.read(_QUIET_SECONDS):
                pass
        session.send((user if asked == "login" else password).encode() + b"\r")


def run_command(session: ConsoleSession, command: str, *, seconds: float) -> CommandResult:
    """Run one line of shell on a console that is at a prompt.

    The output is cut out between two marks which the shell puts together, so that the echo of what
    is typed never looks like them.

    Raises:
        LoginError: the shell did not finish in time.
        ConsoleClosedError: the server closed the console.
    """
    mark = secrets.token_hex(3)
    session.send(f'echo "<"{mark}; {command}; echo "{mark}"$?">"\r'.encode())
    try:
        match = session.expect(
            rf"<{mark}\r*\n(?P<output>[\x00-\xff]*?){mark}(?P<status>[0-9]+)>", seconds=seconds
        )
    except DeadlineError as error:
        raise LoginError(f"{session.board}: `{command}` did not finish: {error}") from None
    return CommandResult(command, int(match["status"]), readable(match["output"]))
