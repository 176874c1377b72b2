"""Failed logins are counted by where they come from."""

from __future__ import annotations

import pytest

from hostler.hub.login_limits import FAILURES, FailureLimit, TooManyError


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_one_who_guesses_shuts_nobody_else_out(guesser: str, same: str, other: str) -> None:
    """A household waits as one; neighbours do not, in IPv4 by a socket for both families either."""
    limit = FailureLimit()
    for _ in range(FAILURES):
        limit.failed(guesser, 1000.0)
    with pytest.raises(TooManyError):
        limit.check(same, 1001.0)
    limit.check(other, 1001.0)
    limit.check(same, 1061.0)
