"""Building the web pages: what is fetched for them does not hold up a set-up for ever."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "pages"


def program(path: Path, text: str) -> None:
    """Write a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_registry_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """There is a deadline for npm as a whole, here a second instead of 300; the failure says what to do."""
    node = tmp_path / "node"
    program(tmp_path / ".venv/bin/python", f"echo {node}")
    program(node / "bin/node", "exec sleep 600")
    timeout = shutil.which("timeout")
    program(
        node / "bin/timeout",
        f'for word; do shift; [ "$word" = 300 ] && word=1; set -- "$@" "$word"; done\nexec {timeout} "$@"',
    )
    (tmp_path / "web").mkdir()
    (tmp_path / "web/package-lock.json").write_text("{}")
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(SCRIPT, tmp_path / "scripts")
    done = subprocess.run([script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "within 300 seconds" in done.stderr
    assert "run scripts/pages again" in done.stderr
    assert not (tmp_path / "src").exists()
