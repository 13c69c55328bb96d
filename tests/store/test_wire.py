"""The connection that all share: nobody ever gets another one's reply, whatever the network does to it."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import uvloop
from redis.exceptions import RedisError
from servers import single
from steps import change
from trouble import desk, gateway

from gateway.model import CallKey
from gateway.store.address import Access, Place
from gateway.store.contract import Committed, StoreUnavailable
from gateway.store.redis import RedisStore
from gateway.store.wire import Wire, _Limits, wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from servers import Server

SEEDS = range(500 if os.environ.get("SOAK") else 12)
ASKERS = 24
QUESTIONS = 12


class Nasty:
    """What stands between: passes on in pieces, late, not at all for a while, and cuts in the middle."""

    def __init__(self, port: int, chance: random.Random, cut: float) -> None:
        self._port = port
        self._cut = cut
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        forth = asyncio.ensure_future(self._pass_on(reader, inner_writer, cruel=False))
        back = asyncio.ensure_future(self._pass_on(inner_reader, writer, cruel=True))
        self._tasks |= {forth, back}
        await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in (forth, back):
            task.cancel()
        for end in (writer, inner_writer):
            end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, cruel: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                for part in self._parts(data):
                    writer.write(part)
                    fate = self._chance.random() if cruel else 1.0
                    if fate < self._cut:
                        self.cuts += 1
                        return
                    await asyncio.sleep(0.03 if fate < self._cut + 0.1 else 0)

    def _parts(self, data: bytes) -> list[bytes]:
        cut = self._chance.randrange(len(data) + 1)
        return [part for part in (data[:cut], data[cut:]) if part]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def nasty(server: Server, seed: int, cut: float = 0.02) -> AsyncIterator[tuple[Nasty, int]]:
    between = Nasty(server.port, random.Random(seed), cut)  # noqa: S311 -- a seed that can be played again
    listener = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    async with listener:
        yield between, listener.sockets[0].getsockname()[1]
        await between.end()


class Crowd:
    """Many who ask over one wire, each for what only they can be told; some have no patience, some are cancelled."""

    def __init__(self, port: int, seed: int, kind: type[Wire]) -> None:
        self._port = port
        self._kind = kind
        self._chance = random.Random(seed)  # noqa: S311 -- as above
        self._wire: Wire | None = None
        self.right = self.lost = self.late = self.wrong = 0

    async def ask(self) -> None:
        await asyncio.gather(*(self._asker(number) for number in range(ASKERS)))
        if self._wire is not None:
            self._wire.end()

    async def _asker(self, number: int) -> None:
        for question in range(QUESTIONS):
            words = [f"{number}-{question}-{part}" for part in range(self._chance.choice((1, 1, 2)))]
            task = asyncio.ensure_future(self._question(words))
            if self._chance.random() < 0.1:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _question(self, words: list[str]) -> None:
        within = self._chance.choice((0.001, 0.02, 5.0))
        try:
            replies = await (await self._usable()).ask(tuple(("ECHO", word) for word in words), within=within)
        except StoreUnavailable:
            self.late += 1
        except (RedisError, OSError):
            self.lost += 1
        else:
            self.right += replies == [word.encode() for word in words]
            self.wrong += replies != [word.encode() for word in words]

    async def _usable(self) -> Wire:
        if self._wire is None or self._wire.lost:
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(self._kind, "127.0.0.1", self._port)
            if self._wire is not None and not self._wire.lost:  # somebody else was faster
                wire.end()
            else:
                self._wire = wire
        return self._wire


class Forgetful(Wire):
    """Who gives up takes its place in the queue along: the next one gets its reply."""

    async def ask(
        self, commands: tuple[tuple[str | bytes | int, ...], ...], *, within: float | None = None
    ) -> list[object]:
        try:
            return await super().ask(commands, within=within)
        except StoreUnavailable:
            self._waiting = type(self._waiting)(one for one in self._waiting if not one.future.done())
            raise


class Deaf(Wire):
    """Goes on after a cut as if the rest were still to come."""

    def data_received(self, data: bytes) -> None:
        if len(self._waiting) > 3:
            self._waiting.rotate(-1)
        super().data_received(data)


async def crowded(tmp_path: Path, kind: type[Wire]) -> tuple[int, int, int, int, int]:
    """Right, wrong, late and lost replies, and cuts, over all seeds."""
    counts = [0] * 5
    async with single(tmp_path) as server:
        for seed in SEEDS:
            async with nasty(server, seed) as (between, port):
                crowd = Crowd(port, seed, kind)
                async with asyncio.timeout(60):
                    await crowd.ask()
                found = crowd.right, crowd.wrong, crowd.late, crowd.lost, between.cuts
                counts = [sum(pair) for pair in zip(counts, found, strict=True)]
    right, wrong, late, lost, cuts = counts
    return right, wrong, late, lost, cuts


async def test_no_reply_reaches_the_wrong_waiter(tmp_path: Path) -> None:
    """Two dozen ask over one connection through a network that delays, splits and cuts, some without patience, some
    cancelled: whoever gets a reply gets their own."""
    right, wrong, late, lost, cuts = await crowded(tmp_path, Wire)
    assert not wrong
    assert min(right, late, lost, cuts) > 0  # all of it happened


@pytest.mark.parametrize("kind", [Forgetful, Deaf])
async def test_a_wire_that_lost_count_is_found(tmp_path: Path, kind: type[Wire]) -> None:
    """The same with a mistake planted: replies do reach others."""
    _, wrong, *_ = await crowded(tmp_path, kind)
    assert wrong


async def test_steps_and_states_are_never_anothers(tmp_path: Path) -> None:
    """Steps of many calls at once through the same network: each is confirmed with its own link, and each call that
    is read is the one that was asked for; what is not known to be written is written once at the most."""
    async with single(tmp_path) as server, nasty(server, 1, cut=0.2) as (between, port):
        store = RedisStore(f"redis://127.0.0.1:{port}", strict=True)

        async def step(number: int) -> int:
            key, done = CallKey(tenant="acme", call_id=f"call-{number}"), 0
            for _ in range(20):
                with suppress(StoreUnavailable):
                    made = await store.commit(change(key, f"op{number}"), within=0.5)
                    assert isinstance(made, Committed)
                    assert made.link == change(key, f"op{number}").link
                    found = await store.load(key, within=0.5)
                    assert found is not None
                    assert (found.redaction.key, found.head) == (key, made.link)
                    done += 1
                    break
            return done

        assert sum(await asyncio.gather(*(step(number) for number in range(200)))) > 0
        await store.close()
        direct = RedisStore(f"redis://127.0.0.1:{server.port}", strict=True)
        for number in range(200):
            assert len(await direct.entries(CallKey(tenant="acme", call_id=f"call-{number}"), within=5)) <= 1
        await direct.close()
        assert between.cuts


async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """Who has patience does not wait for ever, and who has none does not end the others' connection."""
    async with single(tmp_path) as server:
        wire = await wired(Place(host="127.0.0.1", port=server.port), Access(), Wire)
        blocked = asyncio.ensure_future(wire.ask((("BLPOP", "nothing", 60),)))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await wire.ask((("PING",),), within=0.01)
        lost = [wire.lost]
        with pytest.raises(RedisError):
            await blocked
        assert [*lost, wire.lost] == [False, True]
        with pytest.raises(RedisError):
            await wire.ask((("PING",),))


