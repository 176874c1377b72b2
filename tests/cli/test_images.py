"""Images from the command line: what they are is told from their names; presets are ready to be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import SimulatedLab, simulated_lab

from root_trees import bootable

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")


class Shell:
    """Runs ``hostler`` against one server."""

    def __init__(self, lab: SimulatedLab) -> None:
        self._environment = {**os.environ, **lab.environment}

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [HOSTLER, *arguments], capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL, env=self._environment,
        )  # fmt: skip
        assert done.returncode == status, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """Run with ``--json`` and return the document."""
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A server with a simulated rack, and the command line."""
    with simulated_lab(tmp_path / "state") as lab:
        yield Shell(lab)


def test_a_preset_is_imported_and_deployed(shell: Shell, tmp_path: Path):
    """``preset:NAME`` with its kernel in a file; its kind is shown; ``deploy`` runs what is not installed."""
    assert "memtest" in shell("image", "presets")
    kernel = tmp_path / "memtest86+x64.bin"
    kernel.write_bytes(b"memtest")
    made = shell.json("image", "import", "memtest", "preset:memtest", "--kernel", str(kernel))
    assert (made["kind"], made["arch"], made["size"]) == ("netboot", "amd64", 7)
    assert made["netboot"]["pattern"] == "Memtest86\\+"
    assert made["index"] is None
    assert "live" in shell("image", "list")
    shown = shell("image", "show", "memtest")
    assert 'when "Memtest86\\+" shows on the console, within 10 min' in shown
    shell("claim", "pc", "--name", "mine")
    assert shell.json("deploy", "pc-1", "memtest")["plan"] == "live:memtest"
    shell("release", "mine")
    shell("image", "rm", "memtest")
    assert "no images" in shell("image", "list")


def test_a_preset_can_be_copied_changed_and_imported(shell: Shell, tmp_path: Path):
    """The copy is a folder with an ``image.toml``; ``--set`` gives its templates what they ask for."""
    folder = tmp_path / "mine"
    assert str(folder) in shell("image", "presets", "debian", "--to", str(folder))
    assert "choose a new folder" in shell("image", "presets", "debian", "--to", str(folder), status=1)
    (folder / "linux").write_bytes(b"kernel")
    text = (folder / "image.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("kernel", "initrd"))]
    (folder / "image.toml").write_text('kernel = "linux"\n' + "\n".join(lines))
    (folder / "preseed.cfg").write_text("{{ metadata.colour }} {{ done_url }}")
    made = shell.json("image", "import", "debian", str(folder / "image.toml"), "--append", "quiet")
    assert made["netboot"]["installs"] is True
    assert made["netboot"]["cmdline"].endswith(" quiet")
    assert sorted(made["netboot"]["templates"]) == ["post-install", "preseed.cfg"]
    shell("claim", "pc")
    said = shell("deploy", "pc-1", "debian", status=1)
    assert 'preseed.cfg:1: there is no metadata "colour"; say it with --set colour=VALUE' in said
    assert shell.json("deploy", "pc-1", "debian", "--set", "colour=red")["state"] == "succeeded"
    assert shell.json("run", "pc-1", "install:debian,boot", "--set", "colour=red")["state"] == "succeeded"


def test_a_tar_comes_over_the_network(shell: Shell, tmp_path: Path):
    """By what is in it; a server that finds it to be something else says so."""
    tar = tmp_path / "kiwi.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ("pxeboot.a.x86_64-1.kernel", "pxeboot.a.x86_64-1.initrd", "a.x86_64-1.xz"):
            (tmp_path / name).write_bytes(name.encode())
            archive.add(tmp_path / name, name)
    made = shell.json("image", "import", "kiwi", str(tar), "--done-console", "login:", "--done-seconds", "90")
    assert (made["netboot"]["signal"], made["netboot"]["seconds"]) == ("console", 90.0)
    assert sorted(made["netboot"]["files"]) == ["a.x86_64-1.kernel", "a.x86_64-1.xz"]
    restarts = shell.json("image", "import", "restarts", str(tar), "--done", "second-boot")
    assert (restarts["netboot"]["signal"], restarts["netboot"]["pattern"]) == ("second-boot", None)
    other = tmp_path / "other.tar"
    other.write_bytes(b"x" * 2000)
    assert "is neither a live ISO" in shell("image", "import", "other", str(other), status=1)
    disk = (
        "image", "import", "x", str(other), "--kind", "disk", "--arch", "amd64", "--platforms", "x86-bios",
    )  # fmt: skip
    assert "--kernel takes debian" in shell(*disk, "--kernel", "no-such.deb", status=1)
    assert "its kernel and its command line are its own" in shell(*disk, "--kernel", str(other), status=1)


def test_a_root_file_system_becomes_a_disk(shell: Shell, tmp_path: Path):
    """Told by its content, whatever it is called, and so is the folder of an OCI layout."""
    tar = tmp_path / "tree"
    tar.write_bytes(bootable("arm64").bytes())
    terms = ("--arch", "arm64", "--platforms", "arm64-uboot")
    made = shell.json("image", "import", "root", str(tar), *terms, "--size", "256Mi", "--append", "quiet")
    assert (made["kind"], made["size"]) == ("disk", 256 << 20)
    layout = tmp_path / "layout"
    for words in (("init", "--layout", layout), ("new", "--image", f"{layout}:a"),
                  ("config", "--image", f"{layout}:a", "--architecture", "arm64", "--os", "linux"),
                  ("raw", "add-layer", "--image", f"{layout}:a", tar)):  # fmt: skip
        subprocess.run(["umoci", *words], check=True, timeout=60)
    made = shell.json("image", "import", "container", str(layout), *terms)
    assert (made["kind"], made["source"]) == ("disk", "layout")
    wrong = ("--arch", "amd64", "--platforms", "x86-bios")
    assert "run: hostler agent build --arch amd64" in shell(
        "image", "import", "x", str(tar), *wrong, status=1
    )


WRONG: list[tuple[tuple[str, ...], int, str]] = [
    (("preset:nothing",), 1, "there are coreos, debian"),
    (("preset:memtest",), 1, "it has no kernel"),
    (("preset:memtest", "--kernel", "/nowhere"), 1, "there is no file /nowhere"),
    (("preset:coreos", "--file", "rootfs.img"), 1, '"rootfs.img" is not NAME=FILE'),
    (("preset:memtest", "--arch", "mips"), 2, "invalid choice"),
    (("disk.raw",), 2, "a disk image needs --arch and --platforms"),
    (("disk.raw", "--arch", "amd64", "--platforms", "x86-bios", "--done", "callback"), 2, "over the network"),
    (("live.iso", "--size", "8G"), 2, "say --kind disk"),
    (("disk.raw", "--size", "8 gigabytes"), 2, "write 8G or 512Mi"),
    (("live.iso", "--kernel", "x"), 2, "are for an image.toml or a preset"),
    (("live.iso",), 1, "cannot read live.iso"),
    (("nowhere/image.toml",), 1, "cannot read nowhere/image.toml"),
    (("/",), 1, "there is no image.toml in /"),
    (("nowhere/disk.raw", "--arch", "amd64", "--platforms", "x86-bios"), 1, "cannot read nowhere/disk.raw"),
]


def test_wrong_words_are_told(shell: Shell):
    """Usage ends with 2, a refusal with 1, and both say what to do."""
    for words, status, says in WRONG:
        assert says in shell("image", "import", "x", *words, status=status)
