"""The hub keeps signatures that hold, and refuses early what an agent would refuse on the board."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from netboot_image import folder, imported

from hostler.hub import signing
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from hostler.hub.image_desk import ImageTerms
from hostler.hub.records import HUB, Principal, Role
from hostler.model.signature import MOST_SIGNATURES, key_id
from simulated_rack import LAB, Lab, running

if TYPE_CHECKING:
    from pathlib import Path

    from hostler.hub.image_records import ImageRecord

SIGNED_LAB = LAB.replace('platform = "x86-bios"', 'platform = "x86-bios"\nrequire_signed = true')
ANNA = Principal("anna", Role.MEMBER)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\2")


def public(key: Ed25519PrivateKey) -> str:
    """Return its public half."""
    return key.public_key().public_bytes_raw().hex()


async def disk(lab: Lab, folder: Path, name: str = "debian", content: bytes = b"x" * 5000) -> ImageRecord:
    """Import an image of a disk."""
    source = folder / f"{name}.raw"
    source.write_bytes(content)
    terms = ImageTerms(name, "amd64")
    with lab.hub.images.reserve(HUB, terms):
        return await lab.hub.images.take(HUB, terms, source, source.name, lambda _: None)


async def sign(lab: Lab, name: str, key: Ed25519PrivateKey, by: Principal = HUB) -> ImageRecord:
    """Sign an image as its index has it."""
    index = await asyncio.to_thread(signing.index_file(lab.hub, HUB, name).read_bytes)
    return await signing.sign(lab.hub, by, name, public(key), key.sign(index).hex())


async def trust(lab: Lab, *keys: Ed25519PrivateKey, required: bool = False) -> None:
    """Let the agent be one that was built so."""
    agent = replace(
        lab.hub.state.agents["amd64"], trusted_keys=tuple(map(public, keys)), require_signed=required
    )
    await lab.hub.change(lambda draft: draft.agents.put("amd64", agent))


async def test_a_signature_is_kept_if_it_holds(tmp_path: Path) -> None:
    """Several keys may sign; the same one again changes nothing; all of it is there after a restart."""
    async with running(tmp_path) as lab:
        await disk(lab, tmp_path)
        await sign(lab, "debian", KEY)
        await sign(lab, "debian", OTHER)
        image = await sign(lab, "debian", KEY)
        assert [one.key for one in image.signatures] == [public(KEY), public(OTHER)]
    async with running(tmp_path) as lab:
        kept = lab.hub.state.images["debian"]
        assert kept.signatures == image.signatures
        await lab.hub.change(lambda draft: signing.unsign(draft, HUB, "debian", key_id(public(KEY))))
        assert [one.key for one in lab.hub.state.images["debian"].signatures] == [public(OTHER)]
        with pytest.raises(NotFoundError, match=f"signed by {key_id(public(OTHER))}"):
            await lab.hub.change(lambda draft: signing.unsign(draft, HUB, "debian", public(KEY)))


async def test_a_signature_that_does_not_hold_is_not_kept(tmp_path: Path) -> None:
    """Of another image, of another key, of nothing, and over an index that the store no longer has whole."""
    async with running(tmp_path) as lab:
        image = await disk(lab, tmp_path)
        await disk(lab, tmp_path, "other", b"y" * 5000)
        other = await asyncio.to_thread(signing.index_file(lab.hub, HUB, "other").read_bytes)
        for key, value in (
            (public(KEY), KEY.sign(other).hex()),
            (public(OTHER), KEY.sign(other).hex()),
            (public(KEY), "00" * 64),
            (public(KEY), "00"),
            ("00" * 32, "00" * 64),
        ):
            with pytest.raises(InvalidError) as refused:
                await signing.sign(lab.hub, HUB, "debian", key, value)
            assert refused.value.kind == "bad-signature"
        lab.store.artefact_path(image.index).write_bytes(other)
        with pytest.raises(UnavailableError, match="is damaged"):
            await signing.sign(lab.hub, HUB, "debian", public(KEY), KEY.sign(other).hex())
        lab.store.artefact_path(image.index).unlink()
        with pytest.raises(UnavailableError, match="import it again"):
            signing.index_file(lab.hub, HUB, "debian")
        assert lab.hub.state.images["debian"].signatures == ()


async def test_who_may_sign(tmp_path: Path) -> None:
    """Members with a key that an agent trusts; with others, and off again, an admin or who imported it."""
    async with running(tmp_path) as lab:
        await disk(lab, tmp_path)
        with pytest.raises(ForbiddenError, match="only a member may sign images"):
            await sign(lab, "debian", KEY, Principal("zoe", Role.VIEWER))
        with pytest.raises(ForbiddenError, match=f"no agent trusts {key_id(public(KEY))}; only an admin"):
            await sign(lab, "debian", KEY, ANNA)
        await trust(lab, KEY)
        with pytest.raises(ForbiddenError, match="no agent trusts"):
            await sign(lab, "debian", OTHER, ANNA)
        await sign(lab, "debian", KEY, ANNA)
        mine = replace(lab.hub.state.images["debian"], principal="anna")
        await lab.hub.change(lambda draft: draft.images.put("debian", mine))
        await sign(lab, "debian", OTHER, ANNA)
        await lab.hub.change(lambda draft: signing.unsign(draft, ANNA, "debian", public(OTHER)))
        await lab.hub.change(lambda draft: draft.images.put("debian", replace(mine, principal="")))
        with pytest.raises(ForbiddenError, match="only an admin or who imported it"):
            await lab.hub.change(lambda draft: signing.unsign(draft, ANNA, "debian", public(KEY)))


async def test_signatures_are_no_more_than_an_order_can_carry(tmp_path: Path) -> None:
    """The one after the last is refused; a key that signed already may sign anew."""
    async with running(tmp_path) as lab:
        await disk(lab, tmp_path)
        for number in range(MOST_SIGNATURES):
            await sign(lab, "debian", Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
        with pytest.raises(ConflictError, match="can have no more"):
            await sign(lab, "debian", Ed25519PrivateKey.from_private_bytes(b"z" * 32))
        image = await sign(lab, "debian", Ed25519PrivateKey.from_private_bytes(bytes(32)))
        assert len(image.signatures) == MOST_SIGNATURES


async def test_a_trusted_signature_always_has_room(tmp_path: Path) -> None:
    """The oldest that no agent trusts goes for it, and never one that some agent trusts."""
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(MOST_SIGNATURES)]
    async with running(tmp_path) as lab:
        await disk(lab, tmp_path)
        for key in keys:
            await sign(lab, "debian", key)
        await trust(lab, KEY, keys[0])
        image = await sign(lab, "debian", KEY, ANNA)
        assert [one.key for one in image.signatures] == [*map(public, (keys[0], *keys[2:], KEY))]
        await trust(lab, KEY, OTHER, *keys)
        with pytest.raises(ConflictError, match="can have no more"):
            await sign(lab, "debian", OTHER, ANNA)


async def test_a_class_that_takes_signed_images_only(tmp_path: Path) -> None:
    """Each reason why not is told before a run begins; the order tells the agent who signed."""
    async with running(tmp_path, lab=SIGNED_LAB) as lab:
        await disk(lab, tmp_path)
        await imported(lab, "installer", folder(tmp_path / "net"))
        refusals = []

        async def refused(name: str) -> str:
            with pytest.raises(ConflictError) as raised:
                await lab.hub.claim(HUB, "pc", image=name)
            with pytest.raises(ConflictError) as again:
                await lab.hub.deploy(HUB, "pc-1", name)
            assert raised.value.kind == again.value.kind == "not-signed"
            assert str(raised.value) == str(again.value)
            refusals.append(str(again.value))
            return str(again.value)

        await lab.hub.claim(HUB, "pc")
        assert "hostler agent build --arch amd64 --trust FILE.pub" in await refused("debian")
        await trust(lab, KEY)
        assert "hostler image sign debian --key FILE" in await refused("debian")
        await sign(lab, "debian", OTHER)
        text = await refused("debian")
        assert f"signed by {key_id(public(OTHER))}" in text
        assert f"trusts {key_id(public(KEY))}" in text
        assert "comes over the network" in await refused("installer")
        assert all(text.startswith('class "pc" takes signed images only') for text in refusals)
        await sign(lab, "debian", KEY)
        params = (await lab.hub.deploy(HUB, "pc-1", "debian")).order.steps[0].params
        assert params["require_signed"] is True
        signers = [one["key"] for one in params["signatures"]]
        assert signers == [public(OTHER), public(KEY)]


async def test_an_agent_that_writes_signed_images_only(tmp_path: Path) -> None:
    """Whatever lab.toml says of the class: the hub does not begin what would be refused on the board."""
    async with running(tmp_path) as lab:
        await disk(lab, tmp_path)
        await trust(lab, KEY, required=True)
        await lab.hub.claim(HUB, "pc")
        with pytest.raises(ConflictError, match="the agent for amd64 writes signed images only"):
            await lab.hub.deploy(HUB, "pc-1", "debian")
        await sign(lab, "debian", KEY)
        params = (await lab.hub.deploy(HUB, "pc-1", "debian")).order.steps[0].params
        assert "require_signed" not in params
        assert len(params["signatures"]) == 1


async def test_what_comes_over_the_network_cannot_be_signed(tmp_path: Path) -> None:
    """It has no index, and says so."""
    async with running(tmp_path) as lab:
        await imported(lab, "installer", folder(tmp_path / "net"))
        with pytest.raises(InvalidError, match="only an image of a disk"):
            signing.index_file(lab.hub, HUB, "installer")


async def test_an_agent_is_registered_with_whom_it_trusts(tmp_path: Path) -> None:
    """Each key once; what is no key is refused, and the agent before stays."""
    file = tmp_path / "agent"
    file.write_bytes(b"kernel")
    file.chmod(0o644)
    async with running(tmp_path, agents=False) as lab:
        desk = lab.hub.images
        agent = await desk.register_agent(
            HUB, "amd64", file, file, trusted_keys=[public(KEY)] * 2, require_signed=True
        )
        assert (agent.trusted_keys, agent.require_signed) == ((public(KEY),), True)
        with pytest.raises(InvalidError, match="trusted_keys: "):
            await desk.register_agent(HUB, "amd64", file, file, trusted_keys=["00" * 32])
        assert lab.hub.state.agents["amd64"] == agent
