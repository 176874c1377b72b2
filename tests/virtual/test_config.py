"""virtual.toml: what is wrong is said with file and key, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

import hostler.demo
from hostler.virtual.config import Kind, load
from hostler.virtual.main import main
from hostler.virtual.toml_table import VirtualConfigError

EXAMPLE = Path(hostler.demo.__file__).with_name("virtual.toml")


def test_the_demo_has_a_board_of_each_kind() -> None:
    """The file that ships with the demo is valid and names what the demo promises."""
    config = load(EXAMPLE)
    assert {board.name: board.kind for board in config.boards} == {
        "vx-bios": Kind.X86_BIOS,
        "vx-uefi": Kind.X86_UEFI,
        "va-uboot": Kind.ARM64_UBOOT,
    }
    assert config.boards[0].disks[0].size == 4 << 30
    assert config.state_dir == EXAMPLE.parent.resolve() / "virtual-lab"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[switch]", "[swich]", "swich"),
        (
            'kind = "x86-bios"',
            'kind = "x86"',
            "boards[0].kind: must be one of x86-bios, x86-uefi, arm64-uboot",
        ),
        ("port = 2", "port = 1", 'boards "vx-bios" and "vx-uefi" have the same port'),
        ("port = 3", "port = 9", "boards[2].port: must be a whole number from 1 to 8"),
        ("port = 3", "port = true", "boards[2].port"),
        ("52:54:00:77:00:01", "53:54:00:77:00:01", "boards[0].mac"),
        ("52:54:00:77:00:01", "52:54:00:77:00:02", "the same mac"),
        ("b0a2d0e4-0001-", "xyz", "boards[0].uuid: is not a UUID"),
        ('"4G"', '"4 gigabytes"', "boards[0].disk"),
        ('"127.0.0.1:16202"', '"16202"', 'boards[1].console: must be "host:port"'),
        ("memory = 1024", "memroy = 1024", "boards[0].memroy: unknown key"),
        ('serial = "VX0001"', 'serial = "a,b"', "boards[0].serial"),
        ('"10.77.0.1/24"', '"10.77.0.0/24"', "lab.address"),
        ('"10.77.0.1/24"', '"router"', "lab.address"),
        (
            '"10.77.0.1/24"',
            '"10.77.0.1/24"\naddress6 = "fd77::x"',
            "lab.address6: must be an address and prefix",
        ),
        ('community = "virtual-lab"', "", "switch.community: is missing"),
        ("[lab]", "[lab", "line"),
        (
            "memory = 1024",
            'first = "disk"',
            "boards[0].first: must be one of network, media for kind x86-bios",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    """Each mistake is answered with the file and the key."""
    text = EXAMPLE.read_text()
    assert old in text
    path = tmp_path / "virtual.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(VirtualConfigError) as caught:
        load(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 1 and one line, not with a traceback."""
    assert main(["--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml: No such file" in capsys.readouterr().err
