"""A board's own ssh host key, certified for whoever holds the board and as long as they hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh

from hostler.hub import access, ssh_keys
from hostler.hub.errors import ConflictError, ForbiddenError, NotFoundError
from hostler.model.board import Lifecycle

if TYPE_CHECKING:
    from hostler.hub.records import Principal
    from hostler.hub.ssh_authority import SshAuthority
    from hostler.hub.state import Draft


def board_names(board: str, lab: str) -> tuple[str, str]:
    """Return the host names a board goes by in ssh: its own, and with the lab behind it."""
    return board, f"{board}.{lab}"


def certify(draft: Draft, by: Principal, authority: SshAuthority, board: str, public_key: str) -> str:
    """Sign the host key of a board for its name, until the end of the claim that holds it.

    Args:
        draft: Where it is noted.
        by: Who asks; they must be allowed to use the board.
        authority: Signs.
        board: The board's name.
        public_key: One line as in ``/etc/ssh/ssh_host_ed25519_key.pub``.

    Returns:
        The certificate, for ``HostCertificate`` in ``sshd_config``.

    Raises:
        NotFoundError: there is no such board.
        ForbiddenError: somebody else holds it, or nobody.
        ConflictError: its name is the lab's own, which no board may speak for.
        InvalidError: that is no public key, or a weak one.
    """
    record = draft.boards.get(board)
    if record is None:
        raise NotFoundError(f'there is no board "{board}"', kind="unknown-board")
    claim = draft.claims.get(record.claim or "")
    if claim is None or record.lifecycle is not Lifecycle.CLAIMED or not access.may_use(by, claim):
        raise ForbiddenError(f'only who holds board "{board}" may have its host key signed')
    names = board_names(board, draft.inventory.lab)
    if authority.reserved & set(names):
        raise ConflictError(f'"{board}" is a name of the lab itself; give the board another one in lab.toml')
    fingerprint, line, _ = ssh_keys.parse(public_key)
    until = claim.expires if claim.expires is not None else draft.now
    certificate = authority.sign(
        asyncssh.import_public_key(line), f"{board} {claim.id}", names, draft.now, until
    )
    draft.event(
        "board.host-key", f"{by.name} had a host key of {board} signed: {fingerprint}",
        board=board, claim=claim.id, principal=by.name,
    )  # fmt: skip
    return certificate.export_certificate().decode().strip()
