"""The verb agent: files of one's own are registered beside what Debian has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostler.cli.main import main

CACHE = Path(__file__).parents[2] / "var" / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "rk3399-rock-pi-4b.dtb"
    path.write_bytes(b"a device tree")
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tree}"], "say which with --arch"),
        (["{tree}", "--arch", "arm64", "--boot-file", "{tree}"], "have the same name"),
        (["{tree}.not", "--arch", "arm64"], "there is no such file"),
        (["{folder}/kernel", "--arch", "arm64"], "the name kernel is taken by the agent itself"),
    ],
)
def test_a_file_that_cannot_be_registered_is_refused_before_anything_is_built(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    """One line that names what is wrong with it, and status 1."""
    filled = [argument.format(tree=tree, folder=tree.parent) for argument in arguments]
    assert main(["agent", "build", "--no-register", "--boot-file", *filled]) == 1
    assert says in capsys.readouterr().err


def test_a_file_of_ones_own_is_registered_by_its_name(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the loaders; by this name a class says that it is its device tree."""
    (tmp_path / "hostler").symlink_to(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [
        "agent",
        "build",
        "--json",
        "--no-register",
        "--arch",
        "arm64",
        "--output",
        str(CACHE / "built"),
    ]
    assert main([*command, "--boot-file", str(tree)]) == 0
    files = json.loads(capsys.readouterr().out)[0]["boot_files"]
    assert files[tree.name] == str(tree)
    assert "grubaa64.efi" in files
