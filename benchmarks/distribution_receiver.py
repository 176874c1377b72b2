"""One board of the distribution measurement: the agent's installation onto a disk in memory.

python benchmarks/distribution_receiver.py INDEX TOKEN SHARES    prints "ready", waits for a line, and
                                                                 prints what it did as JSON at its end

SHARES is 1 when it is to ask the rack for a carousel or for other boards, 0 for HTTP alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from hostler.agent.console import Console
from hostler.agent.install import install
from hostler.agent.media import Media
from hostler.agent.rack import BootConfig, Rack
from hostler.agent.work import Work
from hostler.model.chunkindex import ChunkIndex

RACK = "http://10.99.0.1:8067"


def main(index_id: str, token: str, *, shares: bool) -> None:
    console = Console(sys.stderr)
    rack = Rack(BootConfig(RACK, token, "b", "b"), console, threading.Event())
    index = ChunkIndex.decode(rack.index(index_id))
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as disk:  # memory, whatever TMPDIR says
        disk.truncate(index.size)
        with Media(Path(disk.name), write=True) as media:
            print("ready", flush=True)
            sys.stdin.readline()
            caller = rack if shares else None
            cpu = time.process_time()
            done = install(index, media, rack, Work(console.say), caller=caller, verify=False, look=False)
            ended = {"at": time.monotonic(), "cpu": time.process_time() - cpu}
            print(json.dumps({**ended, "fetched": done.fetched_bytes, "shared": done.shared_bytes,
                "peers": done.peer_bytes, "given": done.given_bytes}))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], shares=sys.argv[3] == "1")
