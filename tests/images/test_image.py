"""The image document: what is valid goes through JSON unchanged, what is not is named by its key."""

from dataclasses import replace

import pytest

from hostler.images.image import Done, Image, ImageError

IMAGE = Image(
    name="debian",
    version="12.11",
    arch="amd64",
    platforms=("x86-bios", "x86-uefi"),
    index="ab" * 32,
    size=2**31,
    chunk_size=2**20,
    data_bytes=10**9,
    done=Done(console=r"login: $", seconds=120),
)


def test_round_trip() -> None:
    """An image read from its own JSON is the same image."""
    assert Image.from_json(IMAGE.to_json()) == IMAGE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "No Spaces"),
        ("version", "a/b"),
        ("arch", "i386"),
        ("platforms", []),
        ("platforms", ["X"]),
        ("index", "12"),
        ("size", 0),
        ("size", True),
        ("size", "1"),
        ("chunk_size", 2**40),
        ("data_bytes", 2**40),
        ("done", {"console": "(", "seconds": 1}),
        ("done", {"console": "x", "seconds": 0}),
        ("done", {"console": "x"}),
    ],
)
def test_what_is_wrong_is_named(key: str, value: object) -> None:
    """Each bad key is refused with its name in the sentence."""
    document = {**IMAGE.to_json(), key: value}
    with pytest.raises(ImageError, match=key):
        Image.from_json(document)  # type: ignore[arg-type]
    del document[key]
    with pytest.raises(ImageError, match=key):
        Image.from_json(document)  # type: ignore[arg-type]


def test_the_rules_hold_for_made_images_too() -> None:
    """An image cannot be made wrong in the first place."""
    with pytest.raises(ImageError, match="arch"):
        replace(IMAGE, arch="mips")
