"""One thread does what it is given, one after the other, and hands back what came of it."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from gateway.audit.thread import OneThread


async def test_what_comes_of_it_is_handed_back() -> None:
    """A result as well as an error, from the same thread, which is not the loop's and has the name."""
    thread = OneThread("scribe")
    assert [await thread.run(partial(divmod, 7, 2)) for _ in range(2)] == [(3, 1)] * 2
    with pytest.raises(OSError, match="disk full"):
        await thread.run(_full)
    names = {await thread.run(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"scribe"}
    thread.close(wait=True)


async def test_it_is_done_in_order_whoever_waits() -> None:
    """Who gives up waiting calls nothing off."""
    thread, done, go = OneThread("scribe"), list[int](), threading.Event()
    first = thread.run(go.wait)
    rest = [thread.run(partial(done.append, number)) for number in range(3)]
    failed = thread.run(_full)
    for future in (first, rest[0], failed):
        future.cancel()
    go.set()
    await rest[2]
    thread.close(wait=True)
    assert done == [0, 1, 2]


async def test_nothing_is_taken_once_it_is_closed() -> None:
    """Nobody waits for what will not be done. What was there before is done; one that had no work never began."""
    thread, done = OneThread("scribe"), list[int]()
    future = thread.run(partial(done.append, 1))
    thread.close(wait=True)
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(partial(done.append, 2))
    await future
    assert done == [1]
    OneThread("idle").close(wait=True)


def test_a_loop_that_has_ended_is_told_nothing() -> None:
    """What was under way when it ended troubles nobody."""
    thread, go, done = OneThread("scribe"), threading.Event(), list[int]()

    async def leave() -> None:
        thread.run(go.wait)
        thread.run(partial(done.append, 1))

    asyncio.run(leave())
    go.set()
    thread.close(wait=True)
    assert done == [1]


def _full() -> None:
    raise OSError("disk full")
