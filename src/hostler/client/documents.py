"""The shapes of what the server answers, as it answers them: JSON objects with known keys.

Times are ISO 8601 UTC text, durations seconds, sizes bytes. A newer server may send more keys.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

ENDED = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
"""States a run does not leave again."""


class ProblemDetail(TypedDict, total=False):
    """One of several errors in a request, with its place in the file it is about."""

    file: str
    line: int
    key: str
    text: str


class Problem(TypedDict, total=False):
    """Why the server refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemDetail]


class BoardClass(TypedDict):
    """Boards that can stand in for each other, and how many are free."""

    name: str
    platform: str
    arch: str
    boards: int
    available: int
    waiting: int
    max_ttl: float | None


class Power(TypedDict):
    """What a board's power should be, and what it was last seen to be."""

    desired: str
    observed: str
    as_asked: bool
    watts: float | None
    detail: str
    error: str
    waits: str
    mismatch_since: str | None
    at: str | None


class PowerCut(TypedDict):
    """What switching off all power has touched, by name and by run id."""

    boards: list[str]
    runs: list[str]
    quarantined: list[str]


class FirstBoot(TypedDict):
    """What an image of a disk is to be told before its first boot."""

    hostname: str | None
    own_keys: bool
    user: str
    files: dict[str, str]
    network: dict[str, Any] | None
    way: str


class Target(TypedDict):
    """Where the image of a disk goes; None is as ``lab.toml`` says."""

    disk: str | None
    to: str
    grow: bool | None
    emmc_boot: str | None


class Run(TypedDict):
    """A plan on a board and how far it is; ``done`` and ``total`` are bytes of the present phase."""

    id: str
    board: str
    plan: str
    state: str
    step: int
    steps: list[str]
    phase: str
    attempt: int
    done: int
    total: int
    results: list[dict[str, Any]]
    error: str
    log: list[str]
    created: str | None
    started: str | None
    ended: str | None
    claim: str | None
    purpose: str


class Boot(TypedDict):
    """One power-up of a board."""

    id: str
    number: int
    started: str
    purpose: str


class Holder(TypedDict):
    """Who holds a board."""

    id: str
    name: str
    principal: str
    expires: str | None


Board = TypedDict(
    "Board",
    {
        "name": str,
        "class": str,
        "platform": str,
        "arch": str,
        "lifecycle": str,
        "reason": str,
        "health": str,
        "labels": dict[str, str],
        "network": str,
        "macs": list[str],
        "uuid": "str | None",
        "serial": "str | None",
        "address": "str | None",
        "facts": dict[str, Any],
        "claim": "Holder | None",
        "power": Power,
        "run": "Run | None",
        "boot": "Boot | None",
        "console": "bool | None",
    },
)


class TraceEvent(TypedDict):
    """One thing seen on the way of a board; ``at`` is Unix time, ``since`` seconds from power-on."""

    at: float
    since: float
    source: str
    kind: str
    text: str
    board: NotRequired[str]
    mac: NotRequired[str]
    boot: NotRequired[str]
    data: NotRequired[dict[str, Any]]


class Trace(TypedDict):
    """The timeline of one boot, and which other boots there are, newest first."""

    board: str
    boot: Boot | None
    boots: list[Boot]
    events: list[TraceEvent]


class Why(TypedDict):
    """Why a boot came no further; ``slower`` is what took unusually long."""

    board: str
    boot: Boot | None
    cause: str
    reached: str
    text: str
    advice: str
    evidence: list[TraceEvent]
    slower: list[dict[str, Any]]


class ConsoleMatch(TypedDict):
    """A line of a console's log; ``boot`` None: it was said before the first boot."""

    time: str
    boot: int | None
    offset: int
    line: str


class ConsoleMatches(TypedDict):
    """What a search found; ``complete`` false: there was more than time or room for."""

    matches: list[ConsoleMatch]
    complete: bool


class Done(TypedDict):
    """What counts as booted: a pattern on the console, within so many seconds."""

    console: str
    seconds: float


class Netboot(TypedDict):
    """How an image comes over the network; ``files`` by name with their ids, ``templates`` by name."""

    installs: bool
    kernel: str
    initrd: str | None
    cmdline: str
    files: dict[str, str]
    templates: list[str]
    metadata: dict[str, Any]
    signal: Literal["console", "callback", "second-boot"]
    pattern: str | None
    seconds: float


class ImageSignature(TypedDict):
    """Who signed an image's index: the key's id, the public key and the signature, in hex."""

    id: str
    key: str
    signature: str


class Provenance(TypedDict):
    """How an image came: by whom, the hash of what, by which version, and what it added to the store."""

    principal: str | None
    sha256: str | None
    version: str | None
    chunks: int
    new_chunks: int
    stored_bytes: int


