"""Drives purge themselves by the best way they have, after a power cut too, or the wipe says why not."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from drive_stand_ins import StandInAta, StandInEmmc, StandInNvme
from test_drive_commands import EMMC_4GB

from hostler.agent.ata import AtaError
from hostler.agent.disks import Disk
from hostler.agent.purge import Purge, PurgeError, UnsafeError, Waiting, permitted
from hostler.agent.wipe import wipe
from hostler.agent.wipe_ata import PASSWORD, AtaDrive
from hostler.agent.wipe_mmc import MmcDrive
from hostler.agent.wipe_nvme import NvmeDrive
from hostler.agent.work import CancelledError, StepError, Work
from hostler.model.wipe import Effort, Sanitized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostler.agent.purge import Drive

MIB = 1024 * 1024
SIZE = 8 * MIB


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A disk of 8 MiB full of somebody's data."""
    path = tmp_path / "nvme0n1"
    path.write_bytes(random.Random(0).randbytes(SIZE))
    return path


@pytest.fixture
def waiting(work: Work) -> Waiting:
    """A wait whose clock goes a second at a time, and takes none."""
    return patient(work)


def patient(work: Work) -> Waiting:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Waiting(work, SIZE, lambda: now[0], sleep)


def wiped(
    media: Path, drive: Drive, work: Work, effort: Effort, *, rotational: bool = False
) -> dict[str, Any]:
    """Wipe a file as the disk of a drive; return its entry of the result."""
    disk = Disk(
        str(media), "nvme", SIZE, "", "", rotational=rotational, removable=False, read_only=False, spared=None
    )

    @contextmanager
    def open_drive(_disk: Disk) -> Iterator[Drive]:
        yield drive

    result = wipe([disk], work, {"effort": str(effort)}, open_drive=open_drive)
    assert not any(media.read_bytes())
    assert result["effort"] == str(effort)
    (entry,) = result["disks"]  # type: ignore[misc]
    return entry  # type: ignore[return-value]


def way(name: str, seconds: float | None, *, wears: bool) -> Purge:
    return Purge(name, lambda _wait: None, seconds=seconds, wears=wears)


def test_a_quick_wipe_takes_only_what_costs_nothing() -> None:
    """Neither minutes nor flash; whoever asks for more gets the best way, however long it takes."""
    ways = [way("block", 60, wears=True), way("key", 2, wears=False), way("slow", 7200, wears=False),
            way("silent", None, wears=False)]  # fmt: skip
    taken, left = permitted(ways, Effort.QUICK)
    assert [one.name for one in taken] == ["key"]
    assert [text.partition(":")[0] for text in left] == ["block", "slow", "silent"]
    assert permitted(ways, Effort.THOROUGH) == (ways, [])


def test_a_wipe_clears_and_no_more_unless_it_is_asked_to(media: Path, work: Work) -> None:
    """Whatever a drive can: no command that erases goes to it, and that is said of each way left."""
    drive = StandInNvme()
    entry = wiped(media, NvmeDrive(drive), work, Effort.CLEAR)
    assert (entry["purged_by"], entry["sanitized"], drive.done) == (None, "clear", [])
    assert "NVMe Sanitize (block erase): only clearing was asked for" in entry["declined"]
    disk = Disk(
        str(media), "ata", SIZE, "", "", rotational=True, removable=False, read_only=False, spared=None
    )
    ata = StandInAta(sanitizes=0xF000, estimates=(1, 1))

    @contextmanager
    def open_drive(_disk: Disk) -> Iterator[Drive]:
        yield AtaDrive(ata)

    assert wipe([disk], work, {}, open_drive=open_drive)["effort"] == "clear"
    assert (ata.done, ata.left, ata.done_well) == ([], 0, False)


