"""The tunnel's protocol between two ends, however messages are cut and mixed, and against who breaks it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.wire.tunnel import (
    LARGEST,
    MOST_CHANNELS,
    WINDOW,
    Asked,
    Closed,
    Credit,
    Data,
    Ended,
    Opened,
    Refused,
    Tunnel,
    TunnelError,
)


def command(**words: object) -> bytes:
    return b"\0" + json.dumps(words).encode()


def opened() -> tuple[Tunnel, Tunnel, int]:
    """Return a client and a server with one stream."""
    client, server = Tunnel(), Tunnel()
    events, _ = server.receive(client.open("ssh"))
    assert events == [Asked("ssh")]
    channel, message = server.accept()
    assert client.receive(message) == ([Opened(channel)], [])
    return client, server, channel


def test_a_stream_is_opened_or_refused_in_the_order_asked():
    """Answers carry no number: the first answer is to the first question."""
    client, server = Tunnel(), Tunnel()
    for target in ("ssh", "other", "ssh"):
        server.receive(client.open(target))
    first, message = server.accept()
    assert client.receive(message)[0] == [Opened(first)]
    assert client.receive(server.refuse("there is no other"))[0] == [Refused("there is no other")]
    second, message = server.accept()
    assert client.receive(message)[0] == [Opened(second)]
    assert first != second


@given(
    st.lists(
        st.tuples(st.booleans(), st.binary(max_size=3 * LARGEST), st.integers(0, 3)), min_size=1, max_size=40
    )
)
def test_bytes_arrive_as_sent_and_never_run_ahead(moves: list[tuple[bool, bytes, int]]):
    """Both ways every byte arrives once and in order, and no side has more than a window unread."""
    client, server, channel = opened()
    ends = {True: (client, server), False: (server, client)}
    sent = {True: b"", False: b""}
    got = {True: b"", False: b""}
    unread: dict[bool, list[bytes]] = {True: [], False: []}
    for way, data, reads in moves:
        source, sink = ends[way]
        data = data[: min(source.credit(channel), LARGEST)]
        events, _ = sink.receive(source.data(channel, data))
        sent[way] += data
        unread[way] += [event.data for event in events if isinstance(event, Data)]
        assert sum(map(len, unread[way])) <= WINDOW
        for _ in range(min(reads, len(unread[way]))):
            piece = unread[way].pop(0)
            got[way] += piece
            more = sink.consumed(channel, len(piece))
            if more is not None:
                assert source.receive(more) == ([Credit(channel)], [])
    for way in (True, False):
        assert got[way] + b"".join(unread[way]) == sent[way]


def test_a_window_is_given_back_as_it_is_read():
    """Who reads lets the sender go on for ever; who does not stops it at one window."""
    client, server, channel = opened()
    for _ in range(WINDOW // LARGEST):
        server.receive(client.data(channel, bytes(LARGEST)))
    assert client.credit(channel) == 0
    messages = [server.consumed(channel, LARGEST) for _ in range(WINDOW // LARGEST)]
    for message in filter(None, messages):
        client.receive(message)
    assert client.credit(channel) == WINDOW


def test_each_side_ends_by_itself():
    """Half of a stream may end while the other goes on."""
    client, server, channel = opened()
    message = client.end(channel)
    assert message is not None
    assert server.receive(message)[0] == [Ended(channel)]
    assert client.end(channel) is None
    assert client.credit(channel) == 0
    assert client.receive(server.data(channel, b"still here"))[0] == [Data(channel, b"still here")]


def test_a_close_crosses_what_is_on_its_way():
    """Bytes sent before a close was heard harm nobody, and the number is free once both have closed."""
    client, server, channel = opened()
    late = client.data(channel, b"late")
    message = server.close(channel, "no more")
    assert message is not None
    assert server.receive(late) == ([], [])
    events, replies = client.receive(message)
    assert events == [Closed(channel, "no more")]
    server.receive(client.open("ssh"))
    other, _ = server.accept()
    assert other != channel
    for reply in replies:
        assert server.receive(reply) == ([], [])
    server.receive(client.open("ssh"))
    assert server.accept()[0] == channel
    assert server.close(99) is None


def test_both_closing_at_once_is_one_close():
    """Two closes that cross answer each other."""
    client, server, channel = opened()
    one, other = client.close(channel), server.close(channel)
    assert one is not None
    assert other is not None
    assert server.receive(one) == ([], [])
    assert client.receive(other) == ([], [])


def test_streams_are_few():
    """One connection has so many streams and no more."""
    client, server = Tunnel(), Tunnel()
    for _ in range(MOST_CHANNELS):
        server.receive(client.open("ssh"))
        _, message = server.accept()
        client.receive(message)
    events, replies = server.receive(client.open("ssh"))
    assert events == []
    assert isinstance(client.receive(replies[0])[0][0], Refused)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x07nobody opened this",
        b"\0not json",
        b"\0[]",
        b"\0" + b"x" * 5000,
        command(cmd="eof"),
        command(cmd="eof", channel=7),
        command(cmd="close", channel=7),
        command(cmd="window", channel=1, bytes=1),
        command(cmd="window", channel=1, bytes=-1),
        command(cmd="window", channel=1, bytes="many"),
    ],
)
def test_what_breaks_the_protocol_is_refused(message: bytes):
    """A side that names what is not there, or asks for more than a window, is not spoken to any more."""
    _, server, _ = opened()
    with pytest.raises(TunnelError):
        server.receive(message)


def test_more_than_a_window_is_refused():
    """A sender that ignores the window is not believed."""
    _, server, channel = opened()
    block = bytes((channel,)) + bytes(LARGEST)
    for _ in range(WINDOW // LARGEST):
        server.receive(block)
    with pytest.raises(TunnelError):
        server.receive(block)


def test_unknown_commands_are_answered():
    """A newer client's command gets an answer that says no, and breaks nothing."""
    _, server, _ = opened()
    events, replies = server.receive(command(cmd="resize", channel=1))
    assert events == []
    assert json.loads(replies[0][1:])["resp"] == "resize"
    assert "error" in json.loads(replies[0][1:])


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_noise_does_nothing_but_raise(messages: list[bytes]):
    """Whatever comes, the answer is an event, a reply, or TunnelError."""
    _, server, _ = opened()
    for message in messages:
        try:
            server.receive(message)
        except TunnelError:
            return
