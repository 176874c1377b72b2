"""What the lab does, in numbers: the text format of Prometheus at ``/metrics``.

Gauges are read from the hub's memory when somebody asks; counters and histograms begin at zero with the
server, as Prometheus expects of a process. Labels are classes, projects, states and kinds, of which there
are few; never boards, principals or claims.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

import hostler
from hostler.hub.records import BoardRecord
from hostler.model.claim import ClaimState, Origin
from hostler.model.seam import Observed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from hostler.hub.hub import Hub
    from hostler.hub.records import Event
    from hostler.model.claim import Claim

CONTENT_TYPE = CONTENT_TYPE_LATEST

_KINDS = 300
"""Kinds of events that are counted apart; racks name their own, and a newer one may know others."""

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PATIENT = (0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400)
_RUNS = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600)
_ENDS = frozenset({"run.succeeded", "run.failed", "run.cancelled", "run.timed_out"})
_VERDICTS = frozenset({"health.good", "health.bad"})


class Metrics:
    """Counts what one hub does; nothing of it is shared with another."""

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Lab(hub, clock))
        self._events = Counter(
            "hostler_events", "Events by kind, those of boots included.", ["kind"], registry=self.registry
        )
        self._kinds: set[str] = set()
        self._grants = Histogram(
            "hostler_grant_latency_seconds", "From when a claim could be granted until it was.", ["project"],
            buckets=_PATIENT, registry=self.registry,
        )  # fmt: skip
        self._runs = Histogram(
            "hostler_run_seconds", "How long runs took from their making, by what for and how they ended.",
            ["purpose", "result"], buckets=_RUNS, registry=self.registry,
        )  # fmt: skip
        self._checks = Counter(
            "hostler_checks", "Checks of boards by what they said.", ["verdict"], registry=self.registry
        )
        self._commits = Histogram(
            "hostler_commit_seconds", "How long it took until decisions were durable.", buckets=_QUICK,
            registry=self.registry,
        )  # fmt: skip
        self._decisions = Counter(
            "hostler_decisions", "Decisions that were put on the disk.", registry=self.registry
        )
        hub.history.listeners.append(self._event)
        hub.journal.listeners.append(self._commit)

    def text(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)

    def _event(self, event: Event) -> None:
        kind = event.kind
        if kind not in self._kinds:
            kind = kind if len(self._kinds) < _KINDS else "other"
            self._kinds.add(kind)
        self._events.labels(kind).inc()
        if event.trace:
            return
        if event.kind == "claim.granted":
            self._grant(event)
        elif event.kind in _ENDS and "seconds" in event.data:
            result = event.kind.partition(".")[2]
            self._runs.labels(str(event.data.get("purpose")), result).observe(float(event.data["seconds"]))
        elif event.kind in _VERDICTS:
            self._checks.labels(event.kind.partition(".")[2]).inc()

    def _grant(self, event: Event) -> None:
        claim = self._hub.state.claims.get(event.claim or "")
        if claim is None or claim.granted is None or claim.origin is not Origin.USER:
            return
        if claim.boards and event.board not in (None, claim.boards[0]):
            return  # one claim of several boards was granted once
        could = max(claim.created, claim.start or 0.0)
        self._grants.labels(claim.project).observe(max(0.0, claim.granted - could))

    def _commit(self, seconds: float, decisions: int) -> None:
        self._commits.observe(seconds)
        self._decisions.inc(decisions)


class _Lab(Collector):
    """The lab as it is at the moment of asking."""

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are fixed, and asking the hub before it runs would be of no use."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge."""
        yield from self._boards([r for r in self._hub.state.boards.values() if r.board.board_class])
        yield from self._claims()
        yield from self._hooks()
        info = GaugeMetricFamily("hostler_info", "The version of the server.", labels=["version"])
        info.add_metric([hostler.__version__], 1)
        yield info

    def _boards(self, boards: list[BoardRecord]) -> Iterator[Metric]:
        seen = self._hub.state.observed
        yield _gauge(
            "hostler_boards", "Boards by where they are in their life.", ["class", "lifecycle"],
            Tally((r.board.board_class, r.lifecycle.value) for r in boards),
        )  # fmt: skip
        yield _gauge(
            "hostler_boards_health", "Boards by what their last check said.", ["class", "health"],
            Tally((r.board.board_class, r.health.verdict.value) for r in boards),
        )  # fmt: skip
        yield _gauge(
            "hostler_boards_power", "Boards by the power they are to have and the power they have.",
            ["class", "desired", "observed"],
            Tally(
                (r.board.board_class, r.power.value,
                 seen[r.name].power.state.value if r.name in seen else "unknown")
                for r in boards if r.board.power
            ),
        )  # fmt: skip
        classes = sorted(self._hub.state.inventory.classes)
        for name, text, chosen in _COUNTED:
            counted = Tally(r.board.board_class for r in boards if chosen(r, seen.get(r.name)))
            yield _gauge(name, text, ["class"], {(one,): counted[one] for one in classes})
        boots = CounterMetricFamily("hostler_boots", "Boots of the boards there are.", labels=["class"])
        watts = GaugeMetricFamily(
            "hostler_power_watts", "Power drawn, where it is measured.", labels=["class"]
        )
        for one in classes:
            members = [r for r in boards if r.board.board_class == one]
            boots.add_metric([one], sum(r.boot.number for r in members if r.boot))
            drawn = [seen[r.name].power.watts for r in members if r.name in seen]
            measured = [value for value in drawn if value is not None]
            if measured:
                watts.add_metric([one], sum(measured))
        yield boots
        yield watts

    def _claims(self) -> Iterator[Metric]:
        claims = list(self._hub.state.claims.values())
        yield _gauge(
            "hostler_claims", "Claims that are not closed.", ["state", "project"],
            Tally((c.state.value, c.project) for c in claims if c.state is not ClaimState.CLOSED),
        )  # fmt: skip
        waiting: dict[str, list[Claim]] = {name: [] for name in self._hub.state.inventory.classes}
        for claim in claims:
            if claim.state is ClaimState.PENDING and (claim.start or 0.0) <= self._clock():
                for name in {self._class_of(want.board_class, want.board) for want in claim.wants}:
                    waiting.setdefault(name, []).append(claim)
        length = GaugeMetricFamily(
            "hostler_queue_length", "Claims that wait for a board of a class; bookings to come do not count.",
            labels=["class"],
        )  # fmt: skip
        oldest = GaugeMetricFamily(
            "hostler_queue_oldest_wait_seconds", "How long the first of them has waited.", labels=["class"]
        )
        for name, queue in waiting.items():
            length.add_metric([name], len(queue))
            since = min((max(c.created, c.start or 0.0) for c in queue), default=self._clock())
            oldest.add_metric([name], max(0.0, self._clock() - since))
        yield length
        yield oldest

    def _class_of(self, board_class: str | None, board: str | None) -> str:
        """Return the class of what is wanted; empty when only labels say it."""
        record = self._hub.state.boards.get(board) if board else None
        return board_class or (record.board.board_class if record else "")

    def _hooks(self) -> Iterator[Metric]:
        behind = GaugeMetricFamily("hostler_hook_behind_events", "Events not told yet.", labels=["hook"])
        late = GaugeMetricFamily(
            "hostler_hook_lag_seconds", "Age of the event that a hook is being told.", labels=["hook"]
        )
        told = CounterMetricFamily("hostler_hook_told", "Events told.", labels=["hook"])
        lost = CounterMetricFamily("hostler_hook_given_up", "Events that were never told.", labels=["hook"])
        for key, hook in sorted(self._hub.state.hooks.items()):
            progress = self._hub.hooks.progress(hook)
            behind.add_metric([key], max(0, self._hub.history.last - progress.cursor))
            since = progress.trying_since
            late.add_metric([key], max(0.0, self._clock() - since) if since is not None else 0.0)
            told.add_metric([key], progress.told)
            lost.add_metric([key], progress.given_up)
        yield from (behind, late, told, lost)


_Chosen = Callable[[BoardRecord, Observed | None], bool]

_COUNTED: tuple[tuple[str, str, _Chosen], ...] = (
    (
        "hostler_boards_power_error",
        "Boards whose power cannot be switched or read.",
        lambda _, seen: seen is not None and bool(seen.power_error),
    ),
    (
        "hostler_boards_power_mismatch",
        "Boards whose supply reads other than it should.",
        lambda _, seen: seen is not None and seen.power_mismatch is not None,
    ),
    (
        "hostler_boards_checking",
        "Boards in a check, looping and training included.",
        lambda record, _: record.health.checkup is not None,
    ),
    (
        "hostler_consoles",
        "Boards that have a console.",
        lambda record, _: record.board.console is not None,
    ),
    (
        "hostler_consoles_connected",
        "Boards whose console is connected.",
        lambda _, seen: seen is not None and bool(seen.console),
    ),
)


def _gauge(name: str, text: str, labels: list[str], values: Mapping[Any, int]) -> GaugeMetricFamily:
    """Return a gauge; the keys of ``values`` are tuples with a value for each label."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(list(key), value)
    return family
