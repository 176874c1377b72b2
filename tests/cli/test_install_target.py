"""The options of deploy and run that say where the image of a disk goes."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_lab import simulated_lab

from hostler.cli.install_target import add_target_arguments, target
from hostler.gateway.verb import PERMITTED

HOSTLER = str(Path(sys.executable).parent / "hostler")


def read(*arguments: str):
    parser = argparse.ArgumentParser()
    add_target_arguments(parser)
    return target(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), None),
        (
            ("--disk", "bus=nvme,first"),
            {"disk": "bus=nvme,first", "to": "disk", "grow": None, "emmc_boot": None},
        ),
        (("--grow",), {"disk": None, "to": "disk", "grow": True, "emmc_boot": None}),
        (("--no-grow",), {"disk": None, "to": "disk", "grow": False, "emmc_boot": None}),
        (
            ("--to", "emmc-boot0", "--emmc-boot", "boot0,ack"),
            {"disk": None, "to": "emmc-boot0", "grow": None, "emmc_boot": "boot0,ack"},
        ),
    ],
)
def test_what_is_not_said_is_left_to_the_lab(arguments: tuple[str, ...], asked: object):
    """Nothing given asks for nothing."""
    assert read(*arguments) == asked


def test_by_ssh_the_target_may_be_said():
    """The options name nothing of the server's."""
    for verb in ("deploy", "run"):
        assert PERMITTED[verb] >= {"disk", "to", "grow", "emmc_boot"}


def test_a_board_is_deployed_where_the_options_say(tmp_path: Path):
    """A hint that cannot be read is told before the board is touched; what goes to flash is not booted."""
    image = tmp_path / "image.gz"
    image.write_bytes(gzip.compress(os.urandom(100_000)))
    with simulated_lab(tmp_path / "state") as lab:

        def run(*arguments: str, status: int = 0) -> str:
            done = subprocess.run(
                [HOSTLER, *arguments], capture_output=True, text=True, timeout=60, check=False,
                stdin=subprocess.DEVNULL, env={**os.environ, **lab.environment},
            )  # fmt: skip
            assert done.returncode == status, done.stdout + done.stderr
            return done.stdout + done.stderr

        run("image", "import", "good", str(image), "--arch", "amd64", "--platforms", "x86-bios")
        run("claim", "pc")
        assert '"sda" says nothing of a disk' in run("deploy", "pc-1", "good", "--disk", "sda", status=1)
        told = json.loads(run("deploy", "pc-1", "good", "--to", "mtd:spl", "--json"))
        assert (told["plan"], told["state"]) == ("install:good", "succeeded")
        told = json.loads(run("run", "pc-1", "install:good", "--disk", "bus=nvme,first", "--grow", "--json"))
        assert told["state"] == "succeeded"
