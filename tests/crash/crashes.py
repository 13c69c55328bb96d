"""One crash: a gateway dies at a named place, maybe the next one too, and another start or another pod takes over.

Two recorders, one call, each client's request sent once. The store is a server that outlives all gateways.
"""

from __future__ import annotations

import asyncio
import enum
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from doom import Doom
from pods import PATIENCE_SECONDS, TENANT, pods, site, until
from servers import Server, single
from steps import opened
from witness import Claim, claims, false, gaps, torn, types

from gateway.model import CallKey, Parties
from gateway.sandbox.faults import FaultKind
from gateway.sandbox.verba import VerbaFake
from gateway.store.contract import bucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pods import Nursery, Pod, Site

    from gateway.store.contract import TrailEntry

CALL = "c1"
RECORDERS = ("verba_1", "verba_2")
DEATH_SECONDS = 30.0
ABANDONED_AT = ("command.unmute.after", 2)  # both recorders are on, and nobody knows


class NeverPassed(AssertionError):  # noqa: N818 -- reads as the fact it states
    """Nobody came by the place: there is none of that name, or the machine was so busy that another way was taken."""


class Story(enum.StrEnum):
    """What is going on when the gateway dies."""

    MUTE = "mute"
    UNMUTE = "unmute"
    REVERT = "revert"  # one recorder refuses the unmute, and the other one is muted again
    RECOVERY = "recovery"  # the second crash: while what the first one left behind is cleaned up
    OUTAGE = "outage"  # a mute without the store
    HEALING = "healing"  # the second crash: while the store gets what it missed


class Heir(enum.StrEnum):
    """Who takes over."""

    SAME = "same"  # the next start of the same pod
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    story: Story
    place: str
    passage: int
    heir: Heir

    def __str__(self) -> str:
        return f"{self.story}-{self.place}-{self.passage}-{self.heir}"


