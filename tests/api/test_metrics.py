"""The metrics: what Prometheus's own parser reads, behind a token, and true to what happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from hostler.api.app import create_app
from hostler.hub.records import HUB, HealthVerdict
from served_lab import Served, served
from simulated_rack import until

if TYPE_CHECKING:
    from pathlib import Path

Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


async def curl(url: str, token: str | None) -> tuple[str, str]:
    """Ask as Prometheus would; returns the status with the content type, and the body."""
    header = ["-H", f"Authorization: Bearer {token}"] if token else []
    process = await asyncio.create_subprocess_exec(
        "curl", "-s", "--noproxy", "*", "-m", "10", "-w", "\n%{http_code} %{content_type}", *header, url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    body, _, status = output.decode().rpartition("\n")
    return status, body


async def scrape(lab: Served) -> Samples:
    status, body = await curl(f"{lab.url}/metrics", lab.tokens["anna"])
    assert status.startswith("200 text/plain; version=")
    samples: Samples = {}
    for family in text_string_to_metric_families(body):
        assert family.documentation
        assert family.type != "unknown"
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return samples


def of(samples: Samples, name: str, **labels: str) -> float | None:
    named = {"class" if key == "board_class" else key: value for key, value in labels.items()}
    return samples.get(name, {}).get(frozenset(named.items()))


async def test_nobody_without_a_token(tmp_path: Path):
    """The numbers tell who uses the lab and how much; without a token there are none."""
    async with served(tmp_path) as lab:
        assert (await curl(f"{lab.url}/metrics", None))[0] == "401 application/problem+json"
        assert (await curl(f"{lab.url}/healthz", None))[0].startswith("200")


async def test_what_happened_is_counted(tmp_path: Path):
    """Boards, claims, queue, runs, boots, power, events and commits are what they are in the lab."""
    async with served(tmp_path) as lab:
        first = (await lab.anna.post("/claims", json={"class": "arm"})).json()
        await lab.bert.post("/claims", json={"class": "arm", "wait": True})
        await until(lambda: lab.lab.hub.history.last == lab.lab.hub.state.seq)
        seen = await scrape(lab)
        assert of(seen, "hostler_boards", board_class="arm", lifecycle="claimed") == 1
        assert of(seen, "hostler_boards", board_class="pc", lifecycle="available") == 2
        assert of(seen, "hostler_boards_health", board_class="pc", health="unknown") == 2
        assert of(seen, "hostler_claims", state="active", project="default") == 1
        assert of(seen, "hostler_queue_length", board_class="arm") == 1
        assert of(seen, "hostler_queue_length", board_class="pc") == 0
        assert of(seen, "hostler_queue_oldest_wait_seconds", board_class="arm") > 0
        assert of(seen, "hostler_grant_latency_seconds_count", project="default") == 1
        assert of(seen, "hostler_consoles", board_class="pc") == 1
        await lab.anna.delete(f"/claims/{first['id']}")
        await until(lambda: lab.lab.hub.state.boards["arm-1"].claim not in (None, first["id"]))
        await until(lambda: lab.lab.hub.history.last == lab.lab.hub.state.seq)
        seen = await scrape(lab)
        assert of(seen, "hostler_queue_length", board_class="arm") == 0
        assert of(seen, "hostler_grant_latency_seconds_count", project="default") == 2
        assert of(seen, "hostler_run_seconds_count", purpose="release", result="succeeded") == 1
        assert of(seen, "hostler_boots_total", board_class="arm") == 1
        assert of(seen, "hostler_boards_power", board_class="arm", desired="off", observed="off") == 1
        assert of(seen, "hostler_events_total", kind="claim.granted") == 2
        await until(lambda: lab.lab.hub.history.last == lab.lab.hub.state.seq)
        assert of(await scrape(lab), "hostler_events_total", kind="dhcp.ack") == 1
        assert seen["hostler_commit_seconds_count"][frozenset()] > 5
        assert seen["hostler_decisions_total"][frozenset()] > 5
        assert sum(seen["process_cpu_seconds_total"].values()) > 0


async def test_a_run_that_fails_and_a_verdict_are_counted(tmp_path: Path):
    """Runs are counted by how they ended, and boards by what is thought of them."""
    async with served(tmp_path, fail="dead") as lab:
        await lab.anna.post("/claims", json={"class": "pc"})
        await lab.anna.post("/boards/pc-1/runs", json={"plan": "wipe"})
        await lab.lab.hub.health.judge(HUB, "pc-2", HealthVerdict.BAD, "burnt")
        await until(lambda: lab.lab.hub.state.boards["pc-1"].health.suspect)
        await until(lambda: lab.lab.hub.history.last == lab.lab.hub.state.seq)
        seen = await scrape(lab)
        assert of(seen, "hostler_run_seconds_count", purpose="user", result="failed") == 1
        assert of(seen, "hostler_boards_health", board_class="pc", health="bad") == 1
        assert of(seen, "hostler_checks_total", verdict="bad") == 1


async def test_labs_do_not_share_their_numbers(tmp_path: Path):
    """Each application has a registry of its own: what one hub does is not another's."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with served(tmp_path / "a") as one, served(tmp_path / "b") as two:
        await one.anna.post("/claims", json={"class": "pc"})
        await until(lambda: one.lab.hub.history.last == one.lab.hub.state.seq)
        assert of(await scrape(one), "hostler_events_total", kind="claim.granted") == 1
        assert of(await scrape(two), "hostler_events_total", kind="claim.granted") is None


async def test_open_metrics_are_only_that(tmp_path: Path):
    """Started with open metrics, nothing else is open."""
    async with served(tmp_path) as lab:
        app = create_app(lab.lab.hub, metrics_open=True)
        for path, status in (("/metrics", 200), ("/api/v1/boards", 401), ("/metrics/x", 401)):
            assert await _asgi_status(app, path) == status


async def _asgi_status(app, path: str) -> int:
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "headers": [],
        "query_string": b"", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2), "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"]