async def test_each_waits_as_long_as_it_wants_to(tmp_path: Path) -> None:
    """In whatever order they came: who has least patience is told first, and every one is told; one that was answered
    meanwhile is not."""
    async with single(tmp_path) as server:
        wire = await wired(Place(host="127.0.0.1", port=server.port), Access(), Wire)
        told: list[str] = []

        async def ask(name: str, within: float) -> None:
            try:
                await wire.ask((("ECHO", name),), within=within)
                told.append(f"{name}: answered")
            except StoreUnavailable:
                told.append(name)

        await ask("first", 0.15)
        blocked = asyncio.ensure_future(wire.ask((("BLPOP", "nothing", 60),)))
        await asyncio.sleep(0)
        others = asyncio.gather(ask("late", 0.3), ask("none", 0), ask("early", 0.1), ask("between", 0.2))
        await asyncio.sleep(0)
        assert wire._limits._next == min(end for end, *_ in wire._limits._ends), "who wants it first is seen to first"
        await others
        assert told == ["first: answered", "none", "early", "between", "late"]
        assert not wire.lost
        wire.connection_lost(None)
        with pytest.raises(RedisError):
            await blocked


class _Counted(_Limits):
    looks = 0

    def _look(self) -> None:
        self.looks += 1
        super()._look()


