"""Signing images from the command line: keys stay here, and other programs' keys and signatures fit."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from simulated_lab import SimulatedLab, simulated_lab

from hostler.client.client import Client
from hostler.model.chunkindex import ChunkIndex
from hostler.model.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTLER = str(Path(sys.executable).parent / "hostler")
DISK = ("--arch", "amd64", "--platforms", "x86-bios")


class Shell:
    """Runs ``hostler`` against one server."""

    def __init__(self, lab: SimulatedLab, state: Path) -> None:
        self.lab, self.state = lab, state
        self._environment = {**os.environ, **lab.environment}

    def __call__(self, *arguments: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [HOSTLER, *map(str, arguments)], capture_output=True, text=True, timeout=180, check=False,
            stdin=subprocess.DEVNULL, env=self._environment, umask=0,
        )  # fmt: skip
        assert done.returncode == status, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *arguments: str | Path) -> Any:
        """Run with ``--json`` and return the document."""
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A server with a simulated rack, and the command line."""
    state = tmp_path_factory.mktemp("lab") / "state"
    with simulated_lab(state) as lab:
        yield Shell(lab, state)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An image of a disk, compressed."""
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(gzip.compress(random.Random(str(tmp_path)).randbytes(3_000_000)))
    return path


def test_a_key_is_made_once_and_for_its_owner(shell: Shell, tmp_path: Path) -> None:
    """Mode 0600 whatever the umask; OpenSSL reads both halves; nothing is ever written over."""
    file = tmp_path / "release.key"
    made = shell.json("image", "key", "new", file)
    assert file.stat().st_mode & 0o777 == 0o600
    said = subprocess.run(
        ["openssl", "pkey", "-in", file, "-pubout"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said == Path(f"{file}.pub").read_text()
    assert shell.json("image", "key", "show", f"{file}.pub") == made
    assert "File exists" in shell("image", "key", "new", file, status=1)
    file.unlink()
    assert "release.key.pub" in shell("image", "key", "new", file, status=1)
    assert not file.exists()
    assert "no public key" in shell("image", "key", "show", __file__, status=1)
    assert "nobody is there to type it" in shell("image", "key", "new", file, "--passphrase", status=1)


def test_an_image_is_signed_as_it_is_imported(shell: Shell, disk: Path, tmp_path: Path) -> None:
    """With a key that never leaves; the signature is over the index the server has, and is shown."""
    file = tmp_path / "a.key"
    key = shell.json("image", "key", "new", file)
    assert key["id"] in shell("image", "import", "at-import", disk, *DISK, "--sign-with", file)
    image = shell.json("image", "show", "at-import")
    (signature,) = image["signatures"]
    assert (signature["id"], signature["key"]) == (key["id"], key["key"])
    index = tmp_path / "index"
    shell("image", "sign", "at-import", "--write-index", index)
    assert ChunkIndex.decode(index.read_bytes()).id == image["index"]
    assert Signature.of(signature["key"], signature["signature"]).holds(index.read_bytes())
    assert f"signed by  {key['id']}" in shell("image", "show", "at-import")
    assert "signed by nobody" in shell("image", "unsign", "at-import", key["id"])
    assert "signed by nobody" in shell("image", "unsign", "at-import", key["id"], status=1)
    assert "private key in a PEM" in shell(
        "image", "import", "never", disk, *DISK, "--sign-with", f"{file}.pub", status=1
    )
    assert 'no image "never"' in shell("image", "show", "never", status=1)


def test_openssl_signs_too(shell: Shell, disk: Path, tmp_path: Path) -> None:
    """With the index as a file: so a key on another machine, or in a token, signs."""
    key, public, index, signature = (tmp_path / name for name in ("key", "public", "index", "signature"))
    for command in (
        ("genpkey", "-algorithm", "ed25519", "-out", key),
        ("pkey", "-in", key, "-pubout", "-out", public),
    ):
        subprocess.run(["openssl", *command], check=True, timeout=60)
    shell("image", "import", "elsewhere", disk, *DISK)
    shell("image", "sign", "elsewhere", "--write-index", index)
    subprocess.run(
        ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", index, "-out", signature],
        check=True, timeout=60,
    )  # fmt: skip
    known = shell.json("image", "key", "show", public)
    image = shell.json("image", "sign", "elsewhere", "--signature", signature, "--by", public)
    assert [one["id"] for one in image["signatures"]] == [known["id"]]
    signature.write_bytes(bytes(64))
    assert "is no signature by" in shell(
        "image", "sign", "elsewhere", "--signature", signature, "--by", public, status=1
    )
    signature.write_bytes(b"MEUCIQ")
    said = shell("image", "sign", "elsewhere", "--signature", signature, "--by", public, status=1)
    assert "has 6 bytes" in said
    assert "belong together" in shell("image", "sign", "elsewhere", "--signature", signature, status=2)


def test_an_image_is_held_against_its_file_before_it_is_signed(
    shell: Shell, disk: Path, tmp_path: Path
) -> None:
    """A server that has other bytes gets no signature for them."""
    file = tmp_path / "b.key"
    shell("image", "key", "new", file)
    shell("image", "import", "compared", disk, *DISK)
    other = tmp_path / "other.raw"
    other.write_bytes(b"other" * 1000)
    said = shell("image", "sign", "compared", "--key", file, "--of", other, status=1)
    assert "is not the image in" in said
    assert shell.json("image", "show", "compared")["signatures"] == []
    plain = tmp_path / "plain.raw"
    plain.write_bytes(gzip.decompress(disk.read_bytes()))
    assert len(shell.json("image", "sign", "compared", "--key", file, "--of", plain)["signatures"]) == 1
    assert "cannot compare" in shell("image", "sign", "compared", "--key", file, "--of", "/none", status=1)


def test_nothing_but_an_index_is_signed(shell: Shell, disk: Path, tmp_path: Path) -> None:
    """A server could otherwise have anything signed, such as a message of another protocol."""
    file = tmp_path / "d.key"
    shell("image", "key", "new", file)
    shell("image", "import", "lying", disk, *DISK)
    index = shell.json("image", "show", "lying")["index"]
    (shell.state / "images" / "artefacts" / index).write_bytes(b"I owe you 1000 euros, and more than that.")
    for words in (("--key", file), ("--write-index", tmp_path / "index")):
        assert "is not the index of image" in shell("image", "sign", "lying", *words, status=1)
    assert not (tmp_path / "index").exists()


def test_a_key_that_others_can_read_is_told(shell: Shell, disk: Path, tmp_path: Path) -> None:
    """As ssh would; a passphrase is asked for where somebody can type it."""
    file = tmp_path / "c.key"
    shell("image", "key", "new", file)
    file.chmod(0o644)
    shell("image", "import", "loose", disk, *DISK)
    assert f"chmod 600 {file}" in shell("image", "sign", "loose", "--key", file)
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", locked],
        check=True, timeout=60,
    )  # fmt: skip
    assert "nobody is there to type it" in shell("image", "sign", "loose", "--key", locked, status=1)
    rsa = tmp_path / "rsa.key"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "rsa", "-out", rsa], check=True, timeout=60,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert "signed with ed25519" in shell("image", "sign", "loose", "--key", rsa, status=1)


def test_a_locked_key_signs_with_its_passphrase(tmp_path: Path) -> None:
    """And with no other."""
    from hostler.client.errors import ClientError
    from hostler.client.signing_key import load, load_public, make

    file = tmp_path / "locked.key"
    made = make(file, "open sesame")
    assert b"ENCRYPTED" in file.read_bytes()
    key = load(file, lambda: "open sesame", pytest.fail)
    assert key.public == made == load_public(Path(f"{file}.pub"))
    assert Signature.of(made.hex, key.sign(b"index")).holds(b"index")
    with pytest.raises(ClientError, match="passphrase is another one"):
        load(file, lambda: "sesame", pytest.fail)


def test_an_agent_that_trusts_somebody_is_not_replaced_by_accident(shell: Shell, tmp_path: Path) -> None:
    """Before anything is built: who builds it anew has to say whom it trusts, or nobody."""
    file = tmp_path / "agent"
    file.write_bytes(b"kernel")
    file.chmod(0o644)
    key = shell.json("image", "key", "new", tmp_path / "trusted.key")["key"]
    with Client(shell.lab.settings) as client:
        registered = client.register_agent("amd64", file, file, trusted_keys=[key], require_signed=True)
        assert (registered["trusted_keys"], registered["require_signed"]) == ([key], True)
        said = shell("agent", "build", "--arch", "amd64", status=1)
        assert "say --trust-nobody" in said
        assert client.agents() == [registered, *client.agents()[1:]]


WRONG: list[tuple[tuple[str, ...], int, str]] = [
    (("image", "sign", "x"), 2, "one of the arguments"),
    (("image", "sign", "x", "--key", "/none"), 1, "cannot read /none"),
    (
        ("image", "import", "x", "live.iso", "--sign-with", "/none"),
        2,
        "only an image of a disk can be signed",
    ),
    (("agent", "build", "--require-signed", "--no-register"), 1, "needs --trust"),
    (("agent", "build", "--trust", "a", "--trust-nobody", "--no-register"), 1, "the opposite"),
    (("agent", "build", "--trust", "/none", "--no-register"), 1, "cannot read /none"),
]


@pytest.mark.parametrize(("arguments", "status", "says"), WRONG)
def test_what_does_not_fit_is_refused(
    shell: Shell, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """Before anything is asked, sent or built."""
    assert says in shell(*arguments, status=status)
