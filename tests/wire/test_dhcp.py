"""The DHCP codec: any bytes give a message or a named error, and what is written reads back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.wire import dhcp_options as option
from hostler.wire.dhcp import DhcpError, Message, MessageType
from hostler.wire.dhcp_options import decapsulate, encapsulate, user_classes

MAC = bytes.fromhex("525400770001")
codes = st.integers(1, 254).filter(lambda code: code != option.OVERLOAD)
addresses = st.binary(min_size=4, max_size=4)
names = st.binary(max_size=63).filter(lambda value: b"\0" not in value)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    return Message(
        op=draw(st.sampled_from((1, 2))),
        xid=draw(st.integers(0, 2**32 - 1)),
        chaddr=draw(st.binary(max_size=16)),
        options=draw(st.dictionaries(codes, st.binary(max_size=400), max_size=8)),
        htype=draw(st.integers(0, 255)),
        hops=draw(st.integers(0, 255)),
        secs=draw(st.integers(0, 65535)),
        flags=draw(st.integers(0, 65535)),
        ciaddr=draw(addresses),
        yiaddr=draw(addresses),
        siaddr=draw(addresses),
        giaddr=draw(addresses),
        sname=draw(names),
        file=draw(names),
    )


def discover(options: dict[int, bytes] | None = None, **fields: object) -> Message:
    return Message(1, 7, MAC, {option.MESSAGE_TYPE: b"\x01", **(options or {})}, **fields)  # type: ignore[arg-type]


@given(messages())
def test_what_is_written_reads_back(message: Message) -> None:
    """A message with room enough survives encode and parse unchanged, and has the BOOTP minimum size."""
    data = message.encode(limit=65000)
    assert len(data) >= 300
    assert Message.parse(data) == message


@given(st.binary(max_size=700))
def test_any_bytes_give_a_message_or_a_named_error(data: bytes) -> None:
    """The parser is total."""
    with suppress(DhcpError):
        Message.parse(data)


@given(messages(), st.data())
def test_a_damaged_message_gives_a_message_or_a_named_error(message: Message, data: st.DataObject) -> None:
    """The parser and every accessor are total on datagrams that are nearly right."""
    raw = bytearray(message.encode(limit=65000))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(236, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(236, len(raw))) :]
    try:
        parsed = Message.parse(bytes(raw))
    except DhcpError:
        return
    for name in dir(Message):
        if isinstance(getattr(Message, name), property):
            getattr(parsed, name)


@given(st.dictionaries(codes, st.binary(max_size=60), max_size=12))
def test_options_that_do_not_fit_go_to_file_and_sname_or_fail(options: dict[int, bytes]) -> None:
    """A message within its limit reads back whole, overloaded or not; else it is refused (RFC 2131 4.1)."""
    message = Message(2, 1, MAC, options)
    size = sum(2 + len(value) for value in options.values())
    try:
        data = message.encode(limit=330)
    except DhcpError:
        assert size > 330 - 240 - 4
        return
    assert len(data) <= 330
    assert Message.parse(data) == message


def test_overload_leaves_fields_in_use_alone() -> None:
    """Options spill only into the fields that are empty."""
    message = Message(2, 1, MAC, {43: b"a" * 60, 60: b"b" * 40, 66: b"c" * 20}, file=b"undionly.kpxe")
    data = message.encode(limit=330)
    assert data[108:122] == b"undionly.kpxe\0"
    assert Message.parse(data) == message


def test_options_written_before_stand_first() -> None:
    """What a server says in every answer may be laid out once."""
    data = Message(2, 1, MAC, {60: b"x"}).encode(first=option.write_options({53: b"\x02", 1: b"mask"}))
    assert list(Message.parse(data).options.items()) == [(53, b"\x02"), (1, b"mask"), (60, b"x")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes are too few"),
        (discover().encode()[:239], "239 bytes are too few"),
        (discover().encode()[:236] + bytes(64), "magic cookie"),
        (b"\x03" + discover().encode()[1:], "op is 3"),
        (discover().encode()[:2] + b"\x11" + discover().encode()[3:], "hardware address of 17 bytes"),
        (discover().encode()[:240] + b"\x35", "option 53 in the options area has no length"),
        (
            discover().encode()[:240] + b"\x35\x09\x01",
            "option 53 in the options area says 9 bytes, 1 are left",
        ),
        (discover().encode()[:240] + b"\x34\x01\x07\xff", "option overload is 07"),
    ],
)
def test_an_error_says_what_is_wrong(data: bytes, words: str) -> None:
    """Whoever reads the trace learns which bytes were bad."""
    with pytest.raises(DhcpError, match=words):
        Message.parse(data)


def test_long_options_are_split_and_joined() -> None:
    """RFC 3396: 600 bytes leave as 255 + 255 + 90 and come back as one."""
    value = bytes(range(200)) * 3
    data = discover({option.VENDOR: value}).encode(limit=1400)
    assert data[243:245] == b"\x2b\xff"
    assert Message.parse(data).options[option.VENDOR] == value


def test_a_message_without_end_mark_is_read() -> None:
    """Some firmware leaves it out when the options fill the datagram."""
    assert Message.parse(discover().encode()[:243]).message_type == MessageType.DISCOVER


def test_typed_accessors_read_what_the_rfcs_say() -> None:
    """Each option has one reading, and a malformed one counts as absent."""
    message = discover(
        {
            50: b"\x0a\x4d\x00\x64",
            51: b"\x00\x00\x0e\x10",
            54: b"\x0a\x4d\x00\x01",
            55: b"\x01\x03",
            57: b"\x05\xc0",
            60: b"PXEClient:Arch:00007\0",
            61: b"\x01" + MAC,
            77: b"iPXE",
            82: b"\x01\x02ab",
            93: b"\x00\x07\x00\x09",
            94: b"\x01\x03\x10",
            97: b"\0" + bytes(range(16)),
            175: b"\x13\x01\x01",
        }
    )
    assert message.mac == "52:54:00:77:00:01"
    assert message.requested_address == b"\x0a\x4d\x00\x64"
    assert message.server_id == b"\x0a\x4d\x00\x01"
    assert message.lease_time == 3600
    assert message.parameter_list == b"\x01\x03"
    assert message.reply_limit == 1472 - 28 == 0x5C0 - 28
    assert message.vendor_class == "PXEClient:Arch:00007"
    assert message.client_id == b"\x01" + MAC
    assert message.user_classes == ("iPXE",)
    assert message.relay_options == {1: b"ab"}
    assert message.architectures == (7, 9)
    assert message.interface_version == (1, 3, 16)
    assert message.machine_id == bytes(range(16))
    assert message.ipxe_options == {0x13: b"\x01"}
    malformed = discover(dict.fromkeys((50, 51, 53, 54, 57, 82, 93, 94, 97, 175), b"\x09"))
    assert malformed.message_type == 9
    for name in ("requested_address", "lease_time", "server_id", "interface_version", "machine_id"):
        assert getattr(malformed, name) is None, name
    assert malformed.architectures == ()
    assert malformed.relay_options == malformed.ipxe_options == {}
    assert malformed.reply_limit == 548


@pytest.mark.parametrize(("value", "size"), [(b"\x00\x10", 548), (b"\xff\xff", 1472), (b"\x03\xe8", 972)])
def test_the_size_of_a_reply_is_kept_sane(value: bytes, size: int) -> None:
    """Option 57 below 576 is not allowed (RFC 2132 section 9.10), and beyond the MTU is not useful."""
    assert discover({57: value}).reply_limit == size


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (b"iPXE", (b"iPXE",)),
        (b"\x04iPXE", (b"iPXE",)),
        (b"\x04iPXE\x03lab", (b"iPXE", b"lab")),
        (b"\x00abc", (b"\x00abc",)),
        (b"", ()),
    ],
)
def test_user_classes_are_read_raw_or_length_prefixed(value: bytes, classes: tuple[bytes, ...]) -> None:
    """RFC 3004 asks for a length before each class; iPXE sends one bare string."""
    assert user_classes(value) == classes


def test_sub_options_round_trip_and_close() -> None:
    """PXE ROMs want option 43 to end with an end mark; 175 has none."""
    assert encapsulate([(6, b"\x08")], end=True) == b"\x06\x01\x08\xff"
    assert decapsulate(encapsulate([(176, b"\x01"), (19, b"")])) == {176: b"\x01", 19: b""}
    with pytest.raises(DhcpError, match="sub-option 255"):
        encapsulate([(255, b"")])
    with pytest.raises(DhcpError, match="encapsulated"):
        decapsulate(b"\x01\x09")


def test_what_cannot_be_written_is_refused() -> None:
    """A field longer than its place or an impossible code is an error, not a truncated datagram."""
    with pytest.raises(DhcpError, match="longer than its field"):
        Message(2, 1, MAC, {}, file=b"x" * 128).encode()
    with pytest.raises(DhcpError, match="no option code"):
        Message(2, 1, MAC, {255: b""}).encode()
