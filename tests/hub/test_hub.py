"""The hub with a rack at the other end of a real link."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hostler.hub import boards
from hostler.hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from hostler.hub.image_records import ImageRecord
from hostler.hub.records import HUB, Principal, Role
from hostler.link.documents import from_document, to_document
from hostler.model.claim import ClaimState
from hostler.model.power import PowerReading, PowerState
from hostler.model.run import RunState
from hostler.model.seam import Desired, Stranger
from simulated_rack import LAB, running, until

ANNA = Principal("anna", Role.MEMBER)
BERT = Principal("bert", Role.MEMBER)
DEBIAN = ImageRecord(
    "debian", "amd64", ("x86-bios",), "c" * 64, 10_000, 5_000, 1024, "login:", 300.0, 1.0, "test"
)  # fmt: skip


def life(lab, board="pc-1"):
    return lab.hub.state.boards[board].lifecycle


async def add_image(lab, image=DEBIAN):
    lab.store.artefact_path(image.index).write_bytes(b"its chunk index")
    await lab.hub.change(lambda draft: draft.images.put(image.name, image))


async def test_claim_release_cycle_ends_available_and_off(tmp_path: Path):
    """A claim holds a board, its release wipes it, and only then is it available again."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc", power=True)
        assert claim.state is ClaimState.ACTIVE
        assert claim.board == "pc-1"
        await until(lambda: lab.hub.state.observed["pc-1"].power.state is PowerState.ON)
        released = await lab.hub.release(ANNA, claim.id)
        assert released.state is ClaimState.RELEASING
        await until(lambda: life(lab) == "available")
        closed = await lab.hub.reading.claim(ANNA, claim.id)
        assert (closed.state, closed.reason) == (ClaimState.CLOSED, "released")
        assert lab.hub.state.observed["pc-1"].power.state is PowerState.OFF
        await until(lambda: lab.hub.history.last == lab.hub.state.seq)
        kinds = [
            event.kind for event in await lab.hub.history.page(0) if event.board == "pc-1" and not event.trace
        ]
        assert [kind for kind in kinds if kind not in ("run.started", "run.step")] == [
            "claim.granted", "claim.releasing", "run.created", "run.succeeded", "claim.closed",
            "board.available",
        ]  # fmt: skip


async def test_claim_with_image_deploys(tmp_path: Path):
    """A claim with an image begins to deploy it as soon as it is granted."""
    async with running(tmp_path) as lab:
        await add_image(lab)
        claim = await lab.hub.claim(ANNA, "pc", image="debian")
        record = lab.hub.state.boards[claim.board]
        run = await lab.hub.reading.run(record.run)
        assert (run.plan, run.purpose) == ("install:debian,boot", "deploy")
        assert run.order.steps[0].params == {
            "image": "debian",
            "index": "c" * 64,
            "size": 10_000,
            "disk": None,
            "removable": False,
            "grow": False,
            "to": "disk",
            "emmc_boot": None,
        }
        assert run.order.steps[1].params == {"image": "debian", "pattern": "login:", "seconds": 300.0}
        await until(lambda: lab.hub.state.runs[record.run].status.state is RunState.SUCCEEDED)
        assert lab.hub.state.boards[claim.board].image == "debian"
        again = await lab.hub.start_run(ANNA, claim.board, "boot")
        assert again.order.steps[0].params["image"] == "debian"


async def test_failed_wipe_quarantines_and_recover_wipes_again(tmp_path: Path):
    """A board whose wipe failed is put aside with the reason; an admin may send it through another wipe."""
    async with running(tmp_path, fail="disk says no") as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab) == "quarantined")
        assert "disk says no" in lab.hub.state.boards["pc-1"].reason
        closed = await lab.hub.reading.claim(ANNA, claim.id)
        assert closed.reason == "wipe failed: disk says no"
        with pytest.raises(ForbiddenError):
            await lab.hub.recover(ANNA, "pc-1")
        lab.rack.boards["pc-1"].fail = ""
        await lab.hub.recover(HUB, "pc-1")
        await until(lambda: life(lab) == "available")
        assert lab.hub.state.boards["pc-1"].reason == ""


