"""The files of the web pages: to anybody, from memory, with a policy that lets nothing foreign run."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx2
import pytest

from hostler.api.pages import BUILT, Pages
from served_lab import served

SCRIPT = "console.log('hello');" * 50


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Hostler</title>")
    (folder / "assets/index-1a2b.js").write_text(SCRIPT)
    (folder / ".from").write_text("not for anybody")
    (tmp_path / "secret").write_text("not for anybody")
    return folder


async def behind(_scope, _receive, send):
    """The application behind the pages."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def client(folder: Path) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=Pages(behind, folder))
    return httpx2.AsyncClient(transport=transport, base_url="http://lab")


@pytest.mark.parametrize("path", ["/", "/boards/pc-1", "/boards/a%2F..%2Fb", "/claims", "/login"])
async def test_every_page_is_the_same_file(built: Path, path: str):
    """The script in it shows which page it is, so that an address can be opened and sent to others."""
    async with client(built) as asked:
        answer = await asked.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "<title>Hostler</title>" in answer.text


@pytest.mark.parametrize("path", ["/", "/assets/index-1a2b.js", "/assets/none.js"])
async def test_nothing_foreign_or_inline_runs(built: Path, path: str):
    """Each answer forbids what does not come from this server as a file."""
    async with client(built) as asked:
        policy = (await asked.get(path)).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert {rules[kind] for kind in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert {rules[kind] for kind in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path", ["/assets/../secret", "/assets/%2e%2e/%2e%2e/secret", "/assets/.from", "/.from", "/assets/"]
)
async def test_only_what_was_built_is_given_out(built: Path, path: str):
    """No path leads out of the folder, and what is hidden in it stays so."""
    async with client(built) as asked:
        answer = await asked.get(path)
        assert answer.status_code in (404, 418)
        assert "not for anybody" not in answer.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/boards"), ("GET", "/x"), ("POST", "/")])
async def test_the_rest_is_the_applications(built: Path, method: str, path: str):
    """What is no page goes on to the application and its gate."""
    async with client(built) as asked:
        assert (await asked.request(method, path)).status_code == 418


async def test_files_are_kept_as_long_as_they_are_good(built: Path):
    """A file whose name has its hash is kept for ever; the page that names it is asked for each time."""
    async with client(built) as asked:
        page = await asked.get("/")
        script = await asked.get("/assets/index-1a2b.js")
        assert page.headers["cache-control"] == "no-cache"
        assert "immutable" in script.headers["cache-control"]
        again = await asked.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await asked.get("/", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_text_travels_compressed(built: Path):
    """Who takes gzip is sent gzip, and both are told apart by caches."""
    async with client(built) as asked:
        for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
            answer = await asked.get("/assets/index-1a2b.js", headers={"Accept-Encoding": accepted})
            assert answer.headers.get("content-encoding") == encoding
            assert (answer.text, answer.headers["vary"]) == (SCRIPT, "Accept-Encoding")


async def test_a_server_without_pages_says_so(tmp_path: Path):
    """Where they could not be built, the address tells what to do, and that the rest works."""
    async with client(tmp_path / "none") as asked:
        answer = await asked.get("/")
        assert answer.status_code == 200
        assert "scripts/pages" in answer.text
        assert "script" not in answer.text.replace("scripts/pages", "")
        assert (await asked.get("/assets/x.js")).status_code == 404


def test_the_first_page_is_small():
    """All that is fetched before the terminal is asked for has less than 60 kB."""
    files = [BUILT / "index.html", *BUILT.glob("assets/index-*")]
    assert len(files) >= 3, "the pages are not built; run scripts/pages"
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) < 60_000
    page = (BUILT / "index.html").read_text()
    assert "Console" not in page
    assert "http" not in page


async def test_they_need_no_token_and_open_no_door(tmp_path: Path):
    """The real application gives pages to anybody, and everything else still asks who is there."""
    async with served(tmp_path) as api, httpx2.AsyncClient(base_url=api.url, trust_env=False) as asked:
        assert (await asked.get("/")).status_code == 200
        assert (await asked.get("/boards/pc-1")).status_code == 200
        for path in ("/api/v1/boards", "/metrics", "/nonsense", "/api/v1/../../boards/x/../../api/v1/boards"):
            answer = await asked.get(path)
            assert answer.status_code == 401 or "<title>" in answer.text, path
            assert "pc-1" not in answer.text
        assert (await asked.get("/api/v1/boards")).status_code == 401
