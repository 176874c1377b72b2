"""The multicast carousel without sockets: sender and listeners with a network between them that loses."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.wire.carousel import (
    DATAGRAM,
    HEADER,
    UNIT,
    Kind,
    datagrams,
    fragment_count,
    nothing,
    parity_count,
)
from hostler.wire.carousel_rate import Rate
from hostler.wire.carousel_receiver import Lacking, Receiver
from hostler.wire.carousel_schedule import DEAF_SECONDS, HOPELESS_LOSS, MOST_TURNS, Schedule
from hostler.wire.pace import CREDIT, Pace

SESSION = 77
LIMIT = 1 << 20


def frames_of(count: int, seed: int = 1, most: int = 40 * UNIT) -> list[bytes]:
    """Return frames of random length and content."""
    rnd = random.Random(seed)
    return [rnd.randbytes(rnd.randrange(1, most)) for _ in range(count)]


class Lan:
    """A sender, listeners and the network between them; one round is one second."""

    def __init__(self, frames: list[bytes], seed: int = 1) -> None:
        self.frames = frames
        self.schedule = Schedule()
        self.listeners: dict[str, Receiver] = {}
        self.loss: dict[str, float] = {}
        self.got: dict[str, dict[int, bytes]] = {}
        self.sent = 0
        self.sent_whole: list[int] = []
        self._rnd = random.Random(seed)
        self.now = 0.0

    def join(self, name: str, loss: float = 0.0, wanted: set[int] | None = None) -> None:
        self.listeners[name] = Receiver(SESSION, range(len(self.frames)) if wanted is None else wanted, LIMIT)
        self.loss[name] = loss
        self.got[name] = {}
        self.report(name)

    def report(self, name: str) -> None:
        self.schedule.report(name, self.listeners[name].lacking(), self.now)

    def turns(self, count: int) -> None:
        """Send up to so many turns, or say that nothing is to be sent."""
        for _ in range(count):
            turn = self.schedule.next()
            if turn is None:
                self._spread([nothing(SESSION, self.schedule.nothing())])
                return
            if turn.fragments is None:
                self.sent_whole.append(turn.chunk)
            frame = self.frames[turn.chunk]
            self._spread(
                list(datagrams(SESSION, turn.number, turn.chunk, frame, turn.fragments, parity=turn.parity))
            )

    def _spread(self, packets: list[bytes]) -> None:
        self.sent += len(packets)
        for name, receiver in self.listeners.items():
            heard = b"".join(packet for packet in packets if self._rnd.random() >= self.loss[name])
            for chunk, frame in receiver.receive(memoryview(heard)):
                assert chunk not in self.got[name]
                self.got[name][chunk] = bytes(frame)

    def until_done(self, rounds: int = 200, every: int = 7) -> int:
        for number in range(rounds):
            if all(not receiver.wanted for receiver in self.listeners.values()):
                return number
            self.turns(every)
            self.now += 0.5
            for name in self.listeners:
                self.report(name)
        raise AssertionError({name: len(one.wanted) for name, one in self.listeners.items()})


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    chunks=st.integers(1, 25),
    losses=st.lists(st.floats(0, 0.1), min_size=1, max_size=5),
    every=st.integers(1, 40),
)
def test_everybody_gets_everything(seed: int, chunks: int, losses: list[float], every: int) -> None:
    """Whatever each loses, up to a tenth, and whenever it joins, every frame arrives whole and once."""
    lan = Lan(frames_of(chunks, seed), seed)
    for number, loss in enumerate(losses):
        lan.join(str(number), loss)
        lan.turns(every)
    lan.until_done(rounds=3000, every=every)
    for got in lan.got.values():
        assert [got[number] for number in range(chunks)] == lan.frames


def test_one_pass_is_enough_for_any_number() -> None:
    """Ten listeners that lose nothing cost what one costs."""
    lan = Lan(frames_of(30))
    for number in range(10):
        lan.join(str(number))
    lan.until_done()
    assert sorted(lan.sent_whole) == list(range(30))


def test_who_comes_late_gets_what_it_missed_and_no_more() -> None:
    """The carousel goes on from where it is and sends the beginning once more."""
    lan = Lan(frames_of(30))
    lan.join("early")
    lan.turns(20)
    lan.join("late")
    lan.until_done()
    assert sorted(lan.sent_whole) == sorted([*range(30), *range(20)])
    assert lan.sent_whole[20:30] == list(range(20, 30))


def test_who_needs_little_is_sent_little() -> None:
    """Only what somebody lacks goes round."""
    lan = Lan(frames_of(30))
    lan.join("a", wanted={3, 17})
    lan.join("b", wanted={17, 29})
    lan.until_done()
    assert sorted(lan.sent_whole) == [3, 17, 29]


def test_one_in_a_hundred_lost_costs_little() -> None:
    """With 32 listeners that each lose others, parities bring back most: less than 1.2 times one pass."""
    lan = Lan(frames_of(40, most=760 * UNIT))
    for number in range(32):
        lan.join(str(number), loss=0.01)
    lan.until_done(every=5)
    assert lan.sent <= 1.2 * sum(fragment_count(len(frame)) for frame in lan.frames)


def test_a_hopeless_listener_holds_up_nobody() -> None:
    """Who loses nine of ten is not sent anything again; the others cost what they cost without it."""
    alone = Lan(frames_of(30, most=100 * UNIT))
    alone.join("good")
    alone.until_done()
    lan = Lan(frames_of(30, most=100 * UNIT))
    lan.join("good")
    lan.join("bad", loss=0.9)
    for _ in range(60):
        lan.turns(7)
        lan.now += 0.5
        lan.report("good")
        lan.report("bad")
    assert not lan.listeners["good"].wanted
    assert lan.sent <= 3 * alone.sent
    assert all(loss <= HOPELESS_LOSS for loss in lan.schedule.losses())


def test_who_hears_nothing_is_sent_nothing() -> None:
    """A network that does not carry multicast is not filled with it for ever."""
    lan = Lan(frames_of(5000, most=2))
    lan.join("deaf", loss=1.0)
    for _ in range(round(DEAF_SECONDS) * 2 + 4):
        lan.turns(1000)
        lan.now += 0.5
        lan.report("deaf")
    lan.turns(10_000)
    before = lan.sent
    lan.report("deaf")
    lan.turns(1000)
    assert lan.sent == before + 1


def test_a_listener_that_lies_has_its_share_and_no_more() -> None:
    """One that says for ever that it lacks everything, leaving and coming again, is not sent for for ever."""
    schedule, chunks = Schedule(), 400
    sent = 0
    for second in range(60):
        schedule.report("liar", Lacking(schedule.turn, (1 << chunks) - 1, {0: [0, 1]}, 100, 0), float(second))
        while schedule.next() is not None:
            sent += 1
        schedule.forget("liar")
    assert chunks < sent <= (MOST_TURNS + 1) * (chunks + 1)
    schedule.report("honest", Lacking(schedule.turn, 6, {}, 0, 0), 60.0)
    assert schedule.next() is not None


def test_memory_is_bounded() -> None:
    """What is incomplete beyond the room is dropped, the oldest first, and asked for again as a whole."""
    frames = frames_of(20, most=100 * UNIT)
    receiver = Receiver(SESSION, range(20), LIMIT, room=300 * UNIT)
    for number, frame in enumerate(frames):
        packets = list(datagrams(SESSION, number + 1, number, frame + b"x" * UNIT))[1:]
        receiver.receive(memoryview(b"".join(packets)))
    receiver.receive(memoryview(nothing(SESSION, 100)))
    lacking = receiver.lacking()
    held = sum(len(frames[number]) for number in lacking.fragments)
    assert 0 < held <= 300 * UNIT
    assert lacking.chunks == sum(1 << number for number in range(20) if number not in lacking.fragments)
    assert 19 in lacking.fragments


@pytest.mark.parametrize("absent", range(20))
def test_a_parity_brings_back_any_one(absent: int) -> None:
    """Whichever single fragment of a group lacks, the frame is whole."""
    frame = frames_of(1, seed=5, most=UNIT * 30)[0].ljust(19 * UNIT + 5, b"z")[: 19 * UNIT + 5]
    packets = list(datagrams(SESSION, 1, 0, frame, parity=True))
    assert len(packets) == 20 + parity_count(20)
    del packets[absent]
    receiver = Receiver(SESSION, [0], LIMIT)
    ((_, whole),) = receiver.receive(memoryview(b"".join(packets)))
    assert whole == frame


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=3 * DATAGRAM), size=st.integers(0, 2 * DATAGRAM))
def test_noise_is_left_alone(data: bytes, size: int) -> None:
    """Anything that is not of the session changes nothing."""
    receiver = Receiver(SESSION, range(5), LIMIT)
    assert receiver.receive(memoryview(data), size) == []
    assert receiver.turn == 0


@settings(max_examples=200, deadline=None)
@given(
    kind=st.integers(0, 5), turn=st.integers(0, 2**32 - 1), chunk=st.integers(0, 10),
    length=st.integers(0, 2**32 - 1), number=st.integers(0, 2**16 - 1),
)  # fmt: skip
def test_headers_that_lie_are_survived(kind: int, turn: int, chunk: int, length: int, number: int) -> None:
    """A length beyond any frame, a fragment beyond the frame: no memory is taken, nothing is raised."""
    receiver = Receiver(SESSION, range(5), LIMIT)
    header = HEADER.pack(b"HC", 1, kind, SESSION, turn, chunk, length, number)
    receiver.receive(memoryview(header.ljust(DATAGRAM, b"\1")))
    receiver.lacking()
    assert receiver._held <= LIMIT + UNIT


def test_a_rate_too_high_for_all_is_no_reason_to_give_them_up() -> None:
    """Where all lose most of it they are still sent what they lack, until the rate has had time to fall."""
    lan = Lan(frames_of(30, most=100 * UNIT))
    for name in ("a", "b", "c"):
        lan.join(name, loss=0.8)
    for _ in range(3):
        lan.turns(7)
        lan.now += 0.5
        for name in lan.listeners:
            lan.report(name)
    assert lan.schedule.losses()[0] > HOPELESS_LOSS
    for name in lan.listeners:
        lan.loss[name] = 0.0
    lan.until_done()


def test_who_comes_into_the_middle_of_a_turn_has_not_lost_its_beginning() -> None:
    """What was sent before it listened is not counted, what is lost afterwards is."""
    frame = random.Random(4).randbytes(40 * UNIT)
    packets = list(datagrams(SESSION, 1, 0, frame))
    receiver = Receiver(SESSION, [0], LIMIT)
    receiver.receive(memoryview(b"".join(packets[20:25] + packets[27:])))
    receiver.receive(memoryview(nothing(SESSION, 2)))
    told = receiver.lacking()
    assert (told.received, told.lost) == (18, 2)
    assert told.fragments == {0: [*range(20), 25, 26]}
    assert receiver.over


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), reads=st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_how_datagrams_are_read_together_makes_no_difference(seed: int, reads: list[int]) -> None:
    """Read one by one or many at once, with some lost, doubled or with parity: the same comes out."""
    rnd = random.Random(seed)
    frames = frames_of(4, seed, most=60 * UNIT)
    packets: list[bytes] = []
    for turn, chunk in enumerate((0, 1, 2, 3, 1, 0), 1):
        sent = list(datagrams(SESSION, turn, chunk, frames[chunk], parity=turn % 2 == 0))
        packets += [one for one in sent if rnd.random() > 0.02]
    one_by_one, together = (Receiver(SESSION, range(4), LIMIT) for _ in range(2))
    single = [(c, bytes(f)) for one in packets for c, f in one_by_one.receive(memoryview(one))]
    many: list[tuple[int, bytes]] = []
    at = 0
    while at < len(packets):
        count = reads[at % len(reads)]
        read = memoryview(b"".join(packets[at : at + count]))
        many += [(c, bytes(f)) for c, f in together.receive(read)]
        at += count
    assert many == single
    assert all(frame == frames[chunk] for chunk, frame in many)
    assert together.lacking() == one_by_one.lacking()


def test_a_damaged_chunk_is_asked_for_again() -> None:
    """Its digest shows it; then it lacks as if it had never come."""
    lan = Lan(frames_of(3))
    lan.join("a")
    lan.until_done()
    receiver = lan.listeners["a"]
    receiver.again(1)
    assert receiver.lacking().chunks == 2
    lan.got["a"].clear()
    lan.report("a")
    lan.until_done()
    assert lan.got["a"] == {1: lan.frames[1]}


def test_the_rate_follows_the_median() -> None:
    """It begins at the most, falls to what arrived when most lose, once, and then grows again slowly."""
    rate = Rate(1e9)
    for second in range(1, 20):
        rate.adapt([0.0, 0.0, 0.25], float(second))
    assert rate.bits == 1e9
    rate.adapt([0.0, 0.9, 0.9], 30.0)
    assert rate.bits == pytest.approx(0.95e8)
    rate.adapt([0.0, 0.9, 0.9], 30.6)  # told of the time before it fell
    assert rate.bits == pytest.approx(0.95e8)
    rate.adapt([0.0, 0.9], 31.1)
    assert rate.bits == pytest.approx(1.1 * 0.95e8)
    for second in range(32, 100):
        rate.adapt([0.2, 0.2], float(second))
    assert rate.bits == 20e6


def test_what_leaves_keeps_to_the_rate() -> None:
    """A thousand sends of 10,000 bytes at 8 Mbit/s take ten seconds, less what may be caught up, once."""
    rate = Pace(8e6)
    now = 5.0
    for _ in range(1000):
        now += rate.delay(10_000, now)
    assert now == pytest.approx(14.99 - CREDIT / 1e6)
    assert rate.delay(10_000, 100.0) == 0


def test_kinds_are_those_of_the_page() -> None:
    """The numbers on the wire do not change with the order of a list."""
    assert [kind.value for kind in Kind] == [0, 1, 2, 3]
