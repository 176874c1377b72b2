"""One verb of the command line, run for somebody who came by ssh: ``python -m hostler.gateway.verb VERB …``.

What it may touch is the API and nothing else. A verb, and each option of a verb, is refused unless it is
named here: what reads or writes files, opens ports or starts programs would do so on the server.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from hostler.cli.main import GROUPS, main, read_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, USAGE = 1, 2

_WAITS = frozenset({"no_wait", "timeout"})
_TARGET = frozenset({"disk", "to", "grow", "emmc_boot"})

PERMITTED: dict[str, frozenset[str]] = {
    "classes": frozenset({"available"}),
    "boards": frozenset({"claimed"}),
    "claim": frozenset(
        {
            "what",
            "board",
            "count",
            "more",
            "image",
            "name",
            "ttl",
            "at",
            "power",
            "project",
            "priority",
            "wait",
            "keep_alive",
        }
    ),
    "claims": frozenset({"all"}),
    "extend": frozenset({"claim", "by"}),
    "share": frozenset({"claim", "user", "read_only"}),
    "unshare": frozenset({"claim", "user"}),
    "hand-over": frozenset({"claim", "user"}),
    "show": frozenset({"name"}),
    # Not --file and --network: they would read the server's files.
    "deploy": frozenset({"board", "image", "set", "hostname", "ssh_keys", "user", "first_boot", "dry_run"})
    | _TARGET
    | _WAITS,
    "run": frozenset({"board", "plan", "cancel", "set", "dry_run"}) | _TARGET | _WAITS,
    "capture": frozenset({"board", "name", "disk", "clean", "shrink"}) | _WAITS,
    "power": frozenset({"board", "action", "all_off", "equipment", "yes"}) | _WAITS,
    "trace": frozenset({"board", "boot"}),
    "why": frozenset({"board", "boot"}),
    "release": frozenset({"claim"}) | _WAITS,
    "kick": frozenset({"claim", "reason"}),
    "check": frozenset({"board", "active", "all", "board_class", "at_once", "force", "last", "stop"})
    | _WAITS,
    "equipment": frozenset({"name"}),
    "health": frozenset({"board", "action", "check", "reason"}),
    "train": frozenset({"board", "boots"}) | _WAITS,
    "maintenance": frozenset({"board", "reason", "now", "end"}),
    "recover": frozenset({"board"}) | _WAITS,
    # Not --pdf: it would write a file of the server's.
    "wipe-certificate": frozenset({"board", "run"}),
    "events": frozenset({"follow", "board", "after", "kind", "since", "audit", "principal"}),
    "whoami": frozenset(),
    "version": frozenset(),
}
"""By verb, the names its arguments have once they are read (``argparse``'s ``dest``)."""

SUBVERBS: dict[str, frozenset[str]] = {
    "image": frozenset({"list", "show", "share", "rm", "diff", "verify", "gc", "shrink", "fetch", "unsign"}),
    "hook": frozenset({"list", "remove", "test"}),
    "token": frozenset({"add", "list", "revoke"}),
    "key": frozenset({"list", "remove"}),
    "project": frozenset({"add", "list", "show", "set", "member", "remove"}),
    "principal": frozenset({"add", "list", "show", "role", "disable", "enable", "remove"}),
}
"""Verbs with verbs of their own, and which of these are permitted."""

_INSTEAD = {
    "console": "a console is a session of its own: ssh BOARD@LAB",
    "login": "you are logged in by your ssh key; `token` makes a token",
}

_STARTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"})
"""Audit events (sys.addaudithook) of what starts a program."""


def run(words: Sequence[str]) -> int:
    """Run a verb and return its exit status: 0 done, 1 refused or failed, 2 usage.

    It prints JSON, or text for people when ``--text`` is among its words.
    """
    verb, arguments = words[0], list(words[1:])
    if verb in ("help", "-h", "--help"):
        print(_help())
        return 0
    known = {name: entry for verbs in GROUPS.values() for name, entry in verbs.items()}
    if verb not in known or verb not in PERMITTED.keys() | SUBVERBS.keys():
        reason = _INSTEAD.get(verb, "it is not run by ssh" if verb in known else "there is no such verb")
        print(f"hostler: {verb}: {reason}; `help` lists the verbs", file=sys.stderr)
        return USAGE
    if "--" in arguments:
        # What follows is a command for the caller's own machine; this is not theirs.
        print(f"hostler: {verb}: no command is run by ssh: leave out what begins with --", file=sys.stderr)
        return USAGE
    as_text = "--text" in arguments or "--json" in arguments
    arguments = [word for word in arguments if word != "--text"]
    if "-h" not in arguments and "--help" not in arguments:
        refused = _refused(verb, known[verb][0], arguments)
        if refused is not None:
            return refused
    if not as_text:
        # Verbs of verbs know --json only after theirs.
        arguments.insert(1 if verb in SUBVERBS else 0, "--json")
    sys.addaudithook(_start_nothing)
    return main([verb, *arguments])


def _start_nothing(event: str, _details: object) -> None:
    """Let no verb start a program, whatever it was asked."""
    if event in _STARTS:
        raise PermissionError("no command is run by ssh")


def _refused(verb: str, module: str, arguments: list[str]) -> int | None:
    """Return the exit status if these arguments are not for here; None: they may be run."""
    if verb in SUBVERBS:
        # A key from standard input is the caller's; one from a file would be the server's.
        if (arguments and arguments[0] in SUBVERBS[verb]) or (verb, *arguments[:2]) == ("key", "add", "-"):
            return None
        names = sorted(SUBVERBS[verb]) + (["add - (the key on standard input)"] if verb == "key" else [])
        print(f"hostler: {verb}: by ssh it is: {', '.join(names)}", file=sys.stderr)
        return USAGE
    parser = argparse.ArgumentParser(prog=verb, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    import_module(f"hostler.cli.{module}").VERBS[verb][0](parser)
    try:
        given = vars(read_arguments(parser, arguments))
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    permitted = PERMITTED[verb] | {"json"}
    unset = {action.dest: _default(action) for action in parser._actions}  # noqa: SLF001 - no public way
    for name, value in given.items():
        if name not in permitted and value and value != unset.get(name):
            print(f"hostler: {verb}: {name.replace('_', '-')} is not for use by ssh", file=sys.stderr)
            return USAGE
    return None


def _default(action: argparse.Action) -> object:
    """Return what an argument is when it is not given; argparse reads defaults that are text."""
    if isinstance(action.default, str) and callable(action.type):
        return action.type(action.default)
    return action.default


def _help() -> str:
    lines = ["usage: ssh lab@LAB VERB [ARGUMENTS] [--text]", ""]
    for verbs in GROUPS.values():
        for name, (_, summary) in verbs.items():
            if name in PERMITTED or name in SUBVERBS:
                lines.append(f"  {name:<18}{summary}")
    lines += [
        f"  {'token':<18}a new token: --name N, --expires 8h, --once, --json",
        "",
        "Verbs print JSON, with --text lines for people. Lines on standard input run one verb each.",
        "ssh BOARD@LAB is the console of a board you hold; ssh -J lab@LAB root@BOARD gets to its own sshd.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:] or ["help"]))