async def test_a_board_that_stays_on_is_not_given_away(tmp_path: Path):
    """A wiped board whose power does not go off is quarantined at the deadline, never available."""
    async with running(tmp_path, stays_on=True) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        run = await until(lambda: lab.hub.state.runs.get(lab.hub.state.boards["pc-1"].run))
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        assert life(lab) == "releasing"
        late = lab.hub.state.runs[run.id].status.ended + boards.POWER_OFF_SECONDS
        lab.hub._clock = lambda: late
        await lab.hub.tick()
        assert life(lab) == "quarantined"
        assert "reads on instead of off" in lab.hub.state.boards["pc-1"].reason


async def test_a_board_behind_equipment_that_cannot_be_read_comes_back(tmp_path: Path):
    """Where power cannot be read, a verified wipe and a switch that was sent without error are enough."""
    async with running(tmp_path, stays_on=True) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        run = await until(lambda: lab.hub.state.runs.get(lab.hub.state.boards["pc-1"].run))
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        board = lab.rack.boards["pc-1"]
        await lab.rack.tell(board, power=PowerReading(PowerState.UNKNOWN))
        await lab.rack.tell(board, power_sent=PowerState.ON)
        assert life(lab) == "releasing"
        await lab.rack.tell(board, power_sent=PowerState.OFF)
        await until(lambda: life(lab) == "available")


async def test_expiry_releases(tmp_path: Path):
    """A claim whose time is over is released by itself, and says so."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc", ttl=0.2)
        await until(lambda: claim.id not in lab.hub.state.claims)
        assert (await lab.hub.reading.claim(ANNA, claim.id)).reason == "expired"


async def test_a_clock_that_is_set_ends_no_claim(tmp_path: Path):
    """What was left of a claim is left after the host's clock was set, and the setting is told."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc", ttl=3600)
        wall = lab.hub._clock
        lab.hub._clock = lambda: wall() + 86400 * 365
        lab.hub._time.wake()
        await until(lambda: lab.hub.state.claims[claim.id].expires > claim.expires + 86400 * 364)
        assert life(lab) == "claimed"
        assert "clock.set" in {event.kind for event in await lab.hub.history.page(0)}


async def test_release_during_a_run_replaces_it(tmp_path: Path):
    """Giving a board back calls its run off and wipes at once."""
    async with running(tmp_path, hang=True) as lab:
        await add_image(lab)
        claim = await lab.hub.claim(ANNA, "pc", image="debian")
        first = lab.hub.state.boards["pc-1"].run
        with pytest.raises(ConflictError):
            await lab.hub.start_run(ANNA, "pc-1", "boot")
        with pytest.raises(ConflictError):
            await lab.hub.power(ANNA, "pc-1", "off")
        await until(lambda: "pc-1" in lab.rack.boards and lab.rack.boards["pc-1"].observed.run)
        lab.rack.boards["pc-1"].hang = False
        await lab.hub.release(ANNA, claim.id)
        assert (await lab.hub.reading.run(first)).status.state is RunState.CANCELLED
        await until(lambda: life(lab) == "available")


async def test_cancel_is_done_when_the_rack_says_so(tmp_path: Path):
    """Cancelling asks the rack; the run ends cancelled and the claim goes on."""
    async with running(tmp_path, hang=True) as lab:
        await add_image(lab)
        claim = await lab.hub.claim(ANNA, "pc", image="debian")
        run = lab.hub.state.boards["pc-1"].run
        with pytest.raises(ForbiddenError):
            await lab.hub.cancel_run(BERT, run)
        await lab.hub.cancel_run(ANNA, run)
        await until(lambda: lab.hub.state.runs[run].status.state is RunState.CANCELLED)
        assert lab.hub.state.claims[claim.id].state is ClaimState.ACTIVE


async def test_conflict_quarantines_a_free_board_but_not_a_held_one(tmp_path: Path):
    """A contradiction takes a free board out of the pool; a holder keeps theirs until they give it back."""
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        await until(lambda: len(lab.rack.boards) == 3)
        for name in ("pc-1", "pc-2"):
            await lab.rack.tell(lab.rack.boards[name], conflict="was it swapped?")
        await until(lambda: life(lab, "pc-2") == "quarantined")
        await until(lambda: lab.hub.state.boards["pc-1"].conflict)
        assert life(lab) == "claimed"
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab) == "quarantined")
        assert lab.hub.state.boards["pc-1"].reason == "was it swapped?"


