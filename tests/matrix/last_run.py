"""What the last run of the matrix found out, kept in a file, and shown as the table of docs/boot.md."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from boot_paths import BootPath

    from hostler.client.documents import TraceEvent

FILE = Path(__file__).with_name("last_run.json")
PAGE = Path(__file__).parents[2] / "docs" / "boot.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"

STAGES = ("DHCP", "file", "kernel", "agent", "done", "login")
"""First packet, first file asked for, kernel fetched or speaking, agent's first word, step done, login."""

_KERNELS = ("kernel", "linux", "uki.efi")
"""How the names of files end that are a kernel."""


_PACKAGES = {
    "x86-bios": ("seabios", "ipxe-qemu"),
    "x86-uefi": ("ovmf",),
    "arm64-uboot": ("u-boot-qemu",),
    "arm64-uefi": ("qemu-efi-aarch64",),
}


@dataclass(frozen=True, slots=True)
class Result:
    """How one path went.

    Attributes:
        ok: Whether it came to its end.
        date: Day of the run, ISO 8601.
        firmware: Debian packages of the board's firmware, with version.
        seconds: From power-on to each stage that was seen.
        error: What went wrong, in one line.
    """

    ok: bool
    date: str
    firmware: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""


def stages(events: Iterable[TraceEvent]) -> dict[str, float]:
    """Return the seconds from the first power-on to each stage, of those that the trace shows."""
    found: dict[str, float] = {}
    begun: float | None = None
    for event in events:
        what = (event["source"], event["kind"])
        if begun is None:
            begun = event["at"] if what == ("power", "on") else None
            continue
        names = {
            "DHCP": event["source"] == "dhcp",
            "file": event["source"] in ("tftp", "http") and what[1] in ("get", "done"),
            "kernel": what == ("console", "kernel")
            or (what[1] == "done" and str(event.get("data", {}).get("file", "")).endswith(_KERNELS)),
            "agent": what == ("agent", "hello"),
            # An installer is done when it has restarted its board.
            "done": what in (("agent", "done"), ("run", "returned")),
            # A system that was on the disk before may ask for a login too.
            "login": what == ("console", "login") and "done" in found,
        }
        for name, seen in names.items():
            if seen:
                found.setdefault(name, round(event["at"] - begun, 1))
    return found


def firmware(kind: str) -> str:
    """Return the Debian packages that a kind of virtual board has its firmware from."""
    names = _PACKAGES.get(kind, ())
    if not names:
        return ""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *names],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return ", ".join(done.stdout.splitlines())


def load(file: Path = FILE) -> dict[str, Result]:
    """Read what is known of each path, by its key."""
    if not file.exists():
        return {}
    rows: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return {key: Result(**row) for key, row in rows.items()}


def save(results: Mapping[str, Result], file: Path = FILE) -> None:
    """Write what is known of each path."""
    rows = {key: asdict(results[key]) for key in sorted(results)}
    file.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


def table(paths: Iterable[BootPath], results: Mapping[str, Result]) -> str:
    """Return the Markdown table of all paths."""
    lines = [
        f"| board | platform | loader | {' | '.join(STAGES)} | proved |",
        f"|---|---|---|{'--:|' * len(STAGES)}---|",
    ]
    for path in paths:
        result = results.get(path.key)
        shown = result if result is not None and result.ok else None
        seconds = [f"{shown.seconds[s]:.0f}" if shown and s in shown.seconds else "–" for s in STAGES]
        loader = f"`{path.loader}`" if path.loader else "–"
        lines.append(
            f"| {path.title} | `{path.platform}` | {loader} | {' | '.join(seconds)} | {proof(path, result)} |"
        )
    return "\n".join(lines) + "\n"


def proof(path: BootPath, result: Result | None) -> str:
    """Tell in the table's words what stands behind a path."""
    if path.elsewhere:
        return path.elsewhere
    if result is None:
        return "not run"
    if not result.ok:
        return f"**failed** {result.date}: {result.error}".replace("|", "/")
    return f"{result.date}, {result.firmware}"


def plain(paths: Iterable[BootPath], results: Mapping[str, Result]) -> str:
    """Return the same for a terminal: boot path, stage, seconds."""
    lines = [f"{'boot path':<18}" + "".join(f"{stage:>8}" for stage in STAGES) + "  "]
    for path in paths:
        result = results.get(path.key)
        if path.elsewhere:
            continue
        seconds = result.seconds if result else {}
        cells = "".join(f"{seconds[s]:>8.1f}" if s in seconds else f"{'–':>8}" for s in STAGES)
        state = "not run" if result is None else "ok" if result.ok else f"FAILED: {result.error}"
        lines.append(f"{path.key:<18}{cells}  {state}")
    return "\n".join(lines)


def write_page(text: str, page: Path = PAGE) -> None:
    """Put the table between the markers of the page; raises LookupError if they are not there."""
    new, count = re.subn(
        f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})",
        lambda _: text,
        page.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        raise LookupError(f"{page} must have one {BEGIN.strip()} and one {END.strip()}")
    page.write_text(new)
