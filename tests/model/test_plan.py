"""Plans are read exactly, or refused with the word that is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.model.plan import PlanError, Step, StepKind, StepOrder, needs_agent, parse_plan


def test_a_chain_is_read_in_order():
    """Steps keep their order and their arguments."""
    assert parse_plan("wipe, install:debian,boot") == (
        Step(StepKind.WIPE),
        Step(StepKind.INSTALL, "debian"),
        Step(StepKind.BOOT),
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "empty"),
        ("fly", '"fly"'),
        ("install", "install:IMAGE"),
        ("install:", "install:IMAGE"),
        ("install:../etc", "not an image name"),
        ("live", "live:IMAGE"),
        ("live:../etc", "not an image name"),
        ("wipe:now", '"wipe:now"'),
        ("boot,,boot", '""'),
        (",".join(["boot"] * 33), "33 steps"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(text, names):
    """The error names the word and what would do."""
    with pytest.raises(PlanError, match=names):
        parse_plan(text)


@given(
    st.lists(
        st.sampled_from(["discover", "wipe", "boot", "install:a-1.2", "live:memtest"]),
        min_size=1,
        max_size=32,
    )
)
def test_a_plan_is_written_as_it_is_read(words):
    """Writing the steps gives the text again."""
    text = ",".join(words)
    assert ",".join(str(step) for step in parse_plan(text)) == text


@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_a_plan_error(text):
    """Nothing else escapes."""
    try:
        steps = parse_plan(text)
    except PlanError:
        return
    assert steps


@pytest.mark.parametrize(
    ("order", "agent"),
    [
        (StepOrder(StepKind.DISCOVER), True),
        (StepOrder(StepKind.WIPE), True),
        (StepOrder(StepKind.INSTALL, {"image": "debian", "index": "0" * 64, "size": 1, "disk": None}), True),
        (StepOrder(StepKind.INSTALL, {"image": "debian-12", "netboot": {}}), False),
        (StepOrder(StepKind.LIVE, {"image": "memtest", "netboot": {}}), False),
        (StepOrder(StepKind.BOOT), False),
    ],
)
def test_an_installer_of_its_own_needs_no_agent(order, agent):
    """Who does a step is told by the step: an image that brings its installer does without the agent."""
    assert needs_agent(order) is agent
