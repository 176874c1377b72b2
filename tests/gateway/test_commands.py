"""Verbs by ssh: those of the command line, as whoever logged in, and nothing of the server's own."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hostler.cli.main import GROUPS
from hostler.gateway.verb import PERMITTED, SUBVERBS
from hostler.hub.records import HUB
from simulated_rack import until
from ssh_lab import ssh_lab


async def test_a_verb_answers_in_json_with_the_status_of_the_command_line(tmp_path: Path):
    """Done is 0, refused is 1 with the problem as JSON, a mistake in the words is 2."""
    async with ssh_lab(tmp_path) as lab:
        done = await lab.ssh("anna", "lab@bench", "claim", "pc", "--name", "mine")
        assert done.status == 0, done.err
        claim = json.loads(done.out)
        assert (claim["principal"], claim["state"], claim["board"]) == ("anna", "active", "pc-1")
        shown = await lab.ssh("anna", "lab@bench", "hostler show pc-1")
        assert json.loads(shown.out)["claim"]["id"] == claim["id"]
        refused = await lab.ssh("bert", "lab@bench", "power", "pc-1", "on")
        assert refused.status == 1
        assert json.loads(refused.out)["status"] == 403
        assert (await lab.ssh("anna", "lab@bench", "claim")).status == 2
        assert (await lab.ssh("anna", "lab@bench", "clam", "pc")).status == 2
        looked = await lab.ssh("anna", "lab@bench", "power", "pc-1", "--no-wait", "status")
        assert looked.status == 0, looked.err
        people = await lab.ssh("anna", "lab@bench", "claims", "--text")
        assert "CLAIM" in people.out
        released = await lab.ssh("anna", "lab@bench", "release", "mine")
        assert released.status == 0, released.err
        assert json.loads(released.out)["state"] == "closed"


async def test_lines_on_standard_input_are_verbs(tmp_path: Path):
    """`echo claim pc | ssh lab@LAB` does what `ssh lab@LAB claim pc` does; one bad line stops no other."""
    async with ssh_lab(tmp_path) as lab:
        one = await lab.ssh("anna", "lab@bench", typed=b"claim pc\n")
        assert one.status == 0, one.err
        assert json.loads(one.out)["board"] == "pc-1"
        lines = b"# a comment\n\nshow pc-1\nshow nothing\nclaims"
        several = await lab.ssh("anna", "lab@bench", typed=lines)
        assert several.status == 1
        documents = [json.loads(line) for line in several.out.splitlines()]
        assert documents[0]["name"] == "pc-1"
        assert len(documents) == 3
        assert documents[2][0]["board"] == "pc-1"
        long = await lab.ssh("anna", "lab@bench", typed=b"claims " + b"x" * 20000 + b"\n")
        assert long.status == 2


async def test_words_are_never_for_a_shell(tmp_path: Path):
    """What a shell would act on is a word like any other."""
    async with ssh_lab(tmp_path) as lab:
        mark = tmp_path / "mark"
        for line in (
            f"show '$(touch {mark})'",
            f"show pc-1; touch {mark}",
            f"show `touch {mark}`",
            "show 'pc-1",
        ):
            assert (await lab.ssh("anna", "lab@bench", line)).status != 0
        assert not mark.exists()


_OWN = (
    "serve --listen 127.0.0.1:1",
    "image import x /etc/passwd --arch amd64",
    "image --lab list import x /etc/passwd --arch amd64",
    "apply /etc/passwd",
    "agent build",
    "virtual --config /etc/passwd",
    "console pc-1",
    "login http://127.0.0.1:1",
    "ssh-proxy --url http://127.0.0.1:1",
    "host-key pc-1 /etc/passwd",
    "boards --lab /etc/passwd",
    "adopt 52:54:00:00:00:09 --file /etc/passwd",
)


async def test_what_is_the_servers_own_is_refused(tmp_path: Path):
    """A verb or an option that would read files, listen or start something on the server is refused."""
    async with ssh_lab(tmp_path) as lab:
        for line in _OWN:
            done = await lab.ssh("anna", "lab@bench", line)
            assert (done.status, done.out) == (2, ""), line
            assert line.split()[0] in done.err


async def test_a_claim_runs_no_command_on_the_server(tmp_path: Path):
    """The command line may run a program while a claim lasts; by ssh that program would run on the server."""
    async with ssh_lab(tmp_path) as lab:
        program, mark = tmp_path / "program", tmp_path / "mark"
        program.write_text(f"#!/bin/sh\ntouch {mark}\n")
        program.chmod(0o755)
        for words in ("pc --keep-alive -- touch {}", "--board pc-1 -- {}", "-- {} pc", "pc -- {}"):
            done = await lab.ssh("anna", "lab@bench", f"claim {words.format(program)}")
            assert done.status == 2, words
            assert not mark.exists()
            assert not lab.lab.hub.state.claims


def test_no_verb_starts_a_program():
    """Even a verb that would is kept from it, by Python itself."""
    code = (
        "import sys; from hostler.gateway import verb; sys.addaudithook(verb._start_nothing)\n"
        "import os, subprocess\n"
        "starts = [lambda: subprocess.run(['true']), lambda: os.system('true'), os.fork,\n"
        "          lambda: os.execv('true', ['true']), lambda: os.posix_spawn('true', ['true'], {})]\n"
        "for start in starts:\n"
        "    try:\n        start()\n    except PermissionError:\n        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "refused\n" * 5


async def test_what_is_done_by_ssh_says_so(tmp_path: Path):
    """The event of a change names who, by which door, from where and with which key."""
    async with ssh_lab(tmp_path) as lab:
        assert (await lab.ssh("anna", "lab@bench", "claim pc")).status == 0
        key = next(key.fingerprint for key in lab.lab.hub.state.keys.values() if key.principal == "anna")
        events = [e for e in await lab.lab.hub.history.page(0) if e.kind == "claim.created"]
        assert events[-1].principal == "anna"
        text = json.dumps(events[-1].data)
        assert '"ssh"' in text
        assert "127.0.0.1" in text
        assert key in text


async def test_a_verb_ends_with_its_session(tmp_path: Path):
    """Who goes away leaves no process behind; one that is shut out is told and stopped."""
    async with ssh_lab(tmp_path) as lab:
        verbs = lab.gateway._commands._verbs
        async with lab.going("anna", "lab@bench", "events --follow"):
            await until(lambda: verbs.held == 1)
        await until(lambda: verbs.held == 0)
        async with lab.going("anna", "lab@bench", "events --follow") as ssh:
            await until(lambda: verbs.held == 1)
            await lab.lab.hub.remove_principal(HUB, "anna")
            assert ssh.stderr is not None
            told = await asyncio.wait_for(ssh.stderr.read(), 60)
            assert b"anna was removed" in told
            await until(lambda: verbs.held == 0)


async def test_people_and_keys_by_ssh(tmp_path: Path):
    """An admin lets somebody in, and a key comes through standard input alone."""
    async with ssh_lab(tmp_path) as lab:
        await lab.member("root", "admin")
        assert (await lab.ssh("root", "lab@bench", "principal add dora")).status == 0
        text = lab.key("dora").with_suffix(".key.pub").read_bytes()
        added = await lab.ssh("root", "lab@bench", "key add - --for dora --name laptop", typed=text)
        assert added.status == 0, added.err
        assert json.loads(added.out)["principal"] == "dora"
        mine = await lab.ssh("dora", "lab@bench", "key list")
        assert [key["name"] for key in json.loads(mine.out)] == ["laptop"]
        for line in (
            "key add",
            "key add /etc/passwd",
            f"key add {lab.key('carol')}.pub",
            "key add --name - x",
        ):
            assert (await lab.ssh("dora", "lab@bench", line)).status == 2
        made = await lab.ssh("dora", "lab@bench", "token add ci --role viewer")
        assert json.loads(made.out)["token"].startswith("hst_")


def parser_of(verb: str) -> argparse.ArgumentParser:
    module = next(verbs[verb][0] for verbs in GROUPS.values() if verb in verbs)
    parser = argparse.ArgumentParser()
    import_module(f"hostler.cli.{module}").VERBS[verb][0](parser)
    return parser


@pytest.mark.parametrize("verb", PERMITTED)
def test_every_permitted_argument_is_one(verb: str):
    """What is permitted by name is an argument of that verb: no slip of the pen keeps people from it."""
    known = {action.dest for action in parser_of(verb)._actions}
    assert PERMITTED[verb] - known <= {"no_wait", "timeout"}


@pytest.mark.parametrize("verb", SUBVERBS)
def test_every_permitted_verb_of_a_verb_is_one(verb: str):
    """What is permitted of a verb with verbs of its own is one of them."""
    choices = next(a.choices for a in parser_of(verb)._actions if isinstance(a, argparse._SubParsersAction))
    assert SUBVERBS[verb] <= set(choices)
