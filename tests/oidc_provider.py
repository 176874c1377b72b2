"""An OpenID Connect provider of the test's own on a real port: discovery, keys, device flow, any token."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = "hostler-lab"


@dataclass
class Provider:
    """A running provider.

    Attributes:
        issuer: Its address.
        key: Signs tokens; its ``kid`` is ``name``.
        name: Of the key; another one and the key is a new one.
        said: What the token of the device flow says besides the usual.
        pending: How often the token endpoint still says that nobody has said yes.
        asked: The paths that were asked for.
    """

    issuer: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    name: str = "first"
    said: dict[str, Any] = field(default_factory=dict)
    pending: int = 1
    asked: list[str] = field(default_factory=list)

    def token(self, key: Any = None, alg: str = "RS256", kid: str | None = None, **claims: Any) -> str:
        """Return an id_token; a claim of None is left out."""
        now = time.time()
        said = {
            "iss": self.issuer, "sub": "4711", "aud": CLIENT, "iat": now, "exp": now + 300, "jti": str(now)
        }  # fmt: skip
        said = {name: value for name, value in (said | claims).items() if value is not None}
        key = None if alg == "none" else key or self.key
        return jwt.encode(said, key, algorithm=alg, headers={"kid": kid or self.name})

    def answer(self, path: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Return status and document for a request."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint": f"{self.issuer}/token",
                "device_authorization_endpoint": f"{self.issuer}/device",
            }
        if path == "/keys":
            public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return 200, {"keys": [{**public, "kid": self.name, "use": "sig"}]}
        if path == "/device" and form.get("client_id") == [CLIENT]:
            where = f"{self.issuer}/activate"
            return 200, {
                "device_code": "d-1", "user_code": "ABCD-EFGH", "verification_uri": where, "interval": 0.05,
                "expires_in": 60,
            }  # fmt: skip
        if path == "/token" and form.get("device_code") == ["d-1"]:
            self.pending -= 1
            if self.pending >= 0:
                return 400, {"error": "authorization_pending"}
            return 200, {"id_token": self.token(**self.said)}
        return 400, {"error": "invalid_request"}


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, document = provider.answer(self.path, parse_qs(self.rfile.read(length).decode()))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
