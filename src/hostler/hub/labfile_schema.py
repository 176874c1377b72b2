"""``lab.toml`` as it may be written: the names and kinds of its keys, and nothing that spans two tables."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hostler.hub import metadata
from hostler.hub.byte_size import byte_size
from hostler.hub.duration import seconds
from hostler.hub.inventory import KEEP_SECONDS, KEEP_TRACES_SECONDS
from hostler.hub.oidc_provider import protected
from hostler.model.disk_hint import parse_hint
from hostler.model.event_kinds import check_pattern
from hostler.model.first_stages import Loader
from hostler.model.health import AfterFailure
from hostler.model.identity import is_junk, normal_mac, relay_id
from hostler.model.plan import parse_plan
from hostler.model.wipe import Effort

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_INTERFACE = re.compile(r"[^\s/]{1,15}")
_RESERVED = "unknown-"
# Where a driver keeps what nobody may read in this file; the value must say where the secret is.
_SECRETS = frozenset(
    {
        "community",
        "password",
        "secret",
        "client_secret",
        "token",
        "passphrase",
        "auth_key",
        "priv_key",
        "api_key",
    }
)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError('is not a name; use letters, digits, ".", "_" and "-", at most 63')
    if text.startswith(_RESERVED):
        raise ValueError(f'begins with "{_RESERVED}", which is kept for machines nobody knows')
    return text


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise ValueError("is not the name of a network interface (at most 15 characters, no spaces)")
    return text


def _mac(text: str) -> str:
    return normal_mac(text)


def _telling(text: str) -> str:
    if is_junk(text):
        raise ValueError("is a placeholder that many boards share; leave the key out")
    return text


def _labels(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item if isinstance(item, (dict, list)) else str(item) for key, item in value.items()}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _no_secret(values: dict[str, Any]) -> None:
    for key in sorted(_SECRETS & values.keys()):
        if not str(values[key]).startswith(("env:", "file:")):
            raise ValueError(
                f'{key} is a secret and must not stand here; write "env:NAME" or "file:PATH" where it is kept'
            )


def _hint(text: str) -> str:
    parse_hint(text)
    return text


DiskHint = Annotated[str, AfterValidator(_hint)]
Name = Annotated[str, AfterValidator(_name)]
Mac = Annotated[str, AfterValidator(_mac)]
Metadata = Annotated[dict[str, Any], AfterValidator(metadata.checked)]
Bytes = Annotated[int, BeforeValidator(byte_size), Field(ge=1)]
Watts = Annotated[float, Field(gt=0, le=10_000)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Open(BaseModel):
    """Every other key belongs to the driver."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _secrets_are_references(self) -> _Open:
        _no_secret(self.params)
        return self

    @property
    def params(self) -> dict[str, Any]:
        """The driver's own keys."""
        return dict(self.model_extra or {})


def _provider(text: str) -> str:
    if not protected(text):
        raise ValueError("is not an https address; whoever is on the way could vouch for anybody")
    return text


class OidcTable(_Closed):
    """``[lab.oidc]``."""

    issuer: Annotated[str, AfterValidator(_provider)]
    client_id: str = Field(min_length=1)
    name_claim: str = Field(default="preferred_username", min_length=1)
    project_claim: str = ""
    auto_create: bool = False
    role: Literal["member", "viewer"] = "member"
    client_secret: str = ""

    @model_validator(mode="after")
    def _secret_is_a_reference(self) -> OidcTable:
        _no_secret({"client_secret": self.client_secret} if self.client_secret else {})
        return self


def _upstream(url: str) -> str:
    parts = urlsplit(url)
    more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if not parts.hostname or more:
        raise ValueError('is not the address of a server; write "https://HOST" or "https://HOST:PORT"')
    if not protected(url):
        raise ValueError("must be https: the token would be there for everybody on the way to read")
    return url.rstrip("/")


class LabTable(_Closed):
    """``[lab]``."""

    name: Name
    oidc: OidcTable | None = None
    keep: Annotated[float, BeforeValidator(seconds), Field(ge=86400)] = KEEP_SECONDS
    keep_traces: Annotated[float, BeforeValidator(seconds), Field(ge=86400)] = KEEP_TRACES_SECONDS
    metadata: Metadata = Field(default_factory=dict)
    image_limit: Bytes | None = None
    image_limit_per_person: Bytes | None = None


_LEAST_CACHE = 64 << 20
"""A few of the largest chunks, or what comes for one board would have to go again before another has it."""
_CACHE = 50 * 10**9


