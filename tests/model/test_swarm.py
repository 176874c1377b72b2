"""Who fetches which chunk from whom: the rules, without a network."""

from __future__ import annotations

import random

import pytest

from hostler.model.swarm import (
    BLAMED,
    LEFT_SECONDS,
    LOST_SECONDS,
    PEER_UPLOADS,
    RACK_COPIES,
    RACK_UPLOADS,
    SILENT_SECONDS,
    Job,
    Swarm,
)


def all_of(count: int) -> int:
    return (1 << count) - 1


def together(chunks: int, boards: int, seed: int) -> tuple[list[int], int]:
    """Play boards that begin with nothing; returns how often the rack gave each chunk, and the rounds.

    In a round everybody who is free asks, and each job that is under way may end.
    """
    chance = random.Random(seed)
    swarm = Swarm(chunks)
    names = [f"b{number}" for number in range(boards)]
    has: dict[str, set[int]] = {name: set() for name in names}
    for name in names:
        swarm.join(name, 0, all_of(chunks), 0.0)
    running: list[tuple[str, Job]] = []
    given = [0] * chunks
    rounds = 0
    while any(len(held) < chunks for held in has.values()):
        rounds += 1
        assert rounds < 100 * chunks
        for name in chance.sample(names, boards):
            if sum(one == name for one, _ in running) >= 4 or len(has[name]) == chunks:
                continue
            job = swarm.job(name, 4, rounds * 1e-3)
            if job is None:
                continue
            running.append((name, job))
            for chunk in job.chunks:
                assert chunk not in has[name]
                assert sum(one == name and chunk in other.chunks for one, other in running) == 1
                if job.source is None:
                    given[chunk] += 1
                else:
                    assert chunk in has[job.source]
        sources = [job.source for _, job in running]
        assert sources.count(None) <= RACK_UPLOADS
        assert all(sources.count(name) <= PEER_UPLOADS for name in names)
        for name, job in chance.sample(running, len(running) // 2 + 1) if running else ():
            running.remove((name, job))
            has[name].update(job.chunks)
            swarm.got(name, job.chunks, rounds * 1e-3)
    return given, rounds


@pytest.mark.parametrize("seed", range(20))
def test_everybody_gets_everything_and_little_of_it_from_the_rack(seed: int) -> None:
    """Whoever is how fast: nobody gives what it lacks or to too many, no chunk leaves the rack thrice."""
    given, _ = together(chunks=40, boards=2 + seed, seed=seed)
    assert min(given) >= 1
    assert max(given) <= RACK_COPIES


def test_many_boards_take_little_longer_than_few() -> None:
    """What bounds them is how fast the rack gives each chunk once."""
    few, many = (sum(together(60, boards, seed)[1] for seed in range(5)) for boards in (2, 24))
    assert many <= 1.5 * few


def test_the_rack_gives_each_board_its_share() -> None:
    """Who asks first, four times, leaves something for others: they have nothing to trade before."""
    swarm = Swarm(64)
    swarm.join("b0", 0, all_of(64), 0.0)
    swarm.join("b1", 0, all_of(64), 0.0)
    asked = [swarm.job(name, 1, 0.0) for name in ["b0"] * RACK_UPLOADS + ["b1"] * RACK_UPLOADS]
    half = RACK_UPLOADS // 2
    assert [job is not None for job in asked] == 2 * ([True] * half + [False] * half)


def test_a_board_alone_has_the_whole_rack() -> None:
    """Nobody else lacks anything."""
    swarm = Swarm(64)
    swarm.join("done", 0, 0, 0.0)
    swarm.join("b0", 0, all_of(64), 0.0)
    assert None not in [swarm.job("b0", 1, 0.0) for _ in range(RACK_UPLOADS)]


def test_what_only_a_board_gives_that_failed_comes_from_the_rack() -> None:
    """Whoever it failed asks it no more; when two say so, nobody does."""
    swarm = Swarm(4)
    swarm.join("bad", all_of(4), 0, 0.0)
    for number in range(BLAMED):
        name = f"b{number}"
        swarm.join(name, 0, all_of(4), 0.0)
        job = swarm.job(name, 1, 0.0)
        assert job == Job((0,), "bad")
        swarm.failed(name, job.chunks, "bad", blame=True)
        again = swarm.job(name, 1, 0.0)
        assert again is not None
        assert again.source is None
        swarm.leave(name)
    swarm.join("new", 0, all_of(4), 0.0)
    assert swarm.job("new", 1, 0.0) == Job((0,), None)


def living(swarm: Swarm, boards: list[str], since: float, until: float) -> None:
    """Have boards say that they live."""
    while since < until:
        since = min(until, since + SILENT_SECONDS / 2)
        for board in boards:
            swarm.heard(board, since)


def test_a_board_that_was_merely_busy_is_asked_again() -> None:
    """After a while, which is longer each time; or all would come from the rack for good."""
    swarm, now = Swarm(1), 0.0
    swarm.join("busy", 1, 0, now)
    swarm.join("b1", 0, 1, now)
    for times in range(3):
        assert swarm.job("b1", 1, now) == Job((0,), "busy")
        swarm.failed("b1", [0], "busy", blame=True)
        begun, now = now, now + LEFT_SECONDS * 2**times
        living(swarm, ["busy", "b1"], begun, now - 1)
        assert swarm.job("b1", 1, now - 1) == Job((0,), None)
        swarm.failed("b1", [0], None, blame=True)
        living(swarm, ["busy", "b1"], now - 1, now)


def test_a_job_whose_answer_was_lost_keeps_nobody_from_its_source() -> None:
    """Though the board that never heard of it lives, and still lacks the chunk."""
    swarm = Swarm(1)
    swarm.join("source", 1, 0, 0.0)
    boards = [f"b{number}" for number in range(PEER_UPLOADS)]
    for board in boards:
        swarm.join(board, 0, 1, 0.0)
        assert swarm.job(board, 1, 0.0) == Job((0,), "source")
    now = LOST_SECONDS + 1
    living(swarm, ["source", *boards], 0.0, now)
    for board in boards:
        assert swarm.job(board, 1, now) == Job((0,), "source")


def test_who_joins_with_a_large_image_costs_time_by_its_chunks_alone() -> None:
    """Not by their square, which for two million is many minutes of the loop that boots all others."""
    count = 1 << 21
    swarm = Swarm(count)
    swarm.join("whole", all_of(count), 0, 0.0)
    swarm.join("odd", int.from_bytes(b"\xaa" * (count // 8), "little"), 1, 0.0)
    assert swarm.job("odd", 1, 0.0) == Job((0,), "whole")
    swarm.leave("whole")
    assert swarm.job("odd", 1, 100.0) == Job((0,), None)


def test_what_is_kept_no_more_is_nobodys_fault() -> None:
    """The board is asked for the rest."""
    swarm = Swarm(2)
    swarm.join("small", all_of(2), 0, 0.0)
    swarm.join("b1", 0, all_of(2), 0.0)
    assert swarm.job("b1", 1, 0.0) == Job((0,), "small")
    swarm.failed("b1", [0], "small", blame=False)
    assert swarm.job("b1", 1, 0.0) == Job((0,), None)
    assert swarm.job("b1", 1, 0.0) == Job((1,), "small")
    swarm.dropped("small", [1])
    swarm.failed("b1", [1], "small", blame=False)
    assert swarm.job("b1", 1, 0.0) == Job((1,), None)


def test_who_is_silent_is_forgotten() -> None:
    """What it was to bring is fetched by others."""
    swarm = Swarm(1)
    swarm.join("gone", 0, 1, 0.0)
    swarm.join("b1", 0, 1, 0.0)
    assert swarm.job("gone", 1, 0.0) == Job((0,), None)
    assert swarm.job("b1", 1, 0.0) == Job((0,), None)  # for the rack is idle
    swarm.failed("b1", [0], None, blame=True)
    swarm.heard("b1", SILENT_SECONDS + 1)
    assert "gone" not in swarm
    assert (len(swarm), swarm.lacking) == (1, 1)
    assert swarm.job("b1", 1, SILENT_SECONDS + 1) == Job((0,), None)
    swarm.got("b1", [0], SILENT_SECONDS + 2)
    assert (swarm.lacking, swarm.wants("b1")) == (0, False)


def test_a_chunk_that_does_not_come_is_fetched_from_elsewhere() -> None:
    """After a while, though the job is not over: one slow board holds up no other."""
    swarm = Swarm(1)
    swarm.join("slow", 1, 0, 0.0)
    swarm.join("fast", 1, 0, 0.0)
    swarm.join("b1", 0, 1, 0.0)
    first = swarm.job("b1", 1, 0.0)
    assert first is not None
    assert swarm.job("b1", 1, 1.0) is None
    second = swarm.job("b1", 1, 60.0)
    assert second is not None
    assert {first.source, second.source} == {"slow", "fast"}