def test_a_password_of_somebody_else_does_not_keep_a_disk_from_being_cleared(media: Path, work: Work) -> None:
    """The firmware unlocked it: it can be written and read, and nothing more is asked of it."""
    theirs = StandInAta(password=b"theirs".ljust(32, b"\0"))
    assert wiped(media, AtaDrive(theirs), work, Effort.CLEAR)["sanitized"] == "clear"
    assert theirs.password == b"theirs".ljust(32, b"\0")


def test_a_quick_wipe_sets_no_password(media: Path, work: Work) -> None:
    """However short the drive's estimate: a power cut would leave it locked, many times a day."""
    drive = StandInAta(estimates=(1, 1))
    entry = wiped(media, AtaDrive(drive), work, Effort.QUICK, rotational=True)
    assert (entry["purged_by"], drive.done) == (None, [])
    assert len([text for text in entry["declined"] if "sets a password" in text]) == 2


@pytest.mark.parametrize(
    ("drive", "effort", "by", "achieved"),
    [
        (StandInNvme(rounds=1), Effort.QUICK, "NVMe Sanitize (crypto erase)", "purge"),
        (StandInNvme(rounds=1), Effort.THOROUGH, "NVMe Sanitize (block erase)", "purge"),
        (StandInNvme(sanicap=0), Effort.QUICK, "NVMe Format NVM (cryptographic erase)", "purge"),
        (StandInNvme(sanicap=0, fna=0), Effort.THOROUGH, "NVMe Format NVM (user data erase)", "purge"),
        (StandInNvme(sanicap=0, fna=0), Effort.QUICK, None, "clear"),
        (StandInNvme(sanicap=0, oacs=0), Effort.THOROUGH, None, "clear"),
    ],
)
def test_nvme_purges_by_the_best_way_it_has(
    drive: StandInNvme, effort: Effort, by: str | None, achieved: str, media: Path, work: Work
) -> None:  # fmt: skip
    """Sanitize before format; then all is zero and read back, and the result says it."""
    drive.media = media
    entry = wiped(media, NvmeDrive(drive), work, effort)
    assert (entry["purged_by"], entry["sanitized"]) == (by, achieved)
    assert entry["verified_whole"] is True
    assert entry["health"]["wear_percent"] == 3


def test_a_sanitize_that_fails_is_left_behind(waiting: Waiting) -> None:
    """The drive leaves the failure mode, and the next way is taken."""
    drive = StandInNvme(fails=True)
    nvme = NvmeDrive(drive)
    sanitize = nvme.purges()[0]
    with pytest.raises(PurgeError, match="says that it failed"):
        sanitize.do(waiting)
    assert drive.done[-1] == (0x84, 1 | 1 << 3)  # Exit Failure Mode
    assert drive.status == 0


def test_the_next_wipe_waits_for_a_sanitize_that_was_cut_short(work: Work, waiting: Waiting) -> None:
    """The power was cut: the drive goes on by itself, and refuses everything else until it is done."""
    drive = StandInNvme(left=5, rounds=8, status=2)
    work.begin("executing", SIZE)
    NvmeDrive(drive).settle(waiting)
    assert drive.left == 0
    assert work.progress()[1] == SIZE
    ata = StandInAta(sanitizes=0xB000, left=4)
    AtaDrive(ata).settle(patient(work))
    assert ata.left == 0


def test_a_drive_that_does_not_end_is_given_up_in_time(waiting: Waiting) -> None:
    """After twice its estimate, and no less than ten minutes, the step fails and says what it waited for."""
    drive = NvmeDrive(StandInNvme(rounds=10**9, estimates=(1, 400, 1)))
    (block, *_) = drive.purges()
    with pytest.raises(UnsafeError, match=r"block erase\) is not done after 800 s"):
        block.do(waiting)


def test_a_step_that_is_called_off_does_not_wait_on(work: Work, waiting: Waiting) -> None:
    """The drive goes on; the next wipe waits for it."""
    drive = NvmeDrive(StandInNvme(rounds=10**9))
    work.cancel("nobody wants it")
    with pytest.raises(CancelledError):
        drive.purges()[0].do(waiting)


