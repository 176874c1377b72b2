"""Consoles through the whole of `hostler serve`, with ser2net beside it: one at full speed, and five hundred.

python benchmarks/consoles.py [--mib N] [--consoles N] [--repeat N] [--json FILE]

1. One console at full speed, over TCP and over a pseudo terminal, recorded on disk and read by ten viewers,
   each over a WebSocket of its own; and again with an eleventh that reads nothing. ser2net hands the same
   stream to ten TCP connections and writes its trace file. Both send all they are given; a viewer of ser2net
   slows the others, one of Hostler that cannot follow is told how much it missed, so what viewers got is
   counted. On disk is all that was written there, though of a boot that talks without end the middle goes.
2. Five hundred consoles at 115200 baud, recorded: how much of a core that takes; ser2net carries the same.

Goals: 20 MiB/s on disk with ten viewers, nothing missing in the log; half a core for the five hundred.
Everything runs in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import multiprocessing
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

GOAL_MIB_S = 20.0
GOAL_CORES = 0.5
VIEWERS = 10
BAUD_BYTES = 11520
TICK_SECONDS = 0.02
"""A serial adapter hands on what it has every 16 ms or so."""
LOAD_SECONDS = 10.0
API = 8066
SOURCE = 20000
SER2NET = 30000
HOSTLER = Path(__file__).parent.parent / ".venv/bin/hostler"
LINE = b"[    1.234567] a line of a kernel that has a lot to say about its devices 0123456789\r\n"
END = b"THE END OF IT\r\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=128, help="how much one console says")
    parser.add_argument("--consoles", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep the numbers in this file")
    args = parser.parse_args()
    for words in ("link set lo up", "link add e0 type veth", "addr add 10.9.0.1/24 dev e0", "link set e0 up"):
        subprocess.run(["ip", *words.split()], check=True)  # ser2net resolves no name without an address

    rows = {
        "hostler": [fast(hostler_lab, args.mib) for _ in range(args.repeat)],
        "ser2net": [fast(ser2net_lab, args.mib) for _ in range(args.repeat)],
        "hostler and one who reads nothing": [fast(hostler_lab, args.mib, slow=True)],
        "hostler, board on a terminal": [fast(hostler_lab, args.mib, pty=True) for _ in range(args.repeat)],
        "ser2net, board on a terminal": [fast(ser2net_lab, args.mib, pty=True) for _ in range(args.repeat)],
    }
    ours = statistics.median(row["mib_s"] for row in rows["hostler"])
    theirs = statistics.median(row["mib_s"] for row in rows["ser2net"])
    print(f"one console at full speed: {args.mib} MiB to disk and to {VIEWERS} viewers (medians)")
    print(f"  {'':<36}{'MiB/s':>8}{'seen by viewers':>18}{'on disk':>10}")
    for name, runs in rows.items():
        middle = statistics.median(row["mib_s"] for row in runs)
        seen = statistics.median(row["seen"] for row in runs)
        whole = "all" if all(row["recorded"] for row in runs) else "NOT ALL"
        print(f"  {name:<36}{middle:>8.1f}{seen:>17.1%} {whole:>9}")
    print(f"  ratio {ours / theirs:.2f}; goal {GOAL_MIB_S:g} MiB/s")

    sys.stdout.flush()
    loads = {
        "hostler": many(hostler_lab, args.consoles),
        "ser2net": many(ser2net_lab, args.consoles),
    }
    print(f"{args.consoles} consoles at 115200 baud for {LOAD_SECONDS:g} s")
    for name, load in loads.items():
        print(f"  {name:<12}{load['cores']:>6.2f} cores{load['rss_mb']:>9.0f} MB   {load['note']}")
    print(f"  ratio {loads['hostler']['cores'] / loads['ser2net']['cores']:.2f}; goal {GOAL_CORES:g} cores")
    good = (
        ours >= GOAL_MIB_S
        and loads["hostler"]["cores"] <= GOAL_CORES
        and all(row["recorded"] for name in rows if "hostler" in name for row in rows[name])
    )
    print(f"goals: {'held' if good else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps({"fast": rows, "many": loads}) + "\n")
    return 0 if good else 1


# The two programs: each yields its pid, how a viewer joins, and how many bytes are on disk.


@contextlib.contextmanager
def hostler_lab(
    consoles: int, folder: Path, terminal: str = ""
) -> Iterator[tuple[int, Callable[[int], socket.socket], Any]]:
    """Run `hostler serve` over that many boards with TCP consoles, or one with a terminal."""
    tty = f'driver = "tty", path = "{terminal}"'
    boards = "".join(
        f'[boards.b{n}]\nclass = "pc"\nmac = "52:54:00:00:{n >> 8:02x}:{n & 255:02x}"\n'
        f'power = {{ driver = "fake" }}\n'
        f"console = {{ {tty if terminal else tcp(n)} }}\n"
        for n in range(consoles)
    )
    network = 'interface = "lo"\naddress = "127.0.0.1/8"\nrange = "127.1.0.1-127.1.3.255"\n'
    (folder / "lab.toml").write_text(
        f'[lab]\nname = "bench"\n[networks.boot]\n{network}[classes.pc]\nplatform = "x86-bios"\n{boards}'
    )
    argv = [HOSTLER, "serve", "--config", folder / "lab.toml", "--state", folder / "state"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*argv, "--listen", f"127.0.0.1:{API}"], stdout=log, stderr=log)
    try:
        wait_for(lambda: "network boot serves" in (folder / "log").read_text(), process, folder / "log")
        token = re.search(r"hst_[\w-]+", (folder / "log").read_text())
        assert token is not None, (folder / "log").read_text()

        def viewer(number: int) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", API))
            key = base64.b64encode(os.urandom(16)).decode()
            connection.sendall(
                f"GET /api/v1/boards/b{number}/console?mode=read&replay=false HTTP/1.1\r\nHost: bench\r\n"
                f"Authorization: Bearer {token[0]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(1)
            assert b" 101 " in answer, answer
            return connection

        def recorded() -> int:
            total = 0
            for last in {
                path.parent: path for path in sorted(folder.glob("state/consoles/*/*/*.log"))
            }.values():
                total += int(last.stem) + last.stat().st_size
            return total

        yield process.pid, viewer, recorded
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextlib.contextmanager
def ser2net_lab(
    consoles: int, folder: Path, terminal: str = ""
) -> Iterator[tuple[int, Callable[[int], socket.socket], Any]]:
    """Run ser2net over that many TCP lines, or one terminal, with a trace file for each."""
    (folder / "ser2net.yaml").write_text(
        "".join(
            f"connection: &c{n}\n  accepter: tcp,127.0.0.1,{SER2NET + n}\n"
            f"  connector: {f'serialdev,{terminal},local' if terminal else f'tcp,127.0.0.1,{SOURCE + n}'}\n"
            f"  options:\n    max-connections: {VIEWERS}\n    dev-to-net-bufsize: 65536\n"
            f"    trace-read: {folder}/trace{n}\n"
            for n in range(consoles)
        )
    )
    argv = ["ser2net", "-n", "-u", "-c", folder / "ser2net.yaml", "-P", folder / "pid"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        # A port that is probed opens its line, so the one behind the last is looked at by name only.
        listens = f":{SER2NET + consoles - 1:04X} 00000000:0000 0A"
        wait_for(lambda: listens in Path("/proc/net/tcp").read_text(), process)

        def viewer(number: int) -> socket.socket:
            return socket.create_connection(("127.0.0.1", SER2NET + number))

        def recorded() -> int:
            return sum(path.stat().st_size for path in folder.glob("trace*"))

        yield process.pid, viewer, recorded
    finally:
        process.kill()  # it waits for its peers otherwise
        process.wait(timeout=30)


def tcp(number: int) -> str:
    return f'driver = "raw-tcp", address = "127.0.0.1:{SOURCE + number}"'


# One console.


def fast(lab: Any, mib: int, *, slow: bool = False, pty: bool = False) -> dict[str, float]:
    """Send as fast as it is taken; returns MiB/s on disk, what share viewers saw, whether all is on disk."""
    size = mib << 20
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as scratch:
        terminal = f"{scratch}/tty" if pty else ""
        go, source = start(say_much, size, terminal)
        try:
            with lab(1, Path(scratch), terminal) as (_, viewer, recorded):
                viewers = [viewer(0) for _ in range(VIEWERS)]
                lazy = viewer(0) if slow else None
                time.sleep(1.0)
                told, watching = start(count, lab is hostler_lab, viewers)
                begun = time.monotonic()
                go.send(None)
                deadline = begun + 120
                while recorded() < size and time.monotonic() < deadline:
                    time.sleep(0.01)
                seconds = time.monotonic() - begun
                time.sleep(1.0)  # what is on its way to viewers arrives
                told.send(None)
                seen = told.recv()
                watching.join(10)
                for one in (*viewers, *((lazy,) if lazy else ())):
                    one.close()
                return {
                    "mib_s": mib / seconds,
                    "seen": statistics.mean(seen) / size,
                    "recorded": recorded() >= size,
                }
        finally:
            source.kill()
            source.join()


def say_much(pipe: Connection, size: int, terminal: str) -> None:
    """Be the board: when told, say ``size`` bytes to whoever is connected, or on a terminal."""
    block = LINE * (65536 // len(LINE))
    if terminal:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        Path(terminal).symlink_to(os.ttyname(theirs))
        pipe.send("ready")
        pipe.recv()
        left = size
        while left > 0:
            left -= os.write(ours, block[:left])
        signal.pause()
    listener = socket.create_server(("127.0.0.1", SOURCE))
    pipe.send("ready")
    listener.settimeout(None)
    line: socket.socket | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    line, _ = listener.accept()
                    continue
                pipe.recv()
                assert line is not None
                left = size
                while left > 0:
                    data = block[:left]
                    if left <= len(block):
                        data = data[: -len(END)] + END
                    line.sendall(data)
                    left -= len(data)


def count(pipe: Connection, websocket: bool, viewers: list[socket.socket]) -> None:
    """Read all viewers; when told, say how many bytes of the console each got."""
    pipe.send("ready")
    seen = [0] * len(viewers)
    parsers = [Frames() for _ in viewers]
    buffer = bytearray(1 << 20)
    with selectors.DefaultSelector() as selector:
        for number, viewer in enumerate(viewers):
            viewer.setblocking(False)
            selector.register(viewer, selectors.EVENT_READ, number)
        selector.register(pipe, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    pipe.send(seen)
                    return
                length = viewers[key.data].recv_into(buffer)
                if not length:
                    selector.unregister(key.fileobj)
                    continue
                view = memoryview(buffer)[:length]
                seen[key.data] += parsers[key.data].feed(view) if websocket else length


class Frames:
    """Counts a console's bytes in the frames of a WebSocket (RFC 6455 section 5.2), without what is told."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._counts = False

    def feed(self, data: memoryview) -> int:
        """Take bytes of the connection; return how many of them are the console's."""
        total = place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                total += step if self._counts else 0
                self._left -= step
                place += step
                continue
            self._head.append(data[place])
            place += 1
            if len(self._head) < 2:
                continue
            size = self._head[1] & 127
            extra = {126: 2, 127: 8}.get(size, 0)
            if len(self._head) < 2 + extra + 1:  # and the channel
                continue
            length = int.from_bytes(self._head[2 : 2 + extra]) if extra else size
            self._counts = self._head[2 + extra] == 1
            self._left = length - 1
            self._head.clear()
        return total


