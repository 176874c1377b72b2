"""The agent's loop against a real HTTP rack: each step done once, reported until taken, never in silence."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hostler.build.agent_image import our_sources
from hostler.build.python_tree import UNWANTED
from hostler.images.importer import ImportResult, import_image
from hostler.images.store import ImageStore

MIB = 1024 * 1024


def step(kind: str, number: int = 1, **params: Any) -> dict[str, Any]:
    """Return a step as the rack gives it."""
    return {"run": "run-1", "step": number, "kind": kind, "params": params}


def bring(store: ImageStore, tmp_path: Path, image: bytes) -> ImportResult:
    """Import an image."""
    (tmp_path / "image").write_bytes(image)
    return import_image(tmp_path / "image", store)


def picture(size: int = 12 * MIB) -> bytes:
    """Return random data with holes."""
    rnd = random.Random(size)
    return b"".join(
        rnd.randbytes(MIB) if n % 3 else bytes(MIB) for n in range(size // MIB - 1)
    ) + rnd.randbytes(MIB)


def test_a_whole_boot(board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any) -> None:
    """Hello, discover, wipe, install, reboot: each done in order and reported, then the board leaves."""
    image = picture()
    brought = bring(store, tmp_path, image)
    disk = board.add_disk("vda", 32 * MIB, os.urandom(32 * MIB), serial="SN-1")
    server.steps = [
        step("discover", 1),
        step("wipe", 2),
        step("install", 3, index=brought.index, size=brought.size, disk=None),
        step("reboot", 4),
    ]
    board.start()
    until(lambda: board.power.left, "the reboot")
    board.finish()
    assert board.power.left == ["reboot"]
    assert server.posts[0][0] == "hello"
    assert "macs" in server.posts[0][1]["facts"]
    found, wiped, installed, left = (body["result"] for body in server.reports("done"))
    assert [body["step"] for body in server.reports("done")] == [1, 2, 3, 4]
    assert found["disks"][0]["serial"] == "SN-1"
    assert wiped["verified_bytes"] == 32 * MIB
    assert installed["disk"]["path"] == str(disk)
    assert left == {}
    assert disk.read_bytes() == image + bytes(20 * MIB)
    assert [mark["kind"] for mark in board.marks("step")] == ["discover", "wipe", "install", "reboot"]
    assert [mark["kind"] for mark in board.marks("done")] == ["discover", "wipe", "install", "reboot"]
    assert board.marks("hello") == [{"event": "hello", "board": "board-1", "boot": "boot-1"}]


def test_a_step_is_carried_out_once(board: Any, server: Any, until: Any) -> None:
    """A rack that still names a finished step gets its result again; the work is not done twice."""
    server.steps = [step("wipe", 2)]
    server.sticky = True
    disk = board.add_disk("vda", MIB, b"x" * MIB)
    board.start()
    until(lambda: server.reports("done"), "the first report")
    disk.write_bytes(b"written since".ljust(MIB))
    until(lambda: len(server.reports("done")) >= 3, "more reports")
    board.finish()
    first, second = server.reports("done")[:2]
    assert first == second
    assert disk.read_bytes().startswith(b"written since")
    assert len(board.marks("step")) == 1


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (step("explode"), "knows no step 'explode'"),
        (step("wipe"), "no disk found"),
        (step("install", index="0" * 64, size=1, disk="/dev/none"), 'no disk is "/dev/none"'),
        (step("install"), "needs the artefact id"),
    ],
)
def test_a_failing_step_is_reported(
    bad: dict[str, Any], complaint: str, board: Any, server: Any, until: Any
) -> None:
    """What failed goes to the rack with its log and to the console as a marker; then the agent goes on."""
    server.steps = [bad, step("discover", 2)]
    board.start()
    until(lambda: server.reports("done"), "the step after the failed one")
    board.finish()
    (failed,) = server.reports("fail")
    assert (failed["run"], failed["step"]) == ("run-1", 1)
    assert complaint in failed["error"]
    assert isinstance(failed["log"], list)
    (mark,) = board.marks("fail")
    assert complaint in mark["error"]
    assert server.reports("done")[0]["step"] == 2


def test_an_image_too_large_fails_before_the_disk_is_touched(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """Both sizes are named and the disk is as it was."""
    brought = bring(store, tmp_path, picture())
    disk = board.add_disk("vda", 8 * MIB, b"precious".ljust(8 * MIB))
    server.steps = [step("install", index=brought.index, size=brought.size, disk=None)]
    board.start()
    until(lambda: server.reports("fail"), "the failure")
    board.finish()
    assert f"needs {12 * MIB} bytes" in server.reports("fail")[0]["error"]
    assert f"only {8 * MIB}" in server.reports("fail")[0]["error"]
    assert disk.read_bytes() == b"precious".ljust(8 * MIB)
    assert server.chunks == []


def test_an_ambiguous_disk_names_the_candidates(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """Two disks and no choice is an error that names both; a stick is no candidate."""
    brought = bring(store, tmp_path, picture())
    board.add_disk("vda", 16 * MIB)
    board.add_disk("nvme0n1", 16 * MIB)
    board.add_disk("sdb", 16 * MIB, removable="1")
    server.steps = [
        step("install", 1, index=brought.index, size=brought.size, disk=None),
        step("install", 2, index=brought.index, size=brought.size, disk="first"),
    ]
    board.start()
    until(lambda: server.reports("done"), "the installation on the first disk")
    board.finish()
    error = server.reports("fail")[0]["error"]
    assert "vda" in error
    assert "nvme0n1" in error
    assert "sdb" not in error
    assert server.reports("done")[0]["result"]["disk"]["path"].endswith("nvme0n1")


def test_progress_comes_at_least_every_second(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """While a step works the rack hears of bytes done and in all, never going back within a phase."""
    brought = bring(store, tmp_path, picture())
    board.add_disk("vda", 16 * MIB)
    server.delay = 1.0
    server.steps = [step("install", index=brought.index, size=brought.size, disk=None)]
    board.start()
    until(lambda: server.reports("done"), "the end")
    board.finish()
    seconds = server.reports("done")[0]["result"]["seconds"]["write"]
    reports = server.reports("progress")
    assert len(reports) >= int(seconds)
    writing = [report["done"] for report in reports if report["phase"] == "executing"]
    assert writing == sorted(writing)
    assert all(report["total"] in (brought.size, brought.data_bytes, 0) for report in reports)
    assert all(report["done"] <= report["total"] for report in reports)


def test_a_lost_rack_costs_time_only(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """The rack dies in mid-install and comes back: the console says so, and the step ends well."""
    image = picture()
    brought = bring(store, tmp_path, image)
    disk = board.add_disk("vda", 16 * MIB)
    server.delay = 0.3
    server.steps = [step("install", index=brought.index, size=brought.size, disk=None)]
    board.start()
    until(lambda: len(server.chunks) >= 2, "the first chunks")
    server.stop()
    until(lambda: board.marks("lost"), "the marker line")
    server.start()
    until(lambda: server.reports("done"), "the end")
    board.finish()
    assert disk.read_bytes()[: len(image)] == image
    assert server.reports("fail") == []
    assert board.marks("lost")[0]["rack"] == f"127.0.0.1:{server.port}"
    assert "can be reached again" in board.screen.getvalue()


def test_reports_are_kept_until_the_rack_takes_them(board: Any, server: Any, until: Any) -> None:
    """A rack that answers 503 is asked again; the report is not lost."""
    server.status["done"] = 503
    server.steps = [step("discover")]
    board.start()
    until(lambda: board.marks("lost"), "the marker line")
    assert server.reports("done") == []
    server.status.clear()
    until(lambda: server.reports("done"), "the report")
    board.finish()


def test_a_token_that_is_not_taken_is_said_on_the_console(board: Any, server: Any, until: Any) -> None:
    """With a spent token the board does nothing but say so, and never prints the token."""
    server.steps = [step("wipe")]
    board.add_disk("vda", MIB, b"x")
    board.start(token="another-secret")
    until(lambda: board.marks("lost"), "the marker line")
    board.finish()
    assert "403" in board.marks("lost")[0]["error"]
    assert board.marks("step") == []
    assert "secret" not in board.screen.getvalue()


def test_a_step_no_longer_wanted_ends(
    board: Any, server: Any, store: ImageStore, tmp_path: Path, until: Any
) -> None:
    """When the rack refuses the progress of a step, the agent stops writing."""
    brought = bring(store, tmp_path, picture(40 * MIB))
    board.add_disk("vda", 40 * MIB)
    server.delay = 0.4
    server.status["progress"] = 403
    server.steps = [step("install", index=brought.index, size=brought.size, disk=None)]
    board.start()
    until(lambda: server.reports("fail"), "the end of the step")
    board.finish()
    assert "no longer wanted" in server.reports("fail")[0]["error"]
    assert len(server.chunks) < len(store.index(brought.index))


def test_reboot_happens_even_if_the_answer_to_its_report_was_lost(
    board: Any, server: Any, until: Any
) -> None:
    """The rack took the report and spent the token before its answer arrived: the board still leaves."""
    server.status["done"] = 403
    server.steps = [step("poweroff")]
    board.start()
    until(lambda: board.power.left, "leaving")
    board.finish()
    assert board.power.left == ["poweroff"]


def test_a_step_that_cannot_be_understood_is_not_guessed(board: Any, server: Any, until: Any) -> None:
    """Nonsense instead of a step changes nothing; the next good step is carried out."""
    board.add_disk("vda", MIB, b"x")
    server.steps = [{"kind": "wipe"}]
    board.start()
    until(lambda: board.marks("fail"), "the complaint")
    server.steps = [step("discover")]
    until(lambda: server.reports("done"), "the good step")
    board.finish()
    assert (board.machine.dev / "vda").read_bytes().startswith(b"x")


def test_without_configuration_the_console_says_so(tmp_path: Path) -> None:
    """The program ends with status 2 and a marker line that names the file."""
    for content in (None, "{", '{"rack": "ftp://x", "token": "t", "board": "b", "boot": "c"}'):
        path = tmp_path / "boot.json"
        if content is not None:
            path.write_text(content)
        arguments = [sys.executable, "-m", "hostler.agent", str(path)]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        mark = json.loads(ended.stdout.removeprefix("@hostler "))
        assert mark["event"] == "lost"
        assert "boot.json" in mark["error"]


def test_the_program_itself(server: Any, tmp_path: Path, until: Any) -> None:
    """``python3 -m hostler.agent FILE`` says hello and carries out a step, on the machine it runs on."""
    server.steps = [step("discover")]
    path = tmp_path / "boot.json"
    config = {
        "rack": f"http://127.0.0.1:{server.port}",
        "token": "a-secret-of-this-boot",
        "board": "b",
        "boot": "c",
    }
    path.write_text(json.dumps(config))
    arguments = [sys.executable, "-m", "hostler.agent", str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: server.reports("done"), "the report")
        finally:
            process.kill()
        output, _ = process.communicate(timeout=10)
    assert server.reports("done")[0]["result"]["memory_bytes"] > 0
    assert "secret" not in output


FORGIVEN = {"bz2", "lzma", "ssl"}
"""What the standard library tries to import and does without."""


def test_only_the_standard_library_zstandard_and_what_is_packed_are_needed() -> None:
    """The initramfs has nothing else: no other third-party module, and of the other rooms what goes along."""
    packed = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in our_sources()]
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import hostler.agent.__main__\n"
        f"for name in set(sys.modules) - before - set({packed!r}):\n"
        "    top = name.split('.')[0]\n"
        "    assert top in sys.stdlib_module_names or top in ('zstandard', '_cffi_backend'), name\n"
        f"    assert name not in {UNWANTED - FORGIVEN!r}, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
