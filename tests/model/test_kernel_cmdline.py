"""A command line is refused when the plan is made, or every boot loader takes it when the board asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model import kernel_cmdline
from hostler.netboot import quoting

WORDS = st.one_of(
    st.sampled_from(
        ["quiet", "-", "--", "---", "||", "&&", ";", "&", "|", "a=b", 'a="b', 'a="b c"', '"a b"', 'a"b"c',
         'c"', "#", "$x", "ds=nocloud-net;s=http://a/"]
    ),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    st.text(max_size=5),
)  # fmt: skip


@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_what_is_not_refused_every_loader_takes(cmdline):
    """iPXE, GRUB, PXELINUX and U-Boot would refuse nothing that was taken when the plan was made."""
    if kernel_cmdline.fault(cmdline, kernel_cmdline.LONGEST_UBOOT):
        return
    assert quoting.ipxe_cmdline(cmdline).split() == cmdline.split()
    assert quoting.pxelinux_cmdline(cmdline).split() == cmdline.split()
    assert quoting.pxelinux_bios_cmdline(cmdline).split() == cmdline.split()
    quoting.grub_cmdline(cmdline)
    assert quoting.raspberrypi_cmdline(cmdline).split() == cmdline.split()


@pytest.mark.parametrize(
    ("cmdline", "says"),
    [
        ("a\nb", r"has '\n', which"),
        ("a\tb", r"has '\t', which"),
        ("é", "has 'é', which"),
        ("it's $HOME # \\", "has '#' '$' \"'\" '\\\\', which"),
        ('a="b', "not closed"),
        ('a="b"c', "not around a whole value"),
        ("a -b", "'-b'"),
        ("a && b", "'&&'"),
        ("x" * 1901, "has 1901 characters; 1900 is the most"),
    ],
)
def test_what_cannot_be_passed_on_is_named(cmdline, says):
    """The sign, the word or the length that is at fault."""
    assert says in kernel_cmdline.fault(cmdline)


def test_what_installers_need_is_taken():
    """Quotation marks around blanks, a URL with fields, a semicolon within a word."""
    assert (
        kernel_cmdline.fault('a="b c" url=http://[fd77::1]:8067/x?token=1&y=2 ds=nocloud;s=http://x/') == ""
    )