# Many consoles.


def many(lab: Any, consoles: int) -> dict[str, Any]:
    """Let many boards talk at 115200 baud; returns the cores and megabytes it takes to record them."""
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as scratch:
        pipe, source = start(say_steadily, consoles)
        try:
            with lab(consoles, Path(scratch)) as (pid, viewer, recorded):
                watching = None
                if lab is ser2net_lab:  # it reads a line only while somebody is connected
                    _, watching = start(count, False, [viewer(number) for number in range(consoles)])
                time.sleep(4.0 if lab is hostler_lab else 1.0)
                pipe.send(None)
                time.sleep(2.0)
                before, then = cpu_seconds(pid), time.monotonic()
                time.sleep(LOAD_SECONDS)
                cores = (cpu_seconds(pid) - before) / (time.monotonic() - then)
                rss = rss_mb(pid)
                pipe.send(None)
                sent = pipe.recv()
                time.sleep(1.0)
                kept = recorded()
                if watching is not None:
                    watching.kill()
                    watching.join()
                note = f"recorded {kept / sent:.2%} of {sent / 2**20:.0f} MiB said"
                return {"cores": cores, "rss_mb": rss, "note": note, "recorded": kept / sent}
        finally:
            source.kill()
            source.join()


def say_steadily(pipe: Connection, consoles: int) -> None:
    """Be many boards: told once, each says 11,520 bytes a second; told again, be silent and say how much."""
    listeners = [socket.create_server(("127.0.0.1", SOURCE + number)) for number in range(consoles)]
    pipe.send("ready")
    lines: dict[int, socket.socket] = {}
    piece = (LINE * 4)[: int(BAUD_BYTES * TICK_SECONDS)]
    sent, talking, due = 0, False, 0.0
    with selectors.DefaultSelector() as selector:
        for number, listener in enumerate(listeners):
            selector.register(listener, selectors.EVENT_READ, number)
        selector.register(pipe, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select(max(0.0, due - time.monotonic()) if talking else None):
                if key.data is None:
                    pipe.recv()
                    if talking:
                        pipe.send(sent)
                    talking, due = not talking, time.monotonic()
                else:
                    lines[key.data], _ = listeners[key.data].accept()
            if talking and time.monotonic() >= due:
                due += TICK_SECONDS
                for line in lines.values():
                    line.sendall(piece)
                sent += len(piece) * len(lines)


# The machine.


def start(target: Any, *args: Any) -> tuple[Connection, multiprocessing.Process]:
    """Run a function in a process of its own; returns once it is ready."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    assert ours.recv() == "ready"
    return ours, process


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path | None = None
) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"consoles: a server did not start\n{log.read_text() if log else ''}")
        time.sleep(0.05)


def tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in tree(int(child)))]


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    text = "".join(Path(f"/proc/{one}/status").read_text() for one in tree(pid))
    return sum(int(size) for size in re.findall(r"VmRSS:\s+(\d+)", text)) / 1024


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("consoles: run it as root: it needs a network namespace")
    if os.environ.get("HOSTLER_BENCH_INSIDE") != "1":
        os.environ["HOSTLER_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    sys.exit(main())
