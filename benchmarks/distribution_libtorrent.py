"""One BitTorrent client of the distribution measurement, for Debian's Python and its libtorrent.

python3 benchmarks/distribution_libtorrent.py make IMAGE TORRENT TRACKER    writes a torrent, prints its name
python3 benchmarks/distribution_libtorrent.py run TORRENT FOLDER HOST       prints "ready", waits for a line

A client prints what it did as JSON when it has the file, and gives it to others until its input ends.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import libtorrent

PORT = 6881


def make(image: Path, torrent: Path, tracker: str) -> None:
    # The length of the pieces is its choice.
    files = libtorrent.file_storage()
    libtorrent.add_files(files, str(image))
    made = libtorrent.create_torrent(files, 0, libtorrent.create_torrent.v1_only)
    made.add_tracker(tracker)
    libtorrent.set_piece_hashes(made, str(image.parent))
    torrent.write_bytes(libtorrent.bencode(made.generate()))
    print(libtorrent.torrent_info(str(torrent)).info_hash())


def run(torrent: Path, folder: str, host: str) -> None:
    session = libtorrent.session(
        {
            "listen_interfaces": f"{host}:{PORT}",
            # Of one network all are near: no search of the world, and TCP, which yields to nobody.
            "enable_dht": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "alert_mask": libtorrent.alert.category_t.error_notification,
        }
    )
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    handle = session.add_torrent({"ti": libtorrent.torrent_info(str(torrent)), "save_path": folder})
    while not handle.status().is_seeding:
        time.sleep(0.02)
    print(json.dumps({"at": time.monotonic(), "cpu": time.process_time() - cpu}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        run(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
