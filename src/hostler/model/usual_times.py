"""How long each stage of a boot takes where all goes well, and which took longer than that."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.model.boot_story import BootStory, Reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostler.model.trace import TraceEvent

FEWEST_BOOTS = 3
"""Of fewer nothing is learnt: the first boots fill caches."""
_TOO_LONG, _AT_LEAST = (
    1.5,
    5.0,
)  # times the slowest good boot, and seconds more: no board keeps time to the second

_STAGES = (Reached.ASKED, Reached.ANSWERED, Reached.FILE, Reached.KERNEL, Reached.SYSTEM)
_WORDS = {
    Reached.ASKED: "its firmware to speak",
    Reached.ANSWERED: "its answer by DHCP",
    Reached.FILE: "its first whole file",
    Reached.KERNEL: "its kernel",
    Reached.SYSTEM: "its system",
}


@dataclass(frozen=True, slots=True)
class Usual:
    """How long a stage took in boots that came up.

    Attributes:
        stage: Which; its time begins where the stage before it was reached.
        boots: In how many boots it was seen.
        median: Seconds.
        longest: Seconds.
    """

    stage: Reached
    boots: int
    median: float
    longest: float


@dataclass(frozen=True, slots=True)
class Slow:
    """A stage that took, or takes, longer than it ever did where all went well.

    Attributes:
        usual: What is usual.
        seconds: How long it took, or has taken until now.
        reached: Whether it was reached in the end.
    """

    usual: Usual
    seconds: float
    reached: bool

    @property
    def text(self) -> str:
        """The same for people, with the numbers."""
        seen = "took" if self.reached else "is still awaited after"
        return (
            f"{_WORDS[self.usual.stage].capitalize()} {seen} {self.seconds:.0f} s; in {self.usual.boots} "
            f"boots that came up it took {self.usual.median:.0f} s, {self.usual.longest:.0f} s at most."
        )


def stage_seconds(story: BootStory) -> dict[Reached, float]:
    """Return how long each stage that was seen took, in seconds, from the one seen before it."""
    at = {stage: event.at for stage, event in _signs(story).items() if event is not None}
    if story.powered is None:
        return {}
    before, seconds = story.powered.at, {}
    for stage in _STAGES:
        if stage in at and at[stage] >= before:
            seconds[stage] = at[stage] - before
            before = at[stage]
    return seconds


def usual_times(boots: Iterable[Mapping[Reached, float]]) -> dict[Reached, Usual]:
    """Return what is usual, of boots that came up, as ``stage_seconds`` returned them."""
    seen = list(boots)
    found = {}
    for stage in _STAGES:
        times = [boot[stage] for boot in seen if stage in boot]
        if len(times) >= FEWEST_BOOTS:
            found[stage] = Usual(stage, len(times), statistics.median(times), max(times))
    return found


def slow_stages(story: BootStory, usual: Mapping[Reached, Usual]) -> list[Slow]:
    """Return the stages that took clearly longer than usual, and the one that is overdue."""
    own = stage_seconds(story)
    slow = [
        Slow(usual[stage], seconds, reached=True)
        for stage, seconds in own.items()
        if stage in usual and _is_slow(seconds, usual[stage])
    ]
    following = next((one for one in _STAGES if one > story.reached and one in usual), None)
    if story.powered is not None and following is not None and following not in own:
        waiting = story.until - story.powered.at - sum(own.values())
        if _is_slow(waiting, usual[following]):
            slow.append(Slow(usual[following], waiting, reached=False))
    return slow


def _is_slow(seconds: float, usual: Usual) -> bool:
    return seconds > max(_TOO_LONG * usual.longest, usual.longest + _AT_LEAST)


def _signs(story: BootStory) -> dict[Reached, TraceEvent | None]:
    firmware = [*story.firmware_asks, *story.all("console", "firmware")]
    hello = story.first("agent", "hello") if story.to_agent else story.first("console", "login")
    return {
        Reached.ASKED: _first(firmware),
        Reached.ANSWERED: _first(story.answers),
        Reached.FILE: _first(story.whole_files),
        Reached.KERNEL: story.kernel_runs,
        Reached.SYSTEM: hello,
    }


def _first(events: Iterable[TraceEvent]) -> TraceEvent | None:
    return min(events, key=lambda one: one.at, default=None)
