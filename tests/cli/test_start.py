"""The command line before it talks to any server: help, usage, what is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostler.cli.main import GROUPS

HOSTLER = str(Path(sys.executable).parent / "hostler")
VERBS = sorted(verb for verbs in GROUPS.values() for verb in verbs)


def hostler(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("HOSTLER_", "XDG_"))}
    return subprocess.run(
        [HOSTLER, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**plain, "HOME": "/nonexistent", **environment},
    )


def test_help_lists_every_verb() -> None:
    """`hostler --help` names each verb and exits 0."""
    done = hostler("--help")
    assert done.returncode == 0
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_takes_json(verb: str) -> None:
    """Each verb explains itself without a server, and knows --json."""
    done = hostler(verb, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "usage: hostler VERB"),
        (("claimm", "x"), 'did you mean "claim"'),
        (("claim",), "CLASS"),
        (("power", "b", "sideways"), "sideways"),
        (("power",), "say which board and what"),
        (("power", "b", "--all-off"), "hostler power b off"),
        (("power", "--all-off"), "add --yes"),
        (("claim", "c", "--wait", "soon"), "no duration"),
        (("image", "import", "n", "f"), "--arch"),
        (("run", "b"), "say what to do"),
    ],
)
def test_usage_errors_exit_2_and_say_what_is_wrong(arguments: tuple[str, ...], says: str) -> None:
    """What was typed wrong is named on stderr, with status 2 and nothing on stdout."""
    done = hostler(*arguments, HOSTLER_URL="http://127.0.0.1:9", HOSTLER_TOKEN="hst_x")
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_no_server_configured_says_what_to_set() -> None:
    """Without settings a verb fails with the variables to set, and with --json as a document too."""
    done = hostler("boards", "--json")
    assert done.returncode == 1
    assert "HOSTLER_URL" in done.stderr
    assert json.loads(done.stdout)["detail"] == "no server is configured"


def test_a_server_that_is_not_there_is_named() -> None:
    """A refused connection names the address and what to do."""
    done = hostler("boards", HOSTLER_URL="http://127.0.0.1:9", HOSTLER_TOKEN="hst_x")
    assert done.returncode == 1
    assert done.stderr.startswith("hostler: cannot talk to http://127.0.0.1:9")
    assert "hostler serve" in done.stderr


def test_version_works_without_a_server() -> None:
    """`hostler version` needs nothing; `--version` is the same."""
    document = json.loads(hostler("version", "--json").stdout)
    assert document["server"] is None
    assert hostler("--version").stdout == f"hostler {document['version']}\n"


def test_help_loads_nothing_heavy() -> None:
    """Neither help nor a verb's arguments import a server, a database or the table printer."""
    program = (
        "import sys; from hostler.cli.main import main; main(['--help']); main(['boards', '--help'])\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stderr.split())
    heavy = {
        "fastapi",
        "sqlalchemy",
        "rich",
        "httpx2",
        "websockets",
        "pydantic",
        "aiohttp",
        "uvicorn",
        "asyncio",
    }
    assert not loaded & heavy


def test_help_is_instant() -> None:
    """`hostler --help` takes at most 0.2 s (the best of five, since the machine is shared)."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        hostler("--help")
        times.append(time.perf_counter() - begun)
    assert min(times) <= 0.2
