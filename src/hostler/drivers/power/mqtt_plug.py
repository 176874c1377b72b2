"""Plugs and relays behind an MQTT broker.

Equipment is the broker: ``host = "10.0.0.9"`` or ``"10.0.0.9:1883"``, ``model`` (a row of MODELS, or
``described``), optional ``user``, ``password`` (a reference), ``tls``, ``ca_file``, ``timeout``,
``min_off_seconds``. Binding: ``device``, its name in the topics, and ``outlet`` where it has several.

``model = "described"`` describes any other in the equipment's table::

    command = "lab/{device}/{outlet}/set"
    on = "1"
    off = "0"
    state = "lab/{device}/{outlet}"       # without it nothing can be read back
    path = "power.on"                     # into a JSON payload; without it the whole payload
    reads_on = "1"
    reads_off = "0"
    query = "lab/{device}/get"            # asks the device to tell its state; else the state is retained
    query_payload = ""
    alive = "lab/{device}/status"         # a retained topic that says ``dead`` when the device is gone
    dead = "offline"
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError, EquipmentRefused, EquipmentUnreachable
from hostler.drivers.power.answers import ABSENT, find, same, shown
from hostler.drivers.power.calls import deadline, wants_on
from hostler.drivers.secrets import SecretReference
from hostler.model.power import PowerCapabilities, PowerReading, PowerState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiomqtt

# Retained messages follow the acknowledgement of a subscription at once, from the broker's memory.
_RETAINED_SECONDS = 0.5

_REFUSED = (4, 5, 134, 135)  # bad user name or password, not authorized; MQTT 3.1.1 and 5


@dataclass(frozen=True, slots=True)
class Model:
    """What differs between devices. ``{device}`` and ``{outlet}`` stand for the binding's.

    Attributes:
        command: Topic that is listened to.
        on: Payload that switches on.
        off: Payload that switches off.
        state: Topic the state is told on; empty where it is not.
        path: Where in a JSON payload the state is; empty when the payload is the state.
        reads_on: The state that means on.
        reads_off: The state that means off.
        query: Topic that makes the device tell its state; empty where it is retained.
        query_payload: What to send there.
        alive: Retained topic that says whether the device is connected.
        dead: What it says when it is not.
        outlet: The outlet of a binding that names none; None where it must.
    """

    command: str
    on: str = "on"
    off: str = "off"
    state: str = ""
    path: str = ""
    reads_on: object = "on"
    reads_off: object = "off"
    query: str = ""
    query_payload: str = ""
    alive: str = ""
    dead: str = ""
    outlet: str | None = ""


MODELS = {
    "tasmota": Model(
        command="cmnd/{device}/POWER{outlet}",
        on="ON",
        off="OFF",
        state="stat/{device}/POWER{outlet}",
        reads_on="ON",
        reads_off="OFF",
        query="cmnd/{device}/POWER{outlet}",
        alive="tele/{device}/LWT",
        dead="Offline",
    ),
    "shelly": Model(  # generation 1
        command="shellies/{device}/relay/{outlet}/command",
        state="shellies/{device}/relay/{outlet}",
        query="shellies/{device}/command",
        query_payload="update",
        alive="shellies/{device}/online",
        dead="false",
        outlet="0",
    ),
    "shelly2": Model(  # generation 2 and later, with "MQTT control" enabled
        command="{device}/command/switch:{outlet}",
        state="{device}/status/switch:{outlet}",
        path="output",
        reads_on=True,
        reads_off=False,
        query="{device}/command/switch:{outlet}",
        query_payload="status_update",
        alive="{device}/online",
        dead="false",
        outlet="0",
    ),
    "esphome": Model(
        command="{device}/switch/{outlet}/command",
        on="ON",
        off="OFF",
        state="{device}/switch/{outlet}/state",
        reads_on="ON",
        reads_off="OFF",
        alive="{device}/status",
        dead="offline",
        outlet=None,
    ),
    "zigbee2mqtt": Model(  # an outlet of several is "_l1", as in the key state_l1
        command="zigbee2mqtt/{device}/set",
        on='{"state{outlet}": "ON"}',
        off='{"state{outlet}": "OFF"}',
        state="zigbee2mqtt/{device}",
        path="state{outlet}",
        reads_on="ON",
        reads_off="OFF",
        query="zigbee2mqtt/{device}/get",
        query_payload='{"state{outlet}": ""}',
    ),
}

_DESCRIBED = (
    "command", "on", "off", "state", "path", "reads_on", "reads_off",
    "query", "query_payload", "alive", "dead",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MqttPlugConfig:
    """One outlet of one device.

    Attributes:
        host: Name or address of the broker.
        port: Its TCP port.
        model: How the device is spoken to.
        model_name: Its name, for messages.
        device: The device's name in topics.
        outlet: The outlet's.
        user: Who to log in as at the broker; empty for nobody.
        password: Where the password is.
        tls: Whether to speak TLS.
        ca_file: Who vouches for the broker's certificate; empty for the system's authorities.
        timeout: Deadline of a call in seconds.
        min_off_seconds: Time without power that surely resets a board behind it.
    """

    host: str
    port: int
    model: Model
    model_name: str
    device: str
    outlet: str
    user: str
    password: SecretReference | None
    tls: bool
    ca_file: str
    timeout: float
    min_off_seconds: float


class MqttPlug:
    """One outlet; see MqttPlugConfig."""

    def __init__(self, config: MqttPlugConfig) -> None:
        self.config = config
        self.capabilities = PowerCapabilities(
            can_read=bool(config.model.state), min_off_seconds=config.min_off_seconds
        )

    @classmethod
    def from_config(cls, equipment: Mapping[str, object], binding: Mapping[str, object]) -> MqttPlug:
        """Make the driver from the tables described at the head of this file.

        Raises:
            DriverConfigError: Names the wrong key.
        """
        name = settings.text(equipment, "model")
        if name != "described" and name not in MODELS:
            raise DriverConfigError("model", f'there is no "{name}"; known: {", ".join(MODELS)}, described')
        keys = ("host", "model", "user", "password", "tls", "ca_file", "timeout", "min_off_seconds")
        settings.only(equipment, *keys, *(_DESCRIBED if name == "described" else ()))
        settings.only(binding, "device", "outlet")
        model = _described(equipment) if name == "described" else MODELS[name]
        tls = equipment.get("tls", False)
        if not isinstance(tls, bool):
            raise DriverConfigError("tls", f"must be true or false, not {tls!r}")
        host, port = settings.address(equipment, "host", default_port=8883 if tls else 1883)
        if ("user" in equipment) != ("password" in equipment):
            key = "password" if "user" in equipment else "user"
            raise DriverConfigError(key, "is missing: user and password go together")
        return cls(
            MqttPlugConfig(
                host=host,
                port=port,
                model=model,
                model_name=name,
                device=_topic_part(binding, "device"),
                outlet=_topic_part(binding, "outlet", model.outlet),
                user=settings.text(equipment, "user") if "user" in equipment else "",
                password=SecretReference.parse("password", equipment["password"])
                if "password" in equipment
                else None,
                tls=tls,
                ca_file=settings.text(equipment, "ca_file") if "ca_file" in equipment else "",
                timeout=settings.seconds(equipment, "timeout", 5.0),
                min_off_seconds=settings.seconds(equipment, "min_off_seconds", 5.0),
            )
        )

    async def set(self, state: PowerState) -> None:
        """Publish the command; the broker has it when this returns."""
        model = self.config.model
        payload = model.on if wants_on(state) else model.off
        async with self._connected() as client:
            await client.publish(self._fill(model.command), self._fill(payload), qos=1)

    async def get(self) -> PowerReading:
        """Ask the device, or read what the broker keeps of it; a device that is gone is unreachable."""
        model = self.config.model
        if not model.state:
            return PowerReading(PowerState.UNKNOWN, None, "cannot be read")
        async with self._connected() as client:
            payload = await self._listen(client)
        if payload is None:
            return PowerReading(PowerState.UNKNOWN, None, f"nothing is retained on {self._fill(model.state)}")
        return self._reading(payload)

    async def _listen(self, client: aiomqtt.Client) -> bytes | None:
        model, config = self.config.model, self.config
        state, alive = self._fill(model.state), self._fill(model.alive)
        await client.subscribe([(topic, 1) for topic in (state, alive) if topic])
        if model.query:
            await client.publish(self._fill(model.query), self._fill(model.query_payload), qos=1)
        told: bytes | None = None
        messages = aiter(client.messages)
        # What is retained is what once was: where the device can be asked, only its answer counts.
        waits = config.timeout if model.query else _RETAINED_SECONDS
        try:
            async with asyncio.timeout(waits * 0.9):
                while True:
                    message = await anext(messages)
                    payload = (
                        bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else b""
                    )
                    if model.alive and message.topic.matches(alive):
                        if payload.decode(errors="replace") == model.dead:
                            raise EquipmentUnreachable(f"{self}: the broker says that it is {model.dead}")
                    elif model.query and not message.retain:
                        return payload
                    elif not model.query:
                        told = payload  # the last word counts, and the retained ones come in any order
                        if not model.alive:
                            return told
        except TimeoutError:
            if not model.query:
                return told
            raise EquipmentUnreachable(
                f"{self}: the broker answers, the device does not; check its name, power and topics"
            ) from None

    def _reading(self, payload: bytes) -> PowerReading:
        model = self.config.model
        value: object = payload.decode(errors="replace")
        if model.path:
            try:
                value = find(json.loads(payload), self._fill(model.path))
            except (ValueError, RecursionError):
                value = ABSENT
        for meant, state in ((model.reads_on, PowerState.ON), (model.reads_off, PowerState.OFF)):
            if same(value, meant):
                return PowerReading(state, None, f"{self.config.model_name}: {state}")
        return PowerReading(PowerState.UNKNOWN, None, f"neither on nor off: {shown(payload)}")

    def _fill(self, text: str) -> str:
        return text.replace("{device}", self.config.device).replace("{outlet}", self.config.outlet)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        import aiomqtt  # late: only labs with such plugs pay for it

        config = self.config
        try:
            context = ssl.create_default_context(cafile=config.ca_file or None) if config.tls else None
        except OSError as error:
            raise DriverConfigError("ca_file", f"cannot be read: {error}") from error
        try:
            async with (
                deadline(str(self), config.timeout),
                aiomqtt.Client(
                    config.host,
                    config.port,
                    username=config.user or None,
                    password=config.password.reveal() if config.password else None,
                    tls_context=context,
                    timeout=config.timeout,
                ) as client,
            ):
                yield client
        except aiomqtt.MqttCodeError as error:
            code = getattr(error.rc, "value", error.rc)
            if code in _REFUSED:
                told = f"{config.user} ({config.password})" if config.user else "without user"
                raise EquipmentRefused(f"{self}: the broker refuses {told}: {error}") from error
            raise EquipmentUnreachable(f"{self}: {error}") from error
        except (aiomqtt.MqttError, OSError) as error:
            raise EquipmentUnreachable(f"{self}: {error}") from error

    def __str__(self) -> str:
        config = self.config
        return f"{config.model_name} {config.device} behind mqtt {config.host}:{config.port}"


def _topic_part(binding: Mapping[str, object], key: str, default: str | None = None) -> str:
    if key not in binding and default is not None:
        return default
    value = binding.get(key)
    text = str(value) if key == "outlet" and type(value) is int else settings.text(binding, key)
    if not text.isprintable() or set(text) & set('+#"\\'):
        raise DriverConfigError(key, f"must be a name without + and #, not {text!r}")
    return text


def _described(table: Mapping[str, object]) -> Model:
    def optional(key: str, default: str = "") -> str:
        return settings.text(table, key) if table.get(key, "") != "" else default

    model = Model(
        command=settings.text(table, "command"),
        on=settings.text(table, "on"),
        off=settings.text(table, "off"),
        state=optional("state"),
        path=optional("path"),
        reads_on=table.get("reads_on", table["on"]),
        reads_off=table.get("reads_off", table["off"]),
        query=optional("query"),
        query_payload=optional("query_payload"),
        alive=optional("alive"),
        dead=optional("dead", "offline"),
    )
    if same(model.reads_on, model.reads_off):
        raise DriverConfigError("reads_off", "is the same as reads_on")
    for key, topic in (("command", model.command), ("state", model.state), ("query", model.query)):
        if set(topic) & set("+#"):
            raise DriverConfigError(key, f"must be one topic, without + and #, not {topic!r}")
    return model
