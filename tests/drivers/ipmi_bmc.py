"""A management controller by openipmi's ipmi_sim, whose chassis is a file that says 1 or 0."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CONFIG = """
name "lab"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 {port}
  priv_limit admin
  allowed_auths_callback none md2 md5 straight
  allowed_auths_user none md2 md5 straight
  allowed_auths_operator none md2 md5 straight
  allowed_auths_admin none md2 md5 straight
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "{chassis}"
user 1 true "" "test" user 10 none md2 md5 straight
user 2 true "admin" "s3cret" admin 10 none md2 md5 straight
user 3 true "hand" "s3cret" operator 10 none md2 md5 straight
"""

_CONTROLLER = """
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""

_CHASSIS = """#!/bin/sh
case "$1 $2" in
  "get power") echo "power:$(cat {state})" ;;
  "set power") echo "$3" > {state} ;;
  "get boot") echo "boot:$(cat {state}.boot)" ;;
  "set boot") echo "$3" > {state}.boot ;;
esac
"""


@asynccontextmanager
async def ipmi_sim(folder: Path) -> AsyncIterator[str]:
    """Run a controller that lets in admin and hand, both with the password s3cret; yields its address."""
    config, controller, chassis, state = (folder / n for n in ("lan.conf", "mc.emu", "chassis", "state"))
    port = free_port(socket.SOCK_DGRAM)
    config.write_text(_CONFIG.format(port=port, chassis=chassis))
    controller.write_text(_CONTROLLER)
    chassis.write_text(_CHASSIS.format(state=state))
    chassis.chmod(0o755)
    state.write_text("0\n")
    Path(f"{state}.boot").write_text("default\n")
    process = await asyncio.create_subprocess_exec(
        "ipmi_sim", "-n", "-c", str(config), "-f", str(controller), "-s", str(folder),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while f":{port:04X} " not in Path("/proc/net/udp").read_text():
                assert process.returncode is None, "ipmi_sim ended"
                await asyncio.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
