"""Images are larger than any other body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostler.api.gate import BODY_LIMIT
from served_lab import served

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_image_of_either_kind_may_be_longer_than_any_other_body(tmp_path: Path) -> None:
    """Both are read as they come; what is wrong with the second is what it holds."""
    body = b"\0" * (BODY_LIMIT + 1)
    terms = {"arch": "amd64", "platforms": "x86-bios"}
    async with served(tmp_path) as lab:
        disk = await lab.admin.post("/images", params={"name": "disk", **terms}, content=body)
        assert '"event": "done"' in disk.text
        system = await lab.admin.post("/images/netboot", params={"name": "system"}, content=body)
        assert system.status_code == 200
        assert "image.toml" in system.text
        other = await lab.admin.post("/boards/b1/runs", content=body)
        assert other.status_code == 413
