"""Where the client learns which server to talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.client.errors import SettingsError
from hostler.client.settings import load_settings, settings_file
from hostler.client.settings_file import KeptLab, keep_lab, read_labs

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


TWO = """# the lab of our team
url = "https://lab:8066"
token = "hst_usual"

[labs.rack2]
url = "https://rack2:8066/"
token = "hst_rack2"  # until March
ca = "rack2.pem"
"""
PEM = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"


@pytest.fixture
def two(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "hostler/config.toml"
    path.parent.mkdir()
    path.write_text(TWO)
    (path.parent / "rack2.pem").write_text(PEM)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_a_lab_is_chosen_by_name(two: dict[str, str]) -> None:
    """HOSTLER_LAB takes address, token and CA of that table; without it the one at the top counts."""
    usual = load_settings(two)
    assert (usual.url, usual.token, usual.ca) == ("https://lab:8066", "hst_usual", None)
    chosen = load_settings({**two, "HOSTLER_LAB": "rack2"})
    assert (chosen.url, chosen.token, chosen.ca) == ("https://rack2:8066", "hst_rack2", PEM)


def test_an_address_brings_the_token_that_was_kept_for_it(two: dict[str, str]) -> None:
    """HOSTLER_URL of a lab in the file is that lab; of another one it gets no token of the file."""
    assert load_settings({**two, "HOSTLER_URL": "https://rack2:8066"}).token == "hst_rack2"
    for other in ("http://rack2:8066", "https://rack2:8067", "https://rack2.evil:8066", "https://evil"):
        with pytest.raises(SettingsError, match="no token is configured"):
            load_settings({**two, "HOSTLER_URL": other})


def test_a_ca_that_was_kept_counts_for_its_own_server_only(two: dict[str, str]) -> None:
    """Who vouches for one lab may not vouch for another."""
    assert load_settings({**two, "HOSTLER_URL": "https://other", "HOSTLER_TOKEN": "hst_x"}).ca is None


def test_a_ca_may_be_a_file_or_its_text(two: dict[str, str], tmp_path: Path) -> None:
    """HOSTLER_CA goes before the file's, as a path or as the PEM that CI keeps in a variable."""
    (tmp_path / "other.pem").write_text(PEM + "other")
    chosen = {**two, "HOSTLER_LAB": "rack2"}
    assert load_settings({**chosen, "HOSTLER_CA": str(tmp_path / "other.pem")}).ca == PEM + "other"
    assert load_settings({**chosen, "HOSTLER_CA": PEM + "text"}).ca == PEM + "text"
    with pytest.raises(SettingsError, match=r"nowhere\.pem"):
        load_settings({**chosen, "HOSTLER_CA": str(tmp_path / "nowhere.pem")})
    with pytest.raises(SettingsError, match="no certificate in it"):
        load_settings({**chosen, "HOSTLER_CA": str(settings_file(two))})


def test_an_unknown_lab_is_told_with_those_there_are(two: dict[str, str]) -> None:
    """A typing error is not the usual lab."""
    with pytest.raises(SettingsError, match=r'no lab "rack3".*known: rack2') as told:
        load_settings({**two, "HOSTLER_LAB": "rack3"})
    assert "hostler login URL --lab rack3" in told.value.advice


def test_two_labs_at_once_are_refused(two: dict[str, str]) -> None:
    """A name and an address that mean different servers are not guessed between."""
    with pytest.raises(SettingsError, match=r"HOSTLER_LAB says.*HOSTLER_URL says"):
        load_settings({**two, "HOSTLER_LAB": "rack2", "HOSTLER_URL": "https://lab:8066"})
    same = load_settings({**two, "HOSTLER_LAB": "rack2", "HOSTLER_URL": "https://rack2:8066"})
    assert same.token == "hst_rack2"


def test_without_a_usual_lab_one_must_be_chosen(two: dict[str, str]) -> None:
    """Several labs and none at the top: the error lists them."""
    settings_file(two).write_text(TWO[TWO.index("[labs") :])
    with pytest.raises(SettingsError, match="none of them is the usual one") as told:
        load_settings(two)
    assert "rack2" in told.value.advice


def test_what_is_kept_leaves_the_rest_as_it_is(two: dict[str, str]) -> None:
    """A login changes its own lab's keys; comments and other labs stay, and only the owner reads the file."""
    path = settings_file(two)
    path.chmod(0o644)
    keep_lab(path, "rack2", KeptLab("https://rack2:8066", "hst_new", PEM))
    text = path.read_text()
    assert text.startswith(TWO[: TWO.index("[labs")])
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_labs(path) == {
        None: KeptLab("https://lab:8066", "hst_usual"),
        "rack2": KeptLab("https://rack2:8066", "hst_new", PEM),
    }
    assert sorted(file.name for file in path.parent.iterdir()) == ["config.toml", "rack2.pem"]


def test_a_link_to_a_versioned_file_stays_a_link(tmp_path: Path) -> None:
    """Who keeps settings elsewhere and links to them finds them changed there."""
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    keep_lab(link, None, KeptLab("https://lab:8066", "hst_x"))
    assert link.is_symlink()
    assert read_labs(real)[None].token == "hst_x"


def test_a_file_with_a_mistake_is_not_overwritten(two: dict[str, str]) -> None:
    """A login never throws away what somebody wrote."""
    settings_file(two).write_text("url = ")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        keep_lab(settings_file(two), None, KeptLab("https://lab:8066", "hst_x"))
    assert settings_file(two).read_text() == "url = "


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
_labs = st.builds(KeptLab, _texts.filter(lambda text: not text.endswith("/")), _texts, _texts)
_names = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_names, _labs), max_size=6))
def test_what_was_kept_is_read_back(tmp_path: Path, kept: list[tuple[str | None, KeptLab]]) -> None:
    """Whatever the order and the texts, each lab is read as it was last written."""
    path = tmp_path / "any.toml"
    path.unlink(missing_ok=True)
    expected: dict[str | None, KeptLab] = {None: KeptLab()}
    for name, lab in kept:
        keep_lab(path, name, lab)
        expected[name] = lab
    assert read_labs(path) == expected
