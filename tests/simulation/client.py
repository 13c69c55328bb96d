"""One pod's way to the store: slow, cut, or with answers that get lost after the step was taken."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from virtual import never

from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from vault import Vault

    from gateway.model import CallKey
    from gateway.store.contract import (
        Asked,
        Change,
        Claim,
        Claims,
        Committed,
        Queue,
        Stale,
        Stored,
        TrailEntry,
        TrailPage,
        Turn,
        Word,
    )

_T = TypeVar("_T")

TRIES = 3
COMMAND_SECONDS = 1.0
OPEN_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Asking:
    """What a task is about: when the newest state of `key` that it goes by was taken from the store."""

    key: CallKey | None = None
    as_of: float = 0.0


ASKING: ContextVar[Asking | None] = ContextVar("ASKING", default=None)
ORDER: ContextVar[str] = ContextVar("ORDER", default="")  # the order that the running task carries out


@dataclass(slots=True, kw_only=True)
class Way:
    """How things are between one pod and the store. `cut` until then, `dead` with the pod, `lossy` and `slow` are
    chances, `deaf` is that of a step of which nobody hears any more whether it was taken. `told` is when word came last
    that a call was let go."""

    cut: float = 0.0
    silent: bool = False
    lossy: float = 0.0
    slow: float = 0.0
    deaf: float = 0.0
    dead: bool = False
    told: dict[CallKey, float] = field(default_factory=dict)


class SimStore:
    def __init__(self, vault: Vault, way: Way, chance: random.Random) -> None:
        self._vault = vault
        self._way = way
        self._chance = chance

    async def open(self) -> None:
        await self._ask(lambda: None, OPEN_SECONDS)

    async def close(self) -> None: ...

    async def commit(self, change: Change, *, within: float) -> Committed | Stale:
        if change.after.order is not None and change.op.startswith(change.after.order.op):
            ORDER.set(change.after.order.op)
        if self._way.deaf and self._chance.random() < self._way.deaf:
            asyncio.get_running_loop().call_later(self._chance.uniform(0.0, 3.0), self._unheard, change)
            await asyncio.sleep(min(within, TRIES * COMMAND_SECONDS))
            raise StoreUnavailable("no answer in time")
        return await self._ask(lambda: self._vault.commit(change), within, tries=TRIES, about=change.after.key)

    def _unheard(self, change: Change) -> None:
        if not self._way.dead:
            self._vault.commit(change)

    async def load(self, key: CallKey, *, within: float) -> Stored | None:
        return await self._ask(lambda: self._vault.load(key), within, about=key)

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        return await self._ask(lambda: self._vault.entries(key), within)

    async def trail(self, number: int, *, since: int, most: int, within: float) -> TrailPage:
        return await self._ask(lambda: self._vault.trail(number, since, most), within)

    def together(self, numbers: Sequence[int]) -> Sequence[Sequence[int]]:
        return [numbers]

    async def queues(self, numbers: Sequence[int], asked: Asked, *, within: float) -> Mapping[int, Queue]:
        return await self._ask(lambda: self._vault.queues(numbers, asked), within)

    async def claim(self, target: str, key: CallKey, *, within: float) -> Claims:
        return await self._ask(lambda: self._vault.claim(target, key), within)

    async def loosen(
        self, target: str, key: CallKey, *, lands_before: int, over: tuple[Claim, ...], within: float
    ) -> Claims:
        return await self._ask(lambda: self._vault.loosen(target, key, lands_before, over), within)

    async def release(self, target: str, key: CallKey, *, own: str, landed: int | None, within: float) -> None:
        await self._ask(lambda: self._vault.release(target, key, own, landed), within)

    async def once(
        self, name: str, fingerprint: str, *, runs_ms: int, keep_ms: int, again: bool, within: float
    ) -> Turn:
        del name, fingerprint, runs_ms, keep_ms, again
        return await self._ask(self._vault.once, within)

    async def once_over(self, name: str, fingerprint: str, *, left: Turn, within: float) -> None: ...

    async def changes(self) -> AsyncIterator[Word | None]:
        """Word that comes while the way is cut is lost, and the connection with it."""
        loop = asyncio.get_running_loop()
        if self._way.dead or loop.time() < self._way.cut:
            raise StoreUnavailable("not reached")
        words: asyncio.Queue[Word | None] = asyncio.Queue()

        def arrives(word: Word) -> None:
            if self._way.dead or loop.time() < self._way.cut:
                words.put_nowait(None)
                return
            if word.lets_go:
                self._way.told[word.key] = loop.time()
            words.put_nowait(word)

        def tell(word: Word) -> None:
            loop.call_later(self._leg(), arrives, word)

        self._vault.listeners.append(tell)
        try:
            yield None
            while (word := await words.get()) is not None:
                yield word
        finally:
            self._vault.listeners.remove(tell)
        raise StoreUnavailable("connection lost")

    async def probe(self, name: str, *, word: str, within: float) -> str:
        return await self._ask(lambda: self._vault.probe(name, word), within)

    async def ping(self, *, within: float) -> None:
        await self._ask(lambda: None, within)

    async def _ask(self, work: Callable[[], _T], within: float, *, tries: int = 1, about: CallKey | None = None) -> _T:
        """The command goes its way whether or not anybody waits for it any more."""
        if self._way.dead:
            await never()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[float, _T]] = loop.create_future()
        self._send(work, answer, tries)
        timer = loop.call_later(within, _fail, answer, "no answer in time")
        try:
            at, value = await answer
        finally:
            timer.cancel()
        asking = ASKING.get()
        if asking is not None and about is not None and asking.key == about:
            asking.as_of = at
        return value

    def _send(self, work: Callable[[], _T], answer: asyncio.Future[tuple[float, _T]], tries: int) -> None:
        loop = asyncio.get_running_loop()
        if self._way.dead:
            return
        if loop.time() < self._way.cut:
            loop.call_later(COMMAND_SECONDS if self._way.silent else 0.001, self._again, work, answer, tries)
        else:
            loop.call_later(self._leg(), self._arrive, work, answer, tries)

    def _arrive(self, work: Callable[[], _T], answer: asyncio.Future[tuple[float, _T]], tries: int) -> None:
        loop = asyncio.get_running_loop()
        at, value = loop.time(), work()
        if self._chance.random() < self._way.lossy or at < self._way.cut:
            loop.call_later(self._leg(), self._again, work, answer, tries)
        else:
            loop.call_later(self._leg(), _give, answer, at, value)

    def _again(self, work: Callable[[], _T], answer: asyncio.Future[tuple[float, _T]], tries: int) -> None:
        if tries > 1:
            self._send(work, answer, tries - 1)
        else:
            _fail(answer, "connection lost")

    def _leg(self) -> float:
        if self._chance.random() < self._way.slow:
            return self._chance.uniform(0.02, 0.6)
        return self._chance.uniform(0.0002, 0.003)


def _give(answer: asyncio.Future[tuple[float, _T]], at: float, value: _T) -> None:
    if not answer.done():
        answer.set_result((at, value))


def _fail(answer: asyncio.Future[tuple[float, _T]], why: str) -> None:
    if not answer.done():
        answer.set_exception(StoreUnavailable(why))
