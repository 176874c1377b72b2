"""Terms that choose boards, and the labels that follow from what an agent reported."""

from __future__ import annotations

import pytest

from hostler.model.labels import LabelError, derived_labels, nominal_memory, read_terms, satisfies

GIB = 2**30
PI = {"arch": "arm64", "ram": "4096", "disk": "30G", "soc": "bcm2711", "rev": "10"}


@pytest.mark.parametrize(
    ("terms", "meets"),
    [
        ("arch=arm64", True),
        ("arch = arm64 , ram >= 4096", True),
        ("ram>=4G", True),
        ("ram>4G", False),
        ("ram=4096M", True),
        ("disk>=32768", False),
        ("disk>=30720", True),
        ("rev>9", True),
        ("rev=10.0", True),
        ("arch!=amd64", True),
        ("soc!=bcm2711", False),
        ("camera=yes", False),
        ("camera!=yes", True),
        ("camera>=1", False),
        ("soc>1", False),
        ("soc<=1,arch=arm64", False),
    ],
)
def test_terms(terms: str, meets: bool):
    """Numbers compare as numbers, in MiB for sizes; a label that is missing satisfies only ``!=``."""
    assert satisfies(PI, read_terms(terms)) is meets


@pytest.mark.parametrize(
    "text", ["", "arm64", "=x", "ram>=lots", "ram>", "a b=c", "ram>=4G,", "x==y", "a=b=c"]
)
def test_words_that_are_no_terms(text: str):
    """What is no term is refused with its own words."""
    with pytest.raises(LabelError, match="write for example"):
        read_terms(text)


def test_labels_from_facts():
    """Memory is what was sold, the disk the largest one that stays in, processors are counted."""
    disks = [{"size": 8 * GIB}, {"size": 30 * GIB}, {"size": 900 * GIB, "removable": True}]
    facts = {"memory_bytes": int(3.7 * GIB), "cpu": {"count": 4}, "disks": disks}
    assert derived_labels(facts) == {"ram": "4096", "cpus": "4", "disk": "30720"}
    assert derived_labels({}) == {}
    assert derived_labels({"memory_bytes": "many", "cpu": 4, "disks": [{"size": None}, 3]}) == {}


@pytest.mark.parametrize(
    ("gib", "sold"), [(0.95, 1), (3.7, 4), (5.8, 6), (7.6, 8), (15.5, 16), (39.2, 40), (62.7, 64), (36, 36)]
)
def test_memory_as_sold(gib: float, sold: float):
    """What firmware keeps for itself is added again, and nothing more."""
    assert nominal_memory(int(gib * GIB)) == sold * GIB
