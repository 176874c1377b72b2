"""The certificate of a wipe on paper: a page of A4, more where the board has many disks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN = 18  # mm
_LABEL = 42
_LINE = 5.2


def certificate_pdf(document: dict[str, Any]) -> bytes:
    """Return the certificate that ``hub.wipe_certificate`` made as a PDF."""
    from fpdf import FPDF  # takes a third of a second, and few ask for it

    page = FPDF(format="A4")
    page.set_margins(_MARGIN, _MARGIN)
    page.set_auto_page_break(True, _MARGIN)
    page.set_creator("Hostler")
    page.set_title(_latin(f"Certificate of sanitization: {document['board']}"))
    page.set_creation_date(datetime.fromisoformat(document["ended"] or document["began"]))
    page.add_page()
    page.set_font("helvetica", "B", 17)
    page.cell(0, 10, "Certificate of media sanitization", new_x="LMARGIN", new_y="NEXT")
    reached = document["sanitized"]
    words = (
        f"{reached.upper()} by {document['standard']}" if reached else f"NOT PROVEN: {document['unproven']}"
    )
    page.set_font("helvetica", "B", 12)
    page.multi_cell(0, 8, _latin(words), new_x="LMARGIN", new_y="NEXT")
    machine = " ".join(str(value) for value in document["machine"].values() if value)
    _rows(
        page,
        ("Lab", document["lab"]),
        ("Board", f"{document['board']} (class {document['board_class']})"),
        ("Machine", machine),
        ("Serial number", document["serial"]),
        ("UUID", document["uuid"]),
        ("MAC addresses", ", ".join(document["macs"])),
        ("Began", document["began"]),
        ("Ended", document["ended"]),
        ("Ordered by", f"{document['ordered_by']} ({document['purpose']})"),
        ("Claim", document["claim"]),
        ("Run", document["run"]),
        ("Asked for", document["effort"]),
        ("Software", f"Hostler {document['software']['hostler']}, Linux {document['software']['kernel']}"),
    )
    for disk in document["disks"]:
        _heading(page, f"{disk['path']}: {str(disk['sanitized']).upper()}")
        whole = "all of it" if disk["read_back_whole"] else f"{disk['samples']} samples"
        _rows(
            page,
            ("Model", disk["model"]),
            ("Serial number", disk["serial"]),
            ("WWN", disk["wwn"]),
            ("Size", f"{disk['size']:,} bytes"),
            ("Purged by", disk["purged_by"] or "-"),
            ("Then", disk["method"]),
            ("Read back as zeros", f"{disk['read_back_bytes']:,} bytes ({whole})"),
            ("Rewritten", f"{disk['repaired_bytes']:,} bytes" if disk["repaired_bytes"] else ""),
            ("Took", f"{disk['seconds']} s" if disk["seconds"] is not None else ""),
            ("Health", (disk["health"] or {}).get("text")),
            *(("Not touched", text) for text in disk["untouched"]),
            *(("Not used", text) for text in disk["declined"]),
        )
    if document["left_alone"]:
        _heading(page, "Left alone")
        _rows(page, *((disk["path"], disk["reason"]) for disk in document["left_alone"]))
    _heading(page, "Digest")
    _rows(page, ("SHA-256", document["digest"]))
    return bytes(page.output())


def _heading(page: FPDF, text: str) -> None:
    page.ln(3)
    page.set_font("helvetica", "B", 11)
    page.multi_cell(0, 7, _latin(text), new_x="LMARGIN", new_y="NEXT")


def _rows(page: FPDF, *rows: tuple[Any, Any]) -> None:
    for label, value in rows:
        if value in (None, ""):
            continue
        page.set_font("helvetica", "", 9)
        page.set_text_color(90)
        page.cell(_LABEL, _LINE, _latin(str(label)))
        page.set_text_color(0)
        page.multi_cell(0, _LINE, _latin(str(value)), new_x="LMARGIN", new_y="NEXT")


def _latin(text: str) -> str:
    """Return text as the fonts that every PDF reader brings can show it."""
    return (
        "".join(sign if sign.isprintable() else "?" for sign in text)
        .encode("latin-1", "replace")
        .decode("latin-1")
    )
