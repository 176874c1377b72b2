"""Things go wrong on real firmware, and what `hostler why` says of each is its right cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_record import SAID, Said
from fault_rows import FAULTS, HEALTHY, Fault

if TYPE_CHECKING:
    from concurrent.futures import Future

    from fault_lab import FaultLab

    from hostler.client.documents import Why

pytestmark = [pytest.mark.qemu, pytest.mark.netns]

Verdicts = tuple["dict[str, FaultLab]", "dict[str, Future[Why]]"]
_LONGEST = 1800.0  # all before it in the pool, and its own


def check(fault: Fault, verdicts: Verdicts, config: pytest.Config) -> None:
    """Take down what is said of a fault, and hold it against what is right."""
    labs, futures = verdicts
    try:
        why = futures[fault.key].result(_LONGEST)
    except Exception as error:
        config.stash[SAID][fault.key] = Said.of(fault, "", f"{type(error).__name__}: {error}")
        raise
    said = Said.of(fault, why["cause"], why["text"].replace(f"{labs[fault.key].state}/", ""))
    config.stash[SAID][fault.key] = said
    assert said.right, f"{said.line}\n{labs[fault.key].told(fault)}"
    assert said.text


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.quick], ids=lambda fault: fault.key)
def test_the_cause_is_named(fault: Fault, verdicts: Verdicts, pytestconfig: pytest.Config) -> None:
    """Of a third of them, which show soon."""
    check(fault, verdicts, pytestconfig)


@pytest.mark.faults
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.quick], ids=lambda fault: fault.key)
def test_the_cause_is_named_in_time(fault: Fault, verdicts: Verdicts, pytestconfig: pytest.Config) -> None:
    """Of the others, many of which show by what does not come."""
    check(fault, verdicts, pytestconfig)


@pytest.mark.faults
@pytest.mark.parametrize("fault", HEALTHY, ids=lambda fault: fault.key)
def test_nothing_wrong_is_said_of_a_good_boot(
    fault: Fault, verdicts: Verdicts, pytestconfig: pytest.Config
) -> None:
    """Neither on the way nor at its end, on each platform."""
    check(fault, verdicts, pytestconfig)
