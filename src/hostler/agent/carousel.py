"""Listening to the rack's multicast carousel: chunks that several boards want at once come once for all.

The agent asks its rack before it installs and meanwhile; if there is a carousel for its image it joins the
group, and tells twice a second what it lacks, and at once when the sender has nothing more to send. It
leaves when it hears nothing or loses too much, and fetches the rest by HTTP: so no multicast, or a bad
cable, costs seconds and nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import queue
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Protocol

from hostler.wire.carousel import DATAGRAM
from hostler.wire.carousel_receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostler.agent.work import Work
    from hostler.model.json import Document

REPORT_SECONDS = 0.5
DEAF_SECONDS = 3.0
"""Hearing nothing of the session for so long is reason to leave: while anything lacks the sender always
says something, also when it waits for a chunk itself."""
HOPELESS_LOSS = 0.25
HOPELESS_SECONDS = 3.0
"""Losing more than this share for so long, without getting any of it again, is reason to leave."""
VAIN_SECONDS = 15.0
"""Getting nothing right that lacks for so long is reason, too: the rack cannot read the chunk or has it
damaged, or others come first for long."""
_READ = 65536
_RECEIVE_BUFFER = 16 * 1024 * 1024
"""The kernel counts a packet as half again as long as it is, and takes twice this: a busy board may look away
for a second at 200 Mbit/s."""
_HEAR_SECONDS = struct.pack("ll", 0, 200_000)  # struct timeval
_WAITING = 16  # frames between the network and the disk: some MiB
_UDP_GRO = 104  # <linux/udp.h>
_SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>; root may have more than net.core.rmem_max


class Caller(Protocol):
    """Asks the rack about the carousel of an image."""

    def carousel(self, artefact: str, body: Document) -> Document | None:
        """Tell what is lacking; return where the carousel is, or None: there is none for us."""
        ...

    def ask(self, path: str) -> Document:
        """Fetch a JSON object; waits for the rack as long as it takes."""
        ...

    def peers(self, artefact: str, body: Document, *, wait: bool) -> Document | None:
        """Report, and ask what to fetch from which other board (``agent/peers.py``)."""
        ...

    def address_here(self) -> str:
        """Return the board's own address on the network by which the rack is reached."""
        ...


class NoCarouselError(Exception):
    """The carousel cannot be listened to, or no more; the text says why."""


def listen(
    offer: Document,
    wanted: Sequence[int],
    frame_limit: int,
    caller: Caller,
    artefact: str,
    take: Callable[[int, memoryview], bool],
    work: Work,
    vain_seconds: float = VAIN_SECONDS,
) -> frozenset[int]:
    """Listen until nothing is lacking or nothing more is to be had; return the chunks that still lack.

    Args:
        offer: What the rack answered.
        wanted: Numbers of the chunks to get, among the distinct ones of the index.
        frame_limit: Longest frame there can be.
        caller: The rack.
        artefact: Id of the index.
        take: Takes a frame in one of several threads; False: it is not what its digest says.
        work: Tells when to end.
        vain_seconds: Without a right frame until it leaves.

    Raises:
        StepError: ``take`` raised it, or the step is to end.
    """
    try:
        session, group, port = int(str(offer["session"])), str(offer["group"]), int(str(offer["port"]))
        receiver = Receiver(session, wanted, frame_limit)
        with _joined(group, port, caller.address_here()) as heard:
            _Listening(receiver, heard, caller, artefact, take, work, vain_seconds).run()
    except NoCarouselError as error:
        work.say(f"install: {error}; the rest comes by HTTP")
        with contextlib.suppress(Exception):
            caller.carousel(artefact, {"leave": str(error)})
    except (OSError, KeyError, ValueError) as error:
        work.say(f"install: the carousel cannot be joined: {error}; the image comes by HTTP")
        return frozenset(wanted)
    return receiver.wanted


