"""The sender of a multicast carousel: a thread that sends what the schedule says, at the rate it is let."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from hostler.wire.carousel import DATAGRAM, datagrams, fragment_count, nothing
from hostler.wire.carousel_rate import Rate
from hostler.wire.carousel_schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Address

    from hostler.netboot.multicast_group import MulticastGroup
    from hostler.wire.carousel_receiver import Lacking
    from hostler.wire.carousel_schedule import Turn

log = logging.getLogger(__name__)

SILENT_SECONDS = 10.0
"""A listener that told nothing for so long is gone: it tells twice a second."""
_IDLE_SECONDS = 0.1  # between two looks at a schedule that has nothing to send
_GSO = 45  # datagrams in one send: what the kernel takes, 64 KiB
_SEND_BUFFER = 512 * 1024  # small: what waits in it is seconds old on a slow link
_UDP_SEGMENT = 103  # <linux/udp.h>
_SEGMENT = [(socket.SOL_UDP, _UDP_SEGMENT, struct.pack("H", DATAGRAM))]


class CarouselSender:
    """Sends until it is stopped.

    Args:
        session: Its number on the wire.
        group: Where to.
        source: The host's own address on the network.
        frame: Returns the frame of a chunk by its number; raises OSError if it cannot be read. While it waits
            for it, it calls what it is given more than once a second, and lets pass what that raises.
    """

    def __init__(
        self,
        session: int,
        group: MulticastGroup,
        source: IPv4Address,
        frame: Callable[[int, Callable[[], None]], bytes],
    ) -> None:
        self.session = session
        self.group = group
        self.sent_bytes = 0
        self._frame = frame
        self._schedule = Schedule()
        self._rate = Rate(group.rate)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._told = threading.Event()
        self._socket = _sender(group, source)
        self._whole_sends = True
        self._thread = threading.Thread(target=self._run, name=f"carousel-{session:x}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def end(self) -> None:
        """Have the thread end soon; does not wait for it."""
        self._stop.set()
        self._told.set()

    def stop(self) -> None:
        """Send no more; returns when the thread has ended."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def report(self, who: str, lacking: Lacking) -> None:
        """Take in what a listener lacks; from any thread."""
        with self._lock:
            self._schedule.report(who, lacking, time.monotonic())
        self._told.set()

    def forget(self, who: str) -> None:
        """A listener has left."""
        with self._lock:
            self._schedule.forget(who)

    @property
    def listeners(self) -> int:
        """How many listeners lack something and told so lately."""
        with self._lock:
            return self._schedule.listeners

    def limit(self, most: float) -> None:
        """Send no faster than this, in bits a second; from any thread."""
        with self._lock:
            self._rate.limit(most)

    @property
    def rate(self) -> float:
        """Bits a second it may send now."""
        return self._rate.bits

    def _run(self) -> None:
        with self._socket:
            self._send_until_stopped()

    def _send_until_stopped(self) -> None:
        over = 0  # number of the turn that says that the others are over; 0: something was sent since
        while not self._stop.is_set():
            now = time.monotonic()
            with self._lock:
                self._schedule.forget_silent(now - SILENT_SECONDS)
                self._rate.adapt(self._schedule.losses(), now)
                turn = self._schedule.next()
                somebody = self._schedule.listeners > 0
                if turn is None and somebody and not over:
                    over = self._schedule.nothing()
            if turn is not None:
                over = 0
                self._send_turn(turn)
                continue
            if somebody:
                # Who lost the end of the last turn would not know that it is over. With the same number each
                # time: all who hear a new one tell at once what they lack, and each such word must not have
                # another one sent.
                self._send([nothing(self.session, over)])
            self._idle(time.monotonic() + _IDLE_SECONDS)

    def _idle(self, until: float) -> None:
        """Wait for a word that has something sent, or for a time."""
        while not self._stop.is_set() and self._told.wait(max(0.0, until - time.monotonic())):
            self._told.clear()
            with self._lock:
                if self._schedule.waiting:
                    return

    def _send_turn(self, turn: Turn) -> None:
        try:
            frame = self._frame(turn.chunk, lambda: self._wait_for(turn))
        except OSError as error:
            if self._stop.is_set():
                return
            log.warning("carousel %x: chunk %d cannot be read: %s", self.session, turn.chunk, error)
            return  # its listeners leave in the end and ask for it by HTTP, where they are told
        wanted = turn.fragments
        if wanted is not None:  # a board's word: it may name some that there are not
            wanted = tuple(number for number in wanted if number < fragment_count(len(frame)))
        packets = datagrams(self.session, turn.number, turn.chunk, frame, wanted, parity=turn.parity)
        for batch in _batches(packets):
            wait = self._rate.delay(len(batch) * DATAGRAM, time.monotonic())
            if wait > 0 and self._stop.wait(wait):
                return
            self._send(batch)

    def _wait_for(self, turn: Turn) -> None:
        """Tell listeners that this is still there, and what is over; raises OSError when it is to end."""
        if self._stop.is_set():
            raise OSError(errno.ECANCELED, "the carousel ends")
        self._send([nothing(self.session, turn.number)])

    def _send(self, batch: list[bytes]) -> None:
        try:
            if self._whole_sends:
                try:
                    self._socket.sendmsg([b"".join(batch)], _SEGMENT)
                except OSError as error:
                    if error.errno not in _NO_GSO:
                        raise
                    self._whole_sends = False  # this interface cuts nothing up
            if not self._whole_sends:
                for packet in batch:
                    self._socket.send(packet)
        except OSError as error:
            # A full queue, a link that is down: nobody heard it, so somebody will ask for it again.
            log.debug("carousel %x: %s", self.session, error)
            self._stop.wait(_IDLE_SECONDS)
        else:
            self.sent_bytes += len(batch) * DATAGRAM


_NO_GSO = frozenset({5, 22, 92, 95})  # EIO, EINVAL, ENOPROTOOPT, EOPNOTSUPP


def _batches(packets: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for packet in packets:
        batch.append(packet)
        if len(batch) == _GSO:
            yield batch
            batch = []
    if batch:
        yield batch


def _sender(group: MulticastGroup, source: IPv4Address) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, group.ttl)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source.packed)
        made.bind((str(source), 0))
        made.connect((str(group.address), group.port))
        made.settimeout(5.0)
    except OSError:
        with contextlib.suppress(OSError):
            made.close()
        raise
    return made
