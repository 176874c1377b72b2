"""Mosquitto, and a device behind it that does what its topics say."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiomqtt

from free_ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[str]:
    """Run a broker on loopback that knows user ``lab`` with password ``s3cret``; yields ``host:port``."""
    port = free_port()
    passwords = folder / "passwords"
    maker = await asyncio.create_subprocess_exec("mosquitto_passwd", "-b", "-c", passwords, "lab", "s3cret")
    assert await maker.wait() == 0
    config = folder / "mosquitto.conf"
    # "user root" keeps it from changing its user, which may not read a test's folder.
    config.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
    )
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "mosquitto is not installed: scripts/setup test"
    broker = await asyncio.create_subprocess_exec(
        program, "-c", config, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
        yield f"127.0.0.1:{port}"
    finally:
        broker.terminate()
        await broker.wait()


class Device:
    """Two outlets of a model, subscribed to its topics; ``deaf`` makes it do nothing."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.on = {"1": False, "2": False}
        self.deaf = False

    @asynccontextmanager
    async def connected(self, broker: str) -> AsyncIterator[Device]:
        host, port = broker.split(":")
        will = {"tasmota": ("tele/plug/LWT", "Offline"), "esphome": ("plug/status", "offline")}.get(
            self.model
        )
        async with aiomqtt.Client(
            host, int(port), username="lab", password="s3cret",
            will=aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None,
        ) as client:  # fmt: skip
            await client.subscribe("#", options=None, qos=1)
            if will:
                await client.publish(will[0], {"Offline": "Online", "offline": "online"}[will[1]], 1, True)
            for outlet in self.on:
                await self._tell(client, outlet)
            task = asyncio.ensure_future(self._serve(client))
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _serve(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = bytes(message.payload).decode()  # type: ignore[arg-type]
            for outlet in self.on:
                wish = self._wish(outlet, message.topic.value, payload)
                if wish is None or self.deaf:
                    continue
                if wish in ("on", "off"):
                    self.on[outlet] = wish == "on"
                await self._tell(client, outlet)

    def _wish(self, outlet: str, topic: str, payload: str) -> str | None:
        """``on``, ``off`` or ``tell``; None when the message is not for this outlet."""
        match self.model:
            case "tasmota" if topic == f"cmnd/plug/POWER{outlet}":
                return payload.lower() or "tell"
            case "shelly" if topic == f"shellies/plug/relay/{outlet}/command":
                return payload
            case "shelly" if (topic, payload) == ("shellies/plug/command", "update"):
                return "tell"
            case "shelly2" if topic == f"plug/command/switch:{outlet}":
                return {"status_update": "tell"}.get(payload, payload)
            case "esphome" if topic == f"plug/switch/{outlet}/command":
                return payload.lower()
            case "zigbee2mqtt" if topic in ("zigbee2mqtt/plug/set", "zigbee2mqtt/plug/get"):
                wish = json.loads(payload).get(f"state{outlet}")
                return None if wish is None else wish.lower() or "tell"
        return None

    async def _tell(self, client: aiomqtt.Client, outlet: str) -> None:
        on = self.on[outlet]
        word = "ON" if on else "OFF"
        topic, payload, retain = {
            "tasmota": (f"stat/plug/POWER{outlet}", word, False),
            "shelly": (f"shellies/plug/relay/{outlet}", word.lower(), True),
            "shelly2": (f"plug/status/switch:{outlet}", json.dumps({"id": 0, "output": on}), False),
            "esphome": (f"plug/switch/{outlet}/state", word, True),
            "zigbee2mqtt": (
                "zigbee2mqtt/plug",
                json.dumps({f"state{outlet}": word, "linkquality": 80}),
                True,
            ),
        }[self.model]
        await client.publish(topic, payload, qos=1, retain=retain)