@dataclass(kw_only=True)
class Told:
    """What clients were answered, and what was claimed to them. `seconds`: from takeover to the end that it has."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    seconds: float = 0.0

    def status(self, name: str) -> int:
        return self.answers.get(name, (0, None))[0]


@dataclass(kw_only=True)
class Scene:
    crash: Crash
    server: Server
    fakes: list[VerbaFake]
    pods: list[Pod]
    site: Site
    directory: Path
    told: Told = field(default_factory=Told)

    @property
    def first(self) -> Pod:
        return self.pods[0]

    @property
    def heir(self) -> Pod:
        """On a machine so busy that the store was late, what only the journal knows is with its own pod."""
        alone = self.crash.heir is Heir.SAME or "entry.journaled" in self.first.log
        return self.pods[0 if alone else 1]

    def doom(self) -> Doom:
        return Doom(place=self.crash.place, passage=self.crash.passage, armed=self.directory / "armed")

    def arm(self) -> None:
        (self.directory / "armed").touch()

    async def ask(self, pod: Pod, name: str, method: str, **body: object) -> int:
        asked = time.time_ns()
        status, document = await pod.ask(method, CALL, **body)
        self.told.claims += claims(document, asked=asked, answered=time.time_ns())
        self.told.answers[name] = status, document
        return status

    async def die(self, pod: Pod) -> None:
        """Of itself, at its place."""
        try:
            status = await pod.over(DEATH_SECONDS)
        except TimeoutError:
            raise NeverPassed(f"{self.told.answers}; log:\n{pod.log[-2000:]}") from None
        assert status == -signal.SIGKILL, (str(self.crash), status, pod.log[-2000:])

    async def _muted(self) -> bool:
        return await self.ask(self.first, "mute", "PUT", actor="agent-17") == 200

    async def doomed(self, pod: Pod, doom: Doom) -> None:
        """Start a pod that is to die, as far as it comes."""
        await pod.launch(doom)
        assert pod.ended is not None
        ended = pod.ended
        while not ended.done() and await pod.readiness() != 200:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)

    # ── the stories ──

    async def mute(self) -> None:
        if self.crash.heir is Heir.OTHER:
            await self.pods[1].start()
        await self.doomed(self.first, self.doom())
        self.arm()
        await self.ask(self.first, "mute", "PUT", actor="agent-17")
        await self.die(self.first)

    async def unmute(self) -> None:
        if self.crash.heir is Heir.OTHER:
            await self.pods[1].start()
        await self.doomed(self.first, self.doom())
        await until(self._muted)
        if self.crash.story is Story.REVERT:
            self.fakes[1].plan(FaultKind.REFUSE, on={"command"}, times=1)
        self.arm()
        await self.ask(self.first, "unmute", "DELETE")
        await self.die(self.first)

    async def recovery(self) -> None:
        """The first one dies with both recorders on; the heir dies while it cleans up, and then there is a third."""
        place, passage = ABANDONED_AT
        await self.doomed(self.first, Doom(place=place, passage=passage, armed=self.directory))
        await until(self._muted)
        await self.ask(self.first, "unmute", "DELETE")
        await self.die(self.first)
        self.arm()
        await self.doomed(self.heir, self.doom())
        await self.die(self.heir)

    async def outage(self) -> None:
        """The store hangs; the mute is answered from the journal, or its gateway dies before that."""
        await self.doomed(self.first, self.doom())
        self.server.signal(signal.SIGSTOP)
        if self.crash.story is Story.OUTAGE:
            self.arm()
        await self.ask(self.first, "mute", "PUT", actor="agent-17")
        if self.crash.story is Story.HEALING:
            await until(self._muted)
            await self.first.kill()
            self.server.signal(signal.SIGCONT)
            self.arm()
            await self.doomed(self.first, self.doom())
        await self.die(self.first)
        self.server.signal(signal.SIGCONT)

    async def take_over(self) -> None:
        """Whoever is to finish is there, and has finished."""
        heir = self.heir
        if heir.ended is None or heir.ended.done():
            await heir.start()
        began = time.monotonic()
        try:
            await until(lambda: self._finished(heir), every=0.05)
        except TimeoutError:
            raise AssertionError(f"not finished: {await heir.ask('GET', CALL)}\n{heir.log}") from None
        self.told.seconds = time.monotonic() - began

    async def _finished(self, heir: Pod) -> bool:
        """Protected, or resumed as ordered, and the store has it; or nothing has ever happened."""
        status = await self.ask(heir, "state", "GET")
        document = self.told.answers["state"][1]
        if status == 404:
            return not await self.trail()
        done = status == 200 and (document["protected"] or document["desired"] == "unmuted")
        return bool(done and document["durability"] == "stored")

    # ── the judgement ──

    async def trail(self) -> tuple[TrailEntry, ...]:
        """All that the store has; there is one call, so one bucket."""
        async with opened(f"redis://127.0.0.1:{self.server.port}", strict=False) as store:
            number = bucket(CallKey(tenant=TENANT, call_id=CALL))
            return (await store.trail(number, since=0, most=10_000, within=10)).entries

    async def judge(self) -> None:
        entries = await self.trail()
        happened = types(entries)
        known = self.told.answers["state"][1]
        case = (str(self.crash), dict(happened), self.told.answers)
        assert not gaps(entries), case
        assert not torn(entries, self.site.hmac_key), case
        self._judge_end(known, entries, case)
        self._judge_tapes(known, case)
        for pod in self.pods:
            self._judge_log(pod, case)

    def _overtaken(self, entries: tuple[TrailEntry, ...]) -> bool:
        """A mute that only the journal had came late, and ended the order without a word of its own."""
        words = [orjson.loads(entry.entry) for entry in entries]
        ordered = [word["type"] for word in words].index("unmute.intended")
        return any(word.get("healed") for word in words[ordered:])

    def _judge_end(self, known: Any, entries: tuple[TrailEntry, ...], case: object) -> None:  # noqa: ANN401 -- a document
        """What was acknowledged has happened; what was written down has been finished or undone."""
        happened = types(entries)
        if self.told.status("unmute") == 200:
            assert known["desired"] == "unmuted", case
        elif self.told.status("mute") == 200 or happened["mute.intended"]:
            assert known.get("protected") or happened["unmute.confirmed"], case
        if "protected" in known and known["desired"] == "unmuted":
            assert happened["unmute.confirmed"] == 1, case
        elif happened["unmute.intended"] and not self._overtaken(entries):
            assert happened["unmute.abandoned"] + happened["unmute.failed"] == 1, case

    def _judge_tapes(self, known: Any, case: object) -> None:  # noqa: ANN401 -- a document
        """The end is what the tapes have; nobody was told of silence that was none; an unmute went out once."""
        for name, fake in zip(RECORDERS, self.fakes, strict=True):
            call = fake.calls[CALL]
            if "protected" not in known:
                assert len(call.tape.cuts) == 1, case
            else:
                assert (call.muted == Parties.BOTH) is (known["desired"] == "muted"), (case, call.tape.cuts)
            wrong = [claim for claim in self.told.claims if claim.recorder == name and false(claim, call.tape)]
            assert not wrong, (case, wrong, call.tape.cuts)
            unmutes = [sent for sent in fake.sent("command") if ("mute", "0") in sent.form]
            assert len(unmutes) <= ("unmute" in self.told.answers), case

    def _judge_log(self, pod: Pod, case: object) -> None:
        if not (pod.home / "log").exists():
            return
        events = [orjson.loads(line)["event"] for line in pod.log.splitlines() if line.startswith("{")]
        bad = {"journal.broken", "call.unattended", "healing.failed", "adapter.failed"}
        assert bad.isdisjoint(events), (case, bad & set(events))
        assert "Traceback" not in pod.log, (case, pod.log[-5000:])


async def crash(children: Nursery, directory: Path, one: Crash) -> Told:
    """Play it and judge it."""
    fakes = [VerbaFake(login=False) for _ in RECORDERS]
    async with AsyncExitStack() as stack:
        for fake in fakes:
            await fake.start()
            stack.push_async_callback(fake.stop)
            fake.add_call(CALL, extension="8856")
        server = await stack.enter_async_context(single(directory))
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        shared = site(f"redis://127.0.0.1:{server.port}", fakes)
        gateways = pods(children, directory, shared, session, 2)
        scene = Scene(crash=one, server=server, fakes=fakes, pods=gateways, site=shared, directory=directory)
        for pod in gateways:
            pod.patient = one.story not in {Story.OUTAGE, Story.HEALING}
            stack.push_async_callback(pod.end)
        stories: dict[Story, Callable[[], Awaitable[None]]] = {
            Story.MUTE: scene.mute,
            Story.UNMUTE: scene.unmute,
            Story.REVERT: scene.unmute,
            Story.RECOVERY: scene.recovery,
            Story.OUTAGE: scene.outage,
            Story.HEALING: scene.outage,
        }
        await stories[one.story]()
        await scene.take_over()
        await scene.judge()
        return scene.told
