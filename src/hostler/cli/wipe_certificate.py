"""The verb `wipe-certificate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.words import local_time
from hostler.client.client import Client
from hostler.client.errors import ClientError

if TYPE_CHECKING:
    import argparse

    from hostler.cli.output import Output
    from hostler.client.wipe_calls import WipeCertificate, WipedDisk


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("board", metavar="BOARD")
    parser.add_argument(
        "--run", metavar="ID", help="of this run; by default of the last that wiped the board"
    )
    parser.add_argument("--pdf", metavar="FILE", type=Path, help="write it on paper")


def wipe_certificate(args: argparse.Namespace, out: Output) -> int:
    """Print or write the certificate; the status is 1 when the wipe is not proven."""
    with Client() as client:
        found = client.wipe_certificate(args.board, args.run)
        if args.pdf is not None:
            paper = client.wipe_certificate_pdf(args.board, found["run"])
            try:
                args.pdf.write_bytes(paper)
            except OSError as error:
                raise ClientError(f"{args.pdf} cannot be written: {error.strerror}") from None
    if out.json:
        out.document(found)
    else:
        _print(found, out)
    return 0 if found["sanitized"] else 1


def _print(found: WipeCertificate, out: Output) -> None:
    reached = found["sanitized"]
    words = f"{reached} ({found['standard']})" if reached else f"not proven: {found['unproven']}"
    out.pairs(
        [
            ("board", f"{found['board']} ({found['board_class']})"),
            ("sanitized", words),
            ("machine", " ".join(str(value) for value in found["machine"].values())),
            ("run", f"{found['run']} ({found['purpose']}, {found['effort']})"),
            ("began", local_time(found["began"])),
            ("ended", local_time(found["ended"])),
            ("ordered by", found["ordered_by"]),
            ("claim", found["claim"] or ""),
            *((f"disk {disk['path']}", _disk_text(disk)) for disk in found["disks"]),
            *((f"left alone {disk['path']}", disk["reason"]) for disk in found["left_alone"]),
            ("digest", found["digest"]),
        ]
    )  # fmt: skip


def _disk_text(disk: WipedDisk) -> str:
    named = " ".join(word for word in (disk["model"], disk["serial"]) if word)
    whole = "all of it" if disk["read_back_whole"] else f"{disk['samples']} samples"
    done = ", then ".join(word for word in (disk["purged_by"], disk["method"]) if word)
    proof = f"{disk['read_back_bytes']} bytes read back as zeros ({whole})"
    return ": ".join(word for word in (disk["sanitized"], named, f"{done}; {proof}") if word)


VERBS = {"wipe-certificate": (_arguments, wipe_certificate)}