@pytest.mark.parametrize(
    ("drive", "by", "achieved"),
    [
        (StandInAta(sanitizes=0xF000, rounds=1), "ATA SANITIZE (block erase)", "purge"),
        (StandInAta(sanitizes=0x5000, rounds=1), "ATA SANITIZE (overwrite)", "purge"),
        (StandInAta(), "ATA SECURITY ERASE UNIT (enhanced)", "purge"),
        (StandInAta(rotational=False), "ATA SECURITY ERASE UNIT (enhanced)", "clear"),
        (StandInAta(enhanced=False), "ATA SECURITY ERASE UNIT", "clear"),
        (StandInAta(frozen=True), None, "clear"),
        (StandInAta(security=False), None, "clear"),
    ],
)
def test_ata_purges_by_the_best_way_it_has(
    drive: StandInAta, by: str | None, achieved: str, media: Path, work: Work
) -> None:
    """Sanitize before secure erase; on flash a secure erase is but a clear. No password is left behind."""
    drive.media = media
    entry = wiped(media, AtaDrive(drive), work, Effort.THOROUGH, rotational=drive.rotational)
    assert (entry["purged_by"], entry["sanitized"]) == (by, achieved)
    assert drive.password is None
    if drive.frozen:
        assert "the board's firmware froze it" in " ".join(entry["declined"])


