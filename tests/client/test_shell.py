"""Logging in on a console, against a real terminal with a real shell."""

from __future__ import annotations

import pytest

from hostler.client.console import ConsoleSession, readable
from hostler.client.errors import DeadlineError, LoginError
from hostler.client.settings import Settings
from hostler.client.shell import login, run_command
from serial_board import console_server, on_terminal


def session(url: str) -> ConsoleSession:
    return ConsoleSession(Settings(url, "hst_test"), "vx", write=True)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_command_gives_its_output_and_status(chunk: int) -> None:
    """Whatever pieces the console arrives in, a command's own output and status come back, nothing else."""
    with on_terminal() as master, console_server(master, chunk=chunk) as url, session(url) as console:
        login(console, "root", "hostler", seconds=20)
        result = run_command(console, "echo one; echo two >&2; (exit 3)", seconds=20)
        assert (result.status, result.output) == (3, "one\ntwo\n")
        long = "x" * 200
        assert run_command(console, f"printf %s {long}", seconds=20).output == long


def test_login_again_finds_the_shell_that_is_there() -> None:
    """On a console where somebody is logged in already, the prompt is enough."""
    with on_terminal() as master, console_server(master) as url:
        with session(url) as console:
            login(console, "root", "hostler", seconds=20)
        with session(url) as console:
            login(console, "root", "hostler", seconds=20)
            assert run_command(console, "true", seconds=20).status == 0


def test_what_was_replayed_is_no_question() -> None:
    """An old password prompt in the replayed log is not answered."""
    with (
        on_terminal() as master,
        console_server(master, replay=b"old login: root\r\nPassword: ") as url,
        session(url) as console,
    ):
        login(console, "root", "hostler", seconds=20)


def test_boot_messages_over_the_prompt_do_not_matter() -> None:
    """A prompt that boot messages have overwritten is asked for again."""
    boot = {"BOOT_TEXT": "\\r\\n[ OK ] Started Getty.\\r\\n"}
    with on_terminal(boot) as master, console_server(master) as url, session(url) as console:
        login(console, "root", "hostler", seconds=40)


def test_a_wrong_password_is_told() -> None:
    """A console that does not take the password ends the login with that reason, before the deadline."""
    with (
        on_terminal() as master,
        console_server(master) as url,
        session(url) as console,
        pytest.raises(LoginError, match="login incorrect"),
    ):
        login(console, "root", "wrong", seconds=60)


def test_every_wait_ends() -> None:
    """A pattern that never shows and a command that never ends both stop at their deadline."""
    with on_terminal() as master, console_server(master) as url, session(url) as console:
        with pytest.raises(DeadlineError, match="did not show"):
            console.expect("never", seconds=0.5)
        login(console, "root", "hostler", seconds=20)
        with pytest.raises(LoginError, match="did not finish"):
            run_command(console, "sleep 60", seconds=1)


def test_readable_leaves_no_terminal_control() -> None:
    """Console bytes as text hold only what a person could read."""
    raw = b"\x1b[?2004h\x1b[1;32mok\x1b[0m\r\nno\x07w\x00\r\n\x1b]0;title\x07\xff"
    assert readable(raw) == "ok\nnow\n\N{REPLACEMENT CHARACTER}"
