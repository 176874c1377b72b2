"""TFTP packets: parsing is total, options follow their RFCs, names cannot climb out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostler.wire.tftp import (
    LARGEST_BLOCK,
    ErrorCode,
    MalformedRequestError,
    NotARequestError,
    ReadRequest,
    TftpError,
    UnknownModeError,
    UnsafeNameError,
    WriteRefusedError,
    agree,
    clean_name,
    error_packet,
    option_acknowledgement,
    parse_error,
    parse_request,
    to_netascii,
)


def ask(**options: str) -> ReadRequest:
    """Make a request with these options."""
    return ReadRequest("file", text=False, options=tuple(options.items()))


@given(st.binary(max_size=600))
@example(b"\0\1")
@example(b"\0\1\0\0")
@example(b"\0\1a\0octet\0blksize\0")
def test_any_bytes_are_a_request_or_a_named_error(datagram: bytes) -> None:
    """Parsing any bytes gives a request or a TftpError, and every request can be answered."""
    try:
        request = parse_request(datagram)
    except TftpError:
        return
    agreement = agree(request, 1000)
    assert 8 <= agreement.block <= LARGEST_BLOCK
    assert 1 <= agreement.window <= 64
    option_acknowledgement(agreement)


@given(st.binary(max_size=200))
def test_any_error_packet_is_read(tail: bytes) -> None:
    """Whatever a client sends as ERROR has a code and a text."""
    parse_error(b"\0\5" + tail)


def test_requests_are_read_with_their_options() -> None:
    """Option names are folded to lower case, the first of two equal names counts, order is kept."""
    datagram = b"\0\1boot/kernel\0OcTeT\0BLKSIZE\x001468\0tsize\x000\0blksize\x00512\0"
    assert parse_request(datagram) == ReadRequest(
        "boot/kernel", text=False, options=(("blksize", "1468"), ("tsize", "0"))
    )


@pytest.mark.parametrize(
    ("datagram", "error", "code"),
    [
        (b"", NotARequestError, None),
        (b"\0\3\0\1data", NotARequestError, None),
        (b"\0\5\0\0bye\0", NotARequestError, None),
        (b"\0\2file\0octet\0", WriteRefusedError, ErrorCode.ACCESS),
        (b"\0\1file\0mail\0", UnknownModeError, ErrorCode.ILLEGAL),
        (b"\0\1file\0octet", MalformedRequestError, ErrorCode.ILLEGAL),
        (b"\0\1\0octet\0", MalformedRequestError, ErrorCode.ILLEGAL),
        (b"\0\1" + b"a" * 513 + b"\0octet\0", MalformedRequestError, ErrorCode.ILLEGAL),
    ],
)
def test_what_is_no_read_request_is_refused_by_name(
    datagram: bytes, error: type[TftpError], code: ErrorCode | None
) -> None:
    """Each refusal has a name and the code the client is to get; stray packets get no answer at all."""
    with pytest.raises(error) as caught:
        parse_request(datagram)
    assert caught.value.code is code


@pytest.mark.parametrize(
    "spelling",
    ["boot/kernel", "/boot/kernel", "//boot//kernel", "\\boot\\kernel", "./boot/./kernel", "boot/kernel/"],
)
def test_spellings_of_firmware_mean_one_file(spelling: str) -> None:
    """Leading and double slashes, backslashes and dots are forgiven."""
    assert clean_name(spelling) == "boot/kernel"


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "a/../../b", "..\\a", "/..", "", "/", ".", "a\nb", "a\x1b[2Jb"]
)
def test_names_that_climb_out_are_refused(name: str) -> None:
    """No spelling of .. and no control character gets through."""
    with pytest.raises(UnsafeNameError):
        clean_name(name)


def test_unknown_and_invalid_options_are_ignored() -> None:
    """Without a valid option there is nothing to acknowledge (RFC 2347) and plain RFC 1350 follows."""
    agreement = agree(ask(blksize="7", timeout="0", windowsize="0", multicast="", tsize="x", utimeout="5"), 9)
    assert (agreement.block, agreement.window, agreement.timeout, agreement.options) == (512, 1, None, ())
    assert agree(ask(blksize="٣٢"), 9).options == ()


@given(st.integers(8, 10**9), st.integers(1, 10**9), st.integers(1, LARGEST_BLOCK))
def test_the_server_lowers_and_never_raises(block: int, window: int, max_block: int) -> None:
    """Block and window agreed to are at most those asked for (RFC 2348, 7440)."""
    agreement = agree(ask(blksize=str(block), windowsize=str(window)), 9, max_block)
    assert 8 <= agreement.block <= min(block, max(max_block, 8))
    assert 1 <= agreement.window <= min(window, 64)


def test_an_option_acknowledgement_tells_size_and_order() -> None:
    """The size is the file's, the order the client's, unknown names are left out."""
    agreement = agree(ask(tsize="0", foo="1", blksize="1024", windowsize="9999", timeout="3"), 12345)
    expected = b"\0\6tsize\x0012345\0blksize\x001024\0windowsize\x0064\0timeout\x003\0"
    assert option_acknowledgement(agreement) == expected


def test_error_packets_are_short() -> None:
    """An ERROR fits a default block whatever the reason."""
    packet = error_packet(ErrorCode.NOT_FOUND, "ö" * 1000)
    assert packet.startswith(b"\0\5\0\1?")
    assert packet.endswith(b"\0")
    assert len(packet) < 512


@given(st.text("ab\r\n", max_size=50))
def test_network_text_can_be_read_back(text: str) -> None:
    """In netascii CR is followed by LF or NUL only, and the original can be had back."""
    wire = to_netascii(text.encode())
    assert all(after in b"\n\0" for before, after in pairwise(wire) if before == 13)
    assert wire.replace(b"\r\n", b"\n").replace(b"\r\0", b"\r").decode() == text
