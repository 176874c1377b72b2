"""The demo's cache serves the tests too: packages are fetched and images made once on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def packages() -> Path:
    return Path(__file__).parents[2] / "var" / "cache"


@pytest.fixture(scope="session")
def images(packages: Path) -> Path:
    return packages / "built"
