"""Every model of the web-switched plugs, with a password where the device can ask for one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from power_case import PowerCase

from hostler.drivers.power.http_plug_fake import FakePlug
from hostler.drivers.registry import power_driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostler.drivers.power.protocol import PowerDriver

# netio's protocol spelt out as a person would for a device that has no row of its own
DESCRIBED = {
    "model": "rest",
    "on": "POST /netio.json",
    "on_body": '{"Outputs":[{"ID":{outlet},"Action":1}]}',
    "off": "POST /netio.json",
    "off_body": '{"Outputs":[{"ID":{outlet},"Action":0}]}',
    "get": "GET /netio.json",
    "state": "Outputs.ID={outlet}.State",
    "on_value": 1,
    "off_value": 0,
}


@asynccontextmanager
async def _http_plug() -> AsyncIterator[PowerDriver]:
    plug = FakePlug("shelly2", ["0", "1"], "admin", "s3cret")
    async with plug.serve() as host:
        login = {"user": "admin", "password": "env:LAB_PASSWORD"}
        yield power_driver("http-plug", {"host": host, "model": "shelly2", **login}, {"outlet": 1})


CASES = {"http-plug": PowerCase(_http_plug, {"host": "plug", "model": "shelly2"}, {"outlet": 0})}
