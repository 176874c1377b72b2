"""A management controller that speaks as much Redfish as switching takes; for tests and for trying."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

_ROOT = "/redfish/v1"


class FakeRedfish:
    """A controller with some systems.

    Attributes:
        systems: Power state by the system's id.
        allowed: The reset types it offers; None names none, as old controllers do.
        lag: That many readings after a reset say PoweringOn or PoweringOff.
        misbehaviour: Empty, ``lie`` (agrees and does nothing), ``garbage`` (answers no JSON).
        resets: Every reset asked for: system and type.
        boot: The boot override by the system's id, as the property ``Boot`` shows it.
        tags: Empty, ``needed`` (428 without If-Match), ``fickle`` (no tag it told ever matches).
    """

    def __init__(self, systems: list[str], user: str, password: str) -> None:
        self.systems = dict.fromkeys(systems, "Off")
        self.allowed: list[str] | None = ["On", "ForceOff", "GracefulShutdown", "ForceRestart"]
        self.lag = 0
        self.misbehaviour = ""
        self.resets: list[tuple[str, str]] = []
        self.boot: dict[str, dict[str, Any]] = {
            name: {
                "BootSourceOverrideEnabled": "Disabled",
                "BootSourceOverrideTarget": "None",
                "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "UefiHttp"],
            }
            for name in systems
        }
        self.tags = ""
        self._login = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        self._changing: dict[str, tuple[int, str]] = {}

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Listen on a free port of loopback; yields ``host:port``."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        try:
            host, port = runner.addresses[0][:2]
            yield f"{host}:{port}"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path.rstrip("/")
        if path == _ROOT:  # the root is open to everybody (DSP0266 section 13.3.3)
            return _answer({"RedfishVersion": "1.15.0", "Systems": {"@odata.id": f"{_ROOT}/Systems"}})
        if request.headers.get("Authorization") != self._login:
            return _error(401, "Base.1.8.NoValidSession", "There is no valid session established.")
        if self.misbehaviour == "garbage":
            return web.Response(text="<html>Please log in</html>", content_type="text/html")
        if path == f"{_ROOT}/Systems":
            members = [{"@odata.id": f"{_ROOT}/Systems/{name}"} for name in self.systems]
            return _answer({"Members": members, "Members@odata.count": len(members)})
        name, _, action = path.removeprefix(f"{_ROOT}/Systems/").partition("/")
        if name not in self.systems:
            return _error(404, "Base.1.8.ResourceMissingAtURI", f"The resource at {path} was not found.")
        if not action and request.method == "GET":
            return _answer(self._system(name), tag=self._tag(name) if self.tags else "")
        if not action and request.method == "PATCH":
            match = request.headers.get("If-Match", "")
            return self._patch(name, json.loads(await request.read()), match)
        if action == "Actions/ComputerSystem.Reset" and request.method == "POST":
            return self._reset(name, json.loads(await request.read()))
        return _error(405, "Base.1.8.OperationNotAllowed", "The method is not allowed.")

    def _system(self, name: str) -> dict[str, Any]:
        left, passing = self._changing.pop(name, (0, ""))
        if left > 1:
            self._changing[name] = (left - 1, passing)
        reset: dict[str, Any] = {"target": f"{_ROOT}/Systems/{name}/Actions/ComputerSystem.Reset"}
        if self.allowed is not None:
            reset["ResetType@Redfish.AllowableValues"] = self.allowed
        return {
            "@odata.id": f"{_ROOT}/Systems/{name}",
            "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem",
            "Id": name,
            "Boot": self.boot[name],
            "PowerState": passing or self.systems[name],
            "Actions": {"#ComputerSystem.Reset": reset},
        }

    def _tag(self, name: str) -> str:
        return f'W/"{zlib.crc32(json.dumps(self.boot[name]).encode()):08x}"'

    def _patch(self, name: str, body: dict[str, Any], match: str) -> web.Response:
        if self.tags == "needed" and match != self._tag(name):
            status = 412 if match else 428
            return _error(status, "Base.1.8.PreconditionFailed", "The ETag supplied did not match.")
        if self.tags == "fickle" and match:
            return _error(412, "Base.1.8.PreconditionFailed", "The ETag supplied did not match.")
        if body.keys() != {"Boot"}:
            return _error(400, "Base.1.8.PropertyUnknown", "The property is not known.")
        if self.misbehaviour != "lie":
            self.boot[name] |= body["Boot"]
        return web.Response(status=204)

    def _reset(self, name: str, body: dict[str, Any]) -> web.Response:
        kind = body.get("ResetType")
        self.resets.append((name, str(kind)))
        state = {"On": "On", "ForceOn": "On", "ForceOff": "Off"}.get(str(kind))
        if state is None or (self.allowed is not None and kind not in self.allowed):
            return _error(400, "Base.1.8.ActionParameterNotSupported", f"ResetType {kind} is not supported.")
        if state == self.systems[name]:  # as several vendors do
            return _error(409, "Base.1.8.NoOperation", "The request would change nothing.")
        if self.misbehaviour != "lie":
            self.systems[name] = state
            if self.lag:
                self._changing[name] = (self.lag, f"Powering{state}")
        return web.Response(status=204)


def _answer(value: Any, status: int = 200, tag: str = "") -> web.Response:
    headers = {"OData-Version": "4.0"} | ({"ETag": tag} if tag else {})
    return web.Response(
        text=json.dumps(value), content_type="application/json", status=status, headers=headers
    )


def _error(status: int, identity: str, message: str) -> web.Response:
    info = [{"MessageId": identity, "Message": message, "Severity": "Critical"}]
    return _answer(
        {"error": {"code": identity, "message": "A general error.", "@Message.ExtendedInfo": info}}, status
    )