class ImagesTable(_Closed):
    """``[images]``."""

    upstream: Annotated[str, AfterValidator(_upstream)]
    token: str
    ca: str = ""
    cache: Annotated[int, BeforeValidator(byte_size), Field(ge=_LEAST_CACHE)] = _CACHE

    @model_validator(mode="after")
    def _secret(self) -> ImagesTable:
        _no_secret({"token": self.token})
        if self.ca and not self.ca.startswith("file:"):
            raise ValueError('ca is the file with the upstream\'s certificate: write "file:PATH"')
        return self


def _bits(value: Any) -> Any:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([MG])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('is not a rate; write bits a second as "200M" or "1G"')
    return float(match[1]) * {"M": 1e6, "G": 1e9}[match[2]]


def _group(address: IPv4Address) -> IPv4Address:
    if not address.is_multicast or address in IPv4Network("224.0.0.0/24"):
        raise ValueError("is not a group for data; take one of 239.0.0.0/8, which stays within a site")
    return address


class MulticastTable(_Closed):
    """``[networks.NAME.multicast]``."""

    group: Annotated[IPv4Address, AfterValidator(_group)] = IPv4Address("239.255.77.1")
    port: int = Field(default=7707, ge=1024, le=65535)
    rate: Annotated[float, BeforeValidator(_bits)] = 800e6
    ttl: int = Field(default=1, ge=1, le=255)
    boards: int = Field(default=2, ge=1, le=10_000)


_BITS_A_BOARD = 5e6
"""Least bits a second for each board that fetches: four chunks of a MiB each are under way for it, and what
takes longer than ten seconds looks like a rack that is lost."""


class InstallsTable(_Closed):
    """``[networks.NAME.installs]``."""

    boards: int | None = Field(default=None, ge=1, le=10_000)
    rate: Annotated[float, BeforeValidator(_bits)] | None = None

    @model_validator(mode="after")
    def _enough_for_each(self) -> InstallsTable:
        if self.boards is None and self.rate is None:
            raise ValueError('needs "boards", how many at once, or "rate", such as "500M"')
        if self.rate is not None and self.boards is not None and self.boards > self._most(self.rate):
            most = self._most(self.rate)
            raise ValueError(
                f"lets {self.boards} boards share {self.rate / 1e6:g} Mbit/s; {most} at most can"
            )
        return self

    @staticmethod
    def _most(rate: float) -> int:
        return max(1, int(rate // _BITS_A_BOARD))

    def plan(self) -> dict[str, Any]:
        """Return it as the rack is told of it."""
        boards = self.boards
        if boards is None:
            assert self.rate is not None
            boards = self._most(self.rate)
        return {"boards": boards, "rate": self.rate}


class NetworkTable(_Closed):
    """``[networks.NAME]``."""

    interface: Annotated[str, AfterValidator(_interface)] | None = None
    address: IPv4Interface | None = None
    relayed: Name | None = None
    behind: IPv4Network | None = Field(default=None, alias="subnet")
    range: str | None = None
    dhcp: Literal["own", "proxy", "off", "none"] = "own"
    router: IPv4Address | None = None
    dns: list[IPv4Address | IPv6Address] = Field(default_factory=list)
    address6: IPv6Interface | None = None
    behind6: IPv6Network | None = Field(default=None, alias="subnet6")
    range6: str | None = None
    dhcp6: Literal["own", "none"] | None = None
    http_port: int = Field(default=8067, ge=1, le=65535)
    lease: Annotated[float, BeforeValidator(seconds), Field(ge=60, le=30 * 86400)] = 3600.0
    netns_pidfile: str | None = None
    multicast: MulticastTable | None = None
    installs: InstallsTable | None = None
    peers: bool = True

    @model_validator(mode="after")
    def _here_or_relayed(self) -> NetworkTable:
        here, behind = ("interface", "address"), ("relayed", "subnet")
        written = {"behind": "subnet", "behind6": "subnet6"}
        set_keys = {written.get(key, key) for key in self.model_fields_set}
        if set_keys & {*behind}:
            wanted, others = behind, {*here, "address6", "http_port", "netns_pidfile"}
            kind = "a network behind a relay"
        else:
            wanted, others = here, {"subnet6"}
            kind = "a network of this host"
        if missing := [key for key in wanted if key not in set_keys]:
            raise ValueError(f'{kind} lacks "{missing[0]}"; add it')
        if wrong := sorted(set_keys & others):
            raise ValueError(f'{kind} has no "{wrong[0]}" of its own; remove it')
        return self

    @property
    def own(self) -> IPv4Address | None:
        """The host's own address on the network; None: it is behind a relay."""
        return self.address.ip if self.address else None

    @property
    def subnet(self) -> IPv4Network:
        """The addresses of the network."""
        if self.behind is not None:
            return self.behind
        assert self.address is not None
        return self.address.network

    @property
    def subnet6(self) -> IPv6Network | None:
        """The IPv6 addresses of the network, if it has any."""
        return self.address6.network if self.address6 is not None else self.behind6

    @property
    def serves6(self) -> bool:
        """Whether Hostler answers DHCPv6 there: where the wire is somebody else's, only if it says so."""
        return self.subnet6 is not None and (self.dhcp6 or self.dhcp) == "own"


class EquipmentTable(_Open):
    """``[equipment.NAME]``."""

    driver: str
    ports: list[int | str | dict[str, Any]] = Field(default_factory=list)
    budget_watts: Annotated[float, Field(gt=0, le=100_000)] | None = None
    stagger: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=600)] | None = None


