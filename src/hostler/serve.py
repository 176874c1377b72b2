"""`hostler serve`: a hub and a rack in one process tree, with nothing else to install.

This is where the rooms are put together; no rule of theirs lives here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from hostler.api.app import create_app
from hostler.api.authority import CertificateError
from hostler.api.public_port import PortError, Protection, PublicPort, listening
from hostler.drivers.errors import DriverConfigError
from hostler.drivers.registry import bootctl_driver, console_driver, power_driver
from hostler.drivers.secrets import SecretReference
from hostler.gateway.gateway import Gateway
from hostler.gateway.port import SshPortError
from hostler.gateway.port import listening as ssh_listening
from hostler.hub import principals
from hostler.hub.database import Database
from hostler.hub.errors import DatabaseError, Refusal
from hostler.hub.hub import Hub
from hostler.hub.records import HUB
from hostler.hub.ssh_authority import SshAuthority
from hostler.images.store import ImageStore
from hostler.images.store_errors import StoreError
from hostler.images.sweeping import sweep
from hostler.images.upstream import Upstream
from hostler.link.group_commit import StorageError
from hostler.link.inprocess import InProcessLink
from hostler.rack.chunk_supply import ChunkSupply
from hostler.rack.rack import Rack
from hostler.rack.store import RackStore
from hostler.store_files import StoreFiles
from hostler.upstream_files import FollowedUpstream

if TYPE_CHECKING:
    import argparse
    import socket
    import ssl
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI

log = logging.getLogger("hostler")

_CONFIG_SECONDS = 2.0
"""How often ``lab.toml`` is looked at for a change."""

_GOODBYE_SECONDS = 5.0
"""How long open requests may take to finish when the server is told to stop."""


class ServeError(Exception):
    """The server cannot start; the text says why and what to do."""


def spare_garbage_collector() -> None:
    """Let Python's collector of cycles leave alone what is there to stay, and come less often.

    With a thousand boards one of its full rounds takes a tenth of a second in which nobody is answered. What
    is made and dropped later holds few cycles; everything else goes without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


_DRIVERS = {"power": power_driver, "console": console_driver, "bootctl": bootctl_driver}


def check_binding(
    kind: str, driver: str, equipment: Mapping[str, object], binding: Mapping[str, object]
) -> str:
    """Ask a driver whether it can be made from these tables; returns what is wrong, or an empty text."""
    try:
        _DRIVERS[kind](driver, equipment, binding)
    except DriverConfigError as error:
        return str(error)
    return ""


def reveal_secret(reference: str) -> str:
    """Return what ``env:NAME`` or ``file:PATH`` stands for; raises ValueError when it cannot be had."""
    try:
        return SecretReference.parse("secret", reference).reveal()
    except DriverConfigError as error:
        raise ValueError(str(error)) from None


def main(args: argparse.Namespace) -> int:
    """Run the server until SIGTERM or SIGINT; returns the exit status.

    Args:
        args: ``config`` (path of ``lab.toml`` or None), ``state`` (directory), ``listen`` (``HOST:PORT``),
            and of TLS ``tls_cert``, ``tls_key`` (files or None), ``tls`` (``auto``, ``off`` or None),
            ``name`` (list or None), ``plain_http``; ``ssh_listen`` (``HOST:PORT`` or None);
            ``metrics_open``; ``new_admin_token``.
    """
    _log_to_stderr()
    own = None if args.tls is None else args.tls == "auto"
    protection = Protection(args.tls_cert, args.tls_key, own, tuple(args.name or ()), args.plain_http)
    try:
        with listening(args.listen, protection) as port, ssh_listening(args.ssh_listen) as ssh_port:
            asyncio.run(_serve(args, port, ssh_port))
    except (
        ServeError,
        PortError,
        SshPortError,
        CertificateError,
        Refusal,
        DatabaseError,
        StorageError,
        StoreError,
    ) as error:
        print(f"hostler serve: {error}", file=sys.stderr)
        return 1
    return 0


class _PlainFormatter(logging.Formatter):
    """Log lines of which nothing speaks to the terminal: what boards and people say comes into them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a mark for every sign that is not to be seen."""
        text = super().format(record)
        return "".join(sign if sign in "\n\t" or sign.isprintable() else "\ufffd" for sign in text)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # ten lines that would hide the first token
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # says every command


