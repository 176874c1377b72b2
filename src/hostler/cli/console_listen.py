"""A board's console on a TCP port of this machine, for programs that know nothing of Hostler."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from hostler.client.errors import ClientError
from hostler.wire.rfc2217_server import ComPortServer, LineAsked, SwitchAsked

if TYPE_CHECKING:
    from hostler.cli.output import Output
    from hostler.client.client import Client
    from hostler.client.console import ConsoleSession

_LOOPBACK = "127.0.0.1"
_READ_SECONDS = 0.5
_SEND_SECONDS = 30.0
"""A program that takes nothing for that long is cut off: the board's words cannot wait for it."""


def listen(client: Client, board: str, where: str, out: Output, *, com_port: bool, remote: bool) -> int:
    """Carry a board's console on a port until Ctrl-C: each connection is a viewer, the first one types.

    Args:
        client: Who asks for the console.
        board: The board's name.
        where: ``PORT`` or ``HOST:PORT``; port 0 takes a free one.
        out: Tells where it listens, and what goes wrong.
        com_port: Speak RFC 2217 there; else bytes and nothing else.
        remote: Allow an address that other machines reach.

    Raises:
        ClientError: The address cannot be used, or the console is not ours.
    """
    with client.console(board, write=False, replay=False):
        pass  # a board that is not ours is refused here, and not at the first connection
    with _listener(where, remote=remote) as listener:
        host, port = listener.getsockname()[:2]
        out.note(f"hostler: the console of {board} is at {host}:{port}; end with Ctrl-C")
        if out.json:
            out.document({"event": "listening", "host": host, "port": port})
        try:
            while True:
                peer, _ = listener.accept()
                carry = _ComPort(client, board, peer, out) if com_port else _Raw(client, board, peer, out)
                threading.Thread(target=carry.run, name="console-connection", daemon=True).start()
        except KeyboardInterrupt:
            return 0


def _listener(where: str, *, remote: bool) -> socket.socket:
    host, _, number = where.rpartition(":")
    host = host.strip("[]") or _LOOPBACK
    if not number.isdigit() or int(number) > 65535:
        raise ClientError(f'"{where}" is no port', "write --listen 4001, or --listen 127.0.0.1:4001")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(number), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if not remote and not _is_loopback(str(address[0])):
            raise ClientError(
                f"whoever reaches {host} could type on the board without a token",
                "listen on 127.0.0.1, or add --allow-remote if that is meant",
            )
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ClientError(
            f"cannot listen on {where}: {error.strerror or error}", "take another port; 0 finds a free one"
        ) from error
    return listener


def _is_loopback(address: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


class _Raw:
    """One connection of a program, joined to a console session of its own."""

    def __init__(self, client: Client, board: str, peer: socket.socket, out: Output) -> None:
        self._client = client
        self._board = board
        self._peer = peer
        self._out = out

    def run(self) -> None:
        """Carry both ways until either side ends."""
        self._peer.settimeout(_SEND_SECONDS)
        self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self._peer, self._client.console(self._board, replay=False) as session:
                if not session.attached.get("writer"):
                    holder = session.attached.get("keyboard") or "somebody else"
                    self._out.note(f"hostler: {holder} has the keyboard; this connection only reads")
                reader = threading.Thread(target=self._down, args=(session,), daemon=True)
                reader.start()
                try:
                    self._up(session)
                finally:
                    with contextlib.suppress(OSError):
                        self._peer.shutdown(socket.SHUT_RDWR)
                    session.close()
                    reader.join(2 * _READ_SECONDS)
        except ClientError as error:
            self._out.note(f"hostler: {error}")
        except OSError:
            return  # the program went away

    def _down(self, session: ConsoleSession) -> None:
        """What the board says, to the program."""
        try:
            while True:
                data = session.read(_READ_SECONDS)
                if data:
                    self.show(data)
                while session.notices:
                    self.told(session, session.notices.pop(0))
        except (ClientError, OSError) as error:
            with contextlib.suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)  # what waits for the program to type ends, too
            if isinstance(error, ClientError) and session.open:
                self._out.note(f"hostler: {error}")

    def _up(self, session: ConsoleSession) -> None:
        """What the program sends, to the board."""
        while True:
            try:
                data = self._peer.recv(65536)
            except TimeoutError:
                continue  # it may be silent for as long as it likes
            if not data:
                return
            self.heard(session, data)

    def show(self, data: bytes) -> None:
        """Send what the board said."""
        self._peer.sendall(data)

    def heard(self, session: ConsoleSession, data: bytes) -> None:
        """Type what the program sent."""
        session.send(data)

    def told(self, _session: ConsoleSession, notice: dict[str, Any]) -> None:
        """Tell the person what the program cannot be told."""
        if notice.get("text"):
            self._out.note(f"hostler: {notice['text']}")


class _ComPort(_Raw):
    """The same as a serial line, by RFC 2217."""

    def __init__(self, client: Client, board: str, peer: socket.socket, out: Output) -> None:
        super().__init__(client, board, peer, out)
        self._server = ComPortServer(f"hostler {board}")
        self._turn = threading.RLock()
        self._asked: dict[int, LineAsked | SwitchAsked] = {}
        self._number = 0
        self._unknown_told = False
        self._room = threading.Condition(self._turn)
        self._flush()

    def show(self, data: bytes) -> None:
        with self._room:
            self._room.wait_for(lambda: not self._server.suspended, _SEND_SECONDS)
            self._server.send(data)
            self._flush()

    def heard(self, session: ConsoleSession, data: bytes) -> None:
        with self._room:
            typed = self._server.receive(data)
            wishes = [*self._server.asked()]
            for wish in wishes:
                self._ask(session, wish)
            self._flush()
            self._room.notify_all()
        if typed:
            session.send(typed)

    def told(self, session: ConsoleSession, notice: dict[str, Any]) -> None:
        with self._turn:
            wish = self._asked.pop(notice.get("id", -1), None)
            if isinstance(wish, SwitchAsked):
                self._switched(wish, notice)
            elif wish is not None:
                self._set_up(wish, notice)
            self._flush()
        if wish is None or notice.get("event") == "refused":
            super().told(session, notice)

    def _ask(self, session: ConsoleSession, wish: LineAsked | SwitchAsked) -> None:
        if wish == SwitchAsked("break", on=False):
            self._server.switch_is("break", on=False)  # the rack ends what it began
            return
        self._number += 1
        self._asked[self._number] = wish
        if isinstance(wish, LineAsked):
            session.command("line", id=self._number, **{wish.name: wish.value})
        elif wish.name == "break":
            session.command("break", id=self._number)
        else:
            session.command("lines", id=self._number, **{wish.name: wish.on})

    def _switched(self, wish: SwitchAsked, notice: dict[str, Any]) -> None:
        done = notice.get("event") in ("done", "lines")
        # Refused: no BREAK was sent, and what is connected has its lines on.
        self._server.switch_is(wish.name, on=wish.on if done else wish.name != "break")

    def _set_up(self, wish: LineAsked, notice: dict[str, Any]) -> None:
        value = notice.get(wish.name)
        if notice.get("event") == "line" and not notice.get("known"):
            value = wish.value  # no byte depends on it that we know of; a refusal would stop every program
            if not self._unknown_told and wish.value is not None:
                self._unknown_told = True
                self._out.note(
                    f"hostler: the wire of {self._board} has no settings; they are left as they are"
                )
        self._server.line_is(wish.name, value)

    def _flush(self) -> None:
        data = self._server.bytes_to_send()
        if data:
            self._peer.sendall(data)
