"""One TFTP transfer against a reference client, over links that lose, double and reorder."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.wire.tftp import ReadRequest
from hostler.wire.tftp_session import (
    Aborted,
    Done,
    Failed,
    Probed,
    TftpEvent,
    TftpSession,
    TimedOut,
    split_run,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Bytes:
    """A source in memory; ``cut`` makes it shorter than it says, ``broken`` unreadable."""

    def __init__(self, content: bytes, *, cut: int = 0, broken: bool = False) -> None:
        self.content, self.size, self.broken = content[: len(content) - cut], len(content), broken

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Read as a file would."""
        if self.broken:
            raise OSError(5, "Input/output error")
        start = offset
        for buffer in buffers:
            data = self.content[offset : offset + len(buffer)]
            buffer[: len(data)] = data
            offset += len(data)
        return offset - start

    def identity(self, offset: int, length: int) -> Hashable | None:
        """Nothing here is worth sharing."""


class Client:
    """A client by the letter of RFC 1350 and RFC 7440, with a timer of its own.

    It acknowledges a full window, the last block, and on a gap the last block in order, once a gap.
    """

    TIMEOUT = 1.5

    def __init__(self, block: int, window: int, *, options: bool = True) -> None:
        self.block, self.window, self.options = block, window, options
        self.content = bytearray()
        self.expected = 1
        self.count = 0
        self.gap_told = False
        self.answer: bytes | None = None
        self.complete = False
        self.error: bytes | None = None
        self.packets = 0

    def request(self) -> ReadRequest:
        """Return what the client asks for first."""
        options = (("blksize", str(self.block)), ("windowsize", str(self.window))) if self.options else ()
        return ReadRequest("file", text=False, options=options)

    def acknowledge(self) -> list[bytes]:
        """Say up to where all is there."""
        self.count = 0
        self.answer = b"\0\4" + ((self.expected - 1) & 0xFFFF).to_bytes(2)
        return [self.answer]

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram and return the answers."""
        self.packets += 1
        opcode = int.from_bytes(datagram[:2])
        if opcode == 5:
            self.error = datagram
        if opcode == 6 and self.expected == 1:
            assert datagram.endswith(b"\0%d\0" % self.window)
            return self.acknowledge()
        if opcode != 3:
            return []
        number = int.from_bytes(datagram[2:4])
        if number == self.expected & 0xFFFF and not self.complete:
            self.content += datagram[4:]
            self.expected += 1
            self.count += 1
            self.gap_told = False
            self.complete = len(datagram) < 4 + self.block
            return self.acknowledge() if self.complete or self.count == self.window else []
        if number == (self.expected - 1) & 0xFFFF and self.window == 1:
            return self.acknowledge()  # RFC 1350 clients acknowledge a repeated block again
        if not self.gap_told:
            self.gap_told = True
            return self.acknowledge()
        return []


def simulate(
    client: Client,
    content: bytes,
    *,
    seed: int = 0,
    loss: float = 0.0,
    double: float = 0.0,
    jitter: float = 0.0,
    limit: float = 100_000.0,
) -> tuple[TftpEvent, float]:
    """Run a transfer in virtual time, over ``step`` and ``receive`` by turns, until the session is over.

    Returns its event and the time it took.
    """
    chance = random.Random(seed)
    order = itertools.count()
    arrivals: list[tuple[float, int, bool, bytes]] = []
    now, told = 0.0, 0.0
    session = TftpSession(client.request(), Bytes(content), now)

    def carry(datagrams: list[bytes], to_client: bool) -> None:
        for datagram in datagrams:
            for _ in range(1 + (chance.random() < double)):
                if chance.random() >= loss:
                    delay = 0.001 + chance.random() * jitter
                    heapq.heappush(arrivals, (now + delay, next(order), to_client, datagram))

    carry(session.datagrams_to_send(now), True)
    while (timer := session.timer()) is not None:
        assert now < limit, "the transfer does not end"
        client_timer = told + client.TIMEOUT if client.answer and not client.complete else float("inf")
        now = max(now, min(timer, client_timer, arrivals[0][0] if arrivals else float("inf")))
        if arrivals and arrivals[0][0] <= now:
            _, _, to_client, datagram = heapq.heappop(arrivals)
            if to_client:
                told = now
                carry(client.receive(datagram), False)
            elif chance.random() < 0.5 and (run := session.step(datagram, now)) is not None:
                carry(
                    [bytes(part) for part in split_run(run, session.segment)], True
                )  # the short way and the long one may be mixed at will
            else:
                session.receive(datagram, now)
        elif client_timer <= now:
            told = now
            carry(client.acknowledge(), False)
        else:
            session.handle_timer(now)
        carry(session.datagrams_to_send(now), True)
    (event,) = session.events()
    return event, now


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 4000),
    block=st.integers(8, 64),
    window=st.integers(1, 70),
    seed=st.integers(0, 10**6),
    loss=st.floats(0, 0.25),
    double=st.floats(0, 0.5),
    jitter=st.sampled_from([0.0, 0.0005, 0.01]),
)
def test_a_bad_link_still_delivers_the_exact_bytes(
    size: int, block: int, window: int, seed: int, loss: float, double: float, jitter: float
) -> None:
    """Loss, duplicates and reordering cost time, never a byte."""
    content = random.Random(seed).randbytes(size)
    client = Client(block, min(window, 64))
    event, _ = simulate(client, content, seed=seed, loss=loss, double=double, jitter=jitter)
    if isinstance(event, Done) or client.complete:
        assert bytes(client.content) == content
    else:
        assert isinstance(event, TimedOut)
        assert content.startswith(bytes(client.content))
        assert loss > 0.1, "a transfer over a fair link was given up"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.binary(max_size=12),
                st.integers(0, 70000).map(lambda block: b"\0\4" + (block & 0xFFFF).to_bytes(2)),
                st.just(None),
            ),
            st.floats(0, 3),
        ),
        max_size=60,
    ),
    st.integers(1, 64),
    st.booleans(),
)
def test_no_sequence_of_datagrams_raises(
    steps: list[tuple[bytes | None, float]], window: int, options: bool
) -> None:
    """Whatever comes and whenever, the session answers with well-formed packets or not at all."""
    now = 0.0
    request = ReadRequest("f", text=False, options=(("windowsize", str(window)),) if options else ())
    session = TftpSession(request, Bytes(bytes(50_000)), now)
    for datagram, wait in steps:
        now += wait
        session.handle_timer(now)
        if datagram is None:
            session.peer_gone(now)
        else:
            session.receive(datagram, now)
        for packet in session.datagrams_to_send(now):
            assert 2 <= len(packet) <= 516
            assert packet[1] in {3, 5, 6}
    assert len(list(session.events())) == (1 if session.over else 0)
    assert list(session.events()) == []


@pytest.mark.parametrize("window", [1, 7, 64])
def test_block_numbers_wrap_to_zero(window: int) -> None:
    """A file of more than 65,535 blocks arrives whole: after 65535 comes 0."""
    content = random.Random(1).randbytes(8 * 65_600 + 3)
    client = Client(8, window)
    event, _ = simulate(client, content)
    assert event == Done(len(content), event.seconds, 0)
    assert bytes(client.content) == content


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 512 * 16, 512 * 64])
@pytest.mark.parametrize("window", [1, 16])
def test_every_file_ends_with_a_short_block(size: int, window: int) -> None:
    """A file of a multiple of the block size is ended by an empty block (RFC 1350 §6)."""
    client = Client(512, window)
    event, _ = simulate(client, bytes(size))
    assert isinstance(event, Done)
    assert len(client.content) == size
    assert client.complete


def test_a_request_without_options_gets_its_first_block_at_once() -> None:
    """RFC 1350 alone: no option acknowledgement, 512 bytes, one block at a time."""
    session = TftpSession(ReadRequest("f", text=False), Bytes(bytes(2000)), 0.0)
    (first,) = session.datagrams_to_send(0.0)
    assert first[:4] == b"\0\3\0\1"
    assert len(first) == 516
    assert session.datagrams_to_send(0.0) == []


def test_duplicate_acknowledgements_are_not_answered_in_lockstep() -> None:
    """The Sorcerer's Apprentice stays asleep: only the timer sends a block again."""
    session = TftpSession(ReadRequest("f", text=False), Bytes(bytes(5000)), 0.0)
    session.datagrams_to_send(0.0)
    session.receive(b"\0\4\0\1", 0.1)
    assert len(session.datagrams_to_send(0.1)) == 1
    for _ in range(5):
        session.receive(b"\0\4\0\1", 0.11)
        assert session.datagrams_to_send(0.11) == []
    timer = session.timer()
    assert timer is not None
    session.handle_timer(timer)
    (again,) = session.datagrams_to_send(timer)
    assert again[:4] == b"\0\3\0\2"


