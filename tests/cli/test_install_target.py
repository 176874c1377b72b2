"""The options of deploy and run that say where the image of a disk goes."""

from __future__ import annotations

import argparse

import pytest

from hostler.cli.install_target import add_target_arguments, target
from hostler.gateway.verb import PERMITTED


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
