"""What happens in one run, drawn from its seed: clients, troubles, and then a time in which all is well."""

from __future__ import annotations

import asyncio
import random
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client import ASKING, Asking
from deck import Deck, Weather
from disk import Disk
from judge import Judge
from pod import Pod, Scene
from vault import Vault
from virtual import EPOCH_MS

from gateway.asks import Answer, Code, Failure, Mute, Read, Unmute
from gateway.model import CallKey, Origin, PartialTarget, Principal, Where
from gateway.store.contract import bucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TROUBLED_SECONDS = 5.0
DYING_SECONDS = 3.0
SETTLING_SECONDS = 20
BUCKETS = 2  # the reconciler walks through these only
SKEW_MS = 90


def _names(word: str, count: int) -> list[str]:
    """Call ids that fall into the few buckets that are walked through."""
    found = (f"{word}{n}" for n in range(10_000))
    fit = (n for n in found if all(bucket(CallKey(tenant=t, call_id=n)) < BUCKETS for t in ("acme", "umbrella")))
    return [name for name, _ in zip(fit, range(count), strict=False)]


CALLS = _names("call", 2)
ALIASES = _names("alias", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    tenant: str
    name: str

    def origin(self) -> Origin:
        return Origin(principal=Principal(client=self.name, tenant=self.tenant, kid="k"), request_id="r")


CLIENTS = (Client(tenant="acme", name="crm"), Client(tenant="acme", name="ivr"), Client(tenant="umbrella", name="crm"))


class Story:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- a seed repeats it
        self.duel = self.chance.random() < 0.5
        """Everybody wants the same hold of the same call at the same time."""
        self.crowd = 1 if self.duel else self.chance.choice((1, 2, 3))
        self.vault = Vault(lambda: EPOCH_MS + int(1000 * asyncio.get_running_loop().time()))
        self.decks = (Deck(name="one"), Deck(name="two"))
        self.weathers = (Weather(), Weather())
        calls = {CallKey(tenant=c.tenant, call_id=call): call for c in CLIENTS for call in CALLS}
        calls |= {CallKey(tenant="acme", call_id=ALIASES[0]): CALLS[0]}
        self.judge = Judge(vault=self.vault, decks=self.decks, calls=calls)
        scene = Scene(vault=self.vault, decks=self.decks, weathers=self.weathers, chance=self.chance)
        self.pods = [
            Pod(name, scene, Disk(), skew_ms=self.chance.randint(-SKEW_MS, SKEW_MS)) for name in ("pod-a", "pod-b")
        ]
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
        chance = self.chance
        for trouble in (self._vendor, self._slow, self._lossy, self._outage, self._partition):
            if chance.random() < 0.3:
                trouble()
        lost = chance.choice((self._failover, self._disk))  # both at once may lose what was acknowledged
        for trouble in (self._crash, self._drift, self._end, lost):
            if chance.random() < 0.25:
                self._at(chance.uniform(0.2, TROUBLED_SECONDS - 1), trouble)
        for _ in range(chance.randint(2, 5)):
            burst = chance.uniform(0.0, TROUBLED_SECONDS - 1)
            for _ in range(chance.randint(1, 5)):
                self._at(burst + chance.uniform(0.0, 0.12 if self.duel else 0.5), self._request)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(when, what, context=copy_context())

    def _vendor(self) -> None:
        for weather in self.weathers:
            weather.trouble = self.chance.choice((0.0, 0.2, 0.5))
        if self.chance.random() < 0.3:
            self._at(self.chance.uniform(0, 3), self._vendor_away)

    def _vendor_away(self) -> None:
        weather = self.chance.choice(self.weathers)
        weather.away = self._now() + self.chance.uniform(0.5, 4)
        weather.hangs = self.chance.random() < 0.5
        self.judge.say("a vendor is away")

    def _slow(self) -> None:
        for pod in self.pods:
            pod.way.slow = self.chance.choice((0.1, 0.3))

    def _lossy(self) -> None:
        for pod in self.pods:
            pod.way.lossy = self.chance.choice((0.05, 0.3))

    def _outage(self) -> None:
        self._at(self.chance.uniform(0.2, 4), lambda: self._cut(self.pods))

    def _partition(self) -> None:
        self._at(self.chance.uniform(0.2, 4), lambda: self._cut([self.chance.choice(self.pods)]))

    def _cut(self, pods: list[Pod]) -> None:
        until = self._now() + self.chance.uniform(0.1, 3)
        silent = self.chance.random() < 0.5
        for pod in pods:
            pod.way.cut, pod.way.silent = until, silent
        self.judge.say(f"store cut from {[pod.name for pod in pods]} until {until:.3f}")

    def _crash(self) -> None:
        pod = self.chance.choice(self.pods)
        if pod.service is None:
            return
        self.judge.say(f"{pod.name} dies")
        pod.crash()
        self._at(self.chance.uniform(0.1, 3), lambda: self._again(pod))

    def _again(self, pod: Pod) -> None:
        self.judge.say(f"{pod.name} begins again")
        self._spawn(pod.start())

    def _drift(self) -> None:
        deck, call = self.chance.choice(self.decks), self.chance.choice(CALLS)
        self.judge.say(f"{deck.name} {call} resumed by others")
        deck.drift(call)

    def _end(self) -> None:
        call = self.chance.choice(CALLS)
        self.judge.say(f"{call} ends")
        for deck in self.decks:
            deck.ended.add(call)

    def _failover(self) -> None:
        """The replica that takes over has not seen the last moment."""
        since, old = self._now(), self.vault.data.copy()
        self._at(self.chance.uniform(0.05, 0.4), lambda: self._rolled_back(since, old))

    def _away(self) -> None:
        """Nobody is the primary for a while, and every pod notices."""
        until = self._now() + self.chance.uniform(1.3, 3)
        for pod in self.pods:
            pod.way.cut, pod.way.silent = until, False

    def _rolled_back(self, since: float, old: object) -> None:
        self.vault.data = old  # type: ignore[assignment]  # -- a copy of itself
        self._away()
        self.judge.rolled_back(since)

    def _disk(self) -> None:
        pod = self.chance.choice(self.pods)
        pod.disk.broken = self._now() + self.chance.uniform(0.2, 3)
        self.judge.say(f"{pod.name}'s disk is full")

    async def _calm(self) -> None:
        self.judge.say("all is well from now on")
        for weather in self.weathers:
            weather.trouble = weather.away = 0.0
        for pod in self.pods:
            pod.way.cut = pod.way.lossy = pod.way.slow = pod.disk.broken = 0.0

    # ── clients ──

    def _request(self) -> None:
        alive = [pod for pod in self.pods if pod.service is not None]
        if not alive:
            return
        chance = self.chance
        client, pod = chance.choice(CLIENTS[: self.crowd]), chance.choice(alive)
        call = chance.choice(CALLS[:1] if self.duel or chance.random() < 0.7 else CALLS)
        alias = not self.duel and client.tenant == "acme" and call == CALLS[0] and chance.random() < 0.2
        key = CallKey(tenant=client.tenant, call_id=ALIASES[0] if alias else call)
        where = Where(targets={d.name: PartialTarget(call_id=call) for d in self.decks}) if alias else Where()
        match chance.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                self._spawn(self._mute(pod, client, key, where))
            case 5 | 6 | 7:
                self._spawn(self._unmute(pod, client, key))
            case _:
                self._spawn(self._read(pod, client, key, refresh=chance.random() < 0.4))

    def _hold(self) -> str:
        return "default" if self.duel else self.chance.choice(("default", "form"))

    def _spawn(self, work: Awaitable[None]) -> None:
        asyncio.ensure_future(work)  # noqa: RUF006 -- the loop of a run ends with the run

    async def _mute(self, pod: Pod, client: Client, key: CallKey, where: Where) -> None:
        hold = self._hold()
        resume = self.chance.choice((None, None, None, 1, 3))
        account = self.judge.accounts[key, client.name, hold]
        account.let_go = account.let_go or resume is not None
        ask = Mute(
            key=key,
            origin=client.origin(),
            received_at=pod.ms(),
            hold=hold,
            where=where,
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

    async def _unmute(self, pod: Pod, client: Client, key: CallKey) -> None:
        hold = self._hold()
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
        elif answer is None or answer.code is Code.STORE_UNAVAILABLE:  # whether the store took it is not known
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
        asking = Asking(key=key, as_of=self._now())
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
        self.judge.answered(asking, document, key)
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
