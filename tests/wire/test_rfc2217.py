"""RFC 2217 without a network: the client's end against words a server says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.wire.rfc2217 import BREAK_OFF, BREAK_ON, DTR_ON, RTS_OFF, ComPort, LineSettings
from hostler.wire.telnet import COM_PORT, DO, DONT, IAC, SB, SE, WILL


def server_says(command: int, value: bytes) -> bytes:
    return bytes((IAC, SB, COM_PORT, command)) + value.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE))


def client_said(data: bytes) -> list[tuple[int, bytes]]:
    words = data.replace(b"\xff\xff", b"\xfe").split(bytes((IAC, SB, COM_PORT)))[1:]
    return [(word[0], word[1 : word.index(IAC)]) for word in words]


def agreed(settings: LineSettings) -> tuple[ComPort, list[tuple[int, bytes]]]:
    port = ComPort(settings)
    assert bytes((IAC, WILL, COM_PORT)) in port.bytes_to_send()
    assert port.receive(bytes((IAC, DO, COM_PORT))) == b""
    return port, client_said(port.bytes_to_send())


def test_the_line_is_ready_when_all_is_answered() -> None:
    """Settings are asked for once the server does RFC 2217; the masks are asked for and awaited, too."""
    port, asked = agreed(LineSettings(115200, 8, "none", 1, "rtscts"))
    assert asked == [
        (1, (115200).to_bytes(4)), (2, b"\x08"), (3, b"\x01"), (4, b"\x01"), (5, b"\x03"), (10, b"\x00"),
        (11, b"\xfe"),  # 255, doubled on the wire
    ]  # fmt: skip
    for command, value in asked[:5]:
        assert not port.usable
        port.receive(server_says(command + 100, value))
    assert port.usable
    assert not port.ready
    port.receive(server_says(110, b"\x00") + server_says(111, b"\xff"))
    assert port.ready
    assert port.differences == {}


def test_a_state_is_an_answer_to_its_mask() -> None:
    """ser2net tells the states at once and never confirms their masks."""
    port, _ = agreed(LineSettings())
    port.receive(server_says(107, b"\xb0"))
    assert not port.ready
    port.receive(server_says(106, b"\x00"))
    assert port.ready
    assert (port.modem_state, port.line_state) == (0xB0, 0)


def test_what_is_not_asked_for_stays_as_the_server_has_it() -> None:
    """Without settings only the masks are said."""
    _, asked = agreed(LineSettings())
    assert [command for command, _ in asked] == [10, 11]


def test_a_server_that_does_otherwise_is_told_on() -> None:
    """The answer says what is; when it is not what was asked for, that is seen."""
    port, _ = agreed(LineSettings(baud=1_500_000))
    port.receive(server_says(101, (115200).to_bytes(4)))
    assert port.usable
    assert port.differences == {"baud": 115200}


def test_a_server_that_does_not_do_it() -> None:
    """A refusal is remembered, at once or later."""
    port = ComPort(LineSettings())
    port.receive(bytes((IAC, DONT, COM_PORT)))
    assert port.refused
    assert not port.usable
    port, _ = agreed(LineSettings())
    port.receive(bytes((IAC, DONT, COM_PORT)))
    assert port.refused


def test_break_and_modem_lines_are_separate_topics() -> None:
    """Each switch of SET-CONTROL has its own answer."""
    port, _ = agreed(LineSettings())
    port.receive(server_says(110, b"\x00") + server_says(111, b"\xff"))
    for value in (BREAK_ON, BREAK_OFF, DTR_ON, RTS_OFF):
        port.control(value)
    assert client_said(port.bytes_to_send()) == [(5, bytes((value,))) for value in (5, 6, 8, 12)]
    for value in (6, 8):
        port.receive(server_says(105, bytes((value,))))
    assert not port.ready
    port.receive(server_says(105, b"\x0c"))
    assert port.ready


def test_a_server_may_hold_us_up_and_ask_who_we_are() -> None:
    """Suspend and resume are heard, and our signature is said."""
    port, _ = agreed(LineSettings())
    port.receive(server_says(108, b""))
    assert port.suspended
    port.receive(server_says(109, b"") + server_says(100, b""))
    assert not port.suspended
    assert client_said(port.bytes_to_send()) == [(0, b"hostler")]
    port.receive(server_says(100, b"a server"))
    assert port.signature == "a server"


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    """Whatever a server sends, nothing fails."""
    port = ComPort(LineSettings(9600))
    for piece in pieces:
        port.receive(piece)
        port.receive(server_says(piece[0] if piece else 0, piece[1:]))
    port.bytes_to_send()
