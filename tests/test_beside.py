"""Work beside a block begins with it and ends with it, whatever happens to the word that it is over."""

from __future__ import annotations

import asyncio

import pytest

from gateway.beside import beside


async def test_it_goes_on_and_ends_with_the_block() -> None:
    """It runs while the block does, and has ended when that is over, its last words included."""
    said = []

    async def work() -> None:
        said.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("ended")

    async with beside(work()):
        await asyncio.sleep(0)
        assert said == ["begun"]
    assert said == ["begun", "ended"]


async def test_a_cancellation_that_got_lost_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something under the work swallows the first one: the block ends all the same."""
    monkeypatch.setattr("gateway.beside.AGAIN_SECONDS", 0.01)
    heard: list[str] = []

    async def work() -> None:
        while len(heard) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.append("lost")
        await asyncio.Event().wait()

    async with beside(work()):
        await asyncio.sleep(0)
    assert heard == ["lost", "lost"]


async def test_what_it_stumbled_over_is_raised() -> None:
    """Work that ended by itself in an error does not hide it."""

    async def work() -> None:
        raise ValueError("stumbled")

    with pytest.raises(ValueError, match="stumbled"):
        async with beside(work()):
            await asyncio.sleep(0)


async def test_the_error_of_the_block_comes_through() -> None:
    """The block's own error ends the work and is what is told."""
    with pytest.raises(KeyError, match="own"):
        async with beside(asyncio.sleep(60)):
            raise KeyError("own")
