"""Trails to seal, export and tamper with: on a real store, with real keys."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.audit.chain import GENESIS, link
from gateway.audit.entry import Entry, EntryType
from gateway.audit.keyring import Keyring
from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.model import CallKey, Redaction
from gateway.store.contract import Change, Committed, Stored
from gateway.store.seals import SealStore
from gateway.trail.export import Export
from gateway.trail.register import Register
from gateway.trail.sealer import Sealer

if TYPE_CHECKING:
    from gateway.audit.export import Selection
    from gateway.store.redis import RedisStore

HMAC_KEY, SEED = bytes(range(32)), bytes(range(32, 64))
OLD_HMAC_KEY, OLD_SEED = bytes(range(64, 96)), bytes(range(96, 128))
OTHER_SEED = bytes(range(128, 160))
KEYRING = Keyring.of(hmac_key=HMAC_KEY, signing_key=SEED)
WITHIN = 5.0


@dataclass(kw_only=True)
class Time:
    """A node's clock that a test sets."""

    now: int = 1_700_000_000_000

    def ms(self) -> int:
        return self.now


@dataclass(kw_only=True)
class Trail:
    """A store with calls that change, and a sealer that acts when told."""

    store: RedisStore
    keyring: Keyring = KEYRING
    node: str = "n1"
    time: Time = field(default_factory=Time)
    metrics: Metrics = field(default_factory=lambda: Metrics({}, version="0"))
    known: dict[CallKey, Stored] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.seals = SealStore(self.store)
        self.register = Register(self.seals, hmac_key=self.keyring.chain.key, metrics=self.metrics)
        self.sealer = self.another(self.node)

    def another(self, node: str) -> Sealer:
        return Sealer(
            self.seals,
            self.keyring,
            self.register,
            node=node,
            clock=Clock(ms=self.time.ms),
            metrics=self.metrics,
            seal_seconds=1.0,
        )

    async def write(self, *calls: str, tenant: str = "acme") -> None:
        """One entry for each call named."""
        for call_id in calls:
            await self._write(CallKey(tenant=tenant, call_id=call_id))

    async def _write(self, key: CallKey) -> None:
        self.steps += 1
        before = self.known.get(key)
        revision = before.redaction.revision + 1 if before else 1
        entry = replace(some_entry(key, f"op{self.steps}", revision), node_ms=self.time.now).canonical()
        after = Redaction(key=key, revision=revision)
        head = before.head if before else GENESIS
        change = Change(
            op=f"op{self.steps}",
            before=before,
            after=after,
            entry=entry,
            link=link(self.keyring.chain.key, head, entry),
            due_at=5,
            keep_ms=None,
        )
        done = await self.store.commit(change, within=WITHIN)
        assert isinstance(done, Committed), done
        self.known[key] = Stored(redaction=after, head=done.link, seq=done.seq)

    async def seal(self) -> int:
        return await self.sealer.seal()

    async def export(self, selection: Selection | None = None) -> bytes:
        export = await Export.begin(self.seals, selection)
        return b"".join([block async for block in export.signed(self.keyring, self.time.ms)])


def some_entry(key: CallKey, op: str, revision: int) -> Entry:
    return Entry(
        type=EntryType.MUTE_CONFIRMED,
        tenant=key.tenant,
        call_id=key.call_id,
        op=op,
        node="n1",
        node_ms=1_700_000_000_000,
        client="crm",
        actor="agent-17",
        protected=True,
        revision=revision,
    )


def calls(count: int) -> list[str]:
    return [f"call-{number}" for number in range(count)]
