"""Plugs, strips and relays that are switched by a web request and tell their state in JSON.

Equipment: ``host = "10.0.0.7"`` or ``"10.0.0.7:8080"``, ``model`` (a row of MODELS, or ``rest``), optional
``user``, ``password`` (a reference), ``tls``, ``ca_file``, ``timeout``, ``min_off_seconds``. Binding:
``outlet``, the number the device counts by (a name with ``esphome``).

``model = "rest"`` describes anything else, in the equipment's table::

    on = "POST /api/outlets/{outlet}"
    on_body = '{"power": true}'
    off = "POST /api/outlets/{outlet}"
    off_body = '{"power": false}'
    get = "GET /api/outlets"                  # without it nothing can be read back
    state = "outlets.id={outlet}.power"       # without it the whole answer is the value
    on_value = true
    off_value = false
    watts = "outlets.id={outlet}.watts"
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable, UnknownPort
from hostler.drivers.power.answers import ABSENT, find, same, shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.drivers.secrets import SecretReference
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import httpx2

_LARGEST_ANSWER = 262_144  # a strip's whole status is some kilobytes


@dataclass(frozen=True, slots=True)
class Model:
    """What differs between devices. ``{outlet}`` stands for the binding's outlet.

    Attributes:
        on: Method and path that switch on.
        off: Method and path that switch off.
        on_body: JSON sent with ``on``.
        off_body: JSON sent with ``off``.
        get: Method and path that read; empty where nothing can be read.
        state: Where in the answer the state is: keys, list indexes or ``key=value``, separated by dots.
        state_of_one: The same where the device has only one outlet and then leaves the number out.
        on_value: The state that means on.
        off_value: The state that means off.
        watts: Where in the answer the power drawn is; empty where it is not measured.
        first_outlet: The lowest number of an outlet; None where outlets have names.
        password_in_query: User and password go into the query; else as the device demands by its 401.
        login_refused: A key that only an answer to a wrong password has.
        set_tells_state: The answer to ``on`` and ``off`` carries the state; one without it is a refusal.
    """

    on: str
    off: str
    get: str
    state: str
    on_body: str = ""
    off_body: str = ""
    state_of_one: str = ""
    on_value: object = True
    off_value: object = False
    watts: str = ""
    first_outlet: int | None = None
    password_in_query: bool = False
    login_refused: str = ""
    set_tells_state: bool = False


MODELS = {
    "shelly": Model(  # generation 1
        on="GET /relay/{outlet}?turn=on",
        off="GET /relay/{outlet}?turn=off",
        get="GET /status",
        state="relays.{outlet}.ison",
        watts="meters.{outlet}.power",
        first_outlet=0,
    ),
    "shelly2": Model(  # generation 2 and later
        on="GET /rpc/Switch.Set?id={outlet}&on=true",
        off="GET /rpc/Switch.Set?id={outlet}&on=false",
        get="GET /rpc/Switch.GetStatus?id={outlet}",
        state="output",
        watts="apower",
        first_outlet=0,
    ),
    "tasmota": Model(  # refuses with status 200 and {"WARNING": …} or {"Command": "Unknown"}
        on="GET /cm?cmnd=Power{outlet}%20On",
        off="GET /cm?cmnd=Power{outlet}%20Off",
        get="GET /cm?cmnd=Power{outlet}",
        state="POWER{outlet}",
        state_of_one="POWER",
        on_value="ON",
        off_value="OFF",
        first_outlet=1,
        password_in_query=True,
        login_refused="WARNING",
        set_tells_state=True,
    ),
    "esphome": Model(  # component web_server
        on="POST /switch/{outlet}/turn_on",
        off="POST /switch/{outlet}/turn_off",
        get="GET /switch/{outlet}",
        state="state",
        on_value="ON",
        off_value="OFF",
    ),
    "netio": Model(  # M2M API protocol JSON
        on="POST /netio.json",
        off="POST /netio.json",
        on_body='{"Outputs":[{"ID":{outlet},"Action":1}]}',
        off_body='{"Outputs":[{"ID":{outlet},"Action":0}]}',
        get="GET /netio.json",
        state="Outputs.ID={outlet}.State",
        on_value=1,
        off_value=0,
        watts="Outputs.ID={outlet}.Load",
        first_outlet=1,
    ),
}

_DESCRIBED = ("on", "on_body", "off", "off_body", "get", "state", "on_value", "off_value", "watts")
_REQUEST = re.compile(r"(GET|POST|PUT|PATCH) (/\S*)")


@dataclass(frozen=True, slots=True)
class HttpPlugConfig:
    """One outlet of one device.

    Attributes:
        url: Scheme, host and port.
        model: How the device is spoken to.
        model_name: Its name, for messages.
        outlet: Number or name.
        user: Who to log in as; empty for nobody.
        password: Where the password is.
        ca_file: Who vouches for the device's certificate; empty for the system's authorities.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    url: str
    model: Model
    model_name: str
    outlet: str
    user: str
    password: SecretReference | None
    ca_file: str
    timeout: float
    min_off_seconds: float


