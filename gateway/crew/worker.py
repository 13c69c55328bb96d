"""One worker's side: serves as a gateway alone does, tells its keeper when it is ready and what it has counted, and
stops when it is told to or its keeper is gone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway import app
from gateway.beside import beside
from gateway.crew import line
from gateway.crew.line import Line

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import AsyncIterator

    from gateway.app import Post, Running
    from gateway.reload import Configuration
    from gateway.settings import Settings


async def work(
    settings: Settings, configuration: Configuration, post: Post, end: socket.socket, *, stop: asyncio.Event
) -> None:
    """Serve until `stop`, or until nobody is at the other end."""
    to_keeper = await Line.on(end)
    async with (
        app.running(settings, configuration, post) as state,
        beside(_answer(to_keeper, state, stop)),
        _said(to_keeper),
    ):
        await stop.wait()
    to_keeper.close()


@asynccontextmanager
async def _said(to_keeper: Line) -> AsyncIterator[None]:
    await to_keeper.say(line.READY, value=True)
    try:
        yield
    finally:
        await to_keeper.say(line.READY, value=False)


async def _answer(to_keeper: Line, state: Running, stop: asyncio.Event) -> None:
    async for name, _ in to_keeper.heard():
        if name == line.METRICS:
            await to_keeper.say(line.METRICS, (await state.counted("")).body.decode())
    stop.set()
