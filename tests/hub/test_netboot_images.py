"""Systems that come over the network: what is imported, what a plan makes of it, and what is refused when."""

from __future__ import annotations

import gzip
import tarfile
import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from netboot_image import INSTALLER, KEYS, ended, folder, imported, ordered

from hostler.client.errors import ClientError
from hostler.client.image_bundle import Instead, bundle
from hostler.hub import metadata, netboot_description, netboot_imports, ssh_keys
from hostler.hub.errors import ConflictError, InvalidError, Refusal
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.netboot_imports import NetbootTerms
from hostler.hub.records import HUB, Principal, Role
from hostler.model.netboot_order import BASE_MARK, TOKEN_MARK, DoneSignal, NetbootOrder, netboot_order
from hostler.model.plan import StepKind, needs_agent
from hostler.model.power import PowerState
from simulated_rack import LAB, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ANNA = Principal("anna", Role.MEMBER)
LIVE = 'arch = "amd64"\nkernel = "linux"\ncmdline = "quiet"\n[done]\nsignal = "second-boot"\n'
METADATA_LAB = (
    LAB.replace("[lab]", '[lab]\nmetadata = { more = "lab", a = { x = "lab", y = "lab" } }')
    .replace('"x86-bios"', '"x86-bios"\nmetadata = { more = "class", a = { x = "class" } }')
    .replace('port = 1 }', 'port = 1 }\nmetadata = { a = { z = 3 } }')
)  # fmt: skip


async def test_a_plan_makes_an_image_into_an_order_for_its_board(tmp_path: Path):
    """Templates are rendered when the plan is made; the step needs no agent, and says what tells its end."""
    async with running(tmp_path, agents=False) as lab:
        record = await imported(lab, "debian", folder(tmp_path / "image"))
        claim = await lab.hub.claim(ANNA, "pc")
        run = await lab.hub.start_run(ANNA, "pc-1", "install:debian,boot")
        step = run.order.steps[0]
        assert netboot_order(step) == NetbootOrder(
            image="debian",
            kernel=record.netboot.kernel,
            initrd=record.netboot.initrd,
            cmdline=f"auto url={BASE_MARK}/boot/text/seed ",
            files={"disk.squashfs": record.netboot.files["disk.squashfs"]},
            texts={
                "seed": f"host pc-1\nfetch {BASE_MARK}/boot/image/disk.squashfs\n"
                f"tell {BASE_MARK}/boot/done?token={TOKEN_MARK}\n"
            },
            done=DoneSignal.CALLBACK,
            seconds=3600.0,
        )
        assert step.kind is StepKind.INSTALL
        assert not needs_agent(step)
        assert run.order.steps[1].params["pattern"] == "login:"
        assert {lab.store.artefact_path(one).read_bytes() for one in record.artefacts} == {
            b"kernel", b"initrd", b"root",
        }  # fmt: skip
        await ended(lab, run)
        assert lab.hub.state.boards["pc-1"].image == "debian"
        assert lab.hub.state.boards["pc-1"].power is PowerState.ON
        assert claim.boards == ("pc-1",)


async def test_templates_know_board_claim_keys_and_metadata(tmp_path: Path):
    """Metadata of image, lab, class, board and run are merged, the later ones first to be believed."""
    seed = (
        "{{ board.name }} {{ board['class'] }} {{ board.mac }} {{ board.arch }} {{ board.platform }} "
        "{{ claim.user }} {{ claim.id }} {{ claim.project }} {{ metadata.more }} "
        "{{ metadata.own }} {{ metadata.a | tojson }} {{ ssh_keys | length }} {{ token }}\n"
        "{% for key in ssh_keys %}{{ key }}\n{% endfor %}"
    )
    description = INSTALLER + '[metadata]\nown = "image"\nmore = "image"\n'
    async with running(tmp_path, lab=METADATA_LAB) as lab:
        await lab.hub.create_principal(HUB, "anna", "member")
        for key in KEYS:
            await lab.hub.change(lambda draft, key=key: ssh_keys.add(draft, HUB, "anna", key))
        await imported(lab, "debian", folder(tmp_path / "image", description, seed_txt=seed))
        claim = await lab.hub.claim(ANNA, "pc")
        run = await lab.hub.deploy(ANNA, "pc-1", "debian", {"a.y": "run", "own": "run"})
        first, *keys = ordered(run).texts["seed"].splitlines()
        words = f"pc-1 pc 52:54:00:00:00:01 amd64 x86-bios anna {claim.id} default class run"
        assert first == f'{words} {{"x": "class", "y": "run", "z": 3}} 2 {TOKEN_MARK}'
        assert sorted(keys) == sorted(KEYS)
        assert run.plan == "install:debian,boot"
        assert ordered(run).cmdline.endswith(" class")