class Image(TypedDict):
    """An image in the server's catalogue; ``netboot`` for the kind of that name only.

    It is for the members of ``project``, or for everybody. One of an ``upstream`` is at home there.
    """

    name: str
    kind: Literal["disk", "netboot"]
    arch: str
    platforms: list[str]
    size: int
    data_bytes: int
    chunk_size: int
    index: str | None
    done: Done
    netboot: Netboot | None
    created: str
    source: str
    provenance: Provenance
    signatures: list[ImageSignature]
    project: str | None
    upstream: str | None


class Share(TypedDict):
    """Distinct chunks: how many, their plain bytes, and their bytes as stored."""

    chunks: int
    bytes: int
    stored_bytes: int


class ImageDiff(TypedDict):
    """How image ``other`` differs from ``image``; stretches as offset and length in bytes."""

    image: str
    other: str
    shared: Share
    gone: Share
    new: Share
    stretches: list[list[int]]
    differing_bytes: int


class StoreFault(TypedDict):
    """A chunk or file of images and agents that is ``missing``, ``damaged`` or ``unreadable``."""

    kind: str
    chunk: bool
    id: str
    images: list[str]
    agents: list[str]
    text: str


class Verified(TypedDict):
    """What a look through stored images found."""

    images: list[str]
    chunks: int
    files: int
    read_bytes: int
    faults: list[StoreFault]
    removed: int


class Swept(TypedDict):
    """What was, or would be, cleared away from the image store."""

    files: int
    chunks: int
    unfinished: int
    damaged: int
    freed_bytes: int
    waiting: int
    damaged_index: str | None
    dry_run: bool


class Upload(TypedDict):
    """A file that is being sent: so many bytes of ``length`` have come; ``expires`` in Unix time."""

    id: str
    filename: str
    fingerprint: str
    length: int
    offset: int
    expires: float


class ImportProgress(TypedDict):
    """How far an import is: bytes read of the source (``of`` unknown: None), bytes of image made.

    ``waiting``: the server cannot be reached, and the upload goes on when it can.
    """

    event: Literal["progress", "waiting"]
    read: int
    of: int | None
    out: int


class KeyChange(TypedDict):
    """One key that is not what it was; None: it is not there."""

    key: str
    old: Any
    new: Any


class Change(TypedDict):
    """One thing that applying an inventory changes."""

    what: str
    name: str
    change: str
    detail: str
    keys: list[KeyChange]


class Changes(TypedDict):
    """Everything that applying an inventory changes; ``base`` is the digest of the one it replaces."""

    base: str
    changes: list[Change]


class Network(TypedDict):
    """One network of the lab."""

    name: str
    dhcp: str
    subnet: str
    server: str
    relayed: str | None
    range: str | None
    router: str | None
    http_port: int
    subnet6: str | None
    range6: str | None


class Lease(TypedDict):
    """One address on a network of the lab; ``kind``: static, dynamic, or foreign (another server gave it)."""

    network: str
    address: str
    mac: str | None
    board: str | None
    kind: str
    state: str
    expires: str | None


class Check(TypedDict):
    """One wire or service looked at."""

    what: str
    ok: bool
    text: str
    advice: str


class CheckReport(TypedDict):
    """What looking at every wire found."""

    ok: bool
    checks: list[Check]


class Wire(TypedDict):
    """A wire: through which equipment, and the keys of its end."""

    equipment: str
    params: dict[str, Any]


class FoundWires(TypedDict):
    """Where a machine's wires are; ``toml`` is its table for ``lab.toml``, or empty without a name."""

    ok: bool
    mac: str
    board: str
    network: str
    power: Wire | None
    console: Wire | None
    checks: list[Check]
    toml: str


class Event(TypedDict):
    """One entry of the server's history."""

    seq: int
    at: str
    kind: str
    text: str
    board: NotRequired[str | None]
    principal: NotRequired[str | None]
    data: dict[str, Any]


class Agent(TypedDict):
    """The agent registered for an architecture, by artefact ids."""

    arch: str
    kernel: str
    initrd: str
    boot_files: dict[str, str]
    trusted_keys: list[str]
    require_signed: bool


class SshAuthority(TypedDict):
    """Who signs the host keys of a lab; ``known_hosts`` is the line that trusts them."""

    lab: str
    key: str
    fingerprint: str
    known_hosts: str


class HostCertificate(TypedDict):
    """A signed host key, for ``HostCertificate`` in ``sshd_config``."""

    certificate: str


class Health(TypedDict):
    """That the server lives, and which one it is."""

    ok: bool
    version: str
