"""References to secrets, and drivers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.drivers import settings
from hostler.drivers.errors import DriverConfigError
from hostler.drivers.registry import power_driver
from hostler.drivers.secrets import SecretReference

if TYPE_CHECKING:
    from pathlib import Path


def test_an_environment_variable_is_read_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is looked up late: it may change after the configuration was read."""
    reference = SecretReference.parse("community", "env:LAB_SECRET")
    with pytest.raises(DriverConfigError, match="LAB_SECRET"):
        reference.reveal()
    monkeypatch.setenv("LAB_SECRET", "one")
    assert reference.reveal() == "one"


def test_a_file_is_read_without_its_newline(tmp_path: Path) -> None:
    """Editors end files with a newline; secrets do not."""
    path = tmp_path / "secret"
    reference = SecretReference.parse("community", f"file:{path}")
    with pytest.raises(DriverConfigError, match="secret"):
        reference.reveal()
    path.write_text("two\n")
    assert reference.reveal() == "two"


@pytest.mark.parametrize("value", ["hunter2", "env:", "vault:x", "", 7, None])
def test_a_literal_secret_is_refused_and_not_repeated(value: object) -> None:
    """The message tells how to write it and never shows what was written."""
    with pytest.raises(DriverConfigError, match="env:NAME") as caught:
        SecretReference.parse("community", value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_driver_lists_the_known_ones() -> None:
    """Whoever mistypes a driver's name sees what there is."""
    with pytest.raises(DriverConfigError, match=r"known: .*fake, .*snmp-poe"):
        power_driver("snmp-pie", {}, {})


@pytest.mark.parametrize("name", ["10.0.0..3", "x" * 64 + ".example", "a..b:4001"])
def test_a_name_no_resolver_takes_is_refused_at_once(name: str) -> None:
    """Else it would fail in the middle of work, with an error that no driver expects."""
    with pytest.raises(DriverConfigError, match="neither a host name nor an address"):
        settings.address({"host": name}, "host", 161)
    with pytest.raises(DriverConfigError, match="neither a host name nor an address"):
        settings.host({"host": name}, "host")