async def test_what_runs_without_being_installed_is_a_step_of_its_own(tmp_path: Path):
    """``live:`` is for what only runs and leaves the board on, ``install:`` for what fills the disk."""
    async with running(tmp_path) as lab:
        await imported(lab, "memtest", folder(tmp_path / "live", LIVE))
        await imported(lab, "debian", folder(tmp_path / "image"))
        await lab.hub.claim(ANNA, "pc")
        with pytest.raises(InvalidError, match="write live:memtest"):
            await lab.hub.start_run(ANNA, "pc-1", "install:memtest,boot")
        with pytest.raises(InvalidError, match="write install:debian"):
            await lab.hub.start_run(ANNA, "pc-1", "live:debian")
        run = await lab.hub.deploy(ANNA, "pc-1", "memtest")
        assert (run.plan, run.order.steps[0].kind) == ("live:memtest", StepKind.LIVE)
        assert ordered(run).done is DoneSignal.SECOND_BOOT
        await ended(lab, run)
        assert lab.hub.state.boards["pc-1"].image is None
        assert lab.hub.state.boards["pc-1"].power is PowerState.ON


async def test_a_claim_can_have_an_installer_put_its_system_on(tmp_path: Path):
    """A claim that waits for an image gets one that comes over the network as it gets any other."""
    async with running(tmp_path) as lab:
        await imported(lab, "debian", folder(tmp_path / "image"))
        claim = await lab.hub.claim(ANNA, "pc", image="debian")
        run = lab.hub.state.runs[lab.hub.state.boards[claim.boards[0]].run]
        assert ordered(run).image == "debian"


WRONG_RENDERINGS: list[tuple[str, dict[str, str], str]] = [
    ("a\nb {{ wrong }}\n", {}, 'seed.txt:2: there is no variable "wrong"'),
    (
        "{{ metadata.wrong }} {{ done_url }}",
        {},
        'seed.txt:1: there is no metadata "wrong"; say it with --set wrong=VALUE, or in lab.toml; there',
    ),
    (
        "{{ metadata.a.wrong }} {{ done_url }}",
        {"a.b": "x"},
        'seed.txt:1: there is no "wrong" here; there is b',
    ),
    ("{{ text_url('other') }}", {}, 'seed.txt:1: the image has no template "other"; it has seed'),
    ("{{ file_url('other') }}", {}, 'seed.txt:1: the image has no file "other"; it has disk.squashfs'),
    ("\n\n{{ board.serial }}", {}, "seed.txt:3: a value that is not known"),
    ("{% for i in range(9999999) %}{% endfor %}", {}, "seed.txt:1: it takes too long"),
    ("{{ done_url }}", {"more": "a\nb"}, r"image.toml:6: the command line has '\\n'"),
    ("{{ done_url }}", {"more": "Grüße"}, "image.toml:6: the command line has 'ß' 'ü'"),
    ("{{ done_url }}", {"more": "it's"}, 'image.toml:6: the command line has "\'"'),
    ("{{ done_url }}", {"more": 'a="b c'}, "image.toml:6: the command line has a quotation mark that is not"),
    ("{{ done_url }}", {"more": "$(reboot)"}, "image.toml:6: the command line has '\\$'"),
    ("{{ done_url }}", {"more": "a || b"}, "image.toml:6: the command line has the word '\\|\\|'"),
    ("{{ done_url }}", {"more": "-- quiet"}, "image.toml:6: the command line has the word '--'"),
    ("{{ done_url }}", {"more": "x" * 1900}, "image.toml:6: the command line has .* 1900 is the most"),
    ("{{ done_url }}", {"password": "x"}, '"password" would be read by whoever holds a board'),
    ("{{ done_url }}", {"a b": "x"}, '"a b" is not a key of metadata'),
    ("{{ done_url }}", {"a": "x", "a.b": "y"}, '"a.b" is set twice'),
    ("{{ done_url }}", {"a.b.c.d.e": "y"}, "nested more than 4 deep"),
]


