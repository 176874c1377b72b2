"""The demo's configuration is what the virtual lab and the server read."""

from __future__ import annotations

import socket
import tomllib
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from hostler.demo.lab import fill, free_ports, write_configuration
from hostler.demo.main import BOARDS
from hostler.demo.material import PLATFORMS
from hostler.drivers.registry import console_driver, power_driver
from hostler.hub.labfile import read_labfile
from hostler.virtual.config import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_binding(
    kind: str, driver: str, equipment: Mapping[str, object], binding: Mapping[str, object]
) -> str:
    (power_driver if kind == "power" else console_driver)(driver, equipment, binding)
    return ""


def test_lab_and_virtual_lab_agree(tmp_path: Path) -> None:
    """Both files are accepted by their readers and speak of the same boards, wires and addresses."""
    ports = free_ports(tmp_path)
    lab_path, virtual_path = write_configuration(tmp_path, ports)
    virtual = load(virtual_path)
    lab = read_labfile(lab_path.read_text(), "lab.toml", tmp_path, check_binding)

    assert lab.equipment["switch1"].params["host"] == f"127.0.0.1:{virtual.switch_listen[1]}"
    assert lab.networks["boot"]["interface"] == virtual.bridge
    assert lab.networks["boot"]["address"] == str(virtual.server)
    assert lab.networks["boot"]["netns_pidfile"] == str(virtual.namespace_pid_file)
    community = str(lab.equipment["switch1"].params["community"]).removeprefix("file:")
    assert (tmp_path / "community").samefile(community)
    assert (tmp_path / "community").read_text().strip() == virtual.community
    assert (tmp_path / "community").stat().st_mode & 0o077 == 0

    boards = {board.name: board for board in virtual.boards}
    assert set(boards) == set(lab.boards)
    for name, board in lab.boards.items():
        real = boards[name]
        assert board.macs == (real.mac,)
        assert (board.uuid, board.serial) == (str(real.uuid), real.serial)
        assert board.power[0].params["port"] == real.port
        assert board.console is not None
        assert board.console.params["address"] == f"{real.console[0]}:{real.console[1]}"
        assert lab.classes[board.board_class].platform == real.kind


def test_every_board_gets_an_image_of_its_platform() -> None:
    """What the demo deploys boots on the board it is deployed to."""
    lab = tomllib.loads((resources.files("hostler.demo") / "lab.toml").read_text())
    for board, board_class, image in BOARDS:
        assert lab["boards"][board]["class"] == board_class
        assert lab["classes"][board_class]["platform"] in PLATFORMS[image][1]


def test_ports_stay_while_they_are_free(tmp_path: Path) -> None:
    """A second demo gets the ports of the first, except one that somebody took meanwhile."""
    first = free_ports(tmp_path)
    assert free_ports(tmp_path) == first
    with socket.create_server(("127.0.0.1", first.consoles[0])):
        second = free_ports(tmp_path)
    assert second.consoles[0] != first.consoles[0]
    assert second.consoles[1:] == first.consoles[1:]


def test_a_template_that_changed_is_noticed() -> None:
    """A replacement that finds nothing is an error, not a silent template."""
    with pytest.raises(LookupError, match="state_dir"):
        fill("[lab]\n", {"^state_dir *=.*": "x"})
