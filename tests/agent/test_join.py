"""An agent from a medium asks its rack, waits, joins or leaves; the medium itself is left alone."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hostler.agent.bios_flag import boot_disk_once
from hostler.agent.console import Console
from hostler.agent.disks import Machine, find_disks
from hostler.agent.hand_over import PowerBesideMedium
from hostler.agent.join import join
from hostler.agent.medium import rack_of_medium
from hostler.agent.rack import BootConfig, BootConfigError
from hostler.model.medium import DISK_WORD, VOLUME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
BOOT = {"rack": "http://10.0.0.1:8067", "token": "t", "board": "b1", "boot": "boot-1"}
MEDIUM = bytes(32768) + b"\x01CD001\x01" + bytes(33) + VOLUME.ljust(32).encode()
"""How the image begins: the volume's name is where ECMA-119 says."""


class Rack:
    """Answers one after the other what it is given, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, list[str]]] = []

    def __enter__(self) -> Rack:
        import http.server

        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(parse_qs(urlsplit(self.path).query))
                answer = outer.answers[0] if len(outer.answers) == 1 else outer.answers.pop(0)
                status, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Power:
    """Notes what the machine was told."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.left: list[str] = []
        self._then = then

    def reboot(self) -> None:
        self.left.append("reboot")
        self._then()

    def poweroff(self) -> None:
        self.left.append("poweroff")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A PC with one interface, a serial number and the ports of its clock chip."""
    made = Machine(sys=tmp_path / "sys", proc=tmp_path / "proc", dev=tmp_path / "dev")
    for name, text in {
        "sys/class/net/eth0/address": "52:54:00:00:00:01", "sys/class/net/eth0/device/x": "",
        "sys/class/dmi/id/product_uuid": "4c4c4544-0042-3510-8051-b4c04f583132",
        "sys/class/dmi/id/product_serial": "SN 7", "proc/cmdline": "quiet hostler.rack=http://10.0.0.1:8067",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (made.sys / "block").mkdir()
    made.dev.mkdir()
    return made


def start(rack_url: str, machine: Machine, power: Power, stop: threading.Event | None = None) -> Any:
    """Join and return the configuration and what the console showed."""
    screen = io.StringIO()
    config = join(rack_url, machine, Console(screen), power, stop or threading.Event())
    return config, screen.getvalue()


def test_it_says_who_it_is_and_waits_until_there_is_work(machine: Machine) -> None:
    """Every MAC, the UUID and the serial number; what the rack says is on the console, once."""
    wait = {"answer": "wait", "message": "nobody has claimed it", "seconds": 0}
    with Rack(wait, wait, {"answer": "step", "boot": BOOT}) as rack:
        config, screen = start(rack.url, machine, Power())
    assert config == BootConfig(**BOOT)
    assert screen.count("nobody has claimed it") == 1
    assert len(rack.asked) == 3
    assert rack.asked[0] == {
        "mac": ["52:54:00:00:00:01"], "uuid": ["4c4c4544-0042-3510-8051-b4c04f583132"], "serial": ["SN 7"],
    }  # fmt: skip


def test_a_board_that_is_to_boot_its_disk_leaves(machine: Machine) -> None:
    """The firmware is told, and the machine restarts."""
    variables = machine.sys / "firmware/efi/efivars"
    variables.mkdir(parents=True)
    for name, value in {"BootOrder": b"\x05\0", "Boot0005": b"\x01\0\0\0\0\0D\0\0\0"}.items():
        (variables / f"{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\x07\0\0\0" + value)
    stop = threading.Event()
    power = Power(stop.set)
    with Rack({"answer": "local", "seconds": 0}) as rack:
        config, screen = start(rack.url, machine, power, stop)
    assert config is None
    assert power.left == ["reboot"]
    assert 'leaving for the disk: UEFI starts Boot0005 "D"' in screen


def test_a_board_that_cannot_leave_says_why(machine: Machine) -> None:
    """On the console, and to the rack when it asks the next time."""
    local = {"answer": "local", "seconds": 0}
    with Rack(local, {"answer": "step", "boot": BOOT}) as rack:
        _, screen = start(rack.url, machine, Power())
    (failed,) = rack.asked[1]["failed"]
    assert failed.startswith("the BIOS cannot be told to start the disk: ")
    assert json.loads(screen.splitlines()[-1].removeprefix("@hostler "))["event"] == "fail"


@pytest.mark.parametrize(
    "answer", [(404, b"nothing here"), (403, b"no"), (200, b"[]"), (503, b""), {"answer": "dance"}]
)
def test_an_answer_it_cannot_take_is_asked_for_again(machine: Machine, answer: Any) -> None:
    """A rack that starts, an older one, and one that says something new: none of them ends the agent."""
    stop = threading.Event()
    with Rack(answer) as rack:
        thread = threading.Thread(target=start, args=(rack.url, machine, Power(), stop))
        thread.start()
        try:
            end = threading.Event()
            while not rack.asked:
                assert not end.wait(0.01)
            assert thread.is_alive()
        finally:
            stop.set()
            thread.join(20)
    assert not thread.is_alive()


def test_a_configuration_that_is_none_is_named(machine: Machine) -> None:
    """Not a crash that names nothing."""
    with (
        Rack({"answer": "step", "boot": {"rack": "x"}}) as rack,
        pytest.raises(BootConfigError, match="rack's answer"),
    ):
        start(rack.url, machine, Power())
    with pytest.raises(BootConfigError, match=r"the medium: rack 'ftp://x' is not http"):
        start("ftp://x", machine, Power())


def test_restarting_beside_the_medium_goes_to_the_disk_or_at_least_restarts(machine: Machine) -> None:
    """When the firmware cannot be told, the board still restarts: the rack is asked again then."""
    power, screen = Power(), io.StringIO()
    PowerBesideMedium(power, machine, Console(screen)).reboot()
    assert power.left == ["reboot"]
    assert "cannot be told" in screen.getvalue()


def test_a_clock_that_does_not_keep_it_is_noticed(machine: Machine) -> None:
    """A file of ports keeps only the last value that was written to its data port."""
    (machine.dev / "port").write_bytes(bytes(128))
    with pytest.raises(OSError, match="did not keep"):
        boot_disk_once(machine)
    assert len(set(DISK_WORD.values())) == len(DISK_WORD)


def add_disk(machine: Machine, name: str, content: bytes, **attributes: str) -> None:
    """Plug in a disk."""
    entry = machine.sys / "block" / name
    for attribute, value in {"size": "4096", "removable": "0", "ro": "0", **attributes}.items():
        entry.mkdir(exist_ok=True)
        (entry / attribute).write_text(value + "\n")
    (machine.dev / name).write_bytes(content.ljust(2 * MIB, b"\0"))


def spared(machine: Machine) -> dict[str, str | None]:
    return {disk.path.rpartition("/")[2]: disk.spared for disk in find_disks(machine)}


def test_the_medium_is_never_wiped(machine: Machine) -> None:
    """Of what can be written, only what is plugged in can be the medium; here one that refuses writes."""
    add_disk(machine, "vda", MEDIUM, ro="1")
    add_disk(machine, "vdb", b"")
    assert spared(machine) == {"vda": "medium that brings the agent", "vdb": None}
    assert rack_of_medium(machine) == "http://10.0.0.1:8067"


def test_a_disk_cannot_pass_for_the_medium(machine: Machine) -> None:
    """Whoever had the board may have written the medium's name on its disk, to have it spared."""
    add_disk(machine, "vdb", MEDIUM)
    assert spared(machine) == {"vdb": None}  # an ordinary disk
    add_disk(machine, "vda", MEDIUM, ro="1")
    assert spared(machine) == {"vda": None, "vdb": None}  # two say so: neither is believed
    (machine.dev / "vdb").write_bytes(bytes(2 * MIB))
    (machine.proc / "cmdline").write_text("quiet")
    assert spared(machine) == {"vda": None, "vdb": None}  # the agent came over the network