@pytest.mark.parametrize("window", [1, 2, 32])
def test_doubled_datagrams_do_not_multiply(window: int) -> None:
    """When every datagram is doubled, the traffic stays a multiple of the file.

    With windows a double looks like a gap to a client that acknowledges as U-Boot does, which costs the
    rest of a burst, eight blocks, for each.
    """
    client = Client(512, window)
    event, _ = simulate(client, bytes(512 * 400), double=1.0)
    assert isinstance(event, Done)
    assert client.packets < 400 * 2 * (2 if window == 1 else 10)


def test_a_lost_first_block_of_a_window_does_not_cost_a_timeout() -> None:
    """A client that repeats its acknowledgement says where the gap is (RFC 7440 §4), and is heard once."""
    request = ReadRequest("f", text=False, options=(("windowsize", "4"),))
    session = TftpSession(request, Bytes(bytes(50_000)), 0.0)
    assert session.datagrams_to_send(0.0)[0][:2] == b"\0\6"
    session.receive(b"\0\4\0\0", 0.1)
    assert [packet[3] for packet in session.datagrams_to_send(0.1)] == [1, 2, 3, 4]
    session.receive(b"\0\4\0\4", 0.2)
    assert [packet[3] for packet in session.datagrams_to_send(0.2)] == [5, 6, 7, 8]
    session.receive(b"\0\4\0\4", 0.3)
    assert [packet[3] for packet in session.datagrams_to_send(0.3)] == [5, 6, 7, 8]
    session.receive(b"\0\4\0\4", 0.31)
    assert session.datagrams_to_send(0.31) == []


