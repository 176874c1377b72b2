"""Fetching an image with the other boards that install it: from each other, and from the rack what none has.

The rack says which chunk to fetch next and from whom; a few workers do so, each with one small job at a time.
What was checked and written is kept in memory, if there is room, and given to others until the step is done.
A board that gives something wrong, or nothing, is left at once, and its chunk comes from elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self, cast

from hostler.agent.peer_client import AbsentError, Peer, PeerError
from hostler.agent.peer_frames import Frames, room
from hostler.agent.peer_server import PeerServer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from hostler.agent.work import Work
    from hostler.agent.writing import ChunkSource
    from hostler.model.json import JSON, Document

WORKERS = 4
JOB_SECONDS = 0.5
"""About how long a job is to take: the rack is asked for each."""
TELL_SECONDS = 2.0
"""How often the rack is told what this board has, whatever it does."""
UNREACHABLE = 3
"""When so many attempts brought nothing, and none anything, boards do not reach each other here."""
_MOST_CHUNKS = 16
_RACK_TRIES = 3
_USUAL_WEIGHT = 0.3
_PAUSE_SECONDS = 0.05


class Caller(Protocol):
    """Asks the rack what to fetch."""

    def peers(self, artefact: str, body: Document, *, wait: bool) -> Document | None:
        """Report, and ask for a job; None: there is no such thing. Without ``wait`` a lost rack is {}."""
        ...

    def address_here(self) -> str:
        """Return the board's own address on the network by which the rack is reached."""
        ...


class NoPeersError(Exception):
    """Chunks are not to be had from other boards, or no more; the text says why."""


