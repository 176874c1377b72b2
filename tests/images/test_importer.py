"""Import: every accepted form gives the same image; all else gives a named error and leaves nothing."""

import bz2
import gzip
import hashlib
import http.server
import io
import lzma
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from hostler.images.importer import ImportProgress, import_image
from hostler.images.source import SourceError
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreFullError
from hostler.images.sweeping import remove_image, sweep

KIB = 1024
MIB = 1024 * KIB
GRID = 64 * KIB


def sample(seed: int = 1) -> bytes:
    """3 MiB and 512 bytes: random data, zeros, text; a last chunk that is short."""
    rnd = random.Random(seed)
    parts = [rnd.randbytes(300 * KIB), bytes(MIB), b"hostler " * (64 * KIB), bytes(700 * KIB)]
    image = b"".join(parts)
    return image + rnd.randbytes(3 * MIB + 512 - len(image))


def zstd(data: bytes, checksum: bool = False) -> bytes:
    """Compress as one streamed frame, as the zstd tool does with a pipe: no length in the header."""
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=checksum).compressobj()
    return compressor.compress(data) + compressor.flush()


def android_sparse(data: bytes) -> bytes:
    """Write chunks of each kind, as Android's img2simg does: blocks of 512 bytes here."""
    block, chunks, at = 512, [], 0
    while at < len(data):
        piece = data[at : at + MIB]
        at += len(piece)
        count = len(piece) // block
        if piece == piece[:4] * (len(piece) // 4):
            kind, body = (0xCAC3, b"") if not any(piece) else (0xCAC2, piece[:4])
        else:
            kind, body = 0xCAC1, piece
        chunks.append(struct.pack("<2H2I", kind, 0, count, 12 + len(body)) + body)
    chunks.append(struct.pack("<2H2I", 0xCAC4, 0, 0, 16) + b"\1\2\3\4")
    header = (b"\x3a\xff\x26\xed", 1, 0, 28, 12, block, len(data) // block, len(chunks), 0)
    return struct.pack("<4s4H4I", *header) + b"".join(chunks)


def zipped(**members: bytes) -> bytes:
    """Make a zip archive; ``__`` in a name stands for a dot."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return file.getvalue()


def virtual_disk(form: str, *options: str) -> Callable[[bytes], bytes]:
    """Return what has qemu-img make a virtual disk."""

    def make(data: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as place:
            raw, made = Path(place, "raw"), Path(place, "disk")
            raw.write_bytes(data)
            command = ["qemu-img", "convert", "-q", "-f", "raw", "-O", form, *options, str(raw), str(made)]
            subprocess.run(command, check=True, timeout=60)
            return made.read_bytes()

    return make


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 1),
    "gzip of two members and padding": lambda d: (
        gzip.compress(d[:MIB], 1) + gzip.compress(d[MIB:], 1) + bytes(512)
    ),
    "xz": lambda data: lzma.compress(data, preset=0),
    "xz of two streams": lambda data: (
        lzma.compress(data[:777], preset=0) + lzma.compress(data[777:], preset=0)
    ),
    "bzip2": lambda data: bz2.compress(data, 1),
    "bzip2 of two streams": lambda data: bz2.compress(data[:MIB], 1) + bz2.compress(data[MIB:], 1),
    "lz4": lz4.frame.compress,
    "lz4 of two frames": lambda data: lz4.frame.compress(data[:777]) + lz4.frame.compress(data[777:]),
    "zstd": lambda data: zstd(data, checksum=True),
    "zstd with lengths": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd of many frames": lambda data: (
        b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zstd(data[:5]) + zstd(b"") + zstd(data[5:])
    ),
}


def content(store: ImageStore, index_id: str) -> bytes:
    """Put an image together again from the store."""
    index = store.index(index_id)
    image = bytearray(index.size)
    for chunk in index:
        plain = zstandard.ZstdDecompressor().decompress(store.chunk_path(chunk.digest).read_bytes())
        assert hashlib.sha256(plain).hexdigest() == chunk.digest
        image[chunk.offset : chunk.offset + chunk.length] = plain
    return bytes(image)


def files(store: ImageStore) -> list[Path]:
    """Return everything a store holds, its lock aside."""
    return sorted(path for path in store.root.rglob("*") if path.is_file() and path.name != "lock")


@contextmanager
def serve(body: bytes, promised: int | None, status: int = 200) -> Iterator[str]:
    """Serve one body over HTTP, with the Content-Length given (None: none)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if promised is not None:
                self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/image"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "store")


WHOLE_FILES = {
    "zip": lambda data: zipped(README=b"read me", disk__img=data),
    "zip+xz": lambda data: zipped(disk__img__xz=lzma.compress(data, preset=0)),
    "gzip+qcow2": lambda data: gzip.compress(virtual_disk("qcow2")(data), 1),
    "qcow2": virtual_disk("qcow2", "-c"),
    "vmdk": virtual_disk("vmdk", "-o", "subformat=streamOptimized"),
    "vhdx": virtual_disk("vhdx"),
    "Android sparse": android_sparse,
    "xz+Android sparse": lambda data: lzma.compress(android_sparse(data), preset=0),
}


@pytest.mark.parametrize("form", WHOLE_FILES)
def test_archives_and_virtual_disks_give_it_too(form: str, store: ImageStore, tmp_path: Path) -> None:
    """Forms within each other as well; nothing of the file itself stays in the store."""
    data = sample().ljust(4 * MIB, b"\0")  # a virtual disk is whole clusters long
    (tmp_path / "image").write_bytes(WHOLE_FILES[form](data))
    result = import_image(tmp_path / "image", store, chunk_size=GRID)
    assert content(store, result.index) == data
    assert result.compression == form
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("form", WHOLE_FILES)
def test_half_of_one_is_refused(form: str, store: ImageStore, tmp_path: Path) -> None:
    """It is called damaged, or too short, and leaves nothing."""
    whole = WHOLE_FILES[form](sample().ljust(4 * MIB, b"\0"))
    (tmp_path / "image").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"image: .*(ends too early|damaged)"):
        import_image(tmp_path / "image", store, chunk_size=GRID)
    assert files(store) == []
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("option", ["backing_file={other},backing_fmt=raw", "data_file={other}"])
def test_a_disk_does_not_make_the_server_read_its_own_files(
    option: str, store: ImageStore, tmp_path: Path
) -> None:
    """A backing file or a data file would be the server's, whatever the uploader may see."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"the server's own".ljust(MIB))
    size = [] if "backing" in option else ["1M"]
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", option.format(other=secret)]
    subprocess.run([*create, str(tmp_path / "image"), *size], check=True, timeout=60)
    secret.write_bytes(b"the server's own".ljust(MIB))
    with pytest.raises(SourceError, match="only part of what it needs"):
        import_image(tmp_path / "image", store)
    assert files(store) == []


def differencing(packed: bytes) -> bytes:
    """Make a dynamic VHD say that it is differencing."""
    return packed[:60] + b"\0\0\0\4" + packed[64:]


def descriptor_alone(_packed: bytes) -> bytes:
    """Return a VMDK without sectors, whose descriptor names a file of the server's."""
    words = b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n'
    header = b"KDMV" + struct.pack("<IIQQQQ", 1, 3, 0, 0, 1, 20)
    return header.ljust(512, b"\0") + words.ljust(20 * 512, b"\0")


def words_alone(packed: bytes) -> bytes:
    """Return the descriptor of a VMDK whose sectors are in other files."""
    return descriptor_alone(packed)[512:].rstrip(b"\0")


@pytest.mark.parametrize(
    ("form", "change"), [("vpc", differencing), ("vmdk", descriptor_alone), ("vmdk", words_alone)]
)
def test_a_disk_whose_base_is_elsewhere_is_refused(
    form: str, change: Callable[[bytes], bytes], store: ImageStore, tmp_path: Path
) -> None:
    """Rather than to be read without it, or to have another file opened."""
    (tmp_path / "image").write_bytes(change(virtual_disk(form)(sample())))
    with pytest.raises(SourceError, match="only part of what it needs: its data"):
        import_image(tmp_path / "image", store)
    assert files(store) == []


def misnamed(packed: bytes) -> bytes:
    """Give the archive's member a name that is no UTF-8, and say that it is."""
    at = packed.rindex(b"PK\1\2")
    packed = packed[: at + 8] + struct.pack("<H", 0x800) + packed[at + 10 :]
    return packed[: at + 46] + b"\xff" + packed[at + 47 :]


def elsewhere(packed: bytes) -> bytes:
    """Have the archive's directory begin before the file."""
    at = packed.rindex(b"PK\5\6")
    return packed[: at + 16] + struct.pack("<I", 0xFFFFFFF0) + packed[at + 20 :]


@pytest.mark.parametrize("change", [misnamed, elsewhere])
def test_an_absurd_archive_is_damaged(
    change: Callable[[bytes], bytes], store: ImageStore, tmp_path: Path
) -> None:
    """Whatever its directory says, the answer is a sentence."""
    (tmp_path / "image").write_bytes(change(zipped(disk__img=sample())))
    with pytest.raises(SourceError, match="damaged"):
        import_image(tmp_path / "image", store)
    assert files(store) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_zipfile_unpacks_without_bound_is_refused(
    method: int, store: ImageStore, tmp_path: Path
) -> None:
    """A few KiB in such a member would be gigabytes in memory at once."""
    with zipfile.ZipFile(tmp_path / "image", "w", method) as archive:
        archive.writestr("disk.img", sample())
    with pytest.raises(SourceError, match="unusual method"):
        import_image(tmp_path / "image", store)


def test_an_xz_that_wants_gigabytes_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """Its header decides how much memory its dictionary takes."""
    packed = bytearray(lzma.compress(sample(), preset=0))
    end = 12 + (packed[12] + 1) * 4
    assert packed[14:16] == b"\x21\x01"  # LZMA2, with one byte: the size of its dictionary
    packed[16] = 40
    packed[end - 4 : end] = struct.pack("<I", zlib.crc32(packed[12 : end - 4]))
    (tmp_path / "image").write_bytes(packed)
    with pytest.raises(SourceError, match="Memory usage limit"):
        import_image(tmp_path / "image", store)


@pytest.fixture
def slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virtual disk that takes ten minutes to convert; returns where the converter's pid will be."""
    (tmp_path / "image").write_bytes(virtual_disk("qcow2")(sample()))
    place, pid = tmp_path / "bin", tmp_path / "pid"
    place.mkdir()
    (place / "qemu-img").write_text(
        f'#!/bin/sh\n[ "$1" = info ] && exec {shutil.which("qemu-img")} "$@"\n'
        f"echo $$ > {pid}.new && mv {pid}.new {pid}\nexec sleep 600\n"
    )
    (place / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return pid


def has_ended(pid: int) -> bool:
    """Wait for a process that is no child of ours."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_long_conversion_can_be_cancelled(store: ImageStore, tmp_path: Path, slow_disk: Path) -> None:
    """The converter ends with the import."""

    class EnoughError(Exception):
        pass

    def stop(_progress: ImportProgress) -> None:
        if slow_disk.exists():
            raise EnoughError

    with pytest.raises(EnoughError):
        import_image(tmp_path / "image", store, stop)
    assert has_ended(int(slow_disk.read_text()))
    assert files(store) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_a_conversion_does_not_outlive_a_killed_server(
    store: ImageStore, tmp_path: Path, slow_disk: Path
) -> None:
    """It would go on to fill the disk with what nobody waits for."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hostler.images.importer import import_image\n"
        "from hostler.images.store import ImageStore\n"
        "import_image(Path(sys.argv[1]), ImageStore(Path(sys.argv[2])))\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "image"), str(store.root)]
    with subprocess.Popen(arguments) as process:
        deadline = time.monotonic() + 60
        while not slow_disk.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert has_ended(int(slow_disk.read_text()))
    sweep(store)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_image(form: str, store: ImageStore, tmp_path: Path) -> None:
    """What is stored depends on the plain bytes alone, and content tells the form, not the name."""
    (tmp_path / "image.bin").write_bytes(FORMS[form](sample()))
    result = import_image(tmp_path / "image.bin", store, chunk_size=GRID)
    assert content(store, result.index) == sample()
    assert result.compression == form.split()[0]
    assert (result.size, result.padding) == (3 * MIB + 512, 0)
    assert result.data_bytes == store.index(result.index).data_bytes
    (tmp_path / "raw").write_bytes(sample())
    assert import_image(tmp_path / "raw", store, chunk_size=GRID).index == result.index


def test_holes_are_not_stored_and_repeats_are_stored_once(store: ImageStore, tmp_path: Path) -> None:
    """Zero chunks are left out, a chunk that comes twice is one file, and the counts say so."""
    data = os.urandom(GRID)
    (tmp_path / "image").write_bytes(data + bytes(GRID) + data + bytes(5 * GRID))
    result = import_image(tmp_path / "image", store, chunk_size=GRID)
    assert (result.chunks_new, result.chunks_known, result.data_bytes) == (1, 1, 2 * GRID)
    assert len(files(store)) == 2


def test_a_new_version_stores_only_what_changed(store: ImageStore, tmp_path: Path) -> None:
    """The second import of nearly the same image brings only the chunks that differ."""
    image = bytearray(sample())
    (tmp_path / "a").write_bytes(image)
    image[100] ^= 1
    (tmp_path / "b").write_bytes(image)
    first = import_image(tmp_path / "a", store, chunk_size=GRID)
    second = import_image(tmp_path / "b", store, chunk_size=GRID)
    assert second.chunks_new == 1
    assert second.chunks_known == first.chunks_new + first.chunks_known - 1


@pytest.mark.parametrize("extra", [1, 511])
def test_an_odd_size_is_filled_to_the_sector(extra: int, store: ImageStore, tmp_path: Path) -> None:
    """An image that ends within a sector gets zeros up to its end, and the result tells how many."""
    data = b"x" * (2 * GRID + extra)
    (tmp_path / "image").write_bytes(data)
    result = import_image(tmp_path / "image", store, chunk_size=GRID)
    assert (result.size, result.padding) == (2 * GRID + 512, 512 - extra)
    assert content(store, result.index) == data + bytes(512 - extra)


def first_part_only(packed: bytearray) -> bytearray:
    """Cut early."""
    return packed[: len(packed) // 300]


def half(packed: bytearray) -> bytearray:
    """Cut in the middle."""
    return packed[: len(packed) // 2]


def last_byte_lost(packed: bytearray) -> bytearray:
    """Cut at the very end."""
    return packed[:-1]


def one_bit_flipped(packed: bytearray) -> bytearray:
    """Keep the length, change one bit."""
    packed[len(packed) // 2] ^= 0x10
    return packed


CUTS = [first_part_only, half, last_byte_lost]
DAMAGE = [(form, cut) for form in FORMS if form != "raw" for cut in CUTS] + [
    (form, one_bit_flipped)
    for form in ("gzip", "xz", "zstd")  # the others have no checksum over stored data
]


@pytest.mark.parametrize(("form", "damage"), DAMAGE)
def test_truncated_or_damaged_input_leaves_nothing(
    form: str, damage: Callable[[bytearray], bytearray], store: ImageStore, tmp_path: Path
) -> None:
    """A compressed image that ends early or is damaged is refused by name and not even a chunk stays."""
    packed = damage(bytearray(FORMS[form](sample()).rstrip(b"\0" if "padding" in form else b"")))
    (tmp_path / "image").write_bytes(packed)
    with pytest.raises(SourceError, match=r"image: .*(ends too early|damaged)"):
        import_image(tmp_path / "image", store, chunk_size=GRID)
    assert files(store) == []
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd"])
def test_every_truncation_is_noticed(form: str, tmp_path: Path) -> None:
    """Wherever a compressed image ends, short of its end, it is not taken for a whole one."""
    store = ImageStore(tmp_path / "store")
    packed = FORMS[form](b"small image " * 300)
    for length in range(16, len(packed)):
        (tmp_path / "image").write_bytes(packed[:length])
        with pytest.raises(SourceError):
            import_image(tmp_path / "image", store, chunk_size=GRID)
    assert files(store) == []


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b"QFI\xfb" + bytes(600), "qcow2"),
        (b"BZh91AY&SY" + bytes(600), "bzip2"),
        (b"PK\x03\x04" + bytes(600), "zip"),
        (b"KDMV" + bytes(600), "vmdk"),
        (zipped(a__img=b"1", b__img=b"2"), r"holds a\.img, b\.img; give it with one image"),
        (zipped(), "holds nothing"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x")))), "packed too often"),
        (android_sparse(bytes(4096))[:-17], "ends too early"),
        (b"\x3a\xff\x26\xed\2" + bytes(600), "version 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",  # gzip writes the time into them
)
def test_what_is_no_disk_image_is_refused(
    data: bytes, complaint: str, store: ImageStore, tmp_path: Path
) -> None:
    """An empty input, or one in a form that is not taken, is called by its name."""
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(SourceError, match=complaint):
        import_image(tmp_path / "image", store)
    assert files(store) == []


def test_an_absent_file_is_named(store: ImageStore, tmp_path: Path) -> None:
    """The error for a file that is not there says which and why."""
    with pytest.raises(SourceError, match=r"nothing\.img: No such file"):
        import_image(tmp_path / "nothing.img", store)
    with pytest.raises(SourceError, match="directory"):
        import_image(tmp_path, store)


def test_over_http(store: ImageStore) -> None:
    """A URL is read as a stream, with its length known or not."""
    packed = FORMS["xz"](sample())
    for promised in (len(packed), None):
        with serve(packed, promised) as url:
            seen: list[ImportProgress] = []
            result = import_image(url, store, seen.append, chunk_size=GRID)
        assert content(store, result.index) == sample()
        assert seen[-1] == ImportProgress(len(packed), promised, 3 * MIB + 512)


def test_http_that_breaks_off_leaves_nothing(store: ImageStore) -> None:
    """Fewer bytes than the server promised are an error even for a raw image; so is a refusal."""
    with (
        serve(sample()[:MIB], 3 * MIB) as url,
        pytest.raises(SourceError, match=r"ends after 1048576 of 3145728"),
    ):
        import_image(url, store, chunk_size=GRID)
    with serve(b"no", 2, 404) as url, pytest.raises(SourceError, match="404"):
        import_image(url, store)
    with pytest.raises(SourceError, match="refused"):
        import_image("http://127.0.0.1:1/image", store)
    assert files(store) == []


def test_progress_counts_up_and_can_cancel(store: ImageStore, tmp_path: Path) -> None:
    """Progress never goes back; an exception from it ends the import and leaves nothing."""

    class EnoughError(Exception):
        pass

    (tmp_path / "image").write_bytes(sample())
    seen: list[ImportProgress] = []
    import_image(tmp_path / "image", store, seen.append, chunk_size=GRID)
    assert [p.written for p in seen] == sorted(p.written for p in seen)
    assert seen[-1] == ImportProgress(len(sample()), len(sample()), len(sample()))

    def stop(_progress: ImportProgress) -> None:
        raise EnoughError

    other = ImageStore(tmp_path / "other")
    with pytest.raises(EnoughError):
        import_image(tmp_path / "image", other, stop, chunk_size=GRID)
    assert files(other) == []
    (tmp_path / "image").write_bytes(gzip.compress(b"") * 50_000)  # of which nothing comes
    with pytest.raises(EnoughError):
        import_image(tmp_path / "image", other, stop, chunk_size=GRID)


def test_memory_stays_bounded_for_a_bomb(tmp_path: Path) -> None:
    """A quarter GiB of zeros from a few KiB passes through without ever being in memory at once."""
    bombs = {
        "gz": gzip.compress(bytes(64 * MIB), 9) * 4,
        "zst": zstandard.ZstdCompressor().compress(bytes(256 * MIB)),
        "zip": zipped(disk__img=bytes(256 * MIB)),
    }
    for name, packed in bombs.items():
        (tmp_path / name).write_bytes(packed)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hostler.images.importer import import_image\n"
        "from hostler.images.store import ImageStore\n"
        "for name in sys.argv[2:]:\n"
        "    r = import_image(Path(name), ImageStore(Path(sys.argv[1])))\n"
        "    assert r.size == 256 << 20 and r.data_bytes == 0, r\n"
        # Not ru_maxrss: that begins with the memory of the process that started this one.
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in lines if line.startswith('VmHWM')))\n"
    )
    paths = [str(tmp_path / name) for name in ("store", *bombs)]
    run = subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True, timeout=120)
    assert int(run.stdout) < 120 * KIB  # KiB, so 120 MiB with the interpreter


def test_what_promises_more_than_any_disk_has_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """A few bytes would keep the server writing zeros for days."""
    header = (b"\x3a\xff\x26\xed", 1, 0, 28, 12, MIB, 2**27, 1, 0)
    (tmp_path / "sparse").write_bytes(
        struct.pack("<4s4H4I", *header) + struct.pack("<2H2I", 0xCAC3, 0, 2**27, 12)
    )
    with pytest.raises(SourceError, match="it promises 140737488355328 bytes"):
        import_image(tmp_path / "sparse", store)
    options = ["-f", "qcow2", "-o", "cluster_size=2M", str(tmp_path / "qcow2"), "65T"]
    subprocess.run(["qemu-img", "create", "-q", *options], check=True, timeout=60)
    with pytest.raises(SourceError, match=f"says that it has {65 * 1024**4} bytes"):
        import_image(tmp_path / "qcow2", store)
    assert files(store) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_no_space_left_is_clear_and_leaves_nothing(tmp_path: Path) -> None:
    """A full file system ends the import with a sentence for the operator; the store is as before."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(small)], check=True, timeout=10)
    try:
        store = ImageStore(small / "store")
        (tmp_path / "image").write_bytes(sample())
        with pytest.raises(StoreFullError, match="no space left in the image store"):
            import_image(tmp_path / "image", store, chunk_size=GRID)
        assert files(store) == []
        assert list((store.root / "tmp").iterdir()) == []
        (tmp_path / "image").write_bytes(b"fits")
        import_image(tmp_path / "image", store)
    finally:
        subprocess.run(["umount", str(small)], check=True, timeout=10)


def test_no_space_for_a_conversion_is_clear_and_leaves_nothing(tmp_path: Path) -> None:
    """It is the converter that finds the disk full."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "image").write_bytes(virtual_disk("qcow2", "-c")(b"some words " * (16 * MIB // 11)))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=True, timeout=10)
    try:
        store = ImageStore(small / "store")
        with pytest.raises(StoreFullError, match="no space left in the image store"):
            import_image(tmp_path / "image", store)
        assert files(store) == []
        assert list((store.root / "tmp").iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True, timeout=10)


def test_an_encrypted_disk_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """Nobody here has its key."""
    # Not LUKS: to choose its iterations qemu-img times the processor, and gives up on a busy one.
    key = ["--object", "secret,id=k,data=pw", "-o", "encrypt.format=aes,encrypt.key-secret=k"]
    create = ["qemu-img", "create", "-q", "-f", "qcow2", *key, str(tmp_path / "image"), "1M"]
    subprocess.run(create, check=True, timeout=60)
    with pytest.raises(SourceError, match="is encrypted"):
        import_image(tmp_path / "image", store)
    assert files(store) == []


def test_kill_in_the_middle_leaves_nothing_that_matters(tmp_path: Path) -> None:
    """Killed at any moment, an import leaves no index without its chunks; a sweep leaves nothing at all."""
    (tmp_path / "image").write_bytes(sample() * 20)
    store = ImageStore(tmp_path / "store")
    (tmp_path / "kept").write_bytes(sample(2))
    kept = import_image(tmp_path / "kept", store, chunk_size=GRID)
    before = files(store)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hostler.images.importer import import_image\n"
        "from hostler.images.store import ImageStore\n"
        "print('ready', flush=True)\n"
        f"import_image(Path(sys.argv[1]), ImageStore(Path(sys.argv[2])), chunk_size={GRID})\n"
    )
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
        arguments = [sys.executable, "-c", code, str(tmp_path / "image"), str(store.root)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        for index_id in store.indexes():
            content(store, index_id)
            if index_id != kept.index:
                remove_image(store, index_id)
        sweep(store)
        assert files(store) == before
    assert content(store, kept.index) == sample(2)
