"""Images that the server fetches."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

from served_lab import served


async def test_a_member_has_nothing_fetched_from_the_server_itself(tmp_path: Path) -> None:
    """Not by an IPv6 address that means loopback either; an admin of the lab may."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"secret" * 1000)

        def log_message(self, *_: object) -> None:
            pass

    async with served(tmp_path) as lab:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            terms = {"arch": "amd64", "url": f"http://[::ffff:127.0.0.1]:{server.server_address[1]}/x"}
            refused = await lab.anna.post("/images", params={"name": "mine", **terms})
            assert "only an admin" in refused.text
            assert asked == []
            done = await lab.admin.post("/images", params={"name": "theirs", **terms})
            assert '"event": "done"' in done.text
            server.shutdown()
