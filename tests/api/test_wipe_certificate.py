"""The certificate of a wipe: what it says, who may have it, and that it outlives a restart."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hostler.api.certificate_pdf import certificate_pdf
from hostler.hub.records import BoardRecord, Principal, Purpose, Role, RunRecord
from hostler.hub.wipe_certificate import certificate
from hostler.model.board import Board, Lifecycle
from hostler.model.plan import StepKind, StepOrder
from hostler.model.run import RunOrder, RunState, RunStatus
from served_lab import served
from simulated_rack import running, until

if TYPE_CHECKING:
    from pathlib import Path

RESULT: dict[str, Any] = {
    "disks": [
        {
            "disk": {"path": "/dev/nvme0n1", "bus": "nvme", "model": "980", "serial": "S1", "size": 10**12},
            "sanitized": "purge", "purged_by": "NVMe Sanitize (crypto erase)", "method": "zeroed",
            "passes": 0, "declined": ["NVMe Sanitize (block erase): uses up the flash"],
            "untouched": [], "verified_bytes": 1_111_490_560, "verified_whole": False, "samples": 1032,
            "repaired_bytes": 0, "seconds": 12.5,
            "health": {"source": "nvme", "failing": [], "text": "worn 3 %, 41 °C"},
        },
        {
            "disk": {"path": "/dev/sda", "bus": "usb", "model": "Stick", "serial": "", "size": 10**9},
            "sanitized": "clear", "purged_by": None, "method": "overwritten", "passes": 2, "declined": [],
            "untouched": [], "verified_bytes": 10**9, "verified_whole": True, "samples": 0,
            "repaired_bytes": 4096, "seconds": 90.0, "health": None,
        },
    ],
    "skipped": [{"disk": {"path": "/dev/mmcblk0boot0"}, "reason": "hardware partition boot0 of an eMMC"}],
    "effort": "quick", "version": "0.1.0", "kernel": "6.1.0-44-amd64",
    "machine": {"vendor": "Łódź Boards", "product": "X1", "serial": "BOARD-7"},
}  # fmt: skip


def run_of(*results: dict[str, Any]) -> RunRecord:
    order = RunOrder(
        "r-1", tuple(StepOrder(StepKind.WIPE) for _ in results) or (StepOrder(StepKind.DISCOVER),)
    )
    status = RunStatus("r-1", RunState.SUCCEEDED, started=1e9, ended=1e9 + 60, results=results or ({},))
    return RunRecord("r-1", "pc-1", "wipe", Purpose.RELEASE, "anna", "c-1", 1e9, order, status)


RECORD = BoardRecord(Board("pc-1", "pc", "boot", ("52:54:00:00:00:01",)), Lifecycle.AVAILABLE, run="r-1")


def paper_text(paper: bytes) -> str:
    """Return what stands on the pages of a PDF whose fonts are those every reader brings."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", paper, re.DOTALL)
    pages = b"\n".join(zlib.decompress(stream) for stream in streams)
    texts = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", pages)
    return " ".join(re.sub(rb"\\(.)", rb"\1", text).decode("latin-1") for text in texts)


def test_it_says_what_was_done_to_each_disk() -> None:
    """Method, the standard's words, serial numbers, what was read back; the whole is worth its least disk."""
    found = certificate("bench", RECORD, run_of(RESULT))
    assert (found["standard"], found["sanitized"]) == ("NIST SP 800-88 Rev. 1", "clear")
    nvme, stick = found["disks"]
    assert (nvme["sanitized"], nvme["purged_by"]) == ("purge", "NVMe Sanitize (crypto erase)")
    assert (nvme["serial"], nvme["samples"], nvme["read_back_whole"]) == ("S1", 1032, False)
    assert (stick["sanitized"], stick["method"]) == ("clear", "overwritten with ones, then with zeros")
    assert found["left_alone"][0]["reason"] == "hardware partition boot0 of an eMMC"
    assert found["software"] == {"hostler": "0.1.0", "kernel": "6.1.0-44-amd64"}
    assert (
        certificate("bench", RECORD, run_of({**RESULT, "disks": RESULT["disks"][:1]}))["sanitized"] == "purge"
    )


def test_its_digest_is_that_of_what_it_says() -> None:
    """Anybody can make it again: SHA-256 of the JSON without it, keys sorted, no spaces."""
    found = certificate("bench", RECORD, run_of(RESULT))
    told = found.pop("digest")
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert told == hashlib.sha256(text.encode()).hexdigest()


