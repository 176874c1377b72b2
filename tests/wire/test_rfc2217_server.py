"""The server's end of RFC 2217, against our own client's end and against any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.wire import rfc2217
from hostler.wire.rfc2217 import ComPort, LineSettings
from hostler.wire.rfc2217_server import ComPortServer, LineAsked, SwitchAsked


def talk(
    client: ComPort, server: ComPortServer, line: dict[str, object]
) -> tuple[bytes, bytes, list[object]]:
    """Let both ends talk until neither has anything to say; the line is as it is whatever is asked."""
    heard, typed, asked = b"", b"", []
    while True:
        up, down = client.bytes_to_send(), server.bytes_to_send()
        if not up and not down:
            return heard, typed, asked
        typed += server.receive(up)
        heard += client.receive(down)
        for wish in server.asked():
            asked.append(wish)
            if isinstance(wish, LineAsked):
                value = line.get(wish.name, wish.value)
                assert value is None or isinstance(value, (int, str))
                server.line_is(wish.name, value)
            else:
                server.switch_is(wish.name, on=wish.on)


def test_a_client_sets_the_line_up():
    """Every setting is asked for once, and the answer is what the client takes for true."""
    client = ComPort(LineSettings(9600, 7, "even", 2, "rtscts"))
    _, _, asked = talk(client, ComPortServer("lab"), {})
    assert asked == [
        LineAsked("baud", 9600), LineAsked("data_bits", 7), LineAsked("parity", "even"),
        LineAsked("stop_bits", 2), LineAsked("flow", "rtscts"),
    ]  # fmt: skip
    assert client.ready
    assert client.differences == {}


def test_what_the_line_cannot_do_is_answered_truthfully():
    """A line that stays as it is tells so."""
    client = ComPort(LineSettings(9600, 7, "even"))
    talk(client, ComPortServer("lab"), {"baud": 115200, "parity": "none"})
    assert client.differences == {"baud": 115200, "parity": rfc2217.PARITY["none"]}


def test_break_and_modem_lines_are_asked_for():
    """Each switch is one request, in order."""
    client, server = ComPort(LineSettings()), ComPortServer("lab")
    talk(client, server, {})
    for value in (rfc2217.BREAK_ON, rfc2217.BREAK_OFF, rfc2217.DTR_OFF, rfc2217.RTS_ON):
        client.control(value)
    _, _, asked = talk(client, server, {})
    assert asked == [
        SwitchAsked("break", on=True), SwitchAsked("break", on=False), SwitchAsked("dtr", on=False),
        SwitchAsked("rts", on=True),
    ]  # fmt: skip


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_pass_unchanged_both_ways(up: bytes, down: bytes):
    """Once both ends agreed, every byte arrives, IAC and CR included."""
    client, server = ComPort(LineSettings(115200)), ComPortServer("lab")
    talk(client, server, {})
    client.send(up)
    server.send(down)
    heard, typed, _ = talk(client, server, {})
    assert (heard, typed) == (down, up)


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_no_bytes_are_an_error(pieces: list[bytes]):
    """Whatever a client sends, the server answers or passes it on."""
    server = ComPortServer("lab")
    for piece in pieces:
        server.receive(b"\xff\xfa\x2c" + piece)
        server.receive(b"\xff\xf0")
        for wish in server.asked():
            if isinstance(wish, LineAsked):
                server.line_is(wish.name, wish.value)
            else:
                server.switch_is(wish.name, on=not wish.on)
        server.bytes_to_send()


def test_who_asks_gets_the_signature_and_true_states():
    """Queries are answered without asking anybody: signature, BREAK, DTR; masks with nothing."""
    server = ComPortServer("lab")
    server.bytes_to_send()
    for words in (b"\x00", b"\x05\x04", b"\x05\x07", b"\x0b\x10", b"\x0c\x01"):
        server.receive(b"\xff\xfa\x2c" + words + b"\xff\xf0")
    said = server.bytes_to_send()
    for answer in (b"\x64lab", b"\x69\x06", b"\x69\x08", b"\x6f\x00", b"\x70\x01"):
        assert b"\xff\xfa\x2c" + answer + b"\xff\xf0" in said
    assert not list(server.asked())


def test_a_client_may_suspend_the_line():
    """Suspend and resume are kept for whoever sends."""
    server = ComPortServer("lab")
    server.receive(b"\xff\xfa\x2c\x08\xff\xf0")
    assert server.suspended
    server.receive(b"\xff\xfa\x2c\x09\xff\xf0")
    assert not server.suspended
