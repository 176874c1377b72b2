"""The agent's kernel and initramfs: they boot, start the agent, and are the same bytes every time."""

from __future__ import annotations

import ast
import http.server
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from board import Board

from hostler.build.agent_image import AgentImage, build_agent, our_sources
from hostler.build.cache import file_digest
from hostler.build.python_tree import INTERPRETER_NEEDS
from hostler.wire import newc

STUB = {
    "hostler/__init__.py": b"",
    "hostler/agent/__init__.py": b"",
    "hostler/agent/__main__.py": (Path(__file__).parent / "stub_agent.py").read_bytes(),
}
TRUSTED = ["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"]
CONSOLE = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
NETWORK = ["-nic", "user,model=virtio-net-pci"]


def stub_agent(arch: str, images: Path, packages: Path) -> AgentImage:
    return build_agent(arch, images, packages, code=STUB, trusted_keys=TRUSTED)


def with_config(image: AgentImage, path: Path, document: dict[str, str] | None = None) -> Path:
    """The initrd as the boot services serve it: the agent's, then a board's own small archive."""
    config = newc.file("etc/hostler/boot.json", json.dumps(document or {"board": "b1"}).encode(), 0o600)
    path.write_bytes(image.initrd.read_bytes() + newc.archive(newc.with_parents([config])))
    return path


def hello(board: Board) -> dict[str, object]:
    match = board.expect(r"@hostler (\{.*\})\r?\n", 120)
    document = json.loads(match.group(1))
    assert document["event"] == "hello", document
    return document


@pytest.mark.qemu
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_boots_and_starts_the_agent(arch: str, packages: Path, images: Path, tmp_path: Path) -> None:
    """Kernel → drivers → DHCP → agent, which finds its configuration, whom it trusts, and the disk."""
    image = stub_agent(arch, images, packages)
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(64 << 20)
    with Board(
        arch,
        *("-kernel", image.kernel, "-initrd", with_config(image, tmp_path / "initrd"), *NETWORK),
        *("-append", f"console={CONSOLE[arch]}", "-drive", f"file={disk},format=raw,if=virtio"),
    ) as board:
        document = hello(board)
        assert document["config"] == {"board": "b1"}
        assert document["trust"] == {"keys": TRUSTED, "require_signed": False}
        assert document["zstd"] == "ok"
        assert "vda" in document["disks"]
        board.wait(30)  # status 11 powers off


class Rack(http.server.BaseHTTPRequestHandler):
    """As much of a rack as tells the agent to power off and remembers what it posted."""

    posts: queue.Queue[tuple[str, dict]] = queue.Queue()

    def do_GET(self) -> None:
        body = json.dumps({"run": "r1", "step": 0, "kind": "poweroff", "params": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.posts.put((self.path, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.qemu
def test_the_real_agent_runs(packages: Path, images: Path, tmp_path: Path) -> None:
    """Hostler's own agent finds every module it imports, greets its rack and obeys it."""
    image = build_agent("amd64", images, packages)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rack) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {"rack": f"http://10.0.2.2:{server.server_port}", "token": "t", "board": "b1", "boot": "1"}
        initrd = with_config(image, tmp_path / "initrd", config)
        options = ["-kernel", image.kernel, "-initrd", initrd, "-append", "console=ttyS0", *NETWORK]
        with Board("amd64", *options) as board:
            path, hello = Rack.posts.get(timeout=120)
            assert path == "/agent/hello", board.seen[-2000:]
            assert "facts" in hello
            board.wait(60)
            assert "Traceback" not in board.seen
        server.shutdown()


@pytest.mark.qemu
def test_without_network_it_says_so(packages: Path, images: Path, tmp_path: Path) -> None:
    """No cable: a marker line on the console, and a restart at the deadline."""
    image = stub_agent("arm64", images, packages)
    with Board(
        "arm64",
        *("-kernel", image.kernel, "-initrd", with_config(image, tmp_path / "initrd"), "-nic", "none"),
        *("-append", "console=ttyAMA0 hostler.dhcp_seconds=3"),
    ) as board:
        marker = board.expect(r"@hostler (\{.*\})\r?\n", 60)
        assert json.loads(marker.group(1))["event"] == "lost"
        board.wait(30)  # -no-reboot: a restart ends QEMU


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_same_inputs_same_bytes(arch: str, packages: Path, images: Path, tmp_path: Path) -> None:
    """Built again elsewhere, kernel and initramfs are the same to the last byte, and within 60 MB."""
    first = stub_agent(arch, images, packages)
    second = build_agent(arch, tmp_path, packages, code=STUB, trusted_keys=TRUSTED)
    assert file_digest(second.initrd) == file_digest(first.initrd)
    assert file_digest(second.kernel) == file_digest(first.kernel)
    assert second.kernel.stat().st_size + second.initrd.stat().st_size <= 60_000_000
    assert second.initrd.stat().st_size % newc.ALIGNMENT == 0


def test_a_second_call_is_instant(packages: Path, images: Path, tmp_path: Path) -> None:
    """What is there is handed out without a look at the packages."""
    first = stub_agent("amd64", images, packages)
    assert build_agent("amd64", images, tmp_path / "no-cache", code=STUB, trusted_keys=TRUSTED) == first
    assert not (tmp_path / "no-cache").exists()


def test_our_own_agent_is_packed() -> None:
    """The real agent's modules and the chunk index are found; nothing else of Hostler comes along."""
    names = set(our_sources())
    assert "hostler/model/chunkindex.py" in names
    assert {name.split("/")[1] for name in names if name.count("/") > 1} == {"agent", "model", "wire"}


def test_what_is_packed_imports_nothing_that_was_left_out(tmp_path: Path) -> None:
    """Every module the agent imports when it starts is among those it is packed with."""
    for name, source in our_sources().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(source)
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hostler.agent.main"
    done = subprocess.run(
        [sys.executable, "-c", start], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_encoding_the_agent_names_is_in_its_interpreter() -> None:
    """Encodings are modules that are looked up by name at run time: no import tells that they are needed."""
    named = {
        word.value
        for source in our_sources().values()
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("encode", "decode")
        for word in call.args[:1]
        if isinstance(word, ast.Constant) and isinstance(word.value, str)
    }
    assert "utf-16-le" in named
    assert {f"encodings.{name.replace('-', '_')}" for name in named} <= set(INTERPRETER_NEEDS)