async def test_strangers_are_listed_until_adopted(tmp_path: Path):
    """An unknown machine is listed, is desired nothing, and leaves when lab.toml has its MAC."""
    mac = "52:54:00:aa:bb:cc"
    async with running(tmp_path) as lab:
        stranger = Stranger(mac, "boot", {"arch": "amd64"}, 1.0, 2.0)
        await lab.link.observe(f"stranger/{mac}", to_document(stranger))
        await until(lambda: "unknown-525400aabbcc" in lab.hub.state.boards)
        assert life(lab, "unknown-525400aabbcc") == "discovered"
        with pytest.raises(ConflictError):
            await lab.hub.power(HUB, "unknown-525400aabbcc", "on")
        new = LAB + f'\n[boards.new]\nclass = "pc"\nmac = "{mac}"\n'
        await lab.hub.apply_inventory(HUB, new)
        assert "unknown-525400aabbcc" not in lab.hub.state.boards
        assert life(lab, "new") == "available"
        await until(lambda: "new" in lab.rack.boards)


async def test_a_wipe_that_proves_nothing_frees_nothing(tmp_path: Path):
    """An agent that says it is done, but not with what, leaves the board in quarantine."""
    async with running(tmp_path) as lab:
        await until(lambda: "pc-1" in lab.rack.boards)
        await lab.rack.tell(lab.rack.boards["pc-1"], facts={"disks": [{"path": "/dev/sdz", "size": 1}]})
        claim = await lab.hub.claim(ANNA, "pc")
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab) == "quarantined")
        assert lab.hub.state.boards["pc-1"].reason == "the wipe is not proven: disk /dev/sdz was not wiped"


async def test_a_board_that_left_unclean_comes_back_in_quarantine(tmp_path: Path):
    """Taking a quarantined board out of lab.toml and putting it back, even renamed, does not clean it."""
    async with running(tmp_path, fail="disk is broken") as lab:
        claim = await lab.hub.claim(ANNA, "arm")
        await lab.hub.release(ANNA, claim.id)
        await until(lambda: life(lab, "arm-1") == "quarantined")
        renamed = LAB.replace("[boards.arm-1]", "[boards.arm-2]")
        await lab.hub.apply_inventory(HUB, renamed)
        assert life(lab, "arm-2") == "quarantined"
        without = LAB[: LAB.index("[boards.arm-1]")]
        await lab.hub.apply_inventory(HUB, without)
        mac = "52:54:00:00:00:03"
        await lab.link.observe(f"stranger/{mac}", to_document(Stranger(mac, "boot", {}, 1.0, 2.0)))
        await until(lambda: lab.hub.state.boards["unknown-525400000003"].facts == {})
        await lab.link.observe(f"stranger/{mac}", None)
        await lab.hub.apply_inventory(HUB, LAB)
        assert life(lab, "arm-1") == "quarantined"
        assert "disk is broken" in lab.hub.state.boards["arm-1"].reason


async def test_held_boards_are_not_removed(tmp_path: Path):
    """An inventory that would take a held board away is refused as a whole."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "arm")
        without = LAB.replace("[boards.arm-1]", "[boards.arm-2]")
        with pytest.raises(ConflictError) as caught:
            await lab.hub.apply_inventory(HUB, without)
        assert 'board "arm-1" is claimed and cannot be removed' in caught.value.detail
        moved = LAB.replace('[boards.arm-1]\nclass = "arm"', '[boards.arm-1]\nclass = "pc"')
        with pytest.raises(ConflictError):
            await lab.hub.apply_inventory(HUB, moved)
        assert "arm-2" not in lab.hub.state.boards
        with pytest.raises(ForbiddenError):
            await lab.hub.apply_inventory(ANNA, LAB)


@pytest.mark.parametrize(
    "wire",
    [
        'power = { driver = "command", on = ["/bin/evil"], off = ["true"], outlet = "1" }',
        'power = { equipment = "shell", outlet = "1" }',
        'power = { driver = "qemu", command = ["/bin/evil"], monitor = "/tmp/m" }',
        'console = { driver = "command", command = ["/bin/evil"] }',
        'console = { driver = "unix-socket", path = "/run/docker.sock" }',
        'power = { driver = "fake", outlet = "1", file = "/etc/passwd" }',
        'power = { driver = "libvirt", domain = "x" }',
        'console = { driver = "tty", path = "/dev/pts/0" }',
        'console = { driver = "tty", path = "/dev/ttyUSB0/../pts/0" }',
        'power = { driver = "serial-relay", path = "/etc/passwd", model = "lctech", relay = 1 }',
    ],
)
async def test_programs_come_from_the_servers_own_file(tmp_path: Path, wire: str):
    """An admin of the API makes the server run nothing; what its own file brought may stay."""
    more = f"""
