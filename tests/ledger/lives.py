"""A process with its ledger and its journal, on a real store that can be made to fail at a chosen moment."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from gateway import decide
from gateway.audit.entry import Entry, EntryType
from gateway.audit.journal import Journal
from gateway.clock import Clock
from gateway.decide import MuteAsked
from gateway.describe import Scribe
from gateway.evidence import Policy
from gateway.heal import Healer
from gateway.ledger import Ledger, Step
from gateway.metrics import Metrics
from gateway.model import Action, CallKey, Hold, HoldKey, Parties, Recorder, Redaction, Target, Vendor
from gateway.store.contract import BUCKETS, StoreUnavailable, bucket
from gateway.store.watch import StoreWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.audit.note import Ack, Note
    from gateway.store.contract import Change, Committed, Stale, Stored, TrailEntry
    from gateway.store.redis import RedisStore

HMAC_KEY = bytes(range(32))
POLICY = Policy(reassert_ms=5_000, deadline_ms=2_500)
KEY = CallKey(tenant="acme", call_id="c1")
RECORDER = Recorder(backend="verba", vendor=Vendor.VERBA, target=Target(call_id="c1"))
WITHIN = 5.0


@dataclass(kw_only=True)
class Shaky:
    """A real store whose next commits are not made (`lost`), or made and not answered (`deaf`)."""

    store: RedisStore
    lost: int = 0
    deaf: int = 0
    away: bool = False
    committed: list[Change] = field(default_factory=list)
    overtake: Callable[[Change], Awaitable[None]] | None = None
    loading: Callable[[], Awaitable[None]] | None = None

    async def commit(self, change: Change, *, within: float) -> Committed | Stale:
        self._here()
        if self.overtake is not None:
            await self.overtake(change)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("lost")
        done = await self.store.commit(change, within=within)
        self.committed.append(change)
        if self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("no answer")
        return done

    async def load(self, key: CallKey, *, within: float) -> Stored | None:
        self._here()
        if self.loading is not None:
            await self.loading()
        return await self.store.load(key, within=within)

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        self._here()
        return await self.store.entries(key, within=within)

    def _here(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


@dataclass(kw_only=True)
class Life:
    """One process: its ledger, its journal, the store as it sees it."""

    ledger: Ledger
    journal: Journal
    shaky: Shaky
    metrics: Metrics
    healer: Healer

    async def mute(
        self, op: str, *, hold: str = "default", key: CallKey = KEY, needed: bool = False, within: float = WITHIN
    ) -> Any:  # noqa: ANN401 -- recorded
        def begin(redaction: Redaction) -> tuple[Redaction, None]:
            return decide.mute(redaction, asked(hold)), None

        return await self.ledger.step(
            key, step(op, begin, EntryType.MUTE_INTENDED, needed=needed, within=within, action=Action.MUTE, hold=hold)
        )

    async def let_go(self, op: str, *, hold: str, key: CallKey = KEY) -> Any:  # noqa: ANN401 -- recorded
        """One hold of several."""

        def drop(redaction: Redaction) -> tuple[Redaction, None]:
            left = tuple(one for one in redaction.holds if one.key.name != hold)
            return replace(redaction, holds=left, revision=redaction.revision + 1), None

        return await self.ledger.step(key, step(op, drop, EntryType.HOLD_DROPPED, action=Action.UNMUTE, hold=hold))

    async def drop(self, op: str, *, hold: str = "default", at: int = 10**13, key: CallKey = KEY) -> Any:  # noqa: ANN401 -- recorded
        """Its order ends the redaction, whoever else held it."""

        def end(redaction: Redaction) -> tuple[Redaction, None]:
            return replace(redaction, holds=(), revision=redaction.revision + 1, closed_at=at), None

        return await self.ledger.step(key, step(op, end, EntryType.UNMUTE_CONFIRMED, action=Action.UNMUTE, hold=hold))

    async def trail(self, key: CallKey = KEY) -> list[tuple[str, bool]]:
        entries = await self.shaky.store.entries(key, within=WITHIN)
        return [(one["op"], one.get("healed", False)) for one in map(orjson.loads, (e.entry for e in entries))]

    def holds(self, redaction: Redaction) -> set[str]:
        return {hold.key.name for hold in redaction.holds}

    async def known(self, key: CallKey = KEY) -> Redaction:
        stored = await self.ledger.load(key, within=WITHIN)
        assert stored is not None
        return stored.redaction

    async def state(self, key: CallKey = KEY) -> Redaction:
        stored = await self.shaky.store.load(key, within=WITHIN)
        assert stored is not None
        return stored.redaction


def asked(name: str) -> MuteAsked:
    hold = Hold(key=HoldKey(client="crm", name=name), parties=Parties.BOTH, actor=None, resume_at=None)
    return MuteAsked(at=1_000, received_at=1_000, hold=hold, recorders=(RECORDER,))


def step(
    op: str,
    transition: Callable[[Redaction], tuple[Redaction, None]],
    kind: EntryType | None,
    *,
    needed: bool = True,
    within: float = WITHIN,
    action: Action | None = None,
    hold: str | None = None,
) -> Step[None]:
    """`hold` is the one that `action` is about."""
    client, at = "crm" if hold else None, Clock().ms()

    def describe(before: Redaction, after: Redaction, _: None) -> Entry | None:
        if kind is None:
            return None
        entry = Entry(
            type=kind, tenant=before.key.tenant, call_id="c1", op=op, node="n", node_ms=at, revision=after.revision
        )
        return replace(entry, action=action, client=client, hold=hold)

    return Step(op=op, decide=transition, describe=describe, within=within, needed=needed)


@asynccontextmanager
async def life(store: RedisStore, directory: Path) -> AsyncIterator[Life]:
    """A process with the journal in `directory`; nothing heals by itself."""
    clock, metrics = Clock(), Metrics({}, version="0")
    journal = Journal(directory, key=HMAC_KEY, ms=clock.ms, metrics=metrics)
    recalled = await journal.open()
    shaky = Shaky(store=store)
    seen: Any = shaky
    ledger = Ledger(
        seen, hmac_key=HMAC_KEY, keep_ms=60_000, clock=clock, policy=POLICY, metrics=metrics, journal=journal
    )
    ledger.local.recall(recalled, lands_before=0)
    watch = StoreWatch(store, node="n", metrics=metrics)
    scribe = Scribe(node="n", ms=clock.ms, policy=POLICY)
    healer = Healer(ledger, journal, watch, store, scribe=scribe)
    try:
        yield Life(ledger=ledger, journal=journal, shaky=shaky, metrics=metrics, healer=healer)
    finally:
        await journal.close()


async def confirmed(one: Life) -> tuple[tuple[Note, Ack], ...]:
    """What the journal knows the store to have of the bucket of `KEY`."""
    return (await one.journal.confirmed(frozenset({bucket(KEY)})))[bucket(KEY)]


def gap(one: Life) -> float | None:
    calls = one.ledger.local._calls.values()
    assert one.ledger.local.gap() == sum(len(local.pending) + local.spilled for local in calls)
    return one.metrics.registry.get_sample_value("audit_gap_entries")


def counted(one: Life, device: str, outcome: str) -> float:
    labels = {"device": device, "outcome": outcome}
    return one.metrics.registry.get_sample_value("audit_entries_total", labels) or 0.0


def same_bucket() -> str:
    """Another call's id in the bucket of `KEY`."""
    return next(f"d{n}" for n in range(10 * BUCKETS) if bucket(CallKey(tenant="acme", call_id=f"d{n}")) == bucket(KEY))


async def rolled(one: Life, image: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    """The store's content now; with an image: the store as it was then, the way a replica that was behind has it."""

    async def send(*words: str | bytes) -> Any:  # noqa: ANN401 -- a reply
        (reply,) = await one.shaky.store._primaries.send(bucket(KEY), words)
        return reply

    if image is not None:
        await send("FLUSHALL")
        for name, value in image.items():
            await send("RESTORE", name, "0", value)
    names: list[bytes] = await send("KEYS", "*")
    return {name: await send("DUMP", name) for name in names}