class HealthTable(_Closed):
    """``[classes.NAME.health]``."""

    plan: str = "discover"
    # A check powers the board up and wipes it: more often than this is wear without news.
    every: Annotated[float, BeforeValidator(seconds), Field(ge=600, le=366 * 86400)] | None = None
    after_failure: AfterFailure = AfterFailure.QUARANTINE
    wires: bool = False
    training: int = Field(default=0, ge=0, le=1000)
    at_once: int | None = Field(default=None, ge=1)

    @field_validator("plan")
    @classmethod
    def _is_a_plan(cls, plan: str) -> str:
        parse_plan(plan)
        return plan


class ClassTable(_Closed):
    """``[classes.NAME]``."""

    platform: str
    max_ttl: Annotated[float, BeforeValidator(seconds), Field(gt=0)] | None = None
    watts: Watts | None = None
    # Signs of use are told once a minute: less than a few would be an accident.
    idle_off: Annotated[float, BeforeValidator(seconds), Field(ge=300, le=30 * 86400)] | None = None
    health: HealthTable | None = None
    loader: Loader | None = None
    device_tree: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,200}\.dtb$")] | None = None
    disk: DiskHint | None = None
    removable: bool = False
    grow: bool = False
    wipe: Effort = Effort.CLEAR
    require_signed: bool = False
    metadata: Metadata = Field(default_factory=dict)


class WireTable(_Open):
    """A wire of a board: through an equipment, or with a driver of its own."""

    equipment: str | None = None
    driver: str | None = None


class BoardTable(_Closed):
    """``[boards.NAME]``."""

    board_class: str = Field(alias="class")
    network: str | None = None
    mac: Mac | None = None
    macs: list[Mac] = Field(default_factory=list)
    uuid: Annotated[str, AfterValidator(_telling)] | None = None
    serial: Annotated[str, AfterValidator(_telling)] | None = None
    circuit_id: Annotated[str, AfterValidator(relay_id)] | None = None
    remote_id: Annotated[str, AfterValidator(relay_id)] | None = None
    address: IPv4Address | None = None
    labels: Annotated[dict[str, str], BeforeValidator(_labels)] = Field(default_factory=dict)
    power: Annotated[list[WireTable], BeforeValidator(_listed)] = Field(default_factory=list)
    console: WireTable | None = None
    bootctl: Annotated[list[WireTable], BeforeValidator(_listed)] = Field(default_factory=list)
    disk: DiskHint | None = None
    watts: Watts | None = None
    metadata: Metadata = Field(default_factory=dict)

    @property
    def all_macs(self) -> tuple[str, ...]:
        """``mac`` and ``macs`` together."""
        return tuple(([self.mac] if self.mac else []) + self.macs)


class HookTable(_Closed):
    """``[hooks.NAME]``."""

    url: str = ""
    command: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    kinds: list[Annotated[str, AfterValidator(check_pattern)]] = Field(default_factory=list)
    secret: str = ""

    @model_validator(mode="after")
    def _one_target(self) -> HookTable:
        if bool(self.url) == bool(self.command):
            raise ValueError('a hook has either url = "https://…" or command = ["PROGRAM", …]')
        if self.command and self.secret:
            raise ValueError("secret signs what is posted; a command needs none")
        _no_secret({"secret": self.secret} if self.secret else {})
        return self


class LabFile(_Closed):
    """The whole file."""

    lab: LabTable
    networks: dict[Name, NetworkTable] = Field(default_factory=dict)
    equipment: dict[Name, EquipmentTable] = Field(default_factory=dict)
    classes: dict[Name, ClassTable] = Field(default_factory=dict)
    boards: dict[Name, BoardTable] = Field(default_factory=dict)
    hooks: dict[Name, HookTable] = Field(default_factory=dict)
    images: ImagesTable | None = None
