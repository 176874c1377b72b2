"""What the end-to-end tests share: agents and images from the demo's cache, and one lab for each file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from whole_lab import WholeLab

from hostler.cli.progress import progress
from hostler.demo import material as demo_material

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostler.demo.material import Material

CACHE = Path(__file__).parents[2] / "var" / "cache"


@pytest.fixture(scope="session")
def material() -> Material:
    """Agents and images; built once on a machine."""
    with progress(live=False) as view:
        return demo_material.build(CACHE, view)


@pytest.fixture(scope="module")
def lab(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeLab]:
    """The lab and the server, running, with no image yet but the agents registered."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a network namespace for the boards")
    if not shutil.which("snmpset"):
        pytest.fail("needs snmpset (package snmp)")
    made = WholeLab(tmp_path_factory.mktemp("lab"))
    try:
        made.start()
        made.import_images(material)
        yield made
    finally:
        made.stop()
