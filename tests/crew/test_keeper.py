"""The keeper with workers that do what a test says."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from gateway.crew import keeper as keepers
from gateway.crew import member as members
from gateway.crew.keeper import Keeper
from gateway.settings import Listen, Settings, Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# The last argument is the worker's end of the line.
SOUND = """
import json, signal, socket, sys
line = socket.socket(fileno=int(sys.argv[-1])).makefile("rw")
def say(**word): line.write(json.dumps(word) + "\\n"); line.flush()
def end(*_): say(ready=False); sys.exit(0)
signal.signal(signal.SIGTERM, end)
say(ready=True)
for _ in line:
    say(metrics="# TYPE redaction_requests_total counter\\nredaction_requests_total 3.0\\n")
"""
DOOMED = SOUND.replace("for _ in line:", "import os; os._exit(3)\nfor _ in line:")
FIRST_ONE_DIES = """
import os
def last():
    try: os.close(os.open("MARK", os.O_CREAT | os.O_EXCL))
    except FileExistsError: return
    os._exit(3)
for _ in line:
    last()"""
UNFIT = "import sys; sys.exit(78)"


def settings(tmp_path: Path) -> Settings:
    listen = Listen(host="127.0.0.1", port=0, admin_host="127.0.0.1", admin_port=0, workers=2)
    return Settings.model_construct(
        backends={}, routes=(), listen=listen, store=Store(url="redis://127.0.0.1:1", directory=tmp_path)
    )


def kept(script: str, tmp_path: Path) -> Keeper:
    return Keeper(settings(tmp_path), [sys.executable, "-c", script], turn=1)


async def until_ready(keeper: Keeper) -> None:
    async with asyncio.timeout(60):
        while not keeper.ready:  # noqa: ASYNC110 -- what is waited for is in other processes
            await asyncio.sleep(0.02)


async def test_a_worker_that_does_not_come_up_ends_all_with_its_status(tmp_path: Path) -> None:
    """A store that must not be used is 78, with workers as without."""
    assert await asyncio.wait_for(kept(UNFIT, tmp_path).run(asyncio.Event()), 60) == 78


async def test_workers_that_die_one_after_the_other_end_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who started the gateway is to see it: it is not started again for ever."""
    monkeypatch.setattr(members, "REST_SECONDS", 0.0)
    monkeypatch.setattr(keepers, "DEATHS", 3)
    keeper = kept(DOOMED, tmp_path)
    keeper._started = True
    assert await asyncio.wait_for(keeper.run(asyncio.Event()), 60) == 1


async def test_all_are_ready_or_none_and_what_the_dead_had_counted_stays(tmp_path: Path) -> None:
    """One of two that is killed: not ready, its counter kept, started again, ready, and the sum has all three lives."""
    keeper, stop = kept(SOUND, tmp_path), asyncio.Event()
    running = asyncio.create_task(keeper.run(stop))
    await until_ready(keeper)
    assert b"redaction_requests_total 6.0" in (await keeper.counted()).body
    first = keeper._members[0]
    assert first._process is not None
    first._process.kill()
    async with asyncio.timeout(60):
        while keeper.ready:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.001)
    await until_ready(keeper)
    assert b"redaction_requests_total 9.0" in (await keeper.counted()).body
    stop.set()
    assert await asyncio.wait_for(running, 60) == 0


async def test_who_is_asked_when_it_dies_is_counted_once_and_the_next_one_is_asked(tmp_path: Path) -> None:
    """A scrape that a dying worker never answers does not keep its successor from being asked."""
    dying = SOUND.replace("for _ in line:", FIRST_ONE_DIES)
    keeper, stop = kept(dying.replace("MARK", str(tmp_path / "mark")), tmp_path), asyncio.Event()
    running = asyncio.create_task(keeper.run(stop))
    await until_ready(keeper)
    await keeper.counted()
    async with asyncio.timeout(60):
        while b"redaction_requests_total 6.0" not in (await keeper.counted()).body:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.02)
    stop.set()
    assert await asyncio.wait_for(running, 60) == 0


async def test_a_worker_that_does_not_answer_is_shown_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape is not kept waiting by one that hangs, and no counter goes back."""
    mute = SOUND.replace("for _ in line:\n", "for number, _ in enumerate(line):\n    if number: continue\n")
    monkeypatch.setattr(members, "METRICS_SECONDS", 0.2)
    keeper, stop = kept(mute, tmp_path), asyncio.Event()
    running = asyncio.create_task(keeper.run(stop))
    await until_ready(keeper)
    monkeypatch.setattr(members, "METRICS_SECONDS", 60.0)
    assert b"redaction_requests_total 6.0" in (await keeper.counted()).body
    monkeypatch.setattr(members, "METRICS_SECONDS", 0.2)
    assert b"redaction_requests_total 6.0" in (await keeper.counted()).body
    stop.set()
    assert await asyncio.wait_for(running, 60) == 0