def test_after_loss_a_window_goes_out_in_smaller_bursts() -> None:
    """A client whose receive ring overflows gets the same window in pieces, a millisecond apart."""
    request = ReadRequest("f", text=False, options=(("windowsize", "64"),))
    session = TftpSession(request, Bytes(bytes(512 * 1000)), 0.0)
    session.datagrams_to_send(0.0)
    session.receive(b"\0\4\0\0", 0.0)
    assert len(session.datagrams_to_send(0.0)) == 64
    session.receive(b"\0\4\0\x08", 0.1)
    assert [packet[3] for packet in session.datagrams_to_send(0.1)] == list(range(9, 41))
    assert session.datagrams_to_send(0.1) == []
    assert session.timer() == pytest.approx(0.101)
    assert [packet[3] for packet in session.datagrams_to_send(0.102)] == list(range(41, 73))
    session.receive(b"\0\4\0\x48", 0.2)
    assert session.burst == 33


def test_a_window_is_one_stretch_of_memory() -> None:
    """All datagrams of a window lie back to back, each of the segment size, the last shorter."""
    request = ReadRequest("f", text=False, options=(("blksize", "1468"), ("windowsize", "8")))
    session = TftpSession(request, Bytes(bytes(1468 * 7 + 5)), 0.0)
    session.runs_to_send(0.0)
    session.receive(b"\0\4\0\0", 0.0)
    (run,) = session.runs_to_send(0.0)
    assert session.segment == 1472
    assert len(run) == 1472 * 7 + 9
    assert [bytes(part[:4]) for part in split_run(run, 1472)] == [bytes([0, 3, 0, n]) for n in range(1, 9)]