[equipment.shell]
driver = "command"
on = ["/bin/evil"]
off = ["true"]

[boards.pc-9]
class = "pc"
mac = "52:54:00:00:00:09"
{wire}
"""
    if "shell" not in wire:
        more = more[more.index("[boards") :]
    async with running(tmp_path) as lab:
        admin = lab.hub.state.principals["admin"]
        with pytest.raises(ForbiddenError, match="on the server; such a wire"):
            await lab.hub.apply_inventory(admin, LAB + more)
        assert "pc-9" not in lab.hub.state.boards
        await lab.hub.apply_inventory(HUB, LAB + more)
        usb = """
[boards.pc-8]
class = "pc"
mac = "52:54:00:00:00:08"
console = { driver = "tty", path = "/dev/ttyUSB0" }
"""
        await lab.hub.apply_inventory(admin, LAB + more.replace("00:09", "00:0a") + usb)
        assert lab.hub.state.boards["pc-9"].board.macs == ("52:54:00:00:00:0a",)


async def test_bad_wishes_change_nothing(tmp_path: Path):
    """Everything that cannot be done is refused when it is asked, by name."""
    async with running(tmp_path) as lab:
        await add_image(lab)
        seq = lab.hub.state.seq
        with pytest.raises(NotFoundError, match="classes: arm, pc"):
            await lab.hub.claim(ANNA, "rpi")
        with pytest.raises(InvalidError, match="is for amd64"):
            await lab.hub.claim(ANNA, "arm", image="debian")
        with pytest.raises(NotFoundError, match="images: debian"):
            await lab.hub.claim(ANNA, "pc", image="fedora")
        with pytest.raises(InvalidError):
            await lab.hub.claim(ANNA, "pc", ttl=-1)
        assert lab.hub.state.seq == seq
        assert not lab.hub.state.claims
        await lab.hub.claim(ANNA, "arm")
        with pytest.raises(ConflictError, match="no board of class"):
            await lab.hub.claim(BERT, "arm")
        assert len(lab.hub.state.claims) == 1
        await lab.hub.claim(ANNA, "pc")
        record = lab.hub.state.boards["pc-1"]
        small = replace(record, facts={"disks": [{"name": "vda", "size": 100}]})
        await lab.hub.change(lambda draft: draft.boards.put("pc-1", small))
        for shrinks_to, way_out in (
            (0, "choose a smaller image"),
            (90, "`hostler image shrink debian --as NAME` would make an image of about 90 bytes"),
            (200, "shrunk it would still need about 200"),
        ):
            image = replace(lab.hub.state.images["debian"], shrinks_to=shrinks_to)
            await lab.hub.change(lambda draft, image=image: draft.images.put("debian", image))
            with pytest.raises(ConflictError, match=f"needs 10000 bytes, but .*; {way_out}"):
                await lab.hub.deploy(ANNA, "pc-1", "debian")
        with pytest.raises(InvalidError, match="no step"):
            await lab.hub.start_run(ANNA, "pc-1", "format")
        with pytest.raises(ForbiddenError):
            await lab.hub.start_run(BERT, "pc-1", "boot")


async def test_restart_carries_on(tmp_path: Path):
    """What was decided is there after a restart and is desired again; an unfinished run is finished."""
    async with running(tmp_path, hang=True) as lab:
        await add_image(lab)
        claim = await lab.hub.claim(ANNA, "pc", image="debian", name="mine")
        waiting = [await lab.hub.claim(BERT, "pc"), await lab.hub.claim(BERT, "pc", wait=True)]
        run = lab.hub.state.boards["pc-1"].run
    async with running(tmp_path) as lab:
        assert lab.token is None
        assert lab.hub.state.claims[claim.id] == claim
        assert lab.hub.state.claims[waiting[1].id].state is ClaimState.PENDING
        await until(lambda: lab.hub.state.runs[run].status.state is RunState.SUCCEEDED)
        assert lab.hub.state.inventory.boards["pc-1"].console is not None
        await lab.hub.release(ANNA, "mine")
        await until(lambda: lab.hub.state.claims[waiting[1].id].state is ClaimState.ACTIVE)


async def test_events_of_the_link_are_taken_over_once(tmp_path: Path):
    """What a rack tells is in the hub's history exactly once, also over a restart."""
    async with running(tmp_path) as lab:
        await lab.hub.claim(ANNA, "pc")
        run = await lab.hub.start_run(ANNA, "pc-1", "discover")
        await until(lambda: lab.hub.state.cursor == 3 and lab.hub.state.runs[run.id].status.state.ended)
    async with running(tmp_path) as lab:
        await lab.hub.start_run(ANNA, "pc-1", "discover")
        await until(lambda: lab.hub.history.last == lab.hub.state.seq and lab.hub.state.cursor == 6)
        traced = [event.kind for event in await lab.hub.history.page(0) if event.trace]
        assert traced == ["power.on", "dhcp.ack", "agent.hello"] * 2
        trace = await lab.hub.history.trace("pc-1", None)
        assert len(trace.events) == 3
        assert trace.boot.token == ""
        (past,) = await lab.hub.history.past(["pc-1", "pc-2"], "agent", trace.boot.started, 20)
        assert (past.boot.number, [event.kind for event in past.events]) == (1, traced[:3])
        assert await lab.hub.history.past(["pc-2"], "agent", trace.boot.started, 20) == []
        assert await lab.hub.history.past(["pc-1"], "local", trace.boot.started, 20) == []


