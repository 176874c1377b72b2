"""``hostler apply``: what a file changes is shown before it is applied, and on a terminal agreed to."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import LAB, SimulatedLab, simulated_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")
MORE = LAB.replace("00:03", "00:04") + '\n[boards.pc-3]\nclass = "pc"\nmac = "52:54:00:00:00:09"\n'
SHOWN = """\
change board arm-1
  macs: 52:54:00:00:00:03 → 52:54:00:00:00:04
add board pc-3
  class: pc
  network: boot
  macs: 52:54:00:00:00:09
"""


class Admin:
    """Somebody who runs ``hostler`` against one server."""

    def __init__(self, lab: SimulatedLab) -> None:
        self.environment = {**os.environ, **lab.environment}

    def __call__(self, *arguments: str, status: int = 0, feed: str = "") -> subprocess.CompletedProcess[str]:
        """Run without a terminal."""
        done = subprocess.run(
            [HOSTLER, *arguments], input=feed, capture_output=True, text=True, timeout=60, check=False,
            env=self.environment,
        )  # fmt: skip
        assert done.returncode == status, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def at_a_terminal(self, *arguments: str, answer: str) -> tuple[int, str]:
        """Run on a terminal, answer when asked, and return the status and what was shown."""
        terminal, inner = pty.openpty()
        with subprocess.Popen(
            [HOSTLER, *arguments], stdin=inner, stdout=inner, stderr=inner, env=self.environment
        ) as process:
            os.close(inner)
            shown, answered = b"", False
            end = time.monotonic() + 30
            while time.monotonic() < end:
                if select.select([terminal], [], [], 0.1)[0]:
                    try:
                        shown += os.read(terminal, 4096)
                    except OSError:  # the command has closed it
                        break
                if b"(yes/no)?" in shown and not answered:
                    os.write(terminal, answer.encode())
                    answered = True
            os.close(terminal)
            return process.wait(10), shown.decode().replace("\r\n", "\n")

    def boards(self) -> set[str]:
        return {board["name"] for board in self.json("boards")}

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", status=status).stdout)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    with simulated_lab(tmp_path / "state") as lab:
        yield Admin(lab)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "other.toml"
    path.write_text(MORE)
    return path


def test_on_a_terminal_a_person_agrees_first(admin: Admin, file: Path) -> None:
    """The differences are shown and asked about; anything but yes changes nothing, --yes is not asked."""
    for answer in ("no\n", "\n", "maybe\n", "\x04"):
        status, shown = admin.at_a_terminal("apply", str(file), answer=answer)
        assert status == 1
        assert SHOWN in shown
        assert "these 2 changes (yes/no)?" in shown
        assert "nothing was changed" in shown
        assert "pc-3" not in admin.boards()
    status, shown = admin.at_a_terminal("apply", str(file), answer="yes\n")
    assert status == 0
    assert "pc-3" in admin.boards()
    status, shown = admin.at_a_terminal("apply", str(file), answer="")
    assert (status, shown) == (0, "nothing changes\n")
    file.write_text(LAB)
    status, shown = admin.at_a_terminal("apply", "--yes", str(file), answer="")
    assert status == 0
    assert "remove board pc-3\n  class: pc\n" in shown
    assert "yes/no" not in shown
    assert "pc-3" not in admin.boards()


def test_without_a_terminal_it_is_shown_and_applied(admin: Admin, file: Path) -> None:
    """A program has decided; a dry run shows the same and changes nothing."""
    dry = admin("apply", str(file), "--dry-run")
    assert dry.stdout == f"{SHOWN}nothing was changed: this was a dry run\n"
    planned = admin.json("apply", str(file), "--dry-run")
    assert "pc-3" not in admin.boards()
    assert admin("apply", str(file)).stdout == SHOWN
    assert "pc-3" in admin.boards()
    assert planned["changes"][0]["keys"] == [
        {"key": "macs", "old": ["52:54:00:00:00:03"], "new": ["52:54:00:00:00:04"]}
    ]
    file.write_text(LAB)
    changes = admin.json("apply", str(file))["changes"]
    assert {(one["change"], one["name"]) for one in changes} == {("remove", "pc-3"), ("change", "arm-1")}


def test_standard_input_is_read(admin: Admin) -> None:
    """A dash stands for it; mistakes in it are told as such."""
    assert admin("apply", "-", feed=MORE).stdout == SHOWN
    assert "pc-3" in admin.boards()
    wrong = admin("apply", "-", feed=MORE.replace('"x86-bios"', '"x"'), status=1)
    assert "<stdin>:9: classes.pc.platform: there is no platform" in wrong.stderr


def test_mistakes_have_the_files_name(admin: Admin, file: Path) -> None:
    """With its line, as it was written on the command line, and the key's whole path."""
    file.write_text(MORE.replace('"arm64-uboot"', '"arm"'))
    for more in ((), ("--dry-run",), ("--yes",)):
        wrong = admin("apply", str(file), *more, status=1)
        assert f"{file}:11: classes.arm.platform: there is no platform" in wrong.stderr
        assert "lab.toml" not in wrong.stderr
    problem = admin.json("apply", str(file), status=1)
    assert (problem["errors"][0]["file"], problem["errors"][0]["line"]) == (str(file), 11)


def test_a_held_board_is_not_removed(admin: Admin, file: Path) -> None:
    """It is told which one and what to do, before anybody is asked, and nothing else is applied either."""
    admin("claim", "--board", "pc-1")
    file.write_text(MORE.replace("boards.pc-1", "boards.pc-9"))
    for run in (("apply", str(file)), ("apply", str(file), "--dry-run")):
        done = admin(*run, status=1)
        assert 'board "pc-1" is claimed and cannot be removed; release it' in done.stderr
    status, shown = admin.at_a_terminal("apply", str(file), answer="yes\n")
    assert status == 1
    assert "yes/no" not in shown
    assert {"pc-3", "pc-9"}.isdisjoint(admin.boards())
