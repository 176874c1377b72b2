"""What the catalogue makes of what an upstream offers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostler.hub.errors import ConflictError, UnavailableError
from hostler.hub.image_names import refuse_taken
from hostler.hub.image_records import ImageRecord
from hostler.hub.inventory import UpstreamPlan
from hostler.hub.labfile import LabfileError, read_labfile
from hostler.hub.records import Principal, Role
from hostler.hub.state import Draft, State
from hostler.hub.upstream import UpstreamImages, offered, take_over
from simulated_rack import running

URL = "https://hub.example:8066"
ANNA = Principal("anna", Role.MEMBER)


def document(name: str, **others: Any) -> dict[str, Any]:
    """An image as another server tells it."""
    return {
        "name": name, "kind": "disk", "arch": "amd64", "platforms": ["x86-bios"], "size": 1 << 30,
        "data_bytes": 1 << 20, "chunk_size": 1 << 20, "index": "a" * 64,
        "done": {"console": "login:", "seconds": 600.0}, "netboot": None, "source": "disk.raw",
        "created": "2026-01-01T00:00:00Z", "project": None, "upstream": None,
        "provenance": {"principal": "ada", "sha256": "b" * 64, "version": "1", "chunks": 1},
        "signatures": [],
    } | others  # fmt: skip


def taken(state: State, *documents: object) -> dict[str, ImageRecord]:
    """The images after the upstream has offered these."""
    draft = Draft(state, 1.0)
    take_over(draft, offered(documents, URL, 1.0, set()))
    draft.apply()
    return state.images


@pytest.mark.parametrize(
    "others",
    [
        {"kind": "netboot"},
        {"project": "camera"},
        {"upstream": "https://another.example"},
        {"name": "../../etc"},
        {"arch": "m68k"},
        {"platforms": ["abacus"]},
        {"done": {"console": "login: [", "seconds": 600.0}},
        {"index": "a" * 63 + "/"},
        {"size": -1},
        {"chunk_size": 1 << 40},
        {"signatures": [{"key": "x", "signature": "y"}]},
        {"done": None},
    ],
)
def test_what_cannot_be_deployed_here_is_left_out(others: dict[str, Any]) -> None:
    """Systems of the network, what is not for everybody, what is a third one's, and what is no image."""
    found = offered([document("bad") | others, document("good"), "nonsense", None], URL, 1.0, set())
    assert list(found) == ["good"]
    assert found["good"].upstream == URL


def test_what_is_wrong_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The upstream is asked every few seconds; the log has each of its faults once."""
    told: set[str] = set()
    for _ in range(3):
        offered([document("odd", arch="m68k")], URL, 1.0, told)
    assert caplog.text.count("image odd of") == 1
    offered([document("odd")], URL, 1.0, told)
    assert not told


@pytest.mark.parametrize("token", ["# mine\nhst_secret", "hst_secret two", "hst_secr\u00e9t", ""])
async def test_a_token_that_is_none_is_not_sent(
    token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What no header takes is refused, and nothing of it gets into the log."""
    async with running(tmp_path) as lab:
        follower = UpstreamImages(lab.hub, None, lambda _: token)
        assert follower._terms(UpstreamPlan(URL, "file:t", "", 1 << 30)) is None
    assert "must be one word" in caplog.text
    assert "secr" not in caplog.text


async def test_a_claim_needs_its_image_as_a_deployment_does(tmp_path: Path) -> None:
    """An image whose index cannot be had, and checked, is refused while the person waits."""
    async with running(tmp_path) as lab:
        found = offered([document("a")], URL, 1.0, set())
        await lab.hub.change(lambda draft: take_over(draft, found))
        with pytest.raises(UnavailableError, match="follows no upstream"):
            await lab.hub.claim(ANNA, "pc", image="a")
        assert not lab.hub.state.claims


def test_the_catalogue_follows() -> None:
    """Images come, change and go with the upstream's; an event tells each, and nothing is told twice."""
    state = State()
    assert set(taken(state, document("a"), document("b"))) == {"a", "b"}
    draft = Draft(state, 2.0)
    take_over(draft, offered([document("a"), document("b")], URL, 2.0, set()))
    assert draft.empty, "nothing has changed"
    assert taken(state, document("b", index="c" * 64))["b"].index == "c" * 64
    assert set(state.images) == {"b"}
    assert not taken(state)


def test_an_own_image_hides_one_of_its_name() -> None:
    """It stays as it is; and a name of the upstream's is taken for whoever imports."""
    state = State()
    own = replace(offered([document("a")], URL, 1.0, set())["a"], upstream="", source="mine")
    state.images["a"] = own
    assert taken(state, document("a"), document("b"))["a"] == own
    assert set(taken(state)) == {"a"}
    taken(state, document("b"))
    with pytest.raises(ConflictError, match=f'"b" at {URL} already; choose another name'):
        refuse_taken(Draft(state, 1.0), "b")


LAB = '[lab]\nname = "site"\n'


def test_lab_toml_names_the_upstream(tmp_path: Path) -> None:
    """With files beside lab.toml, and a cache of a size."""
    text = f'[images]\nupstream = "{URL}/"\ntoken = "file:t"\nca = "file:ca.pem"\ncache = "2G"\n'
    plan = read_labfile(LAB + text, base=tmp_path).upstream
    assert plan is not None
    assert (plan.url, plan.cache) == (URL, 2_000_000_000)
    assert (plan.token, plan.ca) == (f"file:{tmp_path}/t", f"file:{tmp_path}/ca.pem")
    assert read_labfile(LAB, base=tmp_path).upstream is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('upstream = "https://h"', '[images] lacks "token"; add it'),
        ('upstream = "https://h"\ntoken = "hst_abc"', "token is a secret and must not stand here"),
        ('upstream = "http://h.example"\ntoken = "env:T"', "must be https"),
        ('upstream = "https://h/lab"\ntoken = "env:T"', "is not the address of a server"),
        ('upstream = "https://h"\ntoken = "env:T"\ncache = "1M"', "images.cache: "),
        ('upstream = "https://h"\ntoken = "env:T"\nca = "/etc/ca.pem"', 'write "file:PATH"'),
        ('upstream = "https://h"\ntoken = "env:T"\ncash = "1G"', 'did you mean "cache"?'),
    ],
)
def test_mistakes_are_told(text: str, told: str) -> None:
    """Each with its line, and nothing is applied."""
    with pytest.raises(LabfileError) as caught:
        read_labfile(f"{LAB}[images]\n{text}\n", base=Path("/"))
    (fault,) = caught.value.faults
    assert told in fault.text
    assert fault.line is not None
    assert fault.line >= 3