def test_a_clock_of_milliseconds_is_not_looked_at_again_and_again() -> None:
    """The loop that serves rounds to them: it wakes up before a limit that lies between two."""

    async def wait() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        limits, futures = _Counted(loop), [loop.create_future() for _ in range(40)]
        for number, future in enumerate(futures):
            limits.put(future, 0.02 + number * 0.0013)
        told = await asyncio.gather(*futures, return_exceptions=True)
        return limits.looks, sum(isinstance(one, StoreUnavailable) for one in told)

    looks, told = uvloop.run(wait())
    assert told == 40
    assert looks <= 2 * told


async def test_a_reply_that_nobody_asked_for_ends_it(tmp_path: Path) -> None:
    """After it no reply can be told from another's: whoever waits is told that nobody knows."""
    async with single(tmp_path) as server:
        for data in (b"+OK\r\n+OK\r\n", b"?what\r\n"):
            wire = await wired(Place(host="127.0.0.1", port=server.port), Access(), Wire)
            asked = asyncio.ensure_future(wire.ask((("BLPOP", "nothing", 60), ("PING",))))
            await asyncio.sleep(0)
            wire.data_received(data if data[:1] == b"?" else data + b"+OK\r\n")
            if data[:1] == b"?":
                with pytest.raises(RedisError):
                    await asked
            else:
                assert await asked == [b"OK", b"OK"]
            assert wire.lost


async def test_one_that_is_no_longer_needed_answers_first(tmp_path: Path) -> None:
    """What is under way at its end is answered; nothing more is taken."""
    async with single(tmp_path) as server:
        wire = await wired(Place(host="127.0.0.1", port=server.port), Access(db=2), Wire)
        asked = asyncio.ensure_future(wire.ask((("ECHO", "last"),)))
        await asyncio.sleep(0)
        wire.end()
        assert await asked == [b"last"]
        with pytest.raises(RedisError):
            await wire.ask((("PING",),))


async def test_a_put_goes_to_the_store_twice_and_a_get_once(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real server: what a PUT has to say goes out in two writes (the intent together with the claims on its
    recorders, then the outcome), what a GET asks in one."""
    sent: list[bytes] = []
    write = Wire._write

    def noted(self: Wire, data: bytes) -> None:
        sent.append(data)
        write(self, data)

    monkeypatch.setattr(Wire, "_write", noted)
    async with desk(short_dir) as place, gateway(place) as gate:
        for method, trips, functions in (("PUT", 2, 3), ("GET", 1, 0)):
            call = gate.desk.call()
            if method == "GET":
                assert (await gate.ask("PUT", call))[0] == 200
            sent.clear()
            assert (await gate.ask(method, call))[0] == 200
            ours = [data for data in sent if call.call_id.encode() in data]
            assert len(ours) == trips, [data[:200] for data in ours]
            assert sum(data.count(b"FCALL") for data in ours) >= functions
