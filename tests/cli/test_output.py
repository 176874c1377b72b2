"""What commands print for people."""

from __future__ import annotations

from typing import Any

import pytest

from hostler.cli.output import Output
from hostler.cli.power import board_power
from hostler.client.errors import RefusedError

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\ud800b1"


def test_no_word_from_the_network_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences a board, a lab.toml or a server puts into a text are shown, never carried out."""
    out = Output(json=False)
    out.line(EVIL)
    out.note(EVIL)
    out.table(("a",), [[EVIL]], "none")
    out.pairs([("a", EVIL)])
    out.fail(RefusedError(409, {"detail": EVIL, "errors": [{"text": EVIL + "b1"}]}))
    printed = "".join(capsys.readouterr())
    assert printed.count("b1") == 7
    assert printed.replace("\n", "").isprintable()


def test_what_is_wrong_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake that the refusal's own text tells is not told again below it."""
    mistakes = [{"text": "no MAC", "file": "lab.toml", "line": 3}, {"text": "no class"}]
    Output(json=False).fail(RefusedError(422, {"detail": "lab.toml:3: no MAC", "errors": mistakes}))
    assert capsys.readouterr().err == "hostler: lab.toml:3: no MAC\n  no class\n"


@pytest.mark.parametrize(
    ("lifecycle", "state", "text"),
    [
        ("claimed", None, "on (should be off)"),
        ("claimed", "succeeded", "on (should be off)"),
        ("releasing", "running", "on"),
        ("claimed", "queued", "on"),
        ("discovered", None, ""),
    ],
)
def test_power_that_a_run_switches_is_not_called_wrong(lifecycle: str, state: str | None, text: str) -> None:
    """Only a reading that disagrees with what nobody is busy changing is worth a look."""
    power: Any = {"desired": "off", "observed": "on", "as_asked": False, "watts": None, "detail": ""}
    power |= {"error": "", "waits": "", "mismatch_since": None, "at": None}
    board: Any = {"lifecycle": lifecycle, "power": power, "run": state and {"state": state}}
    assert board_power(board) == text
