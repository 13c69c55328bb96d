"""The same work by a thin handler on the usual libraries: aiohttp, redis-py, aiohttp's client. It checks nothing, logs
nothing, counts nothing and proves nothing. `python -m bench.stock STORE VENDOR SLOW_VENDOR PORT` prints its port, which
several of them can share; 0 takes a free one."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web
from redis.asyncio import Redis

from bench.asks import EXTENSION, Scene, Step

_STOP = {"action": "StopRecording", "phoneCallViewId": "01"}


class Handler:
    def __init__(self, store: Redis, session: aiohttp.ClientSession, ports: tuple[int, int]) -> None:
        self._store = store
        self._session = session
        self._ports = ports

    async def mute(self, request: web.Request) -> web.Response:
        call = request.match_info["call"]
        await request.json()
        await self._step(call, 1)
        muted = await self._vendor(call)
        await self._step(call, 2)
        return web.json_response({"call_id": call, "protected": muted}, status=200 if muted else 504)

    async def _step(self, call: str, revision: int) -> None:
        _, function, count, *words = Step(call=call, revision=revision).words()
        await self._store.fcall(function, int(count), *words)

    async def _vendor(self, call: str) -> bool:
        scene = Scene(call[0])
        base = f"http://127.0.0.1:{self._ports[scene.slow]}"
        return await (self._asked(base, call) if scene.readback else self._answered(base, call))

    async def _answered(self, base: str, call: str) -> bool:
        url = f"{base}/uapi/phoneCalls/@me/{EXTENSION}/{call}"
        async with self._session.put(url, json=_STOP, headers={"Authorization": "Bearer bench"}) as response:
            said = await response.json()
        return "recording" not in said["phoneCallView"][0]

    async def _asked(self, base: str, call: str) -> bool:
        url, form = f"{base}/verba/api?action=MuteRecording", {"apiKey": "bench", "callID": call}
        async with self._session.post(url, data={**form, "mute": "3"}) as response:
            await response.text()
        async with self._session.post(url, data=form) as response:
            said = await response.text()
        return 'callerMuted="true" calledMuted="true"' in said


async def serve(store: int, ports: tuple[int, int], port: int) -> None:
    async with (
        Redis(port=store) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session,
    ):
        app = web.Application()
        app.router.add_put("/v1/calls/{call}/redaction", Handler(client, session, ports).mute)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
        print(runner.addresses[0][1], flush=True)  # noqa: T201 -- what the process is to say
        await asyncio.Event().wait()


if __name__ == "__main__":
    _, store, fast, slow, port = sys.argv
    uvloop.run(serve(int(store), (int(fast), int(slow)), int(port)))