async def test_progress_is_not_written(tmp_path: Path):
    """Byte progress reaches whoever asks, and writes nothing."""
    async with running(tmp_path, hang=True) as lab:
        await add_image(lab)
        await lab.hub.claim(ANNA, "pc", image="debian")
        record = lab.hub.state.boards["pc-1"]
        await until(lambda: "pc-1" in lab.rack.boards and lab.rack.boards["pc-1"].observed.run)
        await until(lambda: lab.hub.state.runs[record.run].status.state is RunState.RUNNING)
        seq = lab.hub.state.seq
        for done in (100, 200, 300):
            await lab.rack.progress("pc-1", done, 1000)
        await until(lambda: lab.hub.reading.board_run(record).status.done == 300)
        assert lab.hub.state.seq == seq


async def test_without_an_agent_nothing_is_promised(tmp_path: Path):
    """Without an agent a plan that needs one is refused, and a board given back is put aside, saying why."""
    async with running(tmp_path, agents=False) as lab:
        claim = await lab.hub.claim(ANNA, "pc")
        with pytest.raises(ConflictError, match="hostler agent build"):
            await lab.hub.start_run(ANNA, "pc-1", "wipe")
        await lab.hub.release(ANNA, claim.id)
        assert life(lab) == "quarantined"
        assert "hostler agent build" in lab.hub.state.boards["pc-1"].reason


async def test_a_rack_that_lost_its_memory_does_not_repeat_what_is_done(tmp_path: Path):
    """Once a run has ended nobody desires it any more: its holder's disk is not written a second time."""
    async with running(tmp_path) as lab:
        await add_image(lab)
        await lab.hub.claim(ANNA, "pc")
        run = await lab.hub.start_run(ANNA, "pc-1", "install:debian")
        await until(lambda: lab.hub.state.runs[run.id].status.state is RunState.SUCCEEDED)
        async with asyncio.timeout(60):
            while (await desired(lab.rack.link)).run is not None:
                await asyncio.sleep(0.02)
    async with running(tmp_path) as lab:
        assert (await desired(lab.rack.link)).run is None


async def test_a_rack_hears_of_equipment_before_the_boards_wired_to_it(tmp_path: Path):
    """A board taken in the other way round says of its power that there is no such equipment."""
    async with running(tmp_path, lab=None) as lab, asyncio.TaskGroup() as tasks:
        told: list[str] = []

        async def listen() -> None:
            async for change in lab.rack.link.desired():
                told.append(change.key)

        listener = tasks.create_task(listen())
        await until(lambda: "rack" in told)  # the agents; nothing is on its way any more
        told.clear()
        await lab.hub.apply_inventory(HUB, LAB)
        await until(lambda: "board/pc-1" in told)
        assert told[0] == "rack"
        listener.cancel()


async def desired(link) -> Desired:
    """Return what a rack that begins now is told of pc-1."""
    async for change in link.desired():
        if change.key == "board/pc-1":
            return from_document(Desired, change.document)
    raise AssertionError("the link ended")
