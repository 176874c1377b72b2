"""What the server writes to the terminal it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_log_speaks_to_nobodys_terminal(tmp_path: Path) -> None:
    """What comes into a log line from outside cannot control a terminal, and lines stay lines."""
    code = (
        "import logging; from hostler.serve import _log_to_stderr; _log_to_stderr(); "
        "logging.getLogger('x').warning('%s', 'a\\x1b]0;owned\\x07\\x9bb\\ud800')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stderr.endswith("WARNING x: a\ufffd]0;owned\ufffd\ufffdb\ufffd\n")
