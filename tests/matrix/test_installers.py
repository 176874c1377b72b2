"""Systems with an installer of their own, and live ones, from the command line to the login prompt.

The installer is as small as can be: Debian's kernel with the agent's drivers, and a shell script that the
image's template makes for the board. What large ones do differently is not the way they come and go.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

import pytest
from boot_paths import BootPath
from matrix_lab import RUN_SECONDS, MatrixLab

from hostler.client.waiting import wait_claim
from hostler.model.first_stages import Loader
from hostler.wire import newc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hostler.demo.material import Material

pytestmark = [pytest.mark.matrix, pytest.mark.qemu, pytest.mark.netns]

BOARD = "pc"
ROW = BootPath(BOARD, "BIOS, PXE", "x86-bios", Loader.IPXE, "x86-bios")
RUN_SCRIPT = """
say "the script is at $(argument mini.script)"
wget -q -O /run/script "$(argument mini.script)" && sh /run/script || say "the script failed"
sleep 900
"""
WRITE = """#!/bin/sh
set -e
wget -q -O /dev/vda "{{ file_url('disk') }}"
sync
"""
CALL_BACK = """wget -q -O - --post-data '{"installed": "{{ hostname }}"}' "{{ done_url }}"
"""
FAIL = """#!/bin/sh
[ -b /dev/no-such-disk ] || { wget -q -O - --post-data "no disk" "{{ fail_url }}"; exit 1; }
"""
IMAGES = {
    "calls-back": ("callback", "true", WRITE + CALL_BACK + "reboot -f\n"),
    "restarts": ("second-boot", "true", WRITE + "reboot -f\n"),
    "fails": ("callback", "true", FAIL + CALL_BACK),
    "live": ("console", "false", '#!/bin/sh\necho "live on {{ board.name }}" >/dev/console\n'),
}


def described(folder: Path, material: Material) -> None:
    """Write a description of each image, and what they have in common beside them."""
    kernel, initrd = material.agents["amd64"]
    init = (resources.files("hostler.build") / "agent_init.sh").read_text()
    own = init[: init.index("[ -e /etc/hostler/boot.json ]")] + RUN_SCRIPT
    folder.mkdir()
    (folder / "kernel").write_bytes(kernel.read_bytes())
    (folder / "initrd").write_bytes(
        initrd.read_bytes() + newc.archive([newc.file("init", own.encode(), 0o755)])
    )
    (folder / "disk").write_bytes(material.images["tiny-amd64"].read_bytes())
    for name, (signal, installs, script) in IMAGES.items():
        (folder / f"{name}.sh").write_text(script)
        (folder / f"{name}.toml").write_text(
            f'description = "{name}"\narch = "amd64"\nkernel = "kernel"\ninitrd = "initrd"\n'
            f"installs = {installs}\n"
            "cmdline = \"console={{ board.console }} quiet mini.script={{ text_url('script') }}\"\n"
            f'[files]\ndisk = "disk"\n[templates]\nscript = "{name}.sh"\n'
            f'[done]\nsignal = "{signal}"\nwithin = "15m"\n'
            + ('pattern = "live on pc"\n' if signal == "console" else "")
        )


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixLab]:
    """A lab with one board, and the images imported as a person does."""
    made = MatrixLab(tmp_path_factory.mktemp("installers"), [ROW])
    try:
        made.start()
        made.import_needed(material)
        folder = made.state / "images"
        described(folder, material)
        for name in IMAGES:
            done = made.hostler("image", "import", name, str(folder / f"{name}.toml"))
            assert done.status == 0, done.err
        claim = made.client.claim(BOARD, ttl="2h", wait=True)
        wait_claim(made.client, claim["id"], seconds=RUN_SECONDS)
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("image", ["calls-back", "restarts"])
def test_an_installer_puts_a_system_on_the_disk_and_that_boots(
    lab: MatrixLab, image: str, proving: Callable[[str], AbstractContextManager]
) -> None:
    """Installed once, restarted by itself, and no power pulled in between."""
    before = lab.newest_boot(BOARD)
    with proving("installer") as proof:
        run = lab.wait_run(lab.client.deploy(BOARD, image)["id"], seconds=RUN_SECONDS)
        assert run["state"] == "succeeded", f"{run['error']}\n{lab.told(BOARD)}"
        assert run["attempt"] == 1
        proof.events = events = lab.events(BOARD, before)
        seen = [(event["source"], event["kind"]) for event in events]
        assert seen.count(("run", "handed")) == 1
        assert seen.count(("power", "on")) == 1
        assert ("run", "returned") in seen
        assert ("console", "done-signal") in seen
        assert [
            event["data"]["file"] for event in events if event["kind"] == "done" and event["source"] == "http"
        ][-1] == "disk"
        assert not [text for event in events for text in lab.boot_tokens if text in json.dumps(event)]
        if image == "calls-back":
            assert run["results"][0]["body"] == {"installed": BOARD}


def test_a_live_system_runs_on_after_its_run(lab: MatrixLab) -> None:
    """It says so on the console, and the board is on afterwards."""
    done = lab.hostler("deploy", BOARD, "live", seconds=RUN_SECONDS)
    assert done.status == 0, f"{done.err}\n{lab.told(BOARD)}"
    board = lab.client.board(BOARD)
    assert board["power"]["desired"] == "on"
    assert board["power"]["observed"] == "on"


def test_what_an_installer_says_of_its_failure_is_the_runs_error(lab: MatrixLab) -> None:
    """Its words reach whoever waits for the run."""
    run = lab.wait_run(lab.client.deploy(BOARD, "fails")["id"], seconds=RUN_SECONDS)
    assert (run["state"], run["error"]) == ("failed", "no disk")