async def _serve(args: argparse.Namespace, port: PublicPort, ssh_port: socket.socket | None) -> None:
    config: Path | None = args.config
    state: Path = args.state
    metrics_open: bool = args.metrics_open
    if metrics_open and not port.local:
        raise ServeError(
            "--metrics-open is for a port that only this host reaches (--listen 127.0.0.1:8066); "
            "leave it out and give Prometheus a viewer's token"
        )
    try:
        _make_private(state)
        database = Database(state / "hostler.db")
    except OSError as error:
        raise ServeError(f"{state}: {error.strerror}; choose another place with --state") from None
    try:
        port.protect(state / "tls")
        authority = SshAuthority(state / "ssh")
    except (CertificateError, Refusal):
        database.close()
        raise
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    link = InProcessLink(state / "link.db")
    memories = RackStore(state / "rack.db")
    store = ImageStore(state / "images")
    upstream = Upstream(state / "upstream", store)
    base = config.absolute().parent if config else Path.cwd()
    hub = Hub(
        database,
        link,
        StoreFiles(store),
        state / "spool",
        base=base,
        check=check_binding,
        ssh_authority=authority,
        reveal=reveal_secret,
        upstream=FollowedUpstream(upstream),
    )
    rack = Rack(link, memories, store, state, ChunkSupply(upstream))
    _sweep(store, hub)
    app = create_app(hub, metrics_open=metrics_open, own_hosts=port.own_hosts())
    gateway = app.state.ssh = Gateway(hub, app, state / "ssh", port.names)
    server = _Server(_server_settings(app, port.context))
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(hub.run(), name="hub")]
            await hub.started.wait()
            spare_garbage_collector()
            await _first_words(hub, config, port, renew=args.new_admin_token)
            running.append(tasks.create_task(rack.run(), name="rack"))
            if config is not None:
                running.append(tasks.create_task(_follow_config(hub, config), name="config"))
            running.append(tasks.create_task(gateway.run(), name="ssh"))
            if ssh_port is not None:
                running.append(tasks.create_task(gateway.listen(ssh_port), name="ssh port"))
            running.append(tasks.create_task(port.keep_certificate(), name="certificate"))
            serving = tasks.create_task(server.serve(sockets=[port.socket]), name="api")
            await stopping.wait()
            server.should_exit = True
            await asyncio.wait({serving}, timeout=_GOODBYE_SECONDS)
            for task in (*running, serving):
                task.cancel()
    except ExceptionGroup as group:
        # Not except*: what is raised there is a group again in the Python of Debian 12.
        told: BaseException | None = group.subgroup((ServeError, Refusal))
        while isinstance(told, BaseExceptionGroup):
            told = told.exceptions[0]
        if told is None:
            raise
        raise told from None
    finally:
        upstream.close()
        await link.close()
        memories.close()
        database.close()


def _make_private(state: Path) -> None:
    """Make the state directory, for nobody else to read: it holds what boards printed, and keys."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = state.stat().st_mode & 0o777
    if not mode & 0o077:
        return
    if not any(state.iterdir()):
        state.chmod(0o700)  # made for us, by somebody with the usual umask
    else:
        # Not ours to change: a group may be let in for backups, or it is somebody's home.
        log.warning("%s is open to others than its owner (mode %o): chmod 700, unless meant", state, mode)


def _server_settings(app: FastAPI, context: ssl.SSLContext | None) -> uvicorn.Config:
    settings = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws_max_size=1 << 20)
    if context is not None:
        settings.ssl_context_factory = lambda _config, _default: context
    return settings


def _sweep(store: ImageStore, hub: Hub) -> None:
    """Remove what a crash left in the store: scraps, and images that never made it into the catalogue."""
    # What a capture brought is in the catalogue only once its rack has told.
    lost = set(store.artefacts()) - hub.images.artefacts() if hub.images.quiet else ()
    swept = sweep(store, lost)
    if swept.kept_for:
        log.error("%s has a damaged index (%s): run `hostler image verify`", store.root, swept.kept_for)


async def _first_words(hub: Hub, config: Path | None, port: PublicPort, *, renew: bool) -> None:
    """Apply the inventory and say where the server is; print a new admin's token, which is shown only now."""
    if config is not None:
        try:
            await _apply(hub, config)
        except (ServeError, Refusal) as error:
            # One slip of the pen and a crash must not take a lab down that people work in.
            if not hub.state.inventory.lab:
                raise
            log.error("%s is not applied, the lab is served as it was: %s", config, error)  # noqa: TRY400
    token = await hub.first_token()  # after all that can fail, so that it is never made and not shown
    if token is None and renew:
        token = await hub.change(principals.renew_admin)
    print(f"hostler serves {port.url}", flush=True)
    if port.fingerprint is not None:
        print(
            f"Its certificate authority, to compare at a first login:\n  {port.fingerprint}",
            flush=True,
        )
    if token is not None:
        print(f"The admin's token, shown only this once:\n  {token}", flush=True)
        print(f"Where you use it, this asks for it:\n  hostler login {port.url} --token -", flush=True)


async def _apply(hub: Hub, config: Path) -> None:
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"{config}: {error}") from None
    changes = await hub.apply_inventory(HUB, text, file=config.name)
    if changes:
        log.info("%s: %d changes applied", config, len(changes))


async def _follow_config(hub: Hub, config: Path) -> None:
    """Apply ``lab.toml`` whenever it was changed; one that is wrong changes nothing and is told."""
    last = _stamp(config)
    while True:
        await asyncio.sleep(_CONFIG_SECONDS)
        now = _stamp(config)
        if now == last or now is None:
            continue
        last = now
        try:
            await _apply(hub, config)
        except (ServeError, Refusal) as error:
            log.error("%s is not applied: %s", config, error)  # noqa: TRY400 - the text is for the admin


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the whole process tree stops in one place."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
