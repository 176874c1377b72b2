"""The whole API asked at random: schemathesis reads its description and makes up what to send."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from served_lab import served

HERE = str(Path(__file__).parent)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDLESS = "/watch$"
"""These answer until the caller goes away; events that are followed are left out by ``fuzz_hooks``."""


@pytest.mark.parametrize("who", ["admin", "anna"])
async def test_nothing_that_can_be_sent_breaks_the_server(tmp_path: Path, who: str) -> None:
    """Whatever is sent, no answer is a server error, and each is one that the description promises."""
    async with served(tmp_path) as lab:
        # The command line is a process of its own, so that it can be ended and its threads are not ours.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{lab.url}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {lab.tokens[who]}", "--checks", CHECKS,
            "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1",
            "--exclude-path-regex", ENDLESS, "--request-timeout", "20", "--warnings", "off", "--no-color",
            cwd=tmp_path, env={**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": HERE},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(300):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, said.decode(errors="replace")[-8000:]
