"""The calls about certificates of wipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, cast

from hostler.client.transport import part

if TYPE_CHECKING:
    from hostler.client.transport import Transport


class WipedDisk(TypedDict):
    """What was done to one disk; ``sanitized``: ``clear`` or ``purge``."""

    path: str | None
    bus: str | None
    model: str | None
    serial: str | None
    wwn: str | None
    size: int
    sanitized: str
    purged_by: str | None
    method: str
    read_back_bytes: int
    read_back_whole: bool
    samples: int
    repaired_bytes: int
    seconds: float | None
    declined: list[str]
    untouched: list[str]
    health: dict[str, Any] | None


class WipeCertificate(TypedDict):
    """The certificate of a wipe; times as ISO 8601 in UTC; ``sanitized`` None: not proven."""

    standard: str
    lab: str
    board: str
    board_class: str
    serial: str | None
    uuid: str | None
    macs: list[str]
    machine: dict[str, Any]
    run: str
    purpose: str
    ordered_by: str
    claim: str | None
    began: str
    ended: str | None
    effort: str
    sanitized: str | None
    unproven: str
    disks: list[WipedDisk]
    left_alone: list[dict[str, Any]]
    software: dict[str, str]
    digest: str


class WipeCalls:
    """Calls of the client; see ``client.Client``."""

    _http: Transport

    def wipe_certificate(self, board: str, run: str | None = None) -> WipeCertificate:
        """Return the certificate of a board's last wipe, or of the one in a run."""
        path = f"boards/{part(board)}/wipe-certificate"
        return cast("WipeCertificate", self._http.call("GET", path, query={"run": run}))

    def wipe_certificate_pdf(self, board: str, run: str | None = None) -> bytes:
        """Return the same as a PDF."""
        path = f"boards/{part(board)}/wipe-certificate.pdf"
        with self._http.stream("GET", path, query={"run": run}) as response:
            return response.read()
