"""Hooks: told in order, signed, again until it arrives, over a crash, and never in each other's way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from hostler.hub.database import Database
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.hub import Hub
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.records import HUB, Principal, Role
from hostler.images.store import ImageStore
from hostler.link.inprocess import InProcessLink
from hostler.serve import reveal_secret
from hostler.store_files import StoreFiles
from simulated_rack import LAB, Lab, running, until
from webhook_listener import listening

if TYPE_CHECKING:
    from pathlib import Path

ANNA = Principal("anna", Role.MEMBER)
ADMIN = Principal("ada", Role.ADMIN)


async def say(lab: Lab, *texts: str, kind: str = "claim.said") -> None:
    for text in texts:
        await lab.hub.change(lambda draft, text=text: draft.event(kind, text))


def hooks_of(lab: Lab) -> dict:
    return lab.hub.state.hooks


async def test_events_are_posted_in_order(tmp_path: Path):
    """A hook is told each event of its kinds from its making on, once and in order, as a JSON document."""
    async with running(tmp_path) as lab, listening() as ear:
        await say(lab, "before")
        await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",))
        await say(lab, "one", "two")
        await say(lab, "not asked for", kind="run.said")
        await say(lab, "three")
        await until(lambda: len(ear.bodies) == 3)
        assert [event["text"] for event in ear.events] == ["one", "two", "three"]
        assert {event["lab"] for event in ear.events} == {"bench"}
        assert [int(h["webhook-id"].removeprefix("bench-")) for h in ear.headers] == [
            event["seq"] for event in ear.events
        ]
        assert "webhook-signature" not in ear.headers[0]


async def test_without_kinds_all_but_what_boots_look_like(tmp_path: Path):
    """A hook without patterns is told what the hub decides, not every packet of a boot."""
    async with running(tmp_path) as lab, listening() as ear:
        await lab.hub.hooks.add(ADMIN, ear.url, ())
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: "board.available" in ear.kinds)
        assert "claim.granted" in ear.kinds
        assert not [kind for kind in ear.kinds if kind.startswith(("dhcp.", "power.on"))]


async def test_what_is_posted_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a secret the receiver can tell who posted; the secret itself is in no event and in no record."""
    monkeypatch.setenv("HOOK_KEY", "s3cret of the hook")
    database, link = Database(tmp_path / "hub.sqlite"), InProcessLink(tmp_path / "link.sqlite")
    database.close()
    await link.close()
    async with listening() as ear, running(tmp_path) as lab:
        lab.hub.hooks._reveal = reveal_secret
        await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",), "env:HOOK_KEY")
        await say(lab, "one")
        await until(lambda: ear.bodies)
        head = ear.headers[0]
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + ear.bodies[0]
        mac = hmac.new(b"s3cret of the hook", signed, hashlib.sha256).digest()
        assert head["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
        for event in await lab.hub.history.page(0):
            assert "s3cret" not in f"{event.text}{event.data}"


async def test_what_did_not_arrive_is_tried_again_and_nothing_overtakes(tmp_path: Path):
    """While a receiver refuses, later events wait behind the first; when it accepts, all arrive in order."""
    async with running(tmp_path) as lab, listening() as ear:
        ear.status = 500
        hook = await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",))
        await say(lab, "one", "two")
        await until(lambda: len(ear.bodies) >= 2)
        assert {event["text"] for event in ear.events} == {"one"}
        progress = lab.hub.hooks.progress(hook)
        assert (progress.error, progress.told) == ("answered 500", 0)
        assert progress.trying_since is not None
        ear.status = 200
        await until(lambda: progress.told == 2)
        assert [event["text"] for event in ear.events][-2:] == ["one", "two"]
        assert (progress.error, progress.trying_since) == ("", None)


async def test_what_is_no_text_is_told_all_the_same(tmp_path: Path):
    """Half a character in what a board said ends neither the hook nor the server."""
    out = tmp_path / "told"
    more = f"""
[hooks.file]
command = ["sh", "-c", "cat >> {out}"]
kinds = ["run.*"]
"""
    async with running(tmp_path) as lab, listening() as ear:
        await lab.hub.apply_inventory(HUB, LAB + more)
        await lab.hub.hooks.add(ADMIN, ear.url, ("run.*",))
        await lab.hub.change(lambda draft: draft.event("run.said", "odd", data={"found": "\ud800"}))
        await say(lab, "next", kind="run.said")
        await until(lambda: [event["text"] for event in ear.events] == ["odd", "next"])
        assert ear.events[0]["data"] == {"found": "\ud800"}
        await until(lambda: out.exists() and out.read_bytes().count(b"\n") == 2)


async def test_a_slow_receiver_delays_nobody_else(tmp_path: Path):
    """A receiver that does not answer holds up its own events alone."""
    async with running(tmp_path) as lab, listening() as slow, listening() as quick:
        slow.gate.clear()
        await lab.hub.hooks.add(ADMIN, slow.url, ("claim.*",))
        await lab.hub.hooks.add(ADMIN, quick.url, ("claim.*",))
        await say(lab, *(str(number) for number in range(20)))
        await until(lambda: len(quick.bodies) == 20)
        assert len(slow.bodies) == 1


async def test_nothing_is_lost_over_a_crash(tmp_path: Path):
    """What was not told when the hub died is told when it lives again, to the same address."""
    async with listening() as ear:
        port = ear.port
        async with running(tmp_path) as lab:
            await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",))
            await say(lab, "one")
            await until(lambda: len(ear.bodies) == 1)
            ear.status = 503
            await say(lab, "two", "three")
            await until(lambda: len(ear.bodies) >= 2)
    async with listening(port) as ear, running(tmp_path) as lab:
        await until(lambda: "three" in [event["text"] for event in ear.events])
        assert [event["text"] for event in ear.events][-2:] == ["two", "three"]
        # Its place is kept, so the next start does not begin from the first event again.
        hook = next(iter(hooks_of(lab).values()))
        await until(lambda: hooks_of(lab)[hook.id].cursor >= ear.events[-1]["seq"])


async def test_an_event_is_given_up_after_a_day(tmp_path: Path):
    """What could not be told for a day is given up, which is itself an event, and the next one is told."""
    async with running(tmp_path) as lab, listening() as ear:
        ear.status = 404
        hook = await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",))
        await lab.hub.change(lambda draft: draft.event("claim.said", "old", at=draft.now - 90000))
        progress = lab.hub.hooks.progress(hook)
        await until(lambda: lab.hub.hooks.progress(hook).given_up == 1)
        ear.status = 200
        await say(lab, "new")
        await until(lambda: "new" in [event["text"] for event in ear.events])
        events = await lab.hub.history.page(0)
        gone = [event for event in events if event.kind == "hook.gave-up"]
        assert len(gone) == 1
        assert "answered 404" in gone[0].text
        assert progress is not None


async def test_redirects_are_not_followed(tmp_path: Path):
    """Nobody the hook was not made for gets what it tells."""
    async with running(tmp_path) as lab, listening() as ear:
        ear.status = 307
        hook = await lab.hub.hooks.add(ADMIN, ear.url, ("claim.*",))
        told = await lab.hub.hooks.test(ADMIN, hook.id)
        assert not told.ok
        assert "redirect" in told.text
        assert len(ear.bodies) == 1


async def test_test_tells_at_once_what_comes_of_it(tmp_path: Path):
    """A test is told before all that waits, and says what was answered, or why nothing was."""
    async with running(tmp_path) as lab, listening() as ear:
        hook = await lab.hub.hooks.add(ADMIN, ear.url, ())
        assert (await lab.hub.hooks.test(ADMIN, hook.id)).text == "answered 204"
        assert "hook.test" in ear.kinds
        dead = await lab.hub.hooks.add(ADMIN, "http://127.0.0.1:9/", ())
        told = await lab.hub.hooks.test(ADMIN, dead.id)
        assert not told.ok
        assert "127.0.0.1:9" in told.text
        keyed = await lab.hub.hooks.add(ADMIN, ear.url, (), "env:NOT_SET_ANYWHERE")
        assert "NOT_SET_ANYWHERE" in (await lab.hub.hooks.test(ADMIN, keyed.id)).text


async def test_bad_hooks_are_refused(tmp_path: Path):
    """Who may not, and what is no address, pattern or reference, changes nothing."""
    async with running(tmp_path) as lab:
        with pytest.raises(ForbiddenError):
            await lab.hub.hooks.add(ANNA, "http://x/", ())
        for url in (
            "",
            "ftp://x/",
            "file:///etc/passwd",
            "http://",
            "http://a b/",
            "http://[::1/",
            "http://x:y/",
        ):
            with pytest.raises(InvalidError):
                await lab.hub.hooks.add(ADMIN, url, ())
        with pytest.raises(InvalidError, match="pattern"):
            await lab.hub.hooks.add(ADMIN, "http://x/", ("Claim",))
        with pytest.raises(InvalidError, match="env:NAME"):
            await lab.hub.hooks.add(ADMIN, "http://x/", (), "s3cret")
        with pytest.raises(NotFoundError):
            await lab.hub.hooks.remove(ADMIN, "h-none")
        assert hooks_of(lab) == {}


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "told"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_a_command_gets_the_event(tmp_path: Path):
    """A command of lab.toml gets the event on standard input and in its environment, and no secrets there."""
    heard = tmp_path / "heard"
    os.environ["HOSTLER_TEST_SECRET"] = "s3cret"
    command = program(
        tmp_path,
        "import os, sys\n"
        "env = {k: v for k, v in os.environ.items() if k.startswith('HOSTLER')}\n"
        f"print(env, sys.stdin.read(), file=open({str(heard)!r}, 'a'))\n",
    )
    text = LAB + f'\n[hooks.mail]\ncommand = ["{command}"]\nkinds = ["claim.granted"]\n'
    async with running(tmp_path, lab=text) as lab:
        await lab.hub.claim(ANNA, "pc")
        await until(lambda: heard.exists() and heard.read_text().endswith("}\n\n"))
        said = heard.read_text()
        assert "'HOSTLER_EVENT_KIND': 'claim.granted'" in said
        assert "'HOSTLER_EVENT_BOARD': 'pc-1'" in said
        assert '"principal": "anna"' in said
        assert "s3cret" not in said
        assert hooks_of(lab)["mail"].command == (command,)


async def test_a_command_that_fails_says_why(tmp_path: Path):
    """A command that fails is tried again, and its last words are told; one that is not there is named."""
    command = program(tmp_path, "print('no route to mail'); raise SystemExit(75)")
    text = LAB + f'\n[hooks.mail]\ncommand = ["{command}"]\n[hooks.gone]\ncommand = ["/no/such"]\n'
    async with running(tmp_path, lab=text) as lab:
        told = await lab.hub.hooks.test(ADMIN, "mail")
        assert (told.ok, told.text) == (False, "exit status 75: no route to mail")
        assert "/no/such" in (await lab.hub.hooks.test(ADMIN, "gone")).text


async def test_commands_come_from_the_servers_own_file(tmp_path: Path):
    """Who applies an inventory over the API cannot have the server run a program; its own file can."""
    text = LAB + '\n[hooks.mail]\ncommand = ["true"]\n'
    async with running(tmp_path) as lab:
        with pytest.raises(ForbiddenError, match="hostler serve --config"):
            await lab.hub.apply_inventory(ADMIN, text)
        assert hooks_of(lab) == {}
        await lab.hub.apply_inventory(HUB, text)
        assert hooks_of(lab)["mail"].command == ("true",)
        await lab.hub.apply_inventory(
            ADMIN, text + '\n[hooks.web]\nurl = "http://x/"\n'
        )  # unchanged: may stay
        with pytest.raises(ForbiddenError):
            await lab.hub.apply_inventory(ADMIN, text.replace("true", "false"))
        with pytest.raises(ConflictError, match=r"lab\.toml"):
            await lab.hub.hooks.remove(ADMIN, "web")
        cursor = hooks_of(lab)["mail"].cursor
        await lab.hub.apply_inventory(HUB, text)
        assert set(hooks_of(lab)) == {"mail"}
        assert hooks_of(lab)["mail"].cursor >= cursor


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('url = "gopher://x"', "http://"),
        ('url = "http://x/"\ncommand = ["a"]', "either"),
        ("", "either"),
        ('url = "http://x/"\nsecret = "s3cret"', "env:NAME"),
        ('url = "http://x/"\nkinds = ["A B"]', "pattern"),
        ('url = "http://x/"\nkind = ["claim.*"]', 'did you mean "kinds"'),
        ('command = ["a"]\nsecret = "env:X"', "a command needs none"),
    ],
)
def test_mistakes_in_hooks_of_lab_toml(table: str, said: str):
    """Every mistake is told with its place, and what to do; a secret is never repeated."""
    with pytest.raises(LabfileError) as told:
        read_labfile(f"{LAB}\n[hooks.one]\n{table}\n")
    assert said in str(told.value)
    assert "lab.toml:" in str(told.value)
    assert "s3cret" not in str(told.value)


def test_the_hub_of_the_server_reveals_secrets(tmp_path: Path):
    """The server hands its hub the way to look up secrets; a hub without one says so."""
    database, store = Database(tmp_path / "hub.sqlite"), ImageStore(tmp_path / "store")
    link = InProcessLink(tmp_path / "link.sqlite")
    try:
        hub = Hub(database, link, StoreFiles(store), tmp_path / "spool")
        with pytest.raises(ValueError, match="cannot look up"):
            hub.hooks._reveal("env:X")
    finally:
        database.close()
