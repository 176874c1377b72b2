"""What the DHCP servers of both families share: a thread with its own epoll loop that waits for the disk.

It answers from memory. An answer that gives an address leaves when its lease is on disk; leases that change
while the disk is busy go there together.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hostler.model.trace import TraceEvent
from hostler.netboot.lease_journal import LeaseJournal, LeaseJournalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# After so many datagrams of one socket the others have their turn, and the leases go to disk.
_BATCH = 128
# Half a second of a storm that Kea would lose: room for 5,000 datagrams.
_RECEIVE_BUFFER = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33
# Between two rounds: under load each round then has many datagrams, which costs half the CPU of
# waking for each; a lone client waits this much longer, and firmware does not notice.
_PAUSE_SECONDS = 0.001
_FAULT_SECONDS = 5.0


class DhcpServerError(RuntimeError):
    """The server cannot start; the text says why and what to do."""


class Outgoing(Protocol):
    """An answer of either family."""

    @property
    def data(self) -> bytes:
        """Its bytes."""
        ...

    @property
    def destination(self) -> tuple[Any, ...]:
        """Where it goes, as the socket wants it."""
        ...

    @property
    def durable(self) -> bool:
        """Whether the leases must be on disk before it leaves."""
        ...

    @property
    def event(self) -> TraceEvent | None:
        """What to write into the trace when it leaves."""
        ...


class Port(NamedTuple):
    """A socket and what to do with a datagram that has come in on it.

    Attributes:
        network: Name of the network, for faults.
        interface: The interface, likewise.
        socket: Non-blocking.
        take: Reads one datagram at a Unix time and returns the answer; raises BlockingIOError if there is
            none.
    """

    network: str
    interface: str
    socket: socket.socket
    take: Callable[[float], Outgoing | None]


class DhcpLoop:
    """The thread.

    Args:
        name: Of the thread.
        records: Leases that changed, in the order they did; the loop takes them out.
        all_records: Returns all leases.
        emit: Takes trace events, from the thread; must not block.
        clock: Unix time.
    """

    def __init__(
        self,
        name: str,
        records: list[bytes],
        all_records: Callable[[], bytes],
        emit: Callable[[TraceEvent], None],
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._all_records = all_records
        self._emit = emit
        self._clock = clock
        self._ports: dict[int, Port] = {}
        self._wake = -1
        self._stopping = False
        self._journal: LeaseJournal[list[tuple[Port, Outgoing]]] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._silent_until: dict[str, float] = {}

    def add(self, port: Port) -> None:
        """Serve a socket; the loop closes it in the end. To be called before ``start``."""
        self._ports[port.socket.fileno()] = port

    def open(self, state: Path) -> None:
        """Begin the file of leases anew with those there are.

        Raises:
            DhcpServerError: It cannot be written.
        """
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._journal = LeaseJournal(state, self._committed)
            self._journal.open(self._all_records())
        except LeaseJournalError as error:
            raise DhcpServerError(str(error)) from error

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop answering, write what is to be written, close the sockets; waits ``timeout`` s at most."""
        self._stopping = True
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self.close()

    def close(self) -> None:
        """Close what is open, while the thread does not run."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for port in self._ports.values():
            port.socket.close()
        self._ports.clear()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _committed(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        poll = select.epoll()
        try:
            poll.register(self._wake, select.EPOLLIN)
            for number in self._ports:
                poll.register(number, select.EPOLLIN)
            while not self._stopping:
                for number, _ in poll.poll():
                    if number == self._wake:
                        os.eventfd_read(number)
                        self._send_committed()
                    else:
                        self._serve(self._ports[number])
                time.sleep(_PAUSE_SECONDS)
        finally:
            poll.close()

    def _serve(self, port: Port) -> None:
        """Take what has arrived on one socket, answer what needs no disk, hand the rest to the journal."""
        take = port.take
        waiting: list[tuple[Port, Outgoing]] = []
        now = self._clock()
        for _ in range(_BATCH):
            try:
                reply = take(now)
            except BlockingIOError:
                break
            except OSError as error:
                # The interface went down or away; it may come back.
                self._fault(port, f"cannot receive on {port.interface}: {error.strerror}")
                break
            except Exception as error:  # noqa: BLE001 - one odd datagram must not end the service for all
                self._fault(port, f"a datagram could not be handled: {error!r}")
                continue
            if reply is None:
                continue
            if reply.durable:
                waiting.append((port, reply))
            else:
                self._send(port, reply)
        if self._records and self._journal is not None:
            if self._journal.wants_all:
                self._journal.submit(self._all_records(), waiting, whole=True)
            else:
                self._journal.submit(b"".join(self._records), waiting)
            self._records.clear()

    def _send_committed(self) -> None:
        if self._journal is None:
            return
        for waiting, error in self._journal.commits():
            if error is not None:
                port = next(iter(self._ports.values()))
                self._fault(port, f"{error}; {len(waiting)} clients get no address until it can")
                continue
            for port, reply in waiting:
                self._send(port, reply)

    def _send(self, port: Port, reply: Outgoing) -> None:
        try:
            port.socket.sendto(reply.data, reply.destination)
        except OSError as error:
            # A full send buffer too: the client asks again.
            self._fault(port, f"cannot send to {reply.destination[0]}: {error.strerror}")
            return
        if reply.event is not None:
            self._emit(reply.event)

    def _fault(self, port: Port, text: str) -> None:
        """Trace a fault of ours, each at most once in some seconds: it may come with every datagram."""
        now = self._clock()
        kind = text.partition(":")[0]
        if self._silent_until.get(kind, 0.0) <= now:
            self._silent_until = {key: until for key, until in self._silent_until.items() if until > now}
            self._silent_until[kind] = now + _FAULT_SECONDS
            self._emit(TraceEvent(now, "dhcp", "fault", text, data={"network": port.network}))


def widen(sock: socket.socket) -> None:
    """Give a socket room for a storm."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
