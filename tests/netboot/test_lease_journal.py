"""The lease journal: what was committed is read back, whatever happened to the end of the file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hostler.netboot.lease_journal import LeaseJournal, LeaseJournalError, read_journal
from hostler.netboot.leases import RECORD_SIZE, Lease, LeaseState, read_records


def record(number: int) -> bytes:
    address = bytes((10, 77, number >> 8, number & 255))
    return Lease(address, f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}", LeaseState.BOUND, 1e9).record()


class Written:
    """A journal and the answers that wait for it."""

    def __init__(self, path: Path, records: bytes = b"") -> None:
        self.woken = threading.Event()
        self.journal: LeaseJournal[int] = LeaseJournal(path, self.woken.set)
        self.journal.open(records)

    def commit(self, number: int, records: bytes, *, whole: bool = False) -> str | None:
        self.woken.clear()
        self.journal.submit(records, number, whole=whole)
        assert self.woken.wait(10)
        (commit,) = self.journal.commits()
        assert commit.waiting == number
        return commit.error


def test_committed_leases_are_read_back_in_order(tmp_path: Path) -> None:
    """A commit that was reported is on disk, before the journal is closed."""
    written = Written(tmp_path / "leases", record(0))
    assert written.commit(1, record(1)) is None
    assert written.commit(2, record(2) + record(3)) is None
    assert read_journal(tmp_path / "leases") == b"".join(map(record, range(4)))
    written.journal.close()


def test_a_missing_or_empty_file_has_no_leases(tmp_path: Path) -> None:
    """The first start, and a start after the machine went down in the first write."""
    assert read_journal(tmp_path / "leases") == b""
    (tmp_path / "leases").write_bytes(bytes(100))
    assert read_journal(tmp_path / "leases") == b""


@pytest.mark.parametrize("damage", ["cut", "flip", "zero"])
def test_a_torn_end_is_cut_and_the_rest_stands(tmp_path: Path, damage: str) -> None:
    """A crash in the middle of a commit costs that commit only."""
    path = tmp_path / "leases"
    written = Written(path)
    for number in range(5):
        assert written.commit(number, record(number)) is None
    written.journal.close()
    data = bytearray(path.read_bytes().rstrip(b"\0"))
    if damage == "cut":
        del data[-5:]
    elif damage == "flip":
        data[-12] ^= 0x40
    else:
        data[-8:] = bytes(8)
    path.write_bytes(data)
    kept = read_journal(path)
    assert kept == b"".join(map(record, range(4)))
    again = Written(path, kept)
    assert again.commit(9, record(9)) is None
    again.journal.close()
    assert read_journal(path) == kept + record(9)


def test_something_else_is_not_overwritten(tmp_path: Path) -> None:
    """A file that is no journal is named, not truncated."""
    (tmp_path / "leases").write_text("lease 10.0.0.1 { }")
    with pytest.raises(LeaseJournalError, match=r"leases is not a lease journal; move it away"):
        read_journal(tmp_path / "leases")


def test_a_journal_that_has_grown_is_compacted(tmp_path: Path) -> None:
    """Renewals do not fill the disk: the file is replaced by what is true now."""
    path = tmp_path / "leases"
    written = Written(path)
    big = b"".join(record(number % 65536) for number in range(100_000))
    for number in range(10):
        assert written.commit(number, big) is None
        if written.journal.wants_all:
            break
    assert written.journal.wants_all
    assert written.commit(99, record(7), whole=True) is None
    assert not written.journal.wants_all
    assert read_journal(path) == record(7)
    assert path.stat().st_size < 1024 * 1024
    written.journal.close()


def test_a_full_disk_is_reported_and_healed_by_the_next_whole_write(tmp_path: Path) -> None:
    """What could not be written is not acknowledged, and nothing after it until the file is whole again."""
    path = tmp_path / "leases"
    written = Written(path, record(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        error = written.commit(1, b"".join(record(number % 65536) for number in range(20_000)))
        assert error is not None
        assert "cannot write the leases to" in error
        assert written.journal.wants_all
        assert written.commit(2, record(2)) == error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert read_journal(path) == record(0)
    assert written.commit(3, record(0) + record(2), whole=True) is None
    assert written.commit(4, record(4)) is None
    written.journal.close()
    assert read_journal(path) == record(0) + record(2) + record(4)


def test_what_was_reported_survives_kill_9(tmp_path: Path) -> None:
    """The process is killed while it writes: every lease it reported is there."""
    script = (
        "import sys, threading, pathlib\n"
        "from hostler.netboot.lease_journal import LeaseJournal\n"
        "woken = threading.Event()\n"
        "journal = LeaseJournal(pathlib.Path(sys.argv[1]), woken.set)\n"
        "journal.open(b'')\n"
        "for number in range(1_000_000):\n"
        "    woken.clear()\n"
        f"    journal.submit(number.to_bytes(4, 'big').ljust({RECORD_SIZE}, b'\\0'), number)\n"
        "    woken.wait()\n"
        "    for commit in journal.commits():\n"
        "        assert commit.error is None\n"
        "        print(commit.waiting, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "leases")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    reported = -1
    for line in child.stdout:
        reported = int(line)
        if reported == 50:
            os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    kept = read_journal(tmp_path / "leases")
    numbers = [int.from_bytes(kept[at : at + 4], "big") for at in range(0, len(kept), RECORD_SIZE)]
    assert numbers[: reported + 1] == list(range(reported + 1))


def test_records_are_read_as_they_were() -> None:
    """Address, MAC, state and end of a lease survive."""
    lease = Lease(bytes((10, 77, 0, 100)), "52:54:00:77:00:01", LeaseState.DECLINED, 1234.5)
    assert list(read_records(lease.record())) == [lease]