def test_a_drive_is_unlocked_after_an_erase_that_was_cut_short(waiting: Waiting) -> None:
    """The power goes between password and erase: the drive comes back locked, and the next agent frees it."""
    drive = StandInAta(breaks=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        AtaDrive(drive).purges()[0].do(waiting)
    assert drive.password == PASSWORD
    drive.power_cycle()
    AtaDrive(drive).settle(waiting)
    assert (drive.password, drive.unlocked) == (None, True)


def test_an_erase_that_the_drive_refuses_leaves_no_password(waiting: Waiting) -> None:
    """It was set for the erase alone."""
    drive = StandInAta(breaks=AtaError("error 0x4"))
    with pytest.raises(PurgeError):
        AtaDrive(drive).purges()[0].do(waiting)
    assert drive.password is None


def test_an_erase_that_did_not_take_its_password_away_did_not_end(waiting: Waiting) -> None:
    """Whatever the drive answers; the password is taken away, and the way counts as failed."""
    drive = StandInAta(unfinished=True)
    with pytest.raises(PurgeError, match="still had its password"):
        AtaDrive(drive).purges()[0].do(waiting)
    assert drive.password is None


@pytest.mark.parametrize("refuses", [True, False])
def test_a_drive_that_is_silent_after_an_erase_may_still_be_locked(waiting: Waiting, refuses: bool) -> None:
    """Well ended or not: nobody knows, so the step fails and says it."""
    drive = StandInAta(silent=True)
    (way, *_) = AtaDrive(drive).purges()
    drive.breaks = AtaError("error 0x4") if refuses else None
    with pytest.raises(UnsafeError, match="may still have Hostler's password: the drive says nothing"):
        way.do(waiting)


@pytest.mark.parametrize(
    ("estimates", "seconds"), [((60, 1), 7200), ((1, 60), 7200), ((60, 0), 7200), ((0, 1), None)]
)
def test_sanitize_takes_no_less_than_an_erase_of_all(
    estimates: tuple[int, int], seconds: float | None
) -> None:
    """An enhanced erase may only make a new key: its estimate alone is none."""
    drive = AtaDrive(StandInAta(sanitizes=0xF000, estimates=estimates))
    told = {way.name: way.seconds for way in drive.purges()}
    assert told["ATA SANITIZE (overwrite)"] == told["ATA SANITIZE (block erase)"] == seconds


@pytest.mark.parametrize("drive", [StandInAta(password=b"theirs".ljust(32, b"\0")),
                                   StandInAta(password=PASSWORD, frozen=True)])  # fmt: skip
def test_a_drive_that_stays_locked_fails_the_step(drive: StandInAta, media: Path, work: Work) -> None:
    """Somebody else's password, or firmware that froze it with ours: the error names disk and remedy."""
    drive.power_cycle()
    with pytest.raises(StepError, match=r"nvme0n1 .*(not Hostler's|cut its power)"):
        wiped(media, AtaDrive(drive), work, Effort.QUICK)


def register(*, sanitize: bool) -> bytes:
    data = bytearray(EMMC_4GB)
    data[192] = 8
    data[231] = 0x55 if sanitize else 0x15
    data[212:216] = (20_000_000).to_bytes(4, "little")
    return bytes(data)


def test_emmc_is_erased_and_sanitized(media: Path, work: Work) -> None:
    """All of it, a quick wipe too; what was not touched is said: its hardware partitions."""
    data = bytearray(register(sanitize=True))
    data[146:149], data[221], data[224] = (5).to_bytes(3, "little"), 2, 8  # gp1: 5 groups of 8 MiB
    card = StandInEmmc(bytes(data), media)
    entry = wiped(media, MmcDrive(card), work, Effort.QUICK)
    assert (entry["purged_by"], entry["sanitized"]) == ("eMMC erase and sanitize", "purge")
    assert (card.erased, card.stale) == (20_000_000, False)
    assert [text.partition(" of ")[0] for text in entry["untouched"]] == [
        "two boot partitions", "replay protected partition", "general purpose partitions",
    ]  # fmt: skip
    assert str(5 * 8 << 20) in entry["untouched"][2]


@pytest.mark.parametrize(("effort", "seconds"), [(Effort.QUICK, 180), (Effort.THOROUGH, 256 * 0.3 * 32)])
def test_a_quick_wipe_gives_each_piece_of_an_emmc_three_minutes(
    effort: Effort, seconds: float, media: Path, work: Work
) -> None:
    """The register's own limit may be an hour for a gibibyte."""
    data = bytearray(register(sanitize=True))
    data[223], data[224] = 32, 8
    card = StandInEmmc(bytes(data), media)
    wiped(media, MmcDrive(card), work, effort)
    assert card.seconds == pytest.approx(seconds)


def test_an_older_emmc_is_erased_securely(media: Path, work: Work) -> None:
    """Through the kernel, which knows the cards that break; not in a quick wipe, for it wears."""
    card = StandInEmmc(register(sanitize=False), media)
    assert wiped(media, MmcDrive(card), work, Effort.QUICK)["sanitized"] == "clear"
    entry = wiped(media, MmcDrive(card), work, Effort.THOROUGH)
    assert (entry["purged_by"], card.secured) == ("eMMC secure erase", 20_000_000)


def test_a_card_that_refuses_is_cleared_and_that_is_said(media: Path, work: Work) -> None:
    """No way is believed that did not end well."""
    card = StandInEmmc(register(sanitize=True), media, refuses=6)
    entry = wiped(media, MmcDrive(card), work, Effort.QUICK)
    assert (entry["purged_by"], entry["sanitized"]) == (None, Sanitized.CLEAR)
    assert "CMD6" in " ".join(entry["declined"])


def test_flash_that_cannot_purge_is_written_twice(media: Path, work: Work) -> None:
    """Where more than a quick wipe was asked for: ones, then zeros."""
    entry = wiped(media, NvmeDrive(StandInNvme(sanicap=0, oacs=0)), work, Effort.THOROUGH)
    assert (entry["method"], entry["passes"]) == ("overwritten", 2)


def test_an_effort_nobody_knows_is_refused(work: Work) -> None:
    """Before anything is touched."""
    with pytest.raises(StepError, match="quick, thorough, purge"):
        wipe([], work, {"effort": "utter"})
