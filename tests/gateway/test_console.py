"""Consoles by ssh, with OpenSSH's own client: typed at, looked at, and ended with a word that says why."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import time
from pathlib import Path

from hostler.hub.records import HUB
from hostler.link.frames import BYTES
from simulated_rack import until
from ssh_lab import SshLab, ssh_lab


class Person:
    """Somebody at a terminal who runs ``ssh BOARD@LAB``; use from a thread."""

    def __init__(self, lab: SshLab, who: str, *arguments: str) -> None:
        self.terminal, slave = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            lab.argv(who, *arguments), stdin=slave, stdout=slave, stderr=slave, env=lab.environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def type(self, data: bytes) -> None:
        os.write(self.terminal, data)

    def see(self, wanted: bytes, seconds: float = 60) -> bytes:
        """Read until something shows after what was seen last; returns all up to it."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < end, f"{wanted!r} not in {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.terminal, 4096)
                except OSError:
                    break
        before, found, self.seen = self.seen.partition(wanted)
        assert found, f"{wanted!r} not in {before!r}"
        return before

    def leave(self) -> int:
        return self.process.wait(60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


async def held(lab: SshLab, who: str = "anna") -> str:
    """Claim pc-1; returns the claim's id."""
    principal = lab.lab.hub.state.principals[who]
    claim = await lab.lab.hub.claim(principal, "pc", name="mine")
    await until(lambda: "pc-1" in lab.lab.rack.boards)
    return claim.id


async def test_a_person_at_a_terminal(tmp_path: Path):
    """What is typed reaches the board raw, Ctrl-C included, what it says is seen raw; Ctrl-] q leaves."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        person = Person(lab, "anna", "pc-1@bench")
        try:
            await asyncio.to_thread(person.see, b"Ctrl-] then: q leave")
            await asyncio.to_thread(person.see, b"abc")  # what the console said before
            person.type(b"hello\r")
            await asyncio.to_thread(person.see, b"HELLO\r")
            person.type(b"\x03\x1b[A")
            await until(lambda: b"\x03\x1b[A" in b"".join(lab.lab.rack.typed))
            person.type(b"\x1db")
            await until(lambda: b'{"cmd": "break"}' in lab.lab.rack.typed)
            person.type(b"\r~B")
            await until(lambda: lab.lab.rack.typed.count(b'{"cmd": "break"}') == 2)
            person.type(b"\x1d\x1d")
            await until(lambda: lab.lab.rack.typed[-1] == b"\x1d")
            person.type(b"\x1dq")
            assert await asyncio.to_thread(person.leave) == 0
        finally:
            await asyncio.to_thread(person.close)


async def test_lines_are_piped_in(tmp_path: Path):
    """Without a terminal lines are typed with the board's Enter key; stdout has what it says alone."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        done = await lab.ssh("anna", "mine@bench", typed=b"reboot\n")
        assert (done.status, done.out) == (0, "abcREBOOT\r"), done.err


async def test_following_types_nothing(tmp_path: Path):
    """With --follow the console is read and never typed at."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        async with lab.going("anna", "pc-1@bench", "--", "--follow") as ssh:
            assert ssh.stdout is not None
            assert ssh.stdin is not None
            assert await asyncio.wait_for(ssh.stdout.readexactly(3), 60) == b"abc"
            assert lab.lab.rack.opened[-1]["mode"] == "read"
            ssh.stdin.write(b"rm -rf /\n")
            await ssh.stdin.drain()
        assert not any(b"rm" in typed for typed in lab.lab.rack.typed)


async def test_only_the_holder(tmp_path: Path):
    """Another member, a board nobody holds, an unknown name and a board without console are refused."""
    async with ssh_lab(tmp_path) as lab:
        assert (await lab.ssh("anna", "pc-1@bench")).status == 1
        await held(lab)
        for user in ("pc-1", "pc-2", "arm-1", "nothing"):
            done = await lab.ssh("bert", f"{user}@bench")
            assert done.status == 1
            assert user in done.err
            assert done.out == ""
        assert not lab.lab.rack.opened
        command = await lab.ssh("anna", "pc-1@bench", "uname")
        assert command.status == 2


async def test_the_end_of_a_claim_ends_the_console(tmp_path: Path):
    """Who gives a board back, or loses it, is told so and disconnected at once."""
    async with ssh_lab(tmp_path, hang=True) as lab:
        claim = await held(lab)
        person = Person(lab, "anna", "pc-1@bench")
        try:
            await asyncio.to_thread(person.see, b"abc")
            await lab.lab.hub.release(lab.lab.hub.state.principals["anna"], claim)
            await asyncio.to_thread(person.see, b"claim mine is over: released")
            assert await asyncio.to_thread(person.leave) == 1
        finally:
            await asyncio.to_thread(person.close)


async def test_a_kick_ends_the_console(tmp_path: Path):
    """An admin who ends a claim ends what its holder has open, and the holder reads why."""
    async with ssh_lab(tmp_path, hang=True) as lab:
        claim = await held(lab)
        person = Person(lab, "anna", "pc-1@bench")
        try:
            await asyncio.to_thread(person.see, b"abc")
            await lab.member("root", "admin")
            kicked = await lab.ssh("root", "lab@bench", f"kick {claim} --reason 'needed for the demo'")
            assert kicked.status == 0, kicked.err
            await asyncio.to_thread(person.see, b"needed for the demo")
            assert await asyncio.to_thread(person.leave) == 1
        finally:
            await asyncio.to_thread(person.close)


async def test_whom_it_is_shared_with(tmp_path: Path):
    """Whoever a claim is shared with joins its console, as long as it is shared."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        assert (await lab.ssh("anna", "lab@bench", "share mine bert --read-only")).status == 0
        async with lab.going("bert", "pc-1@bench") as ssh:
            assert ssh.stdout is not None
            assert await asyncio.wait_for(ssh.stdout.readexactly(3), 60) == b"abc"
            assert lab.lab.rack.opened[-1]["mode"] == "read"
            assert (await lab.ssh("anna", "lab@bench", "unshare mine bert")).status == 0
            assert await asyncio.wait_for(ssh.wait(), 60) == 1
        assert (await lab.ssh("bert", "pc-1@bench")).status == 1


async def test_who_is_shut_out_is_sent_away(tmp_path: Path):
    """A principal that is removed loses its consoles at once, and is told."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        person = Person(lab, "anna", "pc-1@bench")
        try:
            await asyncio.to_thread(person.see, b"abc")
            await lab.lab.hub.remove_principal(HUB, "anna")
            await asyncio.to_thread(person.see, b"anna was removed")
            assert await asyncio.to_thread(person.leave) != 0
        finally:
            await asyncio.to_thread(person.close)
        await until(lambda: not lab.lab.link._open)


async def test_half_a_mebibyte_both_ways(tmp_path: Path):
    """Much at once goes through tunnel, ssh and link unharmed, both ways at the same time."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        text = b"".join(b"%07d\n" % number for number in range(65536))
        done = await lab.ssh("anna", "pc-1@bench", typed=text)
        assert done.status == 0, done.err
        wanted = text.replace(b"\n", b"\r")
        assert b"".join(lab.lab.rack.typed) == wanted
        assert done.out.encode() == b"abc" + wanted
        assert BYTES == 1


async def test_several_sessions_on_one_connection(tmp_path: Path):
    """OpenSSH's own sharing of connections works: a second session opens no second connection."""
    async with ssh_lab(tmp_path) as lab:
        await held(lab)
        control = ("-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto")
        async with lab.going("anna", *control, "-N", "lab@bench"):
            await until(lambda: (tmp_path / "c").exists())
            done = await lab.ssh("anna", *control, "lab@bench", "show pc-1", proxy="/bin/false")
            assert done.status == 0, done.err