def test_a_wipe_that_proves_nothing_certifies_nothing() -> None:
    """It is told why instead, in the certificate and on paper."""
    found = certificate("bench", RECORD, run_of({"disks": []}))
    assert (found["sanitized"], found["unproven"]) == (None, "the agent names no disk that it wiped")
    assert "NOT PROVEN: the agent names no disk" in paper_text(certificate_pdf(found))


def test_what_an_agent_says_cannot_break_it() -> None:
    """Boards are not trusted: whatever they report, there is a certificate or a clear no."""
    odd = {"disks": [{"disk": 7, "verified_bytes": 1, "samples": "x", "declined": {}, "health": 3}],
           "skipped": 5, "machine": ["x"], "effort": [], "version": None}  # fmt: skip
    paper = certificate_pdf(certificate("bench", RECORD, run_of(odd)))
    assert "CLEAR by NIST SP 800-88" in paper_text(paper)
    facts = replace(RECORD, facts={"disks": [{"path": []}]})
    assert certificate("bench", facts, run_of(odd))["unproven"] == "disk [] was not wiped"


def test_the_paper_says_the_same() -> None:
    """A PDF of one page; letters that its fonts lack are question marks, and nothing fails."""
    found = certificate("bench", RECORD, run_of(RESULT))
    paper = certificate_pdf(found)
    assert paper.startswith(b"%PDF-")
    text = paper_text(paper)
    for words in ("Certificate of media sanitization", "CLEAR by NIST SP 800-88 Rev. 1",
                  "NVMe Sanitize (crypto erase)",
                  "1,111,490,560 bytes (1032 samples)", "?ód? Boards X1 BOARD-7", "worn 3 %, 41 °C",
                  "2001-09-09T01:46:40Z"):  # fmt: skip
        assert words in text
    assert found["digest"] in text
    assert len(re.findall(rb"/Type /Page\b", paper)) == 1


async def test_it_is_for_who_sees_the_claim(tmp_path: Path) -> None:
    """Whose claim it was, and admins; for others there is none. Of a run that wiped nothing there is none."""
    async with served(tmp_path) as api:
        for name, member in (("red", "anna"), ("blue", "bert")):
            await api.admin.post("/projects", json={"name": name})
            await api.admin.put(f"/projects/{name}/members/{member}", json={"role": "member"})
        claim = (await api.anna.post("/claims", json={"class": "pc", "project": "red"})).json()["id"]
        await api.anna.delete(f"/claims/{claim}")
        await until(lambda: api.lab.hub.state.boards["pc-1"].lifecycle == "available")
        found = await api.anna.get("/boards/pc-1/wipe-certificate")
        assert found.status_code == 200, found.text
        run = found.json()["run"]
        assert (found.json()["sanitized"], found.json()["ordered_by"]) == ("clear", "anna")
        paper = await api.admin.get(f"/boards/pc-1/wipe-certificate.pdf?run={run}")
        assert (paper.status_code, paper.headers["content-type"]) == (200, "application/pdf")
        assert run in paper_text(paper.content)
        other = await api.bert.get("/boards/pc-1/wipe-certificate")
        assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (404, "no-wipe")
        assert (await api.bert.get(f"/boards/pc-1/wipe-certificate?run={run}")).status_code == 403
        assert (await api.admin.get(f"/boards/pc-2/wipe-certificate?run={run}")).status_code == 404


async def test_it_outlives_a_restart(tmp_path: Path) -> None:
    """It is made of the history, which is on the disk: another server says the same to the letter."""
    anna = Principal("anna", Role.MEMBER)
    certificates = []
    async with running(tmp_path) as lab:
        claim = await lab.hub.claim(anna, "pc")
        await lab.hub.release(anna, claim.id)
        await until(lambda: lab.hub.state.boards["pc-1"].lifecycle == "available")
        record = lab.hub.state.boards["pc-1"]
        assert record.run is not None
        certificates.append(certificate("bench", record, await lab.hub.reading.run(record.run)))
    async with running(tmp_path) as lab:
        again = lab.hub.state.boards["pc-1"]
        certificates.append(certificate("bench", again, await lab.hub.reading.run(record.run)))
    assert certificates[0] == certificates[1]
