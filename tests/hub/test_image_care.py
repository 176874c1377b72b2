"""Care of stored images: limits, where they came from, what is damaged, and what goes."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from netboot_image import INSTALLER, SEED, folder, imported

from hostler import __version__
from hostler.hub.byte_size import byte_size
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NoSpaceError
from hostler.hub.image_desk import ImageTerms
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.records import HUB, Principal, Purpose, Role, RunRecord
from hostler.images.importer import import_image
from hostler.model.plan import StepKind, StepOrder
from hostler.model.run import RunOrder, RunState, RunStatus
from hostler.serve import _sweep
from simulated_rack import LAB, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.hub.image_records import ImageRecord
    from simulated_rack import Lab

ANNA = Principal("anna", Role.MEMBER, 0.0)
MIB = 1024 * 1024


def disk(place: Path, seed: int, chunks: int = 2) -> Path:
    """Write a disk of so many chunks of noise."""
    path = place / f"disk-{seed}.raw"
    path.write_bytes(random.Random(seed).randbytes(chunks * MIB))
    return path


async def take(lab: Lab, name: str, source: Path, by: Principal = HUB) -> ImageRecord:
    """Import an image of a disk."""
    terms = ImageTerms(name, "amd64")
    with lab.hub.images.reserve(by, terms):
        return await lab.hub.images.take(by, terms, source, source.name, lambda _: None)


async def test_where_an_image_came_from_is_kept(tmp_path: Path):
    """Who, from what, with its hash, by which version, and what it added; also after a restart."""
    source = disk(tmp_path, 1)
    async with running(tmp_path) as lab:
        await take(lab, "one", source, ANNA)
        again = await take(lab, "two", source)
        netboot = await imported(lab, "installer", folder(tmp_path / "image"))
    async with running(tmp_path) as lab:
        one = lab.hub.state.images["one"]
        assert (one.principal, one.source) == ("anna", "disk-1.raw")
        origin = one.provenance
        assert origin.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
        assert (origin.version, origin.chunks, origin.new_chunks) == (__version__, 2, 2)
        assert origin.stored_bytes >= 2 * MIB
        assert again.provenance.new_chunks == again.provenance.stored_bytes == 0
        sent = hashlib.sha256((tmp_path / "installer.tar").read_bytes()).hexdigest()
        assert lab.hub.state.images["installer"].provenance.sha256 == sent == netboot.provenance.sha256


async def test_nobody_imports_more_than_their_share(tmp_path: Path):
    """Numbers are told, nothing is kept, and what others have does not count; an admin has no limit."""
    text = LAB.replace('name = "bench"', f'name = "bench"\nimage_limit_per_person = {3 * MIB}')
    async with running(tmp_path, lab=text) as lab:
        await take(lab, "one", disk(tmp_path, 1), ANNA)
        before = lab.store.used()
        with pytest.raises(InvalidError, match=rf"disk-2.raw: has more than the {MIB} bytes of data"):
            await take(lab, "two", disk(tmp_path, 2), ANNA)
        assert lab.store.used() == before
        assert not list(lab.store.tmp.iterdir())
        await take(lab, "two", disk(tmp_path, 3, 1), ANNA)
        with pytest.raises(NoSpaceError, match=rf"may have images with {3 * MIB} bytes .* has {3 * MIB}"):
            lab.hub.images.reserve_name(ANNA, "three").__enter__()
        await take(lab, "bens", disk(tmp_path, 4, 3), Principal("ben", Role.MEMBER, 0.0))
        await take(lab, "admins", disk(tmp_path, 5, 4))
        await lab.hub.images.remove(ANNA, "one")
        await take(lab, "three", disk(tmp_path, 6), ANNA)


async def test_the_store_has_a_limit_that_may_change(tmp_path: Path):
    """It is that of ``lab.toml`` as it is now; for installers as for disks."""

    def with_limit(limit: str) -> str:
        return LAB.replace('name = "bench"', f'name = "bench"\nimage_limit = "{limit}"')

    async with running(tmp_path, lab=with_limit("3MiB")) as lab:
        await take(lab, "one", disk(tmp_path, 1))
        with pytest.raises(NoSpaceError, match=f"may hold {3 * MIB} bytes and holds {lab.store.used()}"):
            await take(lab, "two", disk(tmp_path, 2))
        big = folder(tmp_path / "image", rootfs=random.Random(3).randbytes(2 * MIB))
        with pytest.raises(NoSpaceError, match=f"may hold {3 * MIB} bytes"):
            await imported(lab, "installer", big)
        assert lab.hub.images.artefacts() - {"a" * 64, "b" * 64} == set(lab.store.artefacts())
        await lab.hub.apply_inventory(HUB, with_limit("10MiB"))
        await take(lab, "two", disk(tmp_path, 2))
        await imported(lab, "installer", big)


async def test_damage_is_told_with_names(tmp_path: Path):
    """Images and agents that need what is damaged; an event says so to those who were not there."""
    agent = tmp_path / "agent"
    agent.write_bytes(b"kernel and initramfs")
    agent.chmod(0o644)
    async with running(tmp_path, agents=False) as lab:
        care = lab.hub.image_care
        one = await take(lab, "one", disk(tmp_path, 1))
        await take(lab, "same", disk(tmp_path, 1))
        await take(lab, "other", disk(tmp_path, 2))
        await lab.hub.images.register_agent(HUB, "amd64", agent, agent)
        well = await care.verify(ANNA, None, lambda _: None)
        assert (well.images, well.chunks, well.files, well.faults) == (("one", "other", "same"), 4, 3, ())
        chunk = next(iter(lab.store.index(one.index)))
        lab.store.chunk_path(chunk.digest).write_bytes(b"")
        kernel = lab.hub.state.agents["amd64"].kernel
        lab.store.artefact_path(kernel).write_bytes(b"other")
        assert (await care.verify(ANNA, "other", lambda _: None)).faults == ()
        found = await care.verify(ANNA, None, lambda _: None)
        told = {fault.id: (fault.kind, fault.images, fault.agents) for fault in found.faults}
        assert told == {
            chunk.digest: ("damaged", ("one", "same"), ()),
            kernel: ("damaged", (), ("amd64",)),
        }
        (event,) = [e for e in await lab.hub.history.page(0) if e.kind == "image.damaged"]
        assert event.text.endswith('of image "one", image "same", the agent for amd64')
        with pytest.raises(ForbiddenError):
            await care.verify(Principal("vera", Role.VIEWER, 0.0), None, lambda _: None)


async def test_one_look_at_a_time(tmp_path: Path):
    """It takes the whole disk; a second one is refused, and the next one is not."""
    async with running(tmp_path) as lab:
        await take(lab, "one", disk(tmp_path, 1))
        refused: list[str] = []

        def second(_: object) -> None:
            try:
                lab.hub.image_care.may_verify(ANNA, None)
            except ConflictError as error:
                refused.append(error.kind)

        await lab.hub.image_care.verify(ANNA, None, second)
        assert set(refused) == {"verifying"}
        await lab.hub.image_care.verify(ANNA, None, lambda _: None)


async def test_a_sweep_waits_for_no_import_and_takes_nothing_from_it(tmp_path: Path):
    """What may be of an import under way stays until that has ended; all else goes at once."""
    async with running(tmp_path, agents=False) as lab:
        care = lab.hub.image_care
        kept = await take(lab, "one", disk(tmp_path, 1))
        (lab.store.chunk_path("0" * 64).parent).mkdir()
        lab.store.chunk_path("0" * 64).write_bytes(bytes(100))
        async with lab.hub.images.taking():
            artefact = lab.store.add_artefact(b"part of a system")
            told = await care.sweep(HUB, dry_run=True)
            assert (told.swept.chunks, told.swept.artefacts, told.waiting) == (1, 0, 1)
            found = await care.sweep(HUB, dry_run=False)
            assert (found.swept.freed_bytes, found.waiting) == (100, 1)
            assert lab.store.artefact_path(artefact).exists()
        assert lab.store.artefacts() == [kept.index]
        lab.store.add_artefact(b"lost")
        assert (await care.sweep(HUB, dry_run=False)).swept.artefacts == 1
        assert (await care.sweep(HUB, dry_run=False)).swept.freed_bytes == 0
        assert (await care.verify(HUB, None, lambda _: None)).faults == ()
        with pytest.raises(ForbiddenError):
            await care.sweep(ANNA, dry_run=True)


async def test_a_capture_under_way_loses_nothing(tmp_path: Path):
    """Its index is in the store before the hub knows of it: no sweep, removal or restart takes it."""
    order = RunOrder("r-1", (StepOrder(StepKind.CAPTURE, {"image": "mine"}),))
    run = RunRecord(
        "r-1", "pc-1", "capture:mine", Purpose.USER, "anna", None, 0.0, order,
        RunStatus("r-1", RunState.RUNNING),
    )  # fmt: skip
    async with running(tmp_path, agents=False) as lab:
        await lab.hub.change(lambda draft: draft.runs.put("r-1", run))
        await take(lab, "one", disk(tmp_path, 1))
        captured = import_image(disk(tmp_path, 2), lab.store).index
        report = await lab.hub.image_care.sweep(HUB, dry_run=False)
        assert (report.swept.freed_bytes, report.waiting) == (0, 1)
        await lab.hub.images.remove(HUB, "one")
        _sweep(lab.store, lab.hub)
        assert captured in lab.store.artefacts()
        ended = replace(run, status=replace(run.status, state=RunState.FAILED))
        await lab.hub.change(lambda draft: draft.runs.put("r-1", ended))
        assert (await lab.hub.image_care.sweep(HUB, dry_run=False)).swept.artefacts == 2
        assert lab.store.used() == 0


async def test_an_upload_that_does_not_fit_is_told(tmp_path: Path):
    """The server's disk is full before the image is whole: numbers are not known, the reason is."""

    async def body() -> AsyncIterator[bytes]:
        yield bytes(MIB)

    async with running(tmp_path) as lab:
        with open("/dev/full", "wb") as full, pytest.raises(NoSpaceError, match="no space left"):  # noqa: PTH123
            await lab.hub.images.spool(body(), full)


