"""Where the client learns which server to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostler.client.errors import SettingsError
from hostler.client.settings import load_settings, settings_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "hostler/config.toml"
    path.parent.mkdir()
    path.write_text('url = "http://lab:8066/"\ntoken = "hst_kept"\n')
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_the_environment_comes_before_the_file(kept: dict[str, str]) -> None:
    """HOSTLER_URL and HOSTLER_TOKEN win over the settings file."""
    settings = load_settings({**kept, "HOSTLER_URL": "http://other:1", "HOSTLER_TOKEN": "hst_env"})
    assert (settings.url, settings.token) == ("http://other:1", "hst_env")


def test_the_file_alone_is_enough(kept: dict[str, str]) -> None:
    """Without the environment the settings file says both."""
    settings = load_settings(kept)
    assert (settings.url, settings.token) == ("http://lab:8066", "hst_kept")


def test_a_kept_token_goes_to_its_own_server_only(kept: dict[str, str]) -> None:
    """The file's token is never sent to an address that came from elsewhere."""
    with pytest.raises(SettingsError, match="no token is configured for http://evil:1"):
        load_settings({**kept, "HOSTLER_URL": "http://evil:1"})
    assert load_settings({**kept, "HOSTLER_URL": "http://lab:8066"}).token == "hst_kept"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('url = "http://a:1"\ntoken = ', "config.toml"),
        ('adress = "http://a:1"', '"adress" is not known'),
        ("url = 5", '"url" is not known'),
        ('url = "lab:8066"\ntoken = "hst_x"', "does not begin with http"),
    ],
)
def test_a_wrong_file_is_named(kept: dict[str, str], text: str, says: str) -> None:
    """A settings file that cannot be understood is refused, with its place."""
    settings_file(kept).write_text(text)
    with pytest.raises(SettingsError, match=says):
        load_settings(kept)


def test_nothing_configured_says_what_to_do(tmp_path: Path) -> None:
    """With neither environment nor file the error says which variables to set."""
    with pytest.raises(SettingsError) as caught:
        load_settings({"XDG_CONFIG_HOME": str(tmp_path)})
    assert "HOSTLER_URL" in caught.value.advice


def test_the_token_is_not_in_the_representation() -> None:
    """Printing settings does not print the token."""
    settings = load_settings({"HOSTLER_URL": "http://a:1", "HOSTLER_TOKEN": "hst_secret"})
    assert "hst_secret" not in repr(settings)
