"""What a list of words cleans."""

from __future__ import annotations

import pytest

from hostler.model.cleaning import DEFAULT, PATHS, CleaningError, cleaning, paths_of


def test_words_mean_kinds_and_paths() -> None:
    """Each once, in order; ``default`` among others, ``none`` alone."""
    assert cleaning(["default"]) == DEFAULT
    assert cleaning(["none"]) == ()
    assert cleaning(["logs", "default", "logs", "/etc/krb5.keytab"]) == ("logs", *DEFAULT, "/etc/krb5.keytab")
    assert paths_of("/etc/krb5.keytab") == ("/etc/krb5.keytab",)
    assert paths_of("machine-id") == PATHS["machine-id"]


@pytest.mark.parametrize("word", ["soap", "none", "etc/passwd", "/etc/../shadow", "//x", "/a\nb", "/", ""])
def test_any_other_word_is_refused(word: str) -> None:
    """With what would do."""
    with pytest.raises(CleaningError, match="machine-id"):
        cleaning(["default", word])