class _Listening:
    """One session: a thread that reads, threads that take frames, and the caller's, which reports."""

    def __init__(
        self,
        receiver: Receiver,
        heard: socket.socket,
        caller: Caller,
        artefact: str,
        take: Callable[[int, memoryview], bool],
        work: Work,
        vain_seconds: float,
    ) -> None:
        self._vain_seconds = vain_seconds
        self._receiver = receiver
        self._socket = heard
        self._caller = caller
        self._artefact = artefact
        self._take = take
        self._work = work
        self._lock = threading.Lock()
        self._frames: queue.Queue[tuple[int, memoryview]] = queue.Queue(_WAITING)
        self._end = threading.Event()
        self._news = threading.Event()  # something to tell before it is time
        self._failures: list[BaseException] = []
        self._heard_at = self._got_at = time.monotonic()
        self._pending = 0

    def run(self) -> None:
        threads = [threading.Thread(target=self._guarded, args=[self._read], name="carousel")]
        threads += [
            threading.Thread(target=self._guarded, args=[self._write], name=f"carousel-{number}")
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        try:
            self._report()
        finally:
            self._end.set()
            for thread in threads:
                thread.join()
            self._give_back()
        if self._failures:
            raise self._failures[0]

    def _give_back(self) -> None:
        """Count as lacking what arrived when nobody took frames any more."""
        while not self._frames.empty():
            self._receiver.again(self._frames.get_nowait()[0])

    def _report(self) -> None:
        bad_since, lost, before = 0.0, "", (0, 0)
        session = self._receiver.session
        while not self._failures:
            self._work.check()
            with self._lock:
                lacking = self._receiver.lacking()
                wants, pending = self._receiver.lacks, self._pending
            if not wants and not pending:
                return
            body: Document = {
                "session": session,
                "passed": lacking.passed,
                "chunks": _bitmap(lacking.chunks),
                "fragments": {str(chunk): list(numbers) for chunk, numbers in lacking.fragments.items()},
                "received": lacking.received,
                "lost": lacking.lost,
            }
            answer = self._caller.carousel(self._artefact, body)
            if answer is None or answer.get("session") != session:
                raise NoCarouselError("the carousel has ended")
            if pending:
                self._heard_at = time.monotonic()  # it may look away: what it heard waits for the disk
            if not wants:
                self._got_at = time.monotonic()
            if time.monotonic() > self._heard_at + DEAF_SECONDS:
                raise NoCarouselError(f"nothing was heard of the carousel for {DEAF_SECONDS:g} s")
            if time.monotonic() > self._got_at + self._vain_seconds:
                raise NoCarouselError(
                    f"nothing that lacks came out of the carousel for {self._vain_seconds:g} s"
                )
            total = lacking.received + lacking.lost
            lacks = lacking.chunks.bit_count(), sum(map(len, lacking.fragments.values()))
            if lacking.lost > HOPELESS_LOSS * total:
                lost, bad_since = f"{lacking.lost} of {total}", bad_since or time.monotonic()
            elif total or lacks != before:  # what is sent again is not counted, and comes
                bad_since = 0.0
            before = lacks
            if bad_since and time.monotonic() > bad_since + HOPELESS_SECONDS:
                raise NoCarouselError(f"{lost} fragments of the carousel are lost on the way")
            self._news.wait(REPORT_SECONDS)
            self._news.clear()

    def _read(self) -> None:
        buffer = bytearray(_READ)
        view = memoryview(buffer)
        while not self._end.is_set():
            try:
                count, ancillary, _, _ = self._socket.recvmsg_into([buffer], 64)
            except BlockingIOError:  # nothing came in _HEAR_SECONDS
                continue
            size = DATAGRAM
            for level, kind, data in ancillary:
                if level == socket.SOL_UDP and kind == _UDP_GRO:
                    (size,) = struct.unpack("i", data[:4])
            with self._lock:
                turn, heard = self._receiver.turn, self._receiver.heard
                whole = self._receiver.receive(view[:count], size)
                self._pending += len(whole)
                if self._receiver.heard != heard:
                    self._heard_at = time.monotonic()
                if self._receiver.turn != turn and self._receiver.over and self._receiver.lacks:
                    self._news.set()  # not when frames only wait for the disk
            for one in whole:
                self._put(one)

    def _put(self, one: tuple[int, memoryview]) -> None:
        while not self._end.is_set():
            try:
                self._frames.put(one, timeout=REPORT_SECONDS)
            except queue.Full:
                continue  # the disk is slower than the network; the socket drops what it cannot hold
            return
        with self._lock:
            self._pending -= 1
            self._receiver.again(one[0])

    def _write(self) -> None:
        while not self._end.is_set() or not self._frames.empty():
            try:
                chunk, frame = self._frames.get(timeout=0.1)
            except queue.Empty:
                continue
            right = self._take(chunk, frame)
            with self._lock:
                self._receiver.release(frame)
                self._pending -= 1
                if right:
                    self._got_at = time.monotonic()
                    if not self._pending and not self._receiver.wanted:
                        self._news.set()
                else:
                    self._receiver.again(chunk)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._failures.append(error)
            self._end.set()
            self._news.set()


def _joined(group: str, port: int, here: str) -> socket.socket:
    """Return a socket that hears a group on the interface that has this address."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        with contextlib.suppress(OSError):  # a kernel without it hands out datagrams one by one
            made.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
        made.bind((group, port))
        membership = socket.inet_aton(group) + socket.inet_aton(here)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        # The kernel's own timeout: Python's asks poll before each read.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _HEAR_SECONDS)
    except OSError:
        made.close()
        raise
    return made


def _bitmap(chunks: int) -> str:
    return base64.b64encode(chunks.to_bytes((chunks.bit_length() + 7) // 8, "little")).decode()
