"""What any link between hub and rack must do; every implementation is run through it."""

import asyncio
from pathlib import Path

import pytest

from hostler.link.inprocess import InProcessLink
from hostler.link.port import LinkError, RackUnreachableError, RequestRefusedError, Stream


@pytest.fixture
async def link(tmp_path: Path):
    made = InProcessLink(tmp_path / "link.db")
    yield made
    await made.close()


async def reopened(link: InProcessLink, tmp_path: Path) -> InProcessLink:
    await link.close()
    return InProcessLink(tmp_path / "link.db")


async def next_of(iterator):
    async with asyncio.timeout(60):
        return await anext(iterator)


async def test_a_watcher_gets_what_is_and_then_what_changes(link: InProcessLink):
    """A watcher first gets every document there is and then each change."""
    await link.desire("board/a", {"n": 1})
    watch = link.desired()
    assert (await next_of(watch)).document == {"n": 1}
    await link.desire("board/a", {"n": 2})
    await link.desire("board/b", {"n": 3})
    assert [(c.key, c.document) for c in (await next_of(watch), await next_of(watch))] == [
        ("board/a", {"n": 2}),
        ("board/b", {"n": 3}),
    ]


async def test_changes_to_one_key_are_coalesced(link: InProcessLink):
    """A slow watcher sees the last of several changes to one key, not each."""
    watch = link.observed()
    for n in range(50):
        await link.observe("board/a", {"n": n})
    assert (await next_of(watch)).document == {"n": 49}


async def test_a_removed_document_is_told_as_none(link: InProcessLink):
    """Removal is a change like any other."""
    await link.desire("board/a", {"n": 1})
    watch = link.desired()
    await next_of(watch)
    await link.desire("board/a", None)
    change = await next_of(watch)
    assert (change.key, change.document) == ("board/a", None)


async def test_a_rack_is_told_of_itself_before_its_boards(link: InProcessLink, tmp_path: Path):
    """After a restart, too: a board whose equipment is not known yet would seem to have none."""
    for key in ("board/a", "rack", "board/b"):
        await link.desire(key, {"n": 1})
    link = await reopened(link, tmp_path)
    try:
        watch = link.desired()
        assert [(await next_of(watch)).key for _ in range(3)] == ["rack", "board/a", "board/b"]
    finally:
        await link.close()


async def test_documents_survive_a_restart(link: InProcessLink, tmp_path: Path):
    """What was desired and observed is there after a restart."""
    await link.desire("board/a", {"n": 1})
    await link.observe("board/a", {"seen": True})
    again = await reopened(link, tmp_path)
    try:
        assert (await next_of(again.desired())).document == {"n": 1}
        assert (await next_of(again.observed())).document == {"seen": True}
    finally:
        await again.close()


async def test_events_come_in_order_and_none_is_skipped(link: InProcessLink, tmp_path: Path):
    """A hub that was away gets every event it has not forgotten, in order, exactly once."""
    for n in range(5):
        await link.publish({"n": n})
    follow = link.events(0)
    got = [await next_of(follow) for _ in range(5)]
    assert [document["n"] for _, document in got] == list(range(5))
    await link.forget(got[2][0])
    again = await reopened(link, tmp_path)
    try:
        await again.publish({"n": 5})
        follow = again.events(got[2][0])
        assert [(await next_of(follow))[1]["n"] for _ in range(3)] == [3, 4, 5]
    finally:
        await again.close()


async def test_a_follower_waits_for_the_next_event(link: InProcessLink):
    """Following does not end with what there is."""
    follow = link.events(0)
    waiting = asyncio.ensure_future(next_of(follow))
    await asyncio.sleep(0.05)
    await link.publish({"n": 1})
    assert (await waiting)[1] == {"n": 1}


async def test_a_request_without_a_rack_says_so(link: InProcessLink):
    """No rack is an error of its own, not a hang."""
    with pytest.raises(RackUnreachableError):
        await link.request("check", {}, deadline=1)


async def test_a_request_has_a_deadline(link: InProcessLink):
    """A rack that hangs is reported after the deadline."""

    async def hang(_kind: str, _body: dict) -> dict:
        await asyncio.sleep(60)
        return {}

    async def none(_kind: str, _body: dict, _stream: object) -> None: ...

    link.serve(hang, none)
    with pytest.raises(RackUnreachableError):
        await link.request("check", {}, deadline=0.05)


async def test_a_stream_carries_bytes_both_ways_and_closes(link: InProcessLink):
    """What either side writes the other reads; closing is seen by the other."""

    async def refuse(_kind: str, _body: dict) -> dict:
        raise RequestRefusedError("no")

    async def echo(_kind: str, _body: dict, stream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())

    link.serve(refuse, echo)
    stream = await link.open_stream("console", {"board": "a"})
    await stream.write(b"hello")
    async with asyncio.timeout(60):
        assert await stream.read() == b"HELLO"
    await stream.close()
    with pytest.raises(LinkError):
        await stream.write(b"more")
    with pytest.raises(RequestRefusedError):
        await link.request("anything", {}, deadline=1)


async def test_a_refused_stream_raises_on_opening(link: InProcessLink):
    """A rack may refuse a stream before it begins, and the hub hears why."""

    async def requests(_kind: str, _body: dict) -> dict:
        return {}

    async def streams(_kind: str, _body: dict, _stream: object) -> None:
        raise RequestRefusedError("no console")

    link.serve(requests, streams)
    with pytest.raises(RequestRefusedError, match="no console"):
        await link.open_stream("console", {})


async def test_a_stream_nobody_waits_for_any_more_is_closed(link: InProcessLink):
    """Who goes away while a stream is being opened leaves none behind at the rack."""
    asked, go = asyncio.Event(), asyncio.Event()
    read: list[bytes] = []

    async def requests(_kind: str, _body: dict) -> dict:
        return {}

    async def streams(_kind: str, _body: dict, stream: Stream) -> None:
        asked.set()
        await go.wait()
        read.append(await stream.read())

    link.serve(requests, streams)
    opening = asyncio.ensure_future(link.open_stream("console", {}))
    await asked.wait()
    opening.cancel()
    await asyncio.wait({opening}, timeout=5)
    go.set()
    async with asyncio.timeout(60):
        while not read:
            await asyncio.sleep(0.01)
    assert (opening.cancelled(), read) == (True, [b""])