async def test_names_in_an_archive_lead_nowhere(tmp_path: Path):
    """Of a tar nothing is unpacked: names are keys, links are nothing, and what lies outside is not read."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"the server's own")
    for kernel in ("../../evil", "/evil", "link", "hard", str(secret)):
        text = INSTALLER.replace('"linux"', f'"{kernel}"').replace('"seed.txt"', '"../seed"')
        tar = tmp_path / "hostile.tar"
        with tarfile.open(tar, "w") as archive:
            for name, data in (
                ("image.toml", text.encode()), ("../seed", SEED.encode()), ("../../evil", b"evil"),
                ("/evil", b"evil"), ("rootfs", b"root"), ("initrd.gz", b"initrd"),
            ):  # fmt: skip
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            for name, kind in (
                ("link", tarfile.SYMTYPE),
                ("hard", tarfile.LNKTYPE),
                ("dev", tarfile.CHRTYPE),
            ):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, str(secret)
                archive.addfile(member)
        (tmp_path / "lab").mkdir(exist_ok=True)
        before = sorted(path for path in tmp_path.rglob("*") if "lab" not in path.parts)
        async with running(tmp_path / "lab", agents=False) as lab:
            if "evil" in kernel:
                made = await imported(lab, "x", tar)
                assert made.netboot is not None
                assert lab.store.artefact_path(made.netboot.kernel).read_bytes() == b"evil"
                await lab.hub.images.remove(HUB, "x")
            else:
                with pytest.raises(InvalidError, match=f"kernel: there is no file {kernel}"):
                    await imported(lab, "x", tar)
            assert lab.store.artefacts() == []
        assert sorted(path for path in tmp_path.rglob("*") if "lab" not in path.parts) == before


async def test_systems_of_the_network_are_no_disks(tmp_path: Path):
    """They are neither compared nor given out as one."""
    async with running(tmp_path) as lab:
        await imported(lab, "installer", folder(tmp_path / "image"))
        await take(lab, "one", disk(tmp_path, 1))
        with pytest.raises(InvalidError, match="comes over the network"):
            await lab.hub.image_care.diff(HUB, "one", "installer")
        with pytest.raises(InvalidError, match="comes over the network"):
            await lab.hub.image_care.export(HUB, "installer", "raw")


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("5", 5), ("500G", 500 * 10**9), ("1.5TiB", 3 * 2**39), ("2 kB", 2000), ("1MB", 10**6)],
)
def test_amounts_are_read(text: str | int, size: int):
    """As people write them: of a thousand, or of 1024 with an i."""
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["lots", "-1G", "0", "1 gig", True, 1.5])
def test_a_wrong_limit_is_a_mistake_with_its_line(text: object):
    """As every key of ``lab.toml``."""
    value = str(text).lower() if isinstance(text, (bool, float)) else f'"{text}"'
    with pytest.raises(LabfileError, match=r"lab.toml:3: lab.image_limit"):
        read_labfile(f'[lab]\nname = "x"\nimage_limit = {value}\n', file="lab.toml")
