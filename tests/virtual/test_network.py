"""The lab's own network, as the kernel and its tools tell of it."""

from __future__ import annotations

import os
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

import pytest

from hostler.virtual.network import NetworkUnavailable, open_network

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.netns
SERVER = IPv4Interface("10.77.0.1/24")


async def test_what_the_bridge_tells_is_read_whatever_is_said_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning is no part of the answer, a port without a state is left out; other words are an error."""
    network = await open_network("br0", SERVER, ["port1"])
    try:
        assert list(await network.forwarding()) == ["port1"]
        assert await network.learned("br0") == {}
        tool = tmp_path / "bridge"
        tool.write_text(
            "#!/bin/sh\necho 'Warning: old kernel' >&2\n"
            """echo '[{"ifname": "port1", "flags": ["UP"], "state": "blocking"}, {"ifname": "x"}]'\n"""
        )
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert await network.forwarding() == {"port1": (True, "blocking")}
        tool.write_text("#!/bin/sh\necho 'not of this kernel'\n")
        with pytest.raises(NetworkUnavailable, match="bridge did not print JSON"):
            await network.forwarding()
        tool.write_text("#!/bin/sh\necho 'Cannot send dump request' >&2\nexit 1\n")
        with pytest.raises(NetworkUnavailable, match="Cannot send dump request"):
            await network.learned("br0")
    finally:
        await network.close()
