"""What happens in one run, drawn from its seed: clients, troubles, and then a time in which all is well."""

from __future__ import annotations

import asyncio
import random
from contextvars import copy_context
from typing import TYPE_CHECKING

from cast import ALIASES, CALLS, CLIENTS, SKEW_MS, THE_CALL, where
from client import ASKING, Asking
from deck import Deck, Weather
from disk import Disk
from judge import Judge
from pod import Pod, Scene
from troubles import Troubles, at, spawn
from vault import Vault
from virtual import EPOCH_MS

from gateway.asks import Answer, Code, Failure, Mute, Read, Unmute
from gateway.model import CallKey, Where

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cast import Client

TROUBLED_SECONDS = 5.0
DYING_SECONDS = 3.0
SETTLING_SECONDS = 20
DECKS = ("one", "two")
CLASHES = 0.3  # of all runs
REFUSALS = 0.2  # of these
LOSSES = 0.12  # of the others: what a store or a pod knows is not so any more
STORMS = 0.1  # of what is left: twice as much goes wrong, and twice as much is asked for


class Story:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- a seed repeats it
        self.clash = self.chance.random() < CLASHES
        """Orders are given, and taken back while they are under way, at recorders that do not do as they are told."""
        self.duel = self.clash or self.chance.random() < 0.5
        """Everybody wants the same hold of the same call at the same time."""
        self.dates: tuple[int | None, ...] = (None, None, None, 1, 3)
        self.crowd = 1 if self.duel else self.chance.choice((1, 2, 3))
        self.vault = Vault(lambda: EPOCH_MS + int(1000 * asyncio.get_running_loop().time()))
        self.decks = tuple(Deck(name=name) for name in DECKS)
        self.weathers = (Weather(), Weather())
        calls = {CallKey(tenant=c.tenant, call_id=call): call for c in CLIENTS for call in CALLS}
        calls |= {CallKey(tenant="acme", call_id=alias): CALLS[0] for alias in ALIASES}
        self.judge = Judge(vault=self.vault, decks=self.decks, calls=calls)
        scene = Scene(vault=self.vault, decks=self.decks, weathers=self.weathers, chance=self.chance)
        self.pods = [
            Pod(name, scene, Disk(), skew_ms=self.chance.randint(-SKEW_MS, SKEW_MS)) for name in ("pod-a", "pod-b")
        ]
        self.judge.pods = self.pods
        self.troubles = Troubles(
            chance=self.chance,
            judge=self.judge,
            vault=self.vault,
            decks=self.decks,
            weathers=self.weathers,
            pods=self.pods,
        )
        self.vault.committed = self.judge.committed
        for deck in self.decks:
            deck.loosened, deck.sent = self.judge.loosened, self.judge.sent
            for call in CALLS:
                deck.begin(call)

    async def play(self) -> Judge:
        for pod in self.pods:
            await pod.start()
        self._plan()
        await asyncio.sleep(TROUBLED_SECONDS)
        await self._calm()
        await self._settle()
        self.judge.close(self.pods)
        return self.judge

    async def _settle(self) -> None:
        """Whatever is on its way lands or dies; then everything has its time to come in order."""
        await asyncio.sleep(DYING_SECONDS)
        for _ in range(SETTLING_SECONDS):
            if self.judge.in_order():
                return
            await asyncio.sleep(1.0)

    # ── the plan ──

    def _plan(self) -> None:
        if self.clash and self.chance.random() < REFUSALS:
            self._refusal()
        elif self.clash:
            self._clash()
        elif self.chance.random() < LOSSES:
            self.chance.choice((self._loss, self._outlived))()
        else:
            self._mischief()

    def _clash(self) -> None:
        """Little else happens, so that what becomes of each order is seen."""
        chance, when = self.chance, 0.0
        for weather in chance.choice(((), self.weathers[:1], self.weathers[1:], self.weathers)):
            weather.stubborn = 0.8
        if chance.random() < 0.3:
            at(chance.uniform(1, 4), self.troubles.crash)
        elif chance.random() < 0.2:
            self.troubles.deaf()
        while when < TROUBLED_SECONDS - 2:
            at(when, self._mute_one)
            when += chance.uniform(0.2, 1.2)
            at(when, self._unmute_one)
            when += chance.choice((chance.uniform(0.0, 0.06), chance.uniform(0.0, 3.0)))

    def _refusal(self) -> None:
        """A client lets go, and of some steps nobody hears whether the store took them. It does not ask again."""
        self.dates = (None,)
        at(0.1, self._mute_one)
        at(1.0, self._unmute_one)
        at(self.chance.uniform(1.0, 1.04), lambda: self.troubles.deaf((0.5, 0.9)))

    def _loss(self) -> None:
        """The store loses a hold that it has confirmed, while its client lets go of another one again and again."""
        chance, self.dates = self.chance, (None,)
        if chance.random() < 0.7:
            at(2.0, self.troubles.slow)
        at(0.1, lambda: self._mute_one("default"))
        when = chance.uniform(0.6, 1.0)
        at(when, self.troubles.failover)
        at(when + chance.uniform(0.0, 0.03), lambda: self._mute_one("form"))
        when += chance.uniform(0.05, 0.2)
        while when < TROUBLED_SECONDS:
            at(when, lambda: self._unmute_one("default"))
            when += chance.uniform(0.02, 0.3)

    def _outlived(self) -> None:
        """What one pod has muted another one lets go; then there is no store, and the first one is asked."""
        chance, self.dates = self.chance, (None,)
        first, second = chance.sample(self.pods, 2)
        at(0.1, lambda: self._mute_one(pod=first))
        when = chance.uniform(0.6, 1.2)
        at(when, lambda: self._unmute_one(pod=second))
        when += chance.uniform(0.1, 1.5)
        at(when, lambda: self.troubles.cut(self.pods))
        for _ in range(12):
            when += chance.uniform(0.01, 0.3)
            at(when, lambda: spawn(self._read(first, CLIENTS[0], THE_CALL, refresh=False)))

    def _mischief(self) -> None:
        chance, troubles = self.chance, self.troubles
        times = 2 if chance.random() < STORMS else 1
        for trouble in (troubles.vendor, troubles.slow, troubles.lossy, troubles.outage, troubles.partition):
            if chance.random() < 0.3 * times:
                trouble()
        lost = chance.choice((troubles.failover, troubles.disk))  # both at once may lose what was acknowledged
        for trouble in (troubles.crash, troubles.drift, troubles.end, troubles.clock, lost):
            if chance.random() < 0.25 * times:
                at(chance.uniform(0.2, TROUBLED_SECONDS - 1), trouble)
        for _ in range(times * chance.randint(2, 5)):
            burst = chance.uniform(0.0, TROUBLED_SECONDS - 1)
            for _ in range(chance.randint(1, 5)):
                at(burst + chance.uniform(0.0, 0.12 if self.duel else 0.5), self._request)

    async def _calm(self) -> None:
        self.judge.say("all is well from now on")
        for weather in self.weathers:
            weather.trouble = weather.stubborn = weather.away = 0.0
        for pod in self.pods:
            pod.way.cut = pod.way.lossy = pod.way.slow = pod.way.deaf = pod.disk.broken = 0.0

    # ── clients ──

    def _mute_one(self, hold: str = "", pod: Pod | None = None) -> None:
        if pod := pod or self._alive():
            spawn(self._mute(pod, CLIENTS[0], THE_CALL, Where(), hold))

    def _unmute_one(self, hold: str = "", pod: Pod | None = None) -> None:
        if pod := pod or self._alive():
            spawn(self._unmute(pod, CLIENTS[0], THE_CALL, hold))

    def _alive(self) -> Pod | None:
        alive = [pod for pod in self.pods if pod.service is not None]
        return self.chance.choice(alive) if alive else None

    def _request(self) -> None:
        chance, pod = self.chance, self._alive()
        if pod is None:
            return
        client = chance.choice(CLIENTS[: self.crowd])
        call = chance.choice(CALLS[:1] if self.duel or chance.random() < 0.7 else CALLS)
        alias = not self.duel and client.tenant == "acme" and call == CALLS[0] and chance.random() < 0.3
        name = chance.choice(ALIASES) if alias else call
        key, place = (
            CallKey(tenant=client.tenant, call_id=name),
            where(name, call, tuple(deck.name for deck in self.decks)),
        )
        match chance.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                spawn(self._mute(pod, client, key, place))
            case 5 | 6 | 7:
                spawn(self._unmute(pod, client, key))
            case _:
                spawn(self._read(pod, client, key, refresh=chance.random() < 0.4))

    def _hold(self) -> str:
        return "default" if self.duel else self.chance.choice(("default", "form"))

    async def _mute(self, pod: Pod, client: Client, key: CallKey, place: Where, hold: str = "") -> None:
        hold = hold or self._hold()
        resume = self.chance.choice(self.dates)
        account = self.judge.accounts[key, client.name, hold]
        account.let_go = account.let_go or resume is not None
        ask = Mute(
            key=key,
            origin=client.origin(),
            received_at=pod.ms(),
            hold=hold,
            where=place,
            resume_after_seconds=resume,
        )
        service = pod.service
        assert service is not None
        answer = await self._held(account, f"PUT {hold}", pod, key, lambda: service.mute(ask))
        account.under_way -= 1
        if isinstance(answer, Answer):
            if not answer.document.protected and not answer.pending:
                self.judge.breach("a 2xx on PUT that does not mean protected")
            account.owed = account.owed or (resume is None and answer.document.durability != "none")
            account.local = answer.document.durability in {"journal", "none"}
        elif isinstance(answer, Failure) and answer.code is Code.CALL_NOT_FOUND:
            account.owed = False
        if resume is not None:
            account.muddled = True

    async def _unmute(self, pod: Pod, client: Client, key: CallKey, hold: str = "") -> None:
        hold = hold or self._hold()
        account = self.judge.accounts[key, client.name, hold]
        account.let_go = True
        ask = Unmute(key=key, origin=client.origin(), received_at=pod.ms(), hold=hold)
        service, began = pod.service, self._now()
        assert service is not None
        answer = await self._held(account, f"DELETE {hold}", pod, key, lambda: service.unmute(ask))
        account.under_way -= 1
        if isinstance(answer, Answer):
            account.owed = False
            self.judge.resumed(key, answer.document, began)
        elif answer is None:  # whether it was taken is not known
            account.muddled = True

    async def _held(
        self, account: object, what: str, pod: Pod, key: CallKey, work: Callable[[], Awaitable[Answer]]
    ) -> Answer | Failure | None:
        from judge import Account  # noqa: PLC0415 -- narrowed here only

        assert isinstance(account, Account)
        if account.under_way:
            account.muddled = True
        account.under_way += 1
        return await self._asked(what, pod, key, work)

    async def _read(self, pod: Pod, client: Client, key: CallKey, *, refresh: bool) -> None:
        ask = Read(key=key, origin=client.origin(), received_at=pod.ms(), refresh=refresh)
        service = pod.service
        assert service is not None
        await self._asked("GET", pod, key, lambda: service.read(ask))

    async def _asked(
        self, what: str, pod: Pod, key: CallKey, work: Callable[[], Awaitable[Answer]]
    ) -> Answer | Failure | None:
        """None where the pod died under the request."""
        asking, told = Asking(key=key, as_of=self._now()), pod.way.told.get(key, 0.0)
        self.judge.say(f"{pod.name}: {what} {key.tenant}/{key.call_id}")
        try:
            answer = await _within(pod, asking, work)
        except Failure as failure:
            self._told(pod, what, key, failure)
            return failure
        if answer is None:
            return None
        document = answer.document
        self.judge.say(
            f"{pod.name}: {what} {key.tenant}/{key.call_id} → {document.state} "
            f"{'protected' if document.protected else 'not protected'} {document.durability}"
        )
        self.judge.answered(asking, document, key, told)
        return answer

    def _told(self, pod: Pod, what: str, key: CallKey, failure: Failure) -> None:
        self.judge.say(f"{pod.name}: {what} {key.tenant}/{key.call_id} → {failure.code}")
        if failure.code is Code.INTERNAL_ERROR:
            self.judge.breach("an internal error")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _within(pod: Pod, asking: Asking, work: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """The request runs in the pod, and dies with it."""
    from virtual import OWNER  # noqa: PLC0415 -- used here only

    context = copy_context()
    context.run(OWNER.set, pod)
    context.run(ASKING.set, asking)

    async def served() -> Answer:
        return await work()

    task = asyncio.get_running_loop().create_task(served(), context=context)
    await asyncio.wait({task})
    return None if task.cancelled() else task.result()
