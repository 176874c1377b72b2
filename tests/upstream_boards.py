"""Boards of a site that all install one image at the same time: the agent's own installation, onto files.

python tests/upstream_boards.py INDEX FOLDER BOARDS

It prints for each how it ended, as JSON: ``sha256`` of its disk, ``seconds``; or ``error``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostler.agent.console import Console
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import StepError, Work
from hostler.model.chunkindex import ChunkIndex


def board(number: int, index_id: str, folder: Path) -> dict[str, object]:
    began = time.monotonic()
    console = Console(sys.stderr)
    rack = Rack(
        BootConfig("http://127.0.0.1:8067", f"t{number}", f"b{number}", "b"), console, threading.Event()
    )
    try:
        index = ChunkIndex.decode(rack.index(index_id))
        disk = folder / f"disk{number}"
        with disk.open("wb") as file:
            file.truncate(index.size)
        with Media(disk, write=True) as media:
            install(index, media, rack, Work(lambda _line: None), verify=False, look=False)
        seconds = time.monotonic() - began
        with disk.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except StepError as error:
        return {"board": number, "error": str(error)}
    disk.unlink()
    return {"board": number, "sha256": digest, "seconds": seconds}


def main(index: str, folder: Path, boards: int) -> None:
    with ThreadPoolExecutor(boards) as pool:
        for done in pool.map(lambda number: board(number, index, folder), range(boards)):
            sys.stdout.write(f"{json.dumps(done)}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