async def test_what_a_template_gets_wrong_stops_the_plan(tmp_path: Path):
    """The refusal names file and line; no run is made and the board is left alone."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "pc")
        for number, (seed, settings, says) in enumerate(WRONG_RENDERINGS):
            told = seed if "done_url" in seed else seed + "{# done_url #}"
            await imported(lab, f"debian-{number}", folder(tmp_path / "image", seed_txt=told))
            before = lab.hub.state.seq
            with pytest.raises(InvalidError, match=says):
                await lab.hub.start_run(ANNA, "pc-1", f"install:debian-{number},boot", settings)
            assert lab.hub.state.seq == before, says
            assert lab.hub.state.boards["pc-1"].run is None, says


async def test_an_image_for_other_boards_is_refused_when_the_plan_is_made(tmp_path: Path):
    """By its architecture, by its platforms, and by a console that the board does not have."""
    console = LIVE.replace('"second-boot"', '"console"\npattern = "up"')
    async with running(tmp_path) as lab:
        await imported(lab, "amd", folder(tmp_path / "image"))
        await imported(lab, "uefi", folder(tmp_path / "image"), platforms=("x86-uefi",))
        await imported(lab, "said", folder(tmp_path / "console", console))
        await lab.hub.claim(ANNA, "arm")
        with pytest.raises(InvalidError, match="is for amd64, but platform arm64-uboot is arm64"):
            await lab.hub.start_run(ANNA, "arm-1", "install:amd,boot")
        await lab.hub.claim(ANNA, "pc")
        await lab.hub.claim(ANNA, "pc")
        with pytest.raises(InvalidError, match="boots on x86-uefi, not on x86-bios"):
            await lab.hub.start_run(ANNA, "pc-1", "install:uefi,boot")
        with pytest.raises(InvalidError, match='board "pc-2" has none'):
            await lab.hub.start_run(ANNA, "pc-2", "live:said")


async def test_a_file_missing_on_the_disk_is_refused_when_the_plan_is_made(tmp_path: Path):
    """What the store has lost is named before anything is switched on."""
    async with running(tmp_path) as lab:
        record = await imported(lab, "debian", folder(tmp_path / "image"))
        await lab.hub.claim(ANNA, "pc")
        lab.store.artefact_path(record.netboot.initrd).unlink()
        with pytest.raises(ConflictError, match=f"not whole: {record.netboot.initrd} is missing"):
            await lab.hub.start_run(ANNA, "pc-1", "install:debian,boot")
        with pytest.raises(ConflictError, match="import it again"):
            await lab.hub.deploy(ANNA, "pc-1", "debian")


WRONG_DESCRIPTIONS = [
    (lambda text: text + "[", "image.toml:17: this is not TOML"),
    (lambda text: text.replace('arch = "amd64"', 'arch = "mips"'), "image.toml:2: arch: "),
    (lambda text: text.replace('arch = "amd64"\n', ""), "it does not say what it is for"),
    (lambda text: text.replace('kernel = "linux"\n', ""), "it has no kernel"),
    (lambda text: text.replace("installs", "instals"), "image.toml:5: instals: there is no such key"),
    (lambda text: text.replace('"disk.squashfs" =', '"a b" ='), "image.toml:9: files.a b: is not a name"),
    (lambda text: text.replace('"disk.squashfs" =', '"../x" ='), "is not a name to be served under"),
    (lambda text: text.replace('"callback"', '"smoke"'), "image.toml:15: done.signal"),
    (
        lambda text: text.replace('"callback"', '"console"'),
        'image.toml:15: signal = "console" needs a pattern',
    ),
    (lambda text: text.replace('"1h"', '"1h"\npattern = "x"'), "a pattern is for signal"),
    (lambda text: text.replace('"callback"', '"console"\npattern = "["'), "is not a regular expression"),
    (lambda text: text.replace('"1h"', '"soon"'), "image.toml:16: done.within"),
    (lambda text: text.replace('"1h"', '"9d"'), "image.toml:16: done.within"),
    (lambda text: text.replace("auto url={{", "auto url={{ ("), "image.toml:6: "),
    (lambda text: text + "[boot]\nwithin = 0\n", "image.toml:18: boot.within"),
    (lambda text: text + "[metadata]\nsecret = 1\n", '"secret" would be read by whoever holds a board'),
    (lambda text: text + "[metadata]\na = 2020-01-01\n", "image.toml:17: metadata"),
    (lambda text: text + '[for.amd64]\nplatforms = ["arm64-uboot"]\n', "platform arm64-uboot is arm64"),
    (lambda text: text + '[for.amd64]\nplatforms = ["pdp-11"]\n', 'there is no platform "pdp-11"'),
]


async def test_a_wrong_description_is_refused_with_its_line(tmp_path: Path):
    """Nothing is imported, and nothing of it stays in the store."""
    place = folder(tmp_path / "image")
    tar = tmp_path / "x.tar"
    async with running(tmp_path) as lab:
        for change, says in WRONG_DESCRIPTIONS:
            (place / "image.toml").write_text(change(INSTALLER))
            with tarfile.open(tar, "w") as archive:
                for name in ("image.toml", "linux", "initrd.gz", "rootfs", "seed.txt"):
                    archive.add(place / name, name)
            with pytest.raises(InvalidError, match=says):
                await imported(lab, "debian", tar)
            assert not lab.hub.state.images, says
            assert lab.store.artefacts() == [], says


async def test_a_kernel_of_another_architecture_is_refused(tmp_path: Path):
    """What the kernel says of itself is believed; one that says nothing passes."""
    kernel = bytes(0x202) + b"HdrS" + bytes(100)
    place = folder(tmp_path / "image", linux=kernel)
    async with running(tmp_path) as lab:
        with pytest.raises(
            InvalidError, match=r"image\.toml:3: kernel: the kernel is for amd64, the image for"
        ):
            await imported(lab, "debian", place, arch="arm64")
        assert lab.store.artefacts() == []
        assert (await imported(lab, "debian", place)).arch == "amd64"


async def test_a_wrong_pattern_beside_the_description_is_refused(tmp_path: Path):
    """As one in it is: it would never be found on a console."""
    async with running(tmp_path) as lab:
        with pytest.raises(InvalidError, match=r'"\(" is not a regular expression') as refused:
            await imported(lab, "debian", folder(tmp_path / "image"), pattern="(")
        assert [fault.key for fault in refused.value.faults] == ["done_console"]
        assert lab.store.artefacts() == []


WRONG_TEMPLATES: list[tuple[dict[str, str | bytes], str]] = [
    ({"seed_txt": "a\n{{ name"}, "seed.txt:2: unexpected end"),
    ({"seed_txt": "{% macro x() %}{% endmacro %}"}, "seed.txt:1: .*macro"),
    ({"seed_txt": b"\xff\xfe"}, "seed.txt is not text in UTF-8"),
    ({"seed_txt": "x" * 70_000}, "seed.txt:1: it has 70000 characters; 65536 is the most"),
    ({"seed_txt": "x" * 300_000}, "seed.txt has 300000 bytes"),
    ({"seed_txt": "no signal"}, "image.toml:14: nothing tells its end: no template posts to done_url"),
]


async def test_a_wrong_template_is_refused_at_import(tmp_path: Path):
    """Syntax is looked at when an image is imported, long before a board waits for it."""
    async with running(tmp_path) as lab:
        for files, says in WRONG_TEMPLATES:
            with pytest.raises(InvalidError, match=says):
                await imported(lab, "debian", folder(tmp_path / "image", **files))
            assert lab.store.artefacts() == [], says


async def test_what_was_not_sent_is_named(tmp_path: Path):
    """A file the description names must be in the tar; the command line says it before it sends anything."""
    place = folder(tmp_path / "image")
    tar = tmp_path / "x.tar"
    async with running(tmp_path) as lab:
        with tarfile.open(tar, "w") as archive:
            archive.add(place / "image.toml", "image.toml")
            archive.add(place / "linux", "linux")
        with pytest.raises(InvalidError, match=r"there is no file seed\.txt"):
            await imported(lab, "debian", tar)
        with tarfile.open(tar, "a") as archive:
            archive.add(place / "seed.txt", "seed.txt")
        says = "image.toml:4: initrd: there is no file initrd.gz; image.toml:9: files.disk.squashfs: "
        with pytest.raises(InvalidError, match=says):
            await imported(lab, "debian", tar)
        assert lab.store.artefacts() == []
    (place / "rootfs").unlink()
    with pytest.raises(ClientError, match=r"files\.disk\.squashfs: there is no file"):
        bundle(place, Instead())
    with pytest.raises(ClientError, match="there is no file /nowhere"):
        bundle(place, Instead(files={"disk.squashfs": "/nowhere"}))


async def test_files_can_be_given_in_place_of_those_described(tmp_path: Path):
    """What replaces a file is sent in its place, and what is added is served as well."""
    place = folder(tmp_path / "image")
    (place / "linux").unlink()
    other, more = tmp_path / "vmlinuz", tmp_path / "more"
    other.write_bytes(b"other kernel")
    more.write_bytes(b"more")
    async with running(tmp_path) as lab:
        instead = Instead(kernel=str(other), files={"more.img": str(more)})
        record = await imported(lab, "debian", place, instead=instead, append="console=ttyS1")
        assert lab.store.artefact_path(record.netboot.kernel).read_bytes() == b"other kernel"
        assert lab.store.artefact_path(record.netboot.files["more.img"]).read_bytes() == b"more"
        assert record.netboot.cmdline.text.endswith(" console=ttyS1")


async def test_an_architecture_has_what_is_described_for_it(tmp_path: Path):
    """``[for.ARCH]`` changes kernel, command line and platforms."""
    description = (
        INSTALLER + '[for.arm64]\nkernel = "Image"\ncmdline = "arm"\nplatforms = ["arm64-uboot"]\n'
        'files = { dtb = "board.dtb" }\n'
    )
    place = folder(tmp_path / "image", description, Image=b"arm kernel", board_dtb=b"tree")
    async with running(tmp_path) as lab:
        amd = await imported(lab, "amd", place)
        arm = await imported(lab, "arm", place, arch="arm64")
        assert (amd.arch, amd.platforms, sorted(amd.netboot.files)) == ("amd64", (), ["disk.squashfs"])
        assert (arm.arch, arm.platforms) == ("arm64", ("arm64-uboot",))
        assert sorted(arm.netboot.files) == ["disk.squashfs", "dtb"]
        assert (arm.netboot.cmdline.text, arm.netboot.cmdline.line) == ("arm", 19)
        assert lab.store.artefact_path(arm.netboot.kernel).read_bytes() == b"arm kernel"


async def test_removing_an_image_drops_what_nothing_else_has(tmp_path: Path):
    """Files that another image or an agent has stay; those that nobody speaks of go."""
    async with running(tmp_path) as lab:
        first = await imported(lab, "first", folder(tmp_path / "one"))
        other = await imported(lab, "other", folder(tmp_path / "two", linux=b"kernel", rootfs=b"other root"))
        agent = tmp_path / "one" / "initrd.gz"
        agent.chmod(0o644)
        await lab.hub.images.register_agent(HUB, "amd64", agent, agent)
        await lab.hub.claim(ANNA, "pc")
        lab.rack.boards["pc-1"].hang = True
        run = await lab.hub.start_run(ANNA, "pc-1", "install:first,boot")
        with pytest.raises(ConflictError, match=f"in use by run {run.id}"):
            await lab.hub.images.remove(HUB, "first")
        await lab.hub.cancel_run(ANNA, run.id)
        await until(lambda: lab.hub.state.runs[run.id].status.state.ended)
        await lab.hub.images.remove(HUB, "first")
        assert set(lab.store.artefacts()) == other.artefacts
        assert first.netboot.files["disk.squashfs"] not in lab.store.artefacts()
        await lab.hub.images.remove(HUB, "other")
        assert lab.store.artefacts() == [other.netboot.initrd]  # the agent's


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("metadata = 3", "metadata"),
        ("metadata = { password = 'x' }", '"password" would be read'),
        ("metadata = { 'a-b' = 'x' }", '"a-b" is not a key of metadata'),
        ("metadata = { a = [[1]] }", '"a" is not a text, number'),
        ("metadata = { a = 2020-01-01 }", '"a" is not a text, number'),
    ],
)
def test_wrong_metadata_in_the_lab_is_told(line, says):
    """As every other key of ``lab.toml``, with its line."""
    with pytest.raises(LabfileError, match=says) as caught:
        read_labfile(LAB.replace('platform = "x86-bios"', f'platform = "x86-bios"\n{line}'))
    assert caught.value.faults[0].line == 17


def test_metadata_is_merged_key_by_key():
    """A later layer wins, inside of tables too, and what was there before is not changed."""
    low = {"a": {"x": 1, "y": 1}, "b": 1}
    assert metadata.merged([low, {"a": {"y": 2}}, {"b": {"z": 3}}]) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    assert low == {"a": {"x": 1, "y": 1}, "b": 1}


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback interface."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_what_is_named_by_an_address_is_fetched_as_it_is(tmp_path: Path):
    """Compressed files stay so; a member has the server ask nobody inside; what is not there is told."""
    served = folder(tmp_path / "served", initrd_gz=gzip.compress(b"initrd"))
    with web(served) as url:
        told = INSTALLER.replace('"linux"', f'"{url}/linux"').replace('"initrd.gz"', f'"{url}/initrd.gz"')
        async with running(tmp_path) as lab:
            record = await imported(lab, "debian", folder(tmp_path / "image", told))
            initrd = lab.store.artefact_path(record.netboot.initrd).read_bytes()
            assert gzip.decompress(initrd) == b"initrd"
            before = lab.store.artefacts()
            with pytest.raises(InvalidError, match="only an admin may import from there"):
                await imported(lab, "other", folder(tmp_path / "image", told), by=ANNA)
            wrong = told.replace("/initrd.gz", "/nothing")
            with pytest.raises(InvalidError, match="nothing: HTTP Error 404"):
                await imported(lab, "other", folder(tmp_path / "image", wrong))
            assert lab.store.artefacts() == before


async def test_a_whole_image_can_be_fetched(tmp_path: Path):
    """A tar at an address is brought to the server and taken apart there."""
    tar = tmp_path / "web" / "image.tar"
    tar.parent.mkdir()
    content = bundle(folder(tmp_path / "image"), Instead()).content("image")
    tar.write_bytes(b"".join(content.read(0, content.length)))
    with web(tar.parent) as url:
        async with running(tmp_path) as lab:
            address = f"{url}/image.tar"
            with lab.hub.images.reserve_name(HUB, "debian"):
                terms = NetbootTerms("debian")
                record = await netboot_imports.take(lab.hub, HUB, terms, address, address, lambda _: None)
            assert record.source == address
            assert set(lab.store.artefacts()) == record.artefacts


KEYS_OF_TOML = st.sampled_from(
    [
        "arch",
        "kernel",
        "initrd",
        "cmdline",
        "installs",
        "files",
        "templates",
        "metadata",
        "done",
        "boot",
        "for",
        "x",
    ]
)
VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8), st.integers(), st.booleans(), st.floats(allow_nan=False), st.just("amd64")
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.one_of(st.text(max_size=60), st.dictionaries(KEYS_OF_TOML, VALUES, max_size=4)))
def test_any_description_is_one_or_is_refused(content):
    """Whatever ``image.toml`` holds, nothing else is raised."""
    text = content if isinstance(content, str) else tomlkit.dumps(content)
    with suppress(InvalidError):
        found = netboot_description.read(text)
        netboot_description.templates(found, text, {})


async def test_who_may_only_look_imports_nothing(tmp_path: Path):
    """As for disk images."""
    async with running(tmp_path) as lab:
        with pytest.raises(Refusal, match="import images"):
            await imported(lab, "debian", folder(tmp_path / "image"), by=Principal("vera", Role.VIEWER))


async def test_kiwis_tar_is_installed_with_the_names_its_installer_asks_for(tmp_path: Path):
    """What it fetches beside the image is served under those names; the disk is one's own to choose."""
    name = "Lime.x86_64-1"
    tar = tmp_path / "kiwi.tar.xz"
    with tarfile.open(tar, "w:xz") as archive:
        for member in (f"pxeboot.{name}.kernel", f"pxeboot.{name}.initrd", f"{name}.xz", f"{name}.md5"):
            (tmp_path / member).write_bytes(member.encode())
            archive.add(tmp_path / member, member)
    async with running(tmp_path) as lab:
        record = await imported(lab, "kiwi", tar, signal=DoneSignal.SECOND_BOOT)
        await lab.hub.claim(ANNA, "pc")
        order = ordered(await lab.hub.deploy(ANNA, "pc-1", "kiwi", {"disk": "/dev/sda"}))
        assert order.done is DoneSignal.SECOND_BOOT
        assert order.cmdline == (
            f"rd.kiwi.install.pxe rd.kiwi.install.image={BASE_MARK}/boot/image/{name}.xz "
            "rd.kiwi.install.pass.bootparam rd.neednet=1 ip=dhcp rd.kiwi.oem.installdevice=/dev/sda "
            "console=ttyS0,115200"
        )
        assert sorted(order.files) == [f"{name}.kernel", f"{name}.md5", f"{name}.xz"]
        assert order.files[f"{name}.kernel"] == order.kernel == record.netboot.kernel
        with pytest.raises(InvalidError, match="needs one"):
            await imported(lab, "other", tar, signal=DoneSignal.CALLBACK, pattern="x")
