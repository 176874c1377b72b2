"""The lab's ssh authority: whose keys it signs, for which names, how long; judged by the real ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hostler.gateway.host_key import LIFE_SECONDS, RENEW_SECONDS, HostKey
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from hostler.hub.records import HUB
from hostler.hub.ssh_authority import MOST_NAMES, SshAuthority, kept_key, public_text
from simulated_rack import running

NOW = 1_700_000_000.0


def public_key(folder: Path, *options: str) -> str:
    """Return a public host key that the real ssh-keygen made."""
    path = folder / "host"
    kind = options or ("-t", "ed25519")
    subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-f", path], check=True, timeout=60)
    return path.with_suffix(".pub").read_text()


def shown(folder: Path, certificate: str) -> str:
    """Return what ssh-keygen says of a certificate."""
    path = folder / "shown-cert.pub"
    path.write_text(f"{certificate}\n")
    return subprocess.run(
        ["ssh-keygen", "-L", "-f", path], check=True, timeout=20, capture_output=True, text=True
    ).stdout


def test_the_authority_is_made_once(tmp_path: Path):
    """Its key is private from its first byte, and the same after every start."""
    authority = SshAuthority(tmp_path / "ssh")
    assert (tmp_path / "ssh" / "ca").stat().st_mode & 0o777 == 0o600
    assert SshAuthority(tmp_path / "ssh").public == authority.public
    assert authority.known_hosts_line == f"@cert-authority * {authority.public}"
    told = subprocess.run(
        ["ssh-keygen", "-lf", "-"],
        input=authority.public,
        check=True,
        timeout=20,
        capture_output=True,
        text=True,
    ).stdout
    assert authority.fingerprint in told


def test_a_broken_key_is_told(tmp_path: Path):
    """A file that is no key is named, and not written over."""
    (tmp_path / "ca").write_text("not a key")
    with pytest.raises(UnavailableError, match="ca is not an ssh key"):
        SshAuthority(tmp_path)
    assert (tmp_path / "ca").read_text() == "not a key"


def test_a_crash_while_the_key_is_made_leaves_none(tmp_path: Path):
    """What a crash left half written is not taken for a key."""
    (tmp_path / "ca.new").write_text("half")
    assert SshAuthority(tmp_path).public.startswith("ssh-ed25519 ")
    assert not (tmp_path / "ca.new").exists()


def test_the_gateways_certificate_renews_itself(tmp_path: Path):
    """It is for the names asked for, replaced long before its end, when names change and when clocks do."""
    authority = SshAuthority(tmp_path)
    host = HostKey(tmp_path, authority)
    first = host.certificate(["bench", "lab.example", "bench", ""], NOW)
    told = shown(tmp_path, first.export_certificate().decode())
    assert "host certificate" in told
    assert authority.fingerprint in told
    assert [line.strip() for line in told.partition("Principals:")[2].splitlines()[1:3]] == [
        "bench",
        "lab.example",
    ]
    names = ["bench", "lab.example"]
    assert host.certificate(names, NOW + LIFE_SECONDS - RENEW_SECONDS) is first
    later = host.certificate(names, NOW + LIFE_SECONDS - RENEW_SECONDS + 1)
    assert later is not first
    assert host.certificate(names, NOW) is not later
    assert host.certificate(["rack2"], NOW) is not first
    assert authority.reserved == {"rack2"}
    many = host.certificate([f"name{number}" for number in range(MOST_NAMES + 10)], NOW)
    assert shown(tmp_path, many.export_certificate().decode()).count("name") >= MOST_NAMES


def test_no_certificate_for_every_host(tmp_path: Path):
    """A certificate without names would be for all there are; none is made."""
    authority = SshAuthority(tmp_path)
    with pytest.raises(InvalidError):
        authority.sign(kept_key(tmp_path / "host", ""), "x", [], NOW, NOW + 1)


async def test_a_boards_key_is_signed_for_its_holder(tmp_path: Path):
    """The certificate is for this board's names and ends with the claim; the change is told."""
    async with running(tmp_path) as lab:
        hub = lab.hub
        hub.ssh_authority = SshAuthority(tmp_path / "ssh")
        anna, _ = await hub.create_principal(HUB, "anna", "member")
        bert, _ = await hub.create_principal(HUB, "bert", "member")
        key = public_key(tmp_path)
        with pytest.raises(ForbiddenError):
            await hub.sign_host_key(anna, "pc-1", key)
        await hub.claim(anna, "pc", ttl=3600)
        certificate = await hub.sign_host_key(anna, "pc-1", key)
        told = shown(tmp_path, certificate)
        assert hub.ssh_authority.fingerprint in told
        principals = told.partition("Principals:")[2].partition("Critical")[0].split()
        assert principals == ["pc-1", "pc-1.bench"]
        with pytest.raises(ForbiddenError):
            await hub.sign_host_key(bert, "pc-1", key)
        with pytest.raises(NotFoundError):
            await hub.sign_host_key(anna, "nothing", key)
        events = [event for event in await hub.history.page(0) if event.kind == "board.host-key"]
        assert [event.principal for event in events] == ["anna"]


async def test_the_certificate_ends_with_the_claim(tmp_path: Path):
    """What is signed for a holder is good for nobody after them."""
    import asyncssh

    async with running(tmp_path) as lab:
        lab.hub.ssh_authority = SshAuthority(tmp_path / "ssh")
        anna, _ = await lab.hub.create_principal(HUB, "anna", "member")
        claim = await lab.hub.claim(anna, "pc", ttl=3600)
        text = await lab.hub.sign_host_key(anna, "pc-1", public_key(tmp_path))
        certificate = asyncssh.import_certificate(text)
        assert claim.expires is not None
        assert certificate._valid_before == int(claim.expires)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("", "bad-key"),
        ("ssh-ed25519 AAAA", "bad-key"),
        ("ssh-ed25519 " + "A" * 20000, "bad-key"),
        ("two\nlines", "bad-key"),
        ("rsa", "weak-key"),
    ],
)
async def test_bad_keys_are_refused(tmp_path: Path, key: str, kind: str):
    """What is no key, or a weak one, is refused and nothing is noted."""
    async with running(tmp_path) as lab:
        lab.hub.ssh_authority = SshAuthority(tmp_path / "ssh")
        anna, _ = await lab.hub.create_principal(HUB, "anna", "member")
        await lab.hub.claim(anna, "pc")
        if key == "rsa":
            key = public_key(tmp_path, "-t", "rsa", "-b", "1024")
        before = lab.hub.state.seq
        with pytest.raises(InvalidError) as refused:
            await lab.hub.sign_host_key(anna, "pc-1", key)
        assert refused.value.kind == kind
        assert lab.hub.state.seq == before


async def test_no_board_speaks_for_the_lab(tmp_path: Path):
    """A board that bears one of the lab's own names gets no certificate for it."""
    async with running(tmp_path) as lab:
        authority = lab.hub.ssh_authority = SshAuthority(tmp_path / "ssh")
        anna, _ = await lab.hub.create_principal(HUB, "anna", "member")
        await lab.hub.claim(anna, "pc")
        authority.reserved = frozenset({"pc-1"})
        with pytest.raises(ConflictError):
            await lab.hub.sign_host_key(anna, "pc-1", public_key(tmp_path))


def test_a_public_key_has_no_comment(tmp_path: Path):
    """What is published is the key and nothing of the host it was made on."""
    assert len(public_text(kept_key(tmp_path / "key", "made here")).split()) == 2
