"""What the signs a board gives after power-on say about its wires, and which one is wrong.

A board under check is switched on while its neighbours are off. Whoever then asks for an address, and on
whatever console words appear, tells where the wires really go.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostler.model.power import PowerReading, PowerState

Row = dict[str, str | bool]
"""One thing checked: ``what``, ``ok``, ``text``, and ``advice`` when it is not ok."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What ``lab.toml`` says of a board under check.

    Attributes:
        board: Its name.
        power: Its power wire in words, ``port 3 of switch1``.
        console: Its console wire in words; None: it has none.
        macs: What it boots with.
        served: Whether Hostler answers DHCP on its network, so that its asking can be heard.
    """

    board: str
    power: str
    console: str | None
    macs: tuple[str, ...]
    served: bool = True


@dataclass(frozen=True, slots=True)
class Switched:
    """How switching went: what reads now, or why it could not be done."""

    reading: PowerReading | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """What was heard after a board was switched on.

    Attributes:
        asked: Seconds until one of its own MACs asked for an address; None: none did.
        woke: Boards that should be off and whose MAC asked instead, or as well.
        strangers: MACs of machines nobody knows that began to ask.
        connected: Whether its console is connected.
        spoke: Seconds until its console said something; None: nothing.
        readable: Whether that was text; a wrong speed makes noise of it.
        named: The board that the words on its console name, when they name one.
        lit: Boards that should be off and on whose console somebody spoke.
        seconds: How long was waited.
    """

    asked: float | None = None
    woke: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    connected: bool = True
    spoke: float | None = None
    readable: bool = True
    named: str | None = None
    lit: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it.

    Attributes:
        rows: One for each wire that could be judged.
        crossed: Other boards whose wires are shown to be wrong as well.
    """

    rows: tuple[Row, ...]
    crossed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found to be wrong."""
        return all(row["ok"] for row in self.rows)


def row(what: str, ok: bool, text: str, advice: str = "") -> Row:
    """Return one result; advice is only for what is not ok."""
    return {"what": what, "ok": ok, "text": text, "advice": "" if ok else advice}


def judge_switching(wiring: Wiring, wanted: PowerState, result: Switched) -> Row:
    """Judge whether a supply did what it was told."""
    what = f"power {wanted} of {wiring.board}"
    if result.error or result.reading is None:
        error = result.error or "no reading"
        return row(what, False, error, f"look at {wiring.power}, its equipment, address and credentials")
    reading = result.reading
    detail = f" ({reading.detail})" if reading.detail else ""
    if reading.state is PowerState.UNKNOWN:
        return row(what, True, f"was told {wanted}; it cannot be read{detail}")
    advice = f"does {wiring.power} feed a board, and nothing else feeds it?"
    return row(what, reading.state is wanted, f"reads {reading.state}{detail}", advice)


def judge_signs(wiring: Wiring, signs: Signs) -> Verdict:
    """Judge power, network boot and console together: each wire shows only beside the others."""
    rows: list[Row] = []
    crossed: list[str] = []
    other = _other_board(signs)
    if wiring.served:
        boot = _judge_boot(wiring, signs, other)
        if other is not None and signs.asked is None:
            crossed.append(other)
        rows.append(boot)
    if wiring.console is not None:
        console = _judge_console(wiring, signs, other)
        if console is not None:
            rows.append(console)
            crossed += [name for name in _console_of_others(signs) if not console["ok"]]
    elif not wiring.served:
        what = f"sign of life of {wiring.board}"
        rows.append(row(what, True, "not judged: it has no console, and its network is not served"))
    return Verdict(tuple(rows), tuple(dict.fromkeys(name for name in crossed if name != wiring.board)))


def _other_board(signs: Signs) -> str | None:
    """Return the board that really got the power, when it was another one."""
    return signs.woke[0] if signs.asked is None and signs.woke else None


def _console_of_others(signs: Signs) -> tuple[str, ...]:
    if signs.asked is None and signs.woke:
        return ()  # they spoke because they were switched on
    return ((signs.named,) if signs.named else ()) + signs.lit


def _judge_boot(wiring: Wiring, signs: Signs, other: str | None) -> Row:
    what, board = f"network boot of {wiring.board}", wiring.board
    if signs.asked is not None:
        if signs.woke:
            text = f"asked after {signs.asked:.0f} s, but so did {_names(signs.woke)}, which should be off"
            return row(what, False, text, f"{wiring.power} seems to feed them all; give each its own")
        return row(what, True, f"asked for an address after {signs.asked:.0f} s")
    if other is not None and signs.spoke is not None:
        text = (
            f'{wiring.power} powers the board with the MAC of "{other}", '
            f'and it speaks on the console of "{board}"'
        )
        advice = (
            f'the MACs of "{board}" and "{other}" are swapped in lab.toml, or both their power and console '
            "wires are crossed"
        )
        return row(what, False, text, advice)
    if other is not None:
        text = (
            f'{wiring.power} powers board "{other}", not "{board}": '
            f'the power wires of "{board}" and "{other}" are crossed'
        )
        return row(what, False, text, "swap them, or their keys in lab.toml")
    waited = f"did not ask for an address within {signs.seconds:.0f} s"
    if signs.strangers:
        text = f"{waited}, but {', '.join(signs.strangers)} began to, which is in no lab.toml"
        return row(what, False, text, f"is the mac {', '.join(wiring.macs)} right? was the board swapped?")
    if signs.spoke is None and not signs.lit:
        text = f"{waited}, and nothing was heard of it at all"
        return row(what, False, text, f"does {wiring.power} feed this board? is anything plugged in?")
    advice = "network first in its boot order? its network cable, and the right port? is its mac right?"
    return row(what, False, waited, advice)


def _judge_console(wiring: Wiring, signs: Signs, other: str | None) -> Row | None:
    """Judge the console; None when another board got the power, and this one was rightly silent."""
    what, board = f"console of {wiring.board}", wiring.board
    if not signs.connected:
        advice = "look at the serial adapter or terminal server, and that nobody else holds it"
        return row(what, False, "not connected", advice)
    if other is not None:
        return None
    if signs.named not in (None, board):
        text = (
            f'what is heard on it is board "{signs.named}": '
            f'the console wires of "{board}" and "{signs.named}" are crossed'
        )
        return row(what, False, text, "swap them, or their keys in lab.toml")
    if signs.spoke is None and signs.lit:
        name = signs.lit[0]
        doubt = "" if signs.asked is not None else ", or the power wires are"
        text = (
            f'silent, but when "{board}" was switched on somebody spoke on the console of '
            f'{_names(signs.lit)}: the console wires of "{board}" and "{name}" are crossed{doubt}'
        )
        return row(what, False, text, "swap them, or their keys in lab.toml")
    if signs.spoke is None:
        text = f"nothing in {signs.seconds:.0f} s from power-on"
        advice = (
            f"is {wiring.console} wired to this board (RX and TX not swapped, common ground)? does its "
            "firmware speak on the serial line?"
        )
        return row(what, False, text, advice)
    if signs.lit:
        text = f"speaks, but so does the console of {_names(signs.lit)}, which should be off"
        return row(what, False, text, "are two lines joined?")
    if not signs.readable:
        return row(what, False, "only noise", "set the right baud rate on the line; check its ground")
    named = ", and names itself" if signs.named else ""
    return row(what, True, f"spoke {signs.spoke:.0f} s after power-on{named}")


def judge_silence(wiring: Wiring, still_speaks: bool) -> Row:
    """Judge whether the console went silent with the power."""
    text = "speaks on although the power is off" if still_speaks else "went silent with the power"
    advice = f"another board is on {wiring.console}, or something else feeds this one (USB, a debug adapter)"
    return row(f"silence of {wiring.board}", not still_speaks, text, advice)


def judge_port(
    wiring: Wiring, switch: str, expected: int | None, found: int | None, owner: str | None
) -> Row:
    """Judge on which port the switch that powers a board hears it.

    Args:
        wiring: The board.
        switch: The switch's name.
        expected: The port that powers the board, if that is a number.
        found: The port the switch hears it on; None: on none.
        owner: The other board whose power wire that port is, or None.
    """
    what = f"switch port of {wiring.board}"
    if found is None:
        text = f"{switch} does not hear it; it was booted through another switch"
        return row(what, True, text)
    if owner is not None and found != expected:
        text = f'{switch} hears it on port {found}, which powers "{owner}", and not on {wiring.power}'
        return row(what, False, text, "are the network cables of the two crossed?")
    return row(what, True, f"{switch} hears it on port {found}")


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