def test_a_run_fits_one_datagram_send() -> None:
    """No run is larger than what UDP_SEGMENT takes: 65,507 bytes."""
    request = ReadRequest("f", text=False, options=(("blksize", "1468"), ("windowsize", "64")))
    session = TftpSession(request, Bytes(bytes(1468 * 200)), 0.0)
    session.runs_to_send(0.0)
    session.receive(b"\0\4\0\0", 0.0)
    runs = session.runs_to_send(0.0)
    assert sum(len(run) for run in runs) == 64 * 1472
    assert all(len(run) <= 65507 for run in runs)


def test_a_client_that_only_wants_the_size_is_a_probe() -> None:
    """EDK2 asks for tsize and sends ERROR 8, the Raspberry Pi ERROR 0: normal, and no block is read."""
    request = ReadRequest("f", text=False, options=(("tsize", "0"),))
    session = TftpSession(request, Bytes(bytes(5000), broken=True), 0.0)
    assert session.datagrams_to_send(0.0) == [b"\0\6tsize\x005000\0"]
    session.receive(b"\0\5\0\x08User aborted the transfer\0", 0.1)
    (event,) = session.events()
    assert event == Probed(0, 0.1, 0, "client sent error 8: User aborted the transfer")
    assert session.timer() is None


def test_a_client_that_stops_in_mid_file_gave_up() -> None:
    """An ERROR after the first block is an abort, with the bytes that had arrived."""
    session = TftpSession(ReadRequest("f", text=False), Bytes(bytes(5000)), 0.0)
    session.datagrams_to_send(0.0)
    for block in (1, 2, 3):
        session.receive(bytes([0, 4, 0, block]), 0.1)
        session.datagrams_to_send(0.1)
    session.receive(b"\0\5\0\3full\0", 0.2)
    assert list(session.events()) == [Aborted(1536, 0.2, 0, "client sent error 3: full")]


def test_a_closed_port_on_the_last_block_is_the_end() -> None:
    """Firmware that starts the file without acknowledging its last block has got it."""
    session = TftpSession(ReadRequest("f", text=False), Bytes(b"short"), 0.0)
    session.datagrams_to_send(0.0)
    session.peer_gone(0.5)
    assert list(session.events()) == [Done(5, 0.5, 0, acknowledged=False)]


def test_silence_is_given_up_at_its_deadline() -> None:
    """Without a sign from the client the transfer ends, retransmissions ever rarer, with an ERROR at last."""
    session = TftpSession(ReadRequest("f", text=False), Bytes(bytes(5000)), 0.0, idle_seconds=20)
    sent = 0
    while (timer := session.timer()) is not None:
        session.handle_timer(timer)
        sent += len(packets := session.datagrams_to_send(timer))
        assert timer < 30
    assert 4 <= sent <= 12
    assert packets[0][:2] == b"\0\5"
    (event,) = session.events()
    assert isinstance(event, TimedOut)
    assert not event.all_sent


@pytest.mark.parametrize("asked", [1, 3])
def test_the_timeout_option_is_the_longest_interval(asked: int) -> None:
    """RFC 2349: the server sends again after the client's interval at the latest, to the end."""
    session = TftpSession(ReadRequest("f", text=False, options=(("timeout", str(asked)),)), Bytes(b"x"), 0.0)
    session.datagrams_to_send(0.0)
    now, intervals = 0.0, []
    while (timer := session.timer()) is not None:
        intervals.append(timer - now)
        now = timer
        session.handle_timer(now)
        session.datagrams_to_send(now)
    assert max(intervals) == pytest.approx(asked)


@pytest.mark.parametrize("source", [Bytes(bytes(5000), cut=100), Bytes(bytes(5000), broken=True)])
def test_a_file_that_cannot_be_read_ends_the_transfer(source: Bytes) -> None:
    """The client is told with an ERROR instead of being sent wrong bytes."""
    session = TftpSession(ReadRequest("f", text=False, options=(("blksize", "8192"),)), source, 0.0)
    session.datagrams_to_send(0.0)
    session.receive(b"\0\4\0\0", 0.0)
    (packet,) = session.datagrams_to_send(0.0)
    assert packet[:2] == b"\0\5"
    (event,) = session.events()
    assert isinstance(event, Failed)
