"""A strip of outlets that speaks like each of the devices ``http_plug`` knows; for tests and for trying."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from ssl import SSLContext

_REALM, _NONCE = "plug", "dcd98b7102dd2f0e"


class FakePlug:
    """A device of one model with some outlets.

    Attributes:
        outlets: State by the name or number the device counts by.
        misbehaviour: Empty, ``lie`` (agrees and does nothing), ``garbage`` (answers no JSON), ``endless``.
        requests: Method and path of every request, as it came.
    """

    def __init__(self, model: str, outlets: list[str], user: str = "", password: str = "") -> None:
        self.outlets = dict.fromkeys(outlets, False)
        self.misbehaviour = ""
        self.requests: list[str] = []
        self._model = model
        self._user, self._password = user, password

    @asynccontextmanager
    async def serve(self, tls: SSLContext | None = None) -> AsyncIterator[str]:
        """Listen on a free port of loopback, with TLS where a context is given; yields ``host:port``."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        try:
            host, port = runner.addresses[0][:2]
            yield f"{host}:{port}"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self.misbehaviour == "garbage":
            return web.Response(text="<html>Please log in</html>", content_type="text/html")
        if self.misbehaviour == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 65536)
        dialect: dict[str, Callable[[web.BaseRequest, bytes], web.Response]] = {
            "shelly": self._shelly,
            "shelly2": self._shelly2,
            "tasmota": self._tasmota,
            "esphome": self._esphome,
            "netio": self._netio,
        }
        return dialect[self._model](request, await request.read())

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Basic where the device does so, digest with SHA-256 for shelly2, MD5 for esphome."""
        if not self._user:
            return None
        given = request.headers.get("Authorization", "")
        if self._model == "tasmota":
            if (request.query.get("user"), request.query.get("password")) == (self._user, self._password):
                return None
            return _answer({"WARNING": "Need user=<username>&password=<password>"})
        algorithm = {"shelly2": "SHA-256", "esphome": "MD5"}.get(self._model)
        if algorithm is None:
            expected = b64encode(f"{self._user}:{self._password}".encode()).decode()
            return None if given == f"Basic {expected}" else _unauthorized(f'Basic realm="{_REALM}"')
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given))

        def digest(text: str) -> str:
            return hashlib.new(algorithm.replace("-", ""), text.encode(), usedforsecurity=False).hexdigest()

        secret = digest(f"{self._user}:{_REALM}:{self._password}")
        asked = digest(f"{request.method}:{request.path_qs}")
        said = ":".join(fields.get(key, "") for key in ("nonce", "nc", "cnonce", "qop"))
        if given.startswith("Digest") and fields.get("response") == digest(f"{secret}:{said}:{asked}"):
            return None
        challenge = f'Digest realm="{_REALM}", nonce="{_NONCE}", qop="auth", algorithm={algorithm}'
        return _unauthorized(challenge)

    def _switch(self, outlet: str, on: bool) -> None:
        if self.misbehaviour != "lie":
            self.outlets[outlet] = on

    def _shelly(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        if request.path == "/status":
            relays = [{"ison": on, "source": "http"} for on in self.outlets.values()]
            return _answer(
                {"relays": relays, "meters": [{"power": 4.5 * on} for on in self.outlets.values()]}
            )
        outlet = request.path.removeprefix("/relay/")
        if outlet not in self.outlets:
            return web.Response(status=404, text="Not Found")
        self._switch(outlet, request.query["turn"] == "on")
        return _answer({"ison": self.outlets[outlet], "has_timer": False})

    def _shelly2(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        outlet = request.query["id"]
        if outlet not in self.outlets:
            problem = {"code": -105, "message": f"Argument 'id', value {outlet} not found!"}
            return _answer(problem, status=500)
        was = self.outlets[outlet]
        if request.path == "/rpc/Switch.Set":
            self._switch(outlet, {"true": True, "false": False}[request.query["on"]])
            return _answer({"was_on": was})
        if request.path != "/rpc/Switch.GetStatus":
            return web.Response(status=404)
        return _answer({"id": int(outlet), "source": "HTTP_in", "output": was, "apower": 4.5 * was})

    def _tasmota(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        words = re.fullmatch(r"Power(\d+)(?: (On|Off))?", request.query.get("cmnd", ""))
        if request.path != "/cm" or not words or words[1] not in self.outlets:
            return _answer({"Command": "Unknown"})
        if words[2]:
            self._switch(words[1], words[2] == "On")
        key = f"POWER{words[1]}" if len(self.outlets) > 1 else "POWER"
        return _answer({key: "ON" if self.outlets[words[1]] else "OFF"})

    def _esphome(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        words = re.fullmatch(r"/switch/([^/]+)(?:/(turn_on|turn_off))?", request.path)
        if not words or words[1] not in self.outlets:
            return web.Response(status=404)
        if words[2]:
            if request.method != "POST":
                return web.Response(status=405)
            self._switch(words[1], words[2] == "turn_on")
            return web.Response()
        on = self.outlets[words[1]]
        return _answer({"id": f"switch-{words[1]}", "value": on, "state": "ON" if on else "OFF"})

    def _netio(self, request: web.BaseRequest, body: bytes) -> web.Response:
        if request.path != "/netio.json":
            return web.Response(status=404)
        if request.method == "POST":
            for wish in json.loads(body)["Outputs"]:
                if str(wish["ID"]) not in self.outlets or wish["Action"] not in (0, 1):
                    return _answer({"result": {"error": {"code": 400}}}, status=400)
                self._switch(str(wish["ID"]), wish["Action"] == 1)
        outputs = [
            {"ID": int(outlet), "Name": f"output_{outlet}", "State": int(on), "Action": 6, "Load": 4 * on}
            for outlet, on in self.outlets.items()
        ]
        return _answer({"Agent": {"Model": "fake", "NumOutputs": len(outputs)}, "Outputs": outputs})


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json", status=status)


def _unauthorized(challenge: str) -> web.Response:
    return web.Response(status=401, headers={"WWW-Authenticate": challenge})
