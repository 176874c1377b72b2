"""net-snmp's snmpd with objects of our choice, for whatever speaks SNMP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Speaks snmpd's pass_persist protocol. A write changes other objects: {"oid": {"value": {"oid": value}}}.
_OBJECTS = """
import json, sys
spec = json.load(open(sys.argv[1]))
effects = spec["effects"]
values = {**dict.fromkeys(effects, 0), **spec["values"]}  # snmpd writes only what can be read
order = lambda oid: [int(n) for n in oid.strip(".").split(".")]
ask = lambda: sys.stdin.readline().strip()
def say(*lines):
    for line in lines:
        print(line)
    sys.stdout.flush()
for line in iter(sys.stdin.readline, ""):  # a set is followed by an empty line
    command = line.strip()
    if command == "PING":
        say("PONG")
    elif command in ("get", "getnext"):
        oid = ask().strip(".")
        if command == "getnext":
            later = sorted((o for o in values if order(o) > order(oid)), key=order)
            oid = later[0] if later else ""
        if oid in values:
            value = values[oid]  # a text holds octets in hex: "80 00"
            say("." + oid, *(("octet", value) if isinstance(value, str) else ("integer", value)))
        else:
            say("NONE")
    elif command == "set":
        oid, value = ask().strip("."), ask().split()[-1]
        if oid not in effects:
            say("not-writable")
        elif value not in effects[oid]:
            say("wrong-value")
        else:
            values.update(effects[oid][value])
            say("DONE")
"""

USER_LINES = """
createUser signed SHA "signed-password"
createUser sealed SHA-256 "sealed-password" AES "sealed-privacy"
createUser old MD5 "old-password" DES "old-privacy"
createUser reader SHA "reader-password"
rwuser signed auth
rwuser sealed priv
rwuser old priv
rouser reader auth
rwcommunity test
rocommunity look
"""


@asynccontextmanager
async def snmpd(
    folder: Path, values: dict[str, int | str], effects: dict[str, dict[int, dict[str, int]]]
) -> AsyncIterator[int]:
    """Run an agent whose objects are ``values``; yields its UDP port."""
    folder.mkdir(exist_ok=True)
    script, spec, config = folder / "objects.py", folder / "objects.json", folder / "snmpd.conf"
    script.write_text(_OBJECTS)
    spec.write_text(json.dumps({"values": values, "effects": effects}))
    config.write_text(
        f"{USER_LINES}\npass_persist .1.3.6.1.4.1 {sys.executable} -u {script} {spec}\n"
        f"pass_persist .1.3.6.1.2.1.105 {sys.executable} -u {script} {spec}\n"
        f"pass_persist .1.3.6.1.2.1.17 {sys.executable} -u {script} {spec}\n"
        # Before the interfaces of this machine.
        f"pass_persist -p 10 .1.3.6.1.2.1.2.2.1.8 {sys.executable} -u {script} {spec}\n"
    )
    port = free_port(socket.SOCK_DGRAM)
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/snmpd", "-f", "-Le", "-C", "-c", str(config), "-I", "-smux", f"udp:127.0.0.1:{port}",
        env={**os.environ, "SNMP_PERSISTENT_DIR": str(folder)},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            while b"NET-SNMP version" not in said:
                line = await process.stderr.readline()
                assert line, f"snmpd ended: {said.decode()}"
                said += line
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
