"""Telnet: options are answered, escapes undone, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.wire.telnet import (
    BINARY,
    BREAK,
    COM_PORT,
    DO,
    DONT,
    ECHO,
    IAC,
    LARGEST_SUBNEGOTIATION,
    SB,
    SE,
    SUPPRESS_GO_AHEAD,
    TERMINAL_TYPE,
    WILL,
    WONT,
    Command,
    OptionChanged,
    OptionRefused,
    Subnegotiation,
    Telnet,
)


def _talk(one: Telnet, other: Telnet) -> tuple[bytes, bytes]:
    """Carry bytes between two ends until both are quiet; what each terminal saw."""
    seen_one, seen_other = b"", b""
    for _ in range(20):
        out, back = one.bytes_to_send(), other.bytes_to_send()
        if not out and not back:
            return seen_one, seen_other
        seen_other += other.receive(out)
        seen_one += one.receive(back)
    raise AssertionError("the two ends negotiate for ever")


def test_unwanted_options_are_refused_and_wanted_ones_agreed() -> None:
    """Every DO and WILL gets its answer; DONT and WONT of what never was get none."""
    telnet = Telnet(theirs=[ECHO])
    heard = bytes([IAC, DO, TERMINAL_TYPE, IAC, WILL, ECHO, IAC, WILL, COM_PORT, IAC, DONT, 5, IAC, WONT, 6])
    assert telnet.receive(b"lo" + heard + b"gin") == b"login"
    assert telnet.bytes_to_send() == bytes([IAC, WONT, TERMINAL_TYPE, IAC, DO, ECHO, IAC, DONT, COM_PORT])
    assert list(telnet.events()) == [OptionChanged(ECHO, ours=False, enabled=True)]
    telnet.receive(bytes([IAC, WILL, ECHO]))
    assert telnet.bytes_to_send() == b"", "an option that holds already is not answered again (RFC 854)"
    telnet.receive(bytes([IAC, WONT, ECHO]))
    assert telnet.bytes_to_send() == bytes([IAC, DONT, ECHO])


def test_a_proposal_is_agreed_or_refused() -> None:
    """Whoever proposes learns the answer as an event, and the answer is not answered."""
    client, server = Telnet(theirs=[SUPPRESS_GO_AHEAD]), Telnet(ours=[COM_PORT])
    client.ask(COM_PORT)
    client.ask(TERMINAL_TYPE)
    client.ask(COM_PORT)
    server.offer(SUPPRESS_GO_AHEAD)
    _talk(client, server)
    assert set(client.events()) == {
        OptionChanged(COM_PORT, ours=False, enabled=True),
        OptionRefused(TERMINAL_TYPE, ours=False),
        OptionChanged(SUPPRESS_GO_AHEAD, ours=False, enabled=True),
    }
    assert server.enabled(COM_PORT, ours=True)
    assert not server.enabled(TERMINAL_TYPE, ours=True)


def test_break_and_subnegotiation_come_as_events() -> None:
    """What is no data is no data for the terminal either."""
    telnet = Telnet()
    assert (
        telnet.receive(b"a" + bytes([IAC, BREAK, IAC, SB, COM_PORT, 1, IAC, IAC, 2, IAC, SE]) + b"b") == b"ab"
    )
    assert list(telnet.events()) == [Command(BREAK), Subnegotiation(COM_PORT, b"\x01\xff\x02")]


def test_an_endless_subnegotiation_fills_nothing() -> None:
    """A peer that never ends its words costs a few kilobytes and is heard again after it does."""
    telnet = Telnet()
    telnet.receive(bytes([IAC, SB, COM_PORT]) + b"x" * 1_000_000)
    assert len(telnet._sub) <= LARGEST_SUBNEGOTIATION + 1
    assert telnet.receive(bytes([IAC, SE]) + b"ok") == b"ok"
    assert list(telnet.events()) == []


@given(data=st.binary(max_size=200), binary=st.booleans(), cuts=st.lists(st.integers(1, 9), min_size=1))
def test_every_byte_passes_however_it_is_cut(data: bytes, binary: bool, cuts: list[int]) -> None:
    """What one end sends the other end reads, in BINARY exactly, else with the CR of the standard."""
    sender, receiver = Telnet(ours=[BINARY]), Telnet(theirs=[BINARY])
    if binary:
        receiver.ask(BINARY)
        _talk(receiver, sender)
    sender.send(data)
    stream, seen, turn = sender.bytes_to_send(), b"", 0
    while stream:
        length = cuts[turn % len(cuts)]
        seen, stream, turn = seen + receiver.receive(stream[:length]), stream[length:], turn + 1
    assert seen == data


@given(noise=st.binary(max_size=300))
def test_noise_never_raises_and_never_answers_more_than_was_said(noise: bytes) -> None:
    """Whatever a peer sends, the filter survives it."""
    telnet = Telnet(ours=[BINARY], theirs=[ECHO])
    assert len(telnet.receive(noise)) <= len(noise)
    assert len(telnet.bytes_to_send()) <= len(noise)
