"""Entry point of the ``hostler`` command.

Only what is needed to find the verb is imported here: help and completion must be instant.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from hostler.cli.output import Output

    Arguments = Callable[[argparse.ArgumentParser], None]
    Action = Callable[[argparse.Namespace, Output], int]

DONE, FAILED, USAGE = 0, 1, 2

# Each module has VERBS: verb -> (adds its arguments to a parser, carries it out).
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "use boards": {
        "classes": ("boards", "what boards there are to claim, by class"),
        "boards": ("boards", "every board and what it is doing"),
        "claim": ("claims", "claim boards: by class, by labels or by name, now or for later"),
        "claims": ("claims", "claims that are held or wait"),
        "extend": ("claim_terms", "let a claim end later"),
        "share": ("claim_terms", "let somebody else use a claim's boards, or look on"),
        "unshare": ("claim_terms", "take back what was shared"),
        "hand-over": ("claim_terms", "make somebody else a claim's owner"),
        "top": ("top", "every board live in the terminal"),
        "show": ("boards", "everything about a board or a claim"),
        "deploy": ("runs", "install an image on a board and boot it"),
        "run": ("runs", "carry out a plan on a board, such as wipe,install:debian,boot"),
        "capture": ("captures", "make an image of a board's disk"),
        "power": ("power", "switch a board on or off, or look; or every board off"),
        "console": ("console", "a board's serial console"),
        "trace": ("trace", "what happened while a board booted, and when"),
        "why": ("trace", "why a board did not come up"),
        "release": ("claims", "give a board back: it is wiped and switched off"),
    },
    "keep a lab": {
        "kick": ("claim_terms", "end somebody's claim at once"),
        "image": ("images", "import, list, show and remove images"),
        "apply": ("inventory", "make a lab.toml the inventory"),
        "check": ("wires", "look at every wire of the lab, or try them"),
        "equipment": ("equipment", "switches, PDUs and the like, and who is on which port"),
        "networks": ("networks", "the networks that boards boot on"),
        "dhcp-lines": ("networks", "what another DHCP server must be told to send boards here"),
        "leases": ("networks", "which addresses are given to whom"),
        "adopt": ("wires", "find the wires of a machine nobody knows and add it"),
        "health": ("health", "how boards did when they were checked; check them, judge them"),
        "train": ("health", "boot a new board again and again before anybody gets it"),
        "maintenance": ("health", "take a board aside to work on it, and give it back"),
        "recover": ("boards", "wipe a quarantined board again"),
        "wipe-certificate": ("wipe_certificate", "what a wipe did to each disk of a board, also on paper"),
        "events": ("events", "what happened in the lab"),
        "hook": ("hooks", "have events told elsewhere"),
        "agent": ("agent", "build the agent that runs on boards"),
        "media": ("media", "make a stick or CD for boards that cannot boot from the network"),
    },
    "ssh": {
        "ssh-config": ("ssh", "what ssh must know to reach the lab and its boards"),
        "ssh-proxy": ("ssh_proxy", "carry ssh through the lab's HTTPS port (ssh's ProxyCommand)"),
        "host-key": ("ssh", "have the ssh host key of a board you hold signed"),
    },
    "who you are": {
        "login": ("login", "log in to a lab, by ssh key or token"),
        "logout": ("login", "end the token and forget it"),
        "whoami": ("login", "whose token is in use, and at which server"),
        "token": ("tokens", "make, list and revoke tokens"),
        "key": ("tokens", "say which ssh keys log you in"),
    },
    "who may do what": {
        "principal": ("principals", "people and machines that may ask, and their role"),
        "project": ("projects", "on whose account boards are held: members, weight, quotas"),
    },
    "run servers": {
        "serve": ("servers", "run the server"),
        "virtual": ("servers", "run a virtual lab: boards in QEMU behind a virtual switch"),
        "version": ("servers", "the version of this program, and of the server"),
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 refused or failed, 2 usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        print(usage(), file=sys.stderr)
        return USAGE
    verb = arguments.pop(0)
    if verb in ("-h", "--help", "help"):
        print(usage())
        return DONE
    if verb == "--version":
        verb = "version"
    for verbs in GROUPS.values():
        if verb in verbs:
            module, summary = verbs[verb]
            return _run(verb, module, summary, arguments)
    print(f'hostler: there is no verb "{verb}"{_guess(verb)}; `hostler --help` lists them', file=sys.stderr)
    return USAGE


def usage() -> str:
    """Return the text of ``hostler --help``."""
    lines = ["usage: hostler VERB [ARGUMENTS] [--json]"]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {verb:<18}{summary}" for verb, (_, summary) in verbs.items()]
    lines += [
        "",
        "`hostler VERB --help` tells a verb's arguments. With --json every verb prints one JSON document.",
        "The server is the one of `hostler login`, or of HOSTLER_URL and HOSTLER_TOKEN; among several labs",
        "that were logged in to, --lab NAME or HOSTLER_LAB chooses.",
        "Exit status: 0 done, 1 refused or failed, 2 usage.",
    ]
    return "\n".join(lines)


def _run(verb: str, module: str, summary: str, arguments: list[str]) -> int:
    import argparse
    from importlib import import_module

    from hostler.cli.output import Output
    from hostler.client.errors import ClientError

    add_arguments: Arguments
    action: Action
    add_arguments, action = import_module(f"hostler.cli.{module}").VERBS[verb]
    parser = argparse.ArgumentParser(prog=f"hostler {verb}", description=summary, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--lab", metavar="NAME", help="the lab to talk to, as named at its login")
    add_arguments(parser)
    # A verb that runs a command says so by a default for it: everything after `--` is the command's.
    command = None
    if parser.get_default("command") is not None and "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    try:
        args = read_arguments(parser, arguments)
    except SystemExit as stop:  # argparse has said why; 0 after --help
        return int(stop.code or 0)
    if command is not None:
        args.command = command
    out = Output(json=args.json)
    if args.lab is not None:
        _choose(args.lab)
    try:
        status = action(args, out)
        sys.stdout.flush()
    except ClientError as error:
        return out.fail(error)
    except KeyboardInterrupt:
        print("hostler: stopped", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # Who read our output has gone (`hostler events | head`): nothing is left to say, not even at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def read_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Read a verb's arguments; options may stand anywhere, also before a last word that may be left out.

    Raises:
        SystemExit: they are wrong, or help was asked for; argparse has said it.
    """
    try:
        return parser.parse_intermixed_args(arguments)
    except TypeError:  # argparse cannot do that with sub-verbs
        return parser.parse_args(arguments)


def _choose(lab: str) -> None:
    """Let this process, and what it starts, talk to one lab of the settings file and to no other."""
    import os

    for name in ("HOSTLER_URL", "HOSTLER_TOKEN", "HOSTLER_CA", "HOSTLER_SOCKET"):
        os.environ.pop(name, None)  # they were set for another one
    os.environ["HOSTLER_LAB"] = lab


def _guess(verb: str) -> str:
    import difflib

    known = [name for verbs in GROUPS.values() for name in verbs]
    near = difflib.get_close_matches(verb, known, n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


if __name__ == "__main__":
    sys.exit(main())