class Peers:
    """One image that this board shares with others. Entered, it gives what it has got until it is left.

    Args:
        caller: The rack.
        artefact: Id of the image's index.
        source: The rack as one that gives chunks.
        work: Tells when to end; takes lines for the step's log.
        frame_limit: Longest frame there can be.

    Attributes:
        fetched_bytes: Bytes of the frames that came from other boards.
    """

    def __init__(
        self, caller: Caller, artefact: str, source: ChunkSource, work: Work, frame_limit: int
    ) -> None:
        self._caller = caller
        self._artefact = artefact
        self._source = source
        self._work = work
        self._frame_limit = frame_limit
        self._frames = Frames(room())
        self._stack = contextlib.ExitStack()
        self._server: PeerServer | None = None
        self._teller: threading.Thread | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._joining = threading.Lock()
        self._session = ""
        self._wanted: set[int] = set()
        self._taking: set[int] = set()
        self._got: list[int] = []
        self._dropped: list[int] = []
        self._failed: list[Document] = []
        self._bad_at: dict[int, float] = {}  # when the last attempt at a board failed
        self._bad_attempts = 0
        self._spoilt: dict[int, int] = {}
        self._failures: list[BaseException] = []
        self._seconds = 0.0
        self.fetched_bytes = 0

    def __enter__(self) -> Self:
        """Nothing happens before ``fetch``: a board alone serves nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the others: first nobody is sent here any more, then nothing is served."""
        self._over.set()
        if self._teller is not None:
            self._teller.join()  # or what it tells last would join again
        if self._session:
            with contextlib.suppress(Exception):
                self._caller.peers(self._artefact, {"leave": self._summary()}, wait=False)
        self._stack.close()

    @property
    def given_bytes(self) -> int:
        """Bytes of the frames that were given to other boards."""
        return self._server.given_bytes if self._server is not None else 0

    def fetch(
        self, wanted: Collection[int], digests: Sequence[str], take: Callable[[int, memoryview], bool]
    ) -> frozenset[int]:
        """Fetch chunks and give them on; return those that are not to be had so.

        Args:
            wanted: Their numbers among the distinct chunks of the index.
            digests: Of all of those.
            take: Writes a frame, in one of several threads; False: it is not what its digest says.

        Raises:
            StepError: ``take`` raised it, the rack does not have a chunk, or the step is to end.
        """
        self._wanted = set(wanted)
        try:
            self._begin()
            self._join("")
        except (NoPeersError, OSError) as error:
            self._work.say(f"install: {error}; the image comes from the rack")
            return frozenset(self._wanted)
        threads = [
            threading.Thread(target=self._guarded, args=[digests, take], name=f"peers-{number}")
            for number in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            if not isinstance(self._failures[0], NoPeersError):
                raise self._failures[0]
            self._work.say(f"install: {self._failures[0]}; the rest comes from the rack")
        self._work.check()
        return frozenset(self._wanted)

    def _begin(self) -> None:
        """Begin to serve, and to tell the rack from time to time what there is."""
        if self._server is None:
            self._server = self._stack.enter_context(PeerServer(self._caller.address_here(), self._frames))
            self._teller = threading.Thread(target=self._tell, name="peers-teller")
            self._teller.start()

    def _join(self, left: str) -> None:
        """Tell the rack who this is, unless another thread has since the session that is left."""
        with self._joining:
            if self._session != left or self._server is None:
                return
            with self._lock:
                self._got, self._dropped, self._failed = [], [], []
                body: Document = {
                    "port": self._server.port,
                    "key": self._server.key,
                    "has": _bitmap(self._frames.numbers()),
                    "lacks": _bitmap(self._wanted),
                }
            answer = self._caller.peers(self._artefact, body, wait=True)
            if answer is None or not isinstance(answer.get("session"), str):
                raise NoPeersError("the rack knows of no other boards")
            self._session = str(answer["session"])

    def _ask(self, most: int, *, wait: bool = True) -> Document:
        """Report what happened since the last time, and ask for a job."""
        with self._lock:
            got, dropped, failed = self._got, self._dropped, self._failed
            self._got, self._dropped, self._failed = [], [], []
        session = self._session
        body: Document = {
            "session": session,
            "got": cast("JSON", got),
            "dropped": cast("JSON", dropped),
            "failed": cast("JSON", failed),
            "most": most,
        }
        answer = self._caller.peers(self._artefact, body, wait=wait)
        if answer is None:
            raise NoPeersError("the rack knows of other boards no more")
        if not answer:  # it did not hear it
            with self._lock:
                self._got += got
                self._dropped += dropped
                self._failed += failed
        elif "job" not in answer:
            self._join(session)
        return answer

    def _tell(self) -> None:
        while not self._over.wait(TELL_SECONDS):
            try:
                if self._session:
                    self._ask(0, wait=False)
            except Exception as error:  # noqa: BLE001 - the workers meet the same and say it
                if isinstance(error, NoPeersError):
                    return

    def _guarded(self, digests: Sequence[str], take: Callable[[int, memoryview], bool]) -> None:
        try:
            self._work_on(digests, take)
            if not self._wanted:
                self._ask(0)  # or the other workers' answers would still wait
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._failures.append(error)

    def _work_on(self, digests: Sequence[str], take: Callable[[int, memoryview], bool]) -> None:
        frame = memoryview(bytearray(self._frame_limit))
        while self._wanted and not self._failures:
            self._work.check()
            answer = self._ask(self._most())
            job, source = answer.get("job"), answer.get("from")
            if not isinstance(job, list) or not job:
                self._over.wait(_PAUSE_SECONDS)
                continue
            numbers = [int(cast("int", number)) for number in job]
            began = time.monotonic()
            if not isinstance(source, dict):
                self._from_rack(numbers, digests, frame, take)
            elif not self._from_peer(numbers, source, frame, take):
                continue  # how soon it fails tells nothing
            seconds = (time.monotonic() - began) / len(numbers)
            self._seconds += (_USUAL_WEIGHT if self._seconds else 1.0) * (seconds - self._seconds)

    def _most(self) -> int:
        return max(1, min(_MOST_CHUNKS, int(JOB_SECONDS / max(self._seconds, 1e-3)))) if self._seconds else 1

    def _from_rack(
        self,
        numbers: list[int],
        digests: Sequence[str],
        frame: memoryview,
        take: Callable[[int, memoryview], bool],
    ) -> None:
        for number in numbers:
            if number not in self._wanted:
                continue
            length = self._source.chunk(digests[number], frame)
            if self._taken(number, frame[:length], take):
                continue
            self._spoilt[number] = self._spoilt.get(number, 0) + 1
            with self._lock:
                self._failed.append({"chunks": [number], "from": None, "why": "damaged"})
                if self._spoilt[number] == _RACK_TRIES:
                    self._wanted.discard(number)
            if self._spoilt[number] == _RACK_TRIES:
                raise NoPeersError(f"chunk {digests[number]} arrived damaged {_RACK_TRIES} times")

    def _from_peer(
        self,
        numbers: list[int],
        source: Document,
        frame: memoryview,
        take: Callable[[int, memoryview], bool],
    ) -> bool:
        """Carry out a job at another board; return whether all went well."""
        peer = int(cast("int", source["peer"]))
        left = list(numbers)
        began = time.monotonic()
        try:
            with Peer(source) as other:
                while left and not self._failures:
                    if left[0] not in self._wanted:  # it came from elsewhere, and this may be slow
                        left.pop(0)
                        continue
                    try:
                        length = other.chunk(left[0], frame)
                    except AbsentError:
                        self._fail(left[:1], peer, None)
                    else:
                        if not self._taken(left[0], frame[:length], take):
                            raise PeerError(f"chunk {left[0]} came with other bytes than its digest says")
                        with self._lock:
                            self.fetched_bytes += length
                    left.pop(0)
                    self._work.check()
        except PeerError as error:
            self._fail(left, peer, str(error))
            with self._lock:
                if began >= self._bad_at.get(peer, 0.0):  # several workers at once are one attempt
                    self._bad_at[peer] = time.monotonic()
                    self._bad_attempts += 1
                hopeless = self._bad_attempts >= UNREACHABLE and not self.fetched_bytes
            if hopeless:
                raise NoPeersError(
                    f"other boards gave nothing {UNREACHABLE} times, the last: {error}"
                ) from None
            return False
        return True

    def _fail(self, chunks: Iterable[int], peer: int, why: str | None) -> None:
        with self._lock:
            self._failed.append({"chunks": list(chunks), "from": peer, "why": why})

    def _taken(self, number: int, frame: memoryview, take: Callable[[int, memoryview], bool]) -> bool:
        """Have a frame written, and give it on from now; return whether it is right."""
        with self._lock:
            new = number in self._wanted and number not in self._taking
            if new:
                self._taking.add(number)
            elif number not in self._wanted:
                self._got.append(number)  # the rack did not hear it, or would not have sent for it again
        if not new:  # what took too long was fetched from elsewhere meanwhile
            return True
        right = False
        try:
            right = take(number, frame)
        finally:
            with self._lock:
                self._taking.discard(number)
        if right:
            dropped = self._frames.put(number, bytes(frame))
            with self._lock:
                self._wanted.discard(number)
                self._got.append(number)
                self._dropped += dropped
        return right

    def _summary(self) -> str:
        fetched, given = self.fetched_bytes / 1e6, self.given_bytes / 1e6
        return f"{fetched:.1f} MB came from other boards, {given:.1f} MB went to them"


def _bitmap(numbers: Iterable[int]) -> str:
    bits = bytearray()
    for number in sorted(numbers):
        bits.extend(bytes(number // 8 + 1 - len(bits)))
        bits[number // 8] |= 1 << number % 8
    return base64.b64encode(bits).decode()
