"""The verb ssh-proxy: standard input and output are an ssh connection to the lab, through its HTTPS port.

``ssh`` starts it as its ``ProxyCommand``; it needs no token, for ssh itself says who is there.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from hostler.client.errors import ClientError, UnreachableError
from hostler.client.settings import load_settings
from hostler.client.transport import API, is_local
from hostler.wire.tunnel import LARGEST, Closed, Credit, Data, Opened, Refused, Tunnel, TunnelError

if TYPE_CHECKING:
    import argparse

    from websockets.sync.client import ClientConnection

    from hostler.cli.output import Output
    from hostler.client.settings import Settings
    from hostler.wire.tunnel import Event

_OPEN_SECONDS = 15.0


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the server, such as https://lab:8066 (default: that of the settings)")


def ssh_proxy(args: argparse.Namespace, out: Output) -> int:
    """Carry one ssh connection until either side ends it."""
    environment = dict(os.environ)
    if args.url:
        environment["HOSTLER_URL"] = args.url
    settings = load_settings(environment, anonymous=True)
    with _connect(settings) as socket:
        reason = _Bridge(socket, settings).run()
    if reason:
        out.note(f"hostler: {reason}")
    return 1 if reason else 0


def _connect(settings: Settings) -> ClientConnection:
    """Open the WebSocket; raises UnreachableError."""
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect

    from hostler.client.tls import context_of, untrusted

    base = settings.url.replace("http", "ws", 1)
    try:
        return connect(
            f"{base}{API}/ssh",
            compression=None,  # ssh's bytes are ciphertext
            proxy=None if is_local(base) else True,
            ssl=context_of(settings),
            open_timeout=_OPEN_SECONDS,
            close_timeout=1,
            legacy=True,
        )
    except InvalidStatus as error:
        raise UnreachableError(
            f"{settings.url} does not carry ssh: it answered {error.response.status_code}",
            "look whether it is a Hostler server, and whether a proxy in between lets WebSockets through",
        ) from None
    except (OSError, WebSocketException) as error:
        raise untrusted(settings, error) or UnreachableError(
            f"cannot talk to {settings.url}: {error}", "start `hostler serve` there, or correct --url"
        ) from None


class _Bridge:
    """Standard input and output on one side, a channel of the tunnel on the other."""

    def __init__(self, socket: ClientConnection, settings: Settings) -> None:
        self._socket = socket
        self._url = settings.url
        self._tunnel = Tunnel()
        self._changed = threading.Condition()  # guards the tunnel: two threads use it
        self._channel = 0
        self._reason: str | None = None

    def run(self) -> str:
        """Carry until the end; returns why it was no good end, or nothing."""
        from websockets.exceptions import ConnectionClosed

        threading.Thread(target=self._speak, name="ssh-input", daemon=True).start()
        try:
            self._socket.send(self._tunnel.open("ssh"))
            while self._reason is None:
                message = self._socket.recv()
                with self._changed:
                    events, replies = self._tunnel.receive(
                        message if isinstance(message, bytes) else message.encode()
                    )
                for reply in replies:
                    self._socket.send(reply)
                for event in events:
                    self._heard(event)
        except ConnectionClosed as error:
            text = error.rcvd.reason if error.rcvd else "the connection broke"
            return f"{self._url} closed the tunnel{text and ': ' + text}"
        except TunnelError as error:
            raise ClientError(f"{self._url} speaks another protocol: {error}", "update hostler") from None
        except BrokenPipeError:
            return ""  # ssh has gone
        return self._reason

    def _heard(self, event: Event) -> None:
        match event:
            case Opened(channel):
                with self._changed:
                    self._channel = channel
                    self._changed.notify_all()
            case Refused(text):
                self._reason = text
            case Data(channel, data):
                view = memoryview(data)
                while view:
                    view = view[os.write(1, view) :]
                with self._changed:
                    more = self._tunnel.consumed(channel, len(data))
                if more is not None:
                    self._socket.send(more)
            case Closed(_, reason):
                self._reason = reason
            case Credit():
                with self._changed:
                    self._changed.notify_all()
            case _:
                pass  # the server says nothing more; its close follows

    def _speak(self) -> None:
        """Send what ssh says until it says no more."""
        from websockets.exceptions import ConnectionClosed

        with self._changed:
            self._changed.wait_for(lambda: self._channel)
        try:
            while data := os.read(0, LARGEST):
                self._send(data)
            with self._changed:
                message = self._tunnel.end(self._channel)
            if message is not None:
                self._socket.send(message)
        except (ConnectionClosed, KeyError):  # KeyError: the channel is closed
            return

    def _send(self, data: bytes) -> None:
        while data:
            with self._changed:
                self._changed.wait_for(lambda: self._tunnel.credit(self._channel))
                count = min(len(data), self._tunnel.credit(self._channel))
                message = self._tunnel.data(self._channel, data[:count])
            self._socket.send(message)
            data = data[count:]


VERBS = {"ssh-proxy": (_arguments, ssh_proxy)}
