"""The options of deploy and run that say where the image of a disk goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from hostler.client.documents import Target


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("where the image of a disk goes")
    group.add_argument(
        "--disk", metavar="HINT", help="which disk, for example bus=nvme,size>=100G,smallest or /dev/sda"
    )
    group.add_argument(
        "--to",
        metavar="PLACE",
        default="disk",
        help="emmc-boot0, emmc-boot1 or mtd:NAME instead of a disk; it is not booted then",
    )
    grow = group.add_mutually_exclusive_group()
    grow.add_argument(
        "--grow",
        action="store_true",
        default=None,
        help="let the last partition and its file system grow to the size of the disk",
    )
    grow.add_argument("--no-grow", dest="grow", action="store_false", help="not even where the class says so")
    group.add_argument(
        "--emmc-boot", metavar="WORDS", help="from what the eMMC boots afterwards, for example boot0,ack,x8"
    )


def target(args: argparse.Namespace) -> Target | None:
    """Return what the options say, or None if none was given."""
    if args.disk is None and args.to == "disk" and args.grow is None and args.emmc_boot is None:
        return None
    return {"disk": args.disk, "to": args.to, "grow": args.grow, "emmc_boot": args.emmc_boot}