class HttpPlug:
    """One outlet; see HttpPlugConfig."""

    def __init__(self, config: HttpPlugConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(
            can_read=bool(config.model.get),
            min_off_seconds=config.min_off_seconds,
            watts=bool(config.model.watts),
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> HttpPlug:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        name = settings.text(equipment, "model")
        if name != "rest" and name not in MODELS:
            raise DriverConfigError("model", f'there is no "{name}"; known: {", ".join(MODELS)}, rest')
        keys = ("host", "model", "user", "password", "tls", "ca_file", "timeout", "min_off_seconds")
        settings.only(equipment, *keys, *(_DESCRIBED if name == "rest" else ()))
        settings.only(binding, "outlet")
        model = _described(equipment) if name == "rest" else MODELS[name]
        tls = equipment.get("tls", False)
        if not isinstance(tls, bool):
            raise DriverConfigError("tls", f"must be true or false, not {tls!r}")
        host, port = settings.address(equipment, "host", default_port=443 if tls else 80)
        if ("user" in equipment) != ("password" in equipment):
            key = "password" if "user" in equipment else "user"
            raise DriverConfigError(key, "is missing: user and password go together")
        return cls(
            HttpPlugConfig(
                url=f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}",
                model=model,
                model_name=name,
                outlet=_outlet(model, name, binding),
                user=settings.text(equipment, "user") if "user" in equipment else "",
                password=SecretReference.parse("password", equipment["password"])
                if "password" in equipment
                else None,
                ca_file=settings.text(equipment, "ca_file") if "ca_file" in equipment else "",
                timeout=settings.seconds(equipment, "timeout", 5.0),
                # The supply behind a plug holds its charge for seconds, longer than the board it feeds.
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Send the model's request for on or off."""
        model = self.config.model
        request, body = (model.on, model.on_body) if wants_on(state) else (model.off, model.off_body)
        answer = await self._ask(request, body)
        if model.set_tells_state and self._find(self._json(answer), model.state) is ABSENT:
            raise EquipmentRefused(f"{self}: refuses to switch {state}: {shown(answer)}")

    async def get(self) -> PowerReading:
        """Read the state, and the power drawn where the model measures it."""
        model = self.config.model
        if not model.get:
            return PowerReading(PowerState.UNKNOWN, None, "cannot be read")
        answer = await self._ask(model.get, "")
        tree = self._json(answer) if model.state else answer.decode(errors="replace").strip()
        value = self._find(tree, model.state)
        if value is ABSENT:
            raise UnknownPort(
                f"{self}: its answer tells nothing of outlet {self.config.outlet}: {shown(answer)}"
            )
        watts = self._find(tree, model.watts) if model.watts else None
        if isinstance(watts, bool) or not isinstance(watts, int | float):
            watts = None
        for meant, state in ((model.on_value, PowerState.ON), (model.off_value, PowerState.OFF)):
            if same(value, meant):
                return PowerReading(state, watts, f"{self.config.model_name}: {state}")
        return PowerReading(PowerState.UNKNOWN, watts, f"neither on nor off: {shown(value)}")

    def _find(self, tree: object, path: str) -> object:
        model = self.config.model
        value = find(tree, path.replace("{outlet}", self.config.outlet)) if path else tree
        if value is ABSENT and model.state_of_one and self.config.outlet == str(model.first_outlet):
            return find(tree, model.state_of_one)
        return value

    def _json(self, answer: bytes) -> object:
        try:
            tree = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise EquipmentRefused(
                f"{self}: answers, but with no JSON: {shown(answer)}; is it a {self.config.model_name}?"
            ) from error
        if self.config.model.login_refused and find(tree, self.config.model.login_refused) is not ABSENT:
            raise EquipmentRefused(f"{self}: {self._login_told()}: check user and password")
        return tree

    def _login_told(self) -> str:
        config = self.config
        return f"lets nobody in as {config.user} ({config.password})" if config.user else "wants a password"

    async def _ask(self, request: str, body: str) -> bytes:
        import httpx2  # late: a tenth of a second that only labs with such plugs pay

        config = self.config
        method, path = request.replace("{outlet}", quote(config.outlet, safe="")).split(" ", 1)
        content = body.replace("{outlet}", config.outlet).encode()
        auth = None
        if config.password and config.model.password_in_query:
            for logger in ("httpx2", "httpcore2"):
                logging.getLogger(logger).setLevel(logging.WARNING)  # below that they write out every URL
            path += f"&user={quote(config.user, safe='')}&password={quote(config.password.reveal(), safe='')}"
        elif config.password:
            auth = _as_demanded(config.user, config.password.reveal())
        verify: ssl.SSLContext | bool = False
        if config.url.startswith("https:"):
            verify = self._trust()
        try:
            async with (
                deadline(str(self), config.timeout),
                # No proxy of the environment: equipment stands in the lab's own network.
                httpx2.AsyncClient(auth=auth, verify=verify, trust_env=False, timeout=None) as client,
                client.stream(
                    method,
                    config.url + path,
                    content=content or None,
                    headers={"content-type": "application/json"} if content else None,
                ) as response,
            ):
                answer = b""
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > _LARGEST_ANSWER:
                        raise EquipmentRefused(f"{self}: its answer does not end; is it the right host?")
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise EquipmentUnreachable(f"{self}: {str(error) or type(error).__name__}") from error
        self._check(response.status_code, answer)
        return answer

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.config.ca_file or None)
        except OSError as error:
            raise DriverConfigError("ca_file", f"cannot be read: {error}") from error

    def _check(self, status: int, answer: bytes) -> None:
        if 200 <= status < 300:
            return
        if status in (401, 403):
            raise EquipmentRefused(f"{self}: {self._login_told()}: check user and password ({status})")
        # Shelly's second generation says 500 for an outlet it does not have, and why only in the body.
        if status == 404 or (status == 500 and b'"code":-105' in answer.replace(b" ", b"")):
            raise UnknownPort(
                f"{self}: has no outlet {self.config.outlet}, or is no {self.config.model_name}"
            )
        raise EquipmentRefused(f"{self}: answers with status {status}: {shown(answer)}")

    def __str__(self) -> str:
        return f"{self.config.model_name} {self.config.url}"


def _described(table: Mapping[str, object]) -> Model:
    on_value, off_value = table.get("on_value", True), table.get("off_value", False)
    if same(on_value, off_value):
        raise DriverConfigError("off_value", "is the same as on_value")

    def optional(key: str) -> str:
        return settings.text(table, key) if key in table else ""

    model = Model(
        on=settings.text(table, "on"),
        off=settings.text(table, "off"),
        get=optional("get"),
        state=optional("state"),
        on_body=optional("on_body"),
        off_body=optional("off_body"),
        on_value=on_value,
        off_value=off_value,
        watts=optional("watts"),
    )
    for key, request in (("on", model.on), ("off", model.off), ("get", model.get or "GET /")):
        if not _REQUEST.fullmatch(request):
            raise DriverConfigError(key, f'must be like "POST /path", not {request!r}')
    return model


def _outlet(model: Model, name: str, binding: Mapping[str, object]) -> str:
    if model.first_outlet is not None:
        return str(settings.whole_number(binding, "outlet", least=model.first_outlet, most=255))
    value = binding.get("outlet")
    if name == "rest" and (value is None or (isinstance(value, int) and not isinstance(value, bool))):
        return "" if value is None else str(value)
    outlet = settings.text(binding, "outlet")
    if not outlet.isprintable() or '"' in outlet or "\\" in outlet:
        raise DriverConfigError("outlet", f"must be a plain name, not {outlet!r}")
    return outlet


def _as_demanded(user: str, password: str) -> httpx2.Auth:
    """Log in by the scheme the device's 401 asks for; no password goes out unasked."""
    import httpx2

    digest = httpx2.DigestAuth(user, password)
    basic = httpx2.BasicAuth(user, password)

    def flow(request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        response = yield request
        schemes = response.headers.get_list("www-authenticate") if response.status_code == 401 else []
        if any(scheme.lower().startswith("digest") for scheme in schemes):
            steps = digest.auth_flow(request)
            next(steps)
            try:
                yield steps.send(response)
            except StopIteration:
                return
        elif schemes:
            yield next(basic.auth_flow(request))

    class AsDemanded(httpx2.Auth):
        def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
            return flow(request)

    return AsDemanded()
