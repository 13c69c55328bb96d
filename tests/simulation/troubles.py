"""What can go wrong in a run beside what clients do: at the vendors, on the way to the store, with pods and disks."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cast import CALLS, SKEW_MS

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from deck import Deck, Weather
    from judge import Judge
    from pod import Pod
    from vault import Vault


def at(when: float, what: Callable[[], None]) -> None:
    """So many seconds from now."""
    asyncio.get_running_loop().call_later(when, what, context=copy_context())


def spawn(work: Awaitable[None]) -> None:
    asyncio.ensure_future(work)  # noqa: RUF006 -- the loop of a run ends with the run


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """Each method is one trouble: it begins now, or some time later."""

    chance: random.Random
    judge: Judge
    vault: Vault
    decks: Sequence[Deck]
    weathers: Sequence[Weather]
    pods: Sequence[Pod]

    def vendor(self) -> None:
        for weather in self.weathers:
            weather.trouble = self.chance.choice((0.0, 0.2, 0.5))
        if self.chance.random() < 0.3:
            at(self.chance.uniform(0, 3), self._vendor_away)

    def _vendor_away(self) -> None:
        weather = self.chance.choice(self.weathers)
        weather.away = self._now() + self.chance.uniform(0.5, 4)
        weather.hangs = self.chance.random() < 0.5
        self.judge.say("a vendor is away")

    def slow(self) -> None:
        for pod in self.pods:
            pod.way.slow = self.chance.choice((0.1, 0.3))

    def lossy(self) -> None:
        for pod in self.pods:
            pod.way.lossy = self.chance.choice((0.05, 0.3))

    def deaf(self, chances: Sequence[float] = (0.05, 0.2)) -> None:
        for pod in self.pods:
            pod.way.deaf = self.chance.choice(chances)

    def outage(self) -> None:
        at(self.chance.uniform(0.2, 4), lambda: self.cut(self.pods))

    def partition(self) -> None:
        at(self.chance.uniform(0.2, 4), lambda: self.cut([self.chance.choice(self.pods)]))

    def cut(self, pods: Sequence[Pod]) -> None:
        """Nobody of these reaches the store, from now on for a while."""
        until = self._now() + self.chance.uniform(0.1, 3)
        silent = self.chance.random() < 0.5
        for pod in pods:
            pod.way.cut, pod.way.silent = max(pod.way.cut, until), silent  # a failover that nobody notices is none
        self.judge.say(f"store cut from {[pod.name for pod in pods]} until {until:.3f}")

    def crash(self) -> None:
        pod = self.chance.choice(self.pods)
        if pod.service is None:
            return
        self.judge.say(f"{pod.name} dies")
        pod.crash()
        at(self.chance.uniform(0.1, 3), lambda: self._again(pod))

    def _again(self, pod: Pod) -> None:
        """What a pod cannot read when it begins it recalls only when it begins again: so it waits for its disk."""
        if pod.disk.broken > self._now():
            at(pod.disk.broken - self._now(), lambda: self._again(pod))
            return
        self.judge.say(f"{pod.name} begins again")
        spawn(pod.start())

    def drift(self) -> None:
        deck, call = self.chance.choice(self.decks), self.chance.choice(CALLS)
        self.judge.say(f"{deck.name} {call} resumed by others")
        deck.drift(call)

    def end(self) -> None:
        call = self.chance.choice(CALLS)
        self.judge.say(f"{call} ends")
        for deck in self.decks:
            deck.ended.add(call)

    def failover(self) -> None:
        """The replica that takes over has not seen the last moment."""
        since, old = self._now(), self.vault.data.copy()
        at(self.chance.uniform(0.05, 0.4), lambda: self._rolled_back(since, old))

    def _away(self) -> None:
        """Nobody is the primary for a while, and every pod notices."""
        until = self._now() + self.chance.uniform(1.3, 3)
        for pod in self.pods:
            pod.way.cut, pod.way.silent = until, False

    def _rolled_back(self, since: float, old: object) -> None:
        self.vault.data = old  # type: ignore[assignment]  # -- a copy of itself
        self._away()
        self.judge.rolled_back(since)

    def disk(self) -> None:
        pod = self.chance.choice(self.pods)
        pod.disk.broken = self._now() + self.chance.uniform(0.2, 3)
        self.judge.say(f"{pod.name}'s disk is full")

    def clock(self) -> None:
        """One pod's clock is set, forward or back: no further from the store's than it may be."""
        pod = self.chance.choice(self.pods)
        pod.skew_ms = self.chance.randint(-SKEW_MS, SKEW_MS)
        self.judge.say(f"{pod.name}'s clock is set to {pod.skew_ms} ms")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
