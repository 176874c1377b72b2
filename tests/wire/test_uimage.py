"""Scripts for U-Boot, beside what its own tool makes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hostler.wire import uimage


def test_a_script_is_what_mkimage_makes(tmp_path: Path):
    """Byte for byte, at the same time."""
    text = "echo Hostler: b1\ntftpboot 0x40400000 boot/kernel\n"
    (tmp_path / "boot.cmd").write_text(text)
    subprocess.run(
        ["mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", "Hostler: b1", "-d", "boot.cmd",
         "out"],
        cwd=tmp_path, check=True, capture_output=True, timeout=30,
        env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
    )  # fmt: skip
    assert uimage.script(text, "Hostler: b1") == (tmp_path / "out").read_bytes()


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_has_a_header_of_its_own(text: str, name: str):
    """The header is always 64 bytes and says how much follows; a long name is cut."""
    made = uimage.script(text, name)
    assert int.from_bytes(made[12:16], "big") == len(made) - 64
    assert int.from_bytes(made[64:68], "big") == len(text.encode())
