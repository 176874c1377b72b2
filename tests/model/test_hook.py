"""Patterns of event kinds, the signature of a webhook, and how long is waited between attempts."""

from __future__ import annotations

import base64
import subprocess

import pytest

from hostler.model.event_kinds import check_pattern, matches
from hostler.model.hook import pause, signature


def test_patterns():
    """A star stands for any signs, and what is no pattern is refused with an example."""
    assert matches("claim.granted", ["claim.*"])
    assert matches("claim.granted", ["run.*", "*.granted"])
    assert not matches("claim.granted", ["claim"])
    assert not matches("claim.granted", [])
    for wrong in ("", "claim..x", "Claim.*", "a b", "[a]", "x" * 65):
        with pytest.raises(ValueError, match=r"claim\.\*"):
            check_pattern(wrong)


def test_signature_is_what_openssl_computes():
    """The signature is the standard's: HMAC-SHA256 over id, time and body, in base64, with its version."""
    body = '{"kind":"claim.granted","text":"schön"}'.encode()
    for secret, key in (("plain words", b"plain words"), ("whsec_AAECAwQF", bytes(range(6)))):
        mac = subprocess.run(
            ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"],
            input=b"bench-17.1700000000." + body, check=True, capture_output=True, timeout=20,
        ).stdout  # fmt: skip
        assert signature(secret, "bench-17", 1700000000, body) == f"v1,{base64.b64encode(mac).decode()}"


def test_signature_of_the_standard():
    """The example of the Standard Webhooks specification comes out as it stands there."""
    body = b'{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    said = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_pauses_double_up_to_ten_minutes():
    """Attempts come fast at first, and never rarer than every ten minutes."""
    assert [pause(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert pause(1000) == 600.0
