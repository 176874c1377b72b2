"""ssh: the tunnel that carries it, and the lab's authority for host keys."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict

from hostler.api.gate import Caller, TheHub
from hostler.hub.errors import NotFoundError

router = APIRouter()

_NO_SSH = 4503


class SshGateway(Protocol):
    """What serves the ssh connections; ``app.state.ssh`` holds it where there is one."""

    async def tunnel(self, socket: WebSocket) -> None:
        """Serve the connections an accepted WebSocket carries, until it is closed."""
        ...


class AuthorityDocument(BaseModel):
    """Who signs the host keys of this lab; ``known_hosts`` is the line that trusts them."""

    lab: str
    key: str
    fingerprint: str
    known_hosts: str


class HostKeyRequest(BaseModel):
    """A host's public key, one line as in ``/etc/ssh/ssh_host_ed25519_key.pub``."""

    model_config = ConfigDict(extra="forbid")

    key: str


class HostCertificateDocument(BaseModel):
    """The certificate, for ``HostCertificate`` in ``sshd_config``."""

    certificate: str


@router.websocket("/ssh")
async def ssh_tunnel(socket: WebSocket) -> None:
    """Carry ssh connections: binary messages, first byte the channel (see docs/ssh.md). Needs no token.

    ssh itself asks who is there; until it knows, time, bytes and connections are few.
    """
    await socket.accept()
    gateway: SshGateway | None = getattr(socket.app.state, "ssh", None)
    if gateway is None:
        await socket.close(_NO_SSH, "this server has no ssh")
        return
    await gateway.tunnel(socket)


@router.get("/ssh/ca", openapi_extra={"security": []})
async def get_ssh_authority(hub: TheHub) -> AuthorityDocument:
    """Return the public key that signs this lab's host keys; needs no token."""
    authority = hub.ssh_authority
    if authority is None:
        raise NotFoundError("this server has no ssh", kind="no-ssh")
    return AuthorityDocument(
        lab=hub.state.inventory.lab or "lab",
        key=authority.public,
        fingerprint=authority.fingerprint,
        known_hosts=authority.known_hosts_line,
    )


@router.post("/boards/{name}/host-key")
async def sign_host_key(
    hub: TheHub, caller: Caller, name: str, body: HostKeyRequest
) -> HostCertificateDocument:
    """Sign the host key of a board one holds, for its name and until the claim ends."""
    return HostCertificateDocument(certificate=await hub.sign_host_key(caller, name, body.key))
