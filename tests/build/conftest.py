"""One cache for all tests: packages are fetched and images made once on a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def build_cache() -> Path:
    """Where packages and built images are kept between runs."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "hostler-tests"


@pytest.fixture(scope="session")
def packages(build_cache: Path) -> Path:
    return build_cache / "packages"


@pytest.fixture(scope="session")
def images(build_cache: Path) -> Path:
    return build_cache / "images"
