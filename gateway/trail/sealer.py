"""One pod seals: under load every `seal_seconds`, without news every minute.

Who seals is settled by a lease; that two who believe they do cannot fork the seals, by the store, which takes a
checkpoint only after the one that it names. Whoever begins checks the newest checkpoint first: one that is not
signed by a key of ours is nothing to go on from, and a pod that lacks the newest key leaves sealing to the others.
"""

from __future__ import annotations

import base64
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from gateway.audit import row, seal
from gateway.audit.beginnings import CLOCKS_MS, UNSEALED_MS
from gateway.audit.entry import Entry, EntryType
from gateway.audit.findings import Kind
from gateway.audit.notice import notice
from gateway.audit.seal import Checkpoint, Lost
from gateway.audit.signed import line_hash
from gateway.beside import beside
from gateway.store.contract import StoreUnavailable
from gateway.store.seals import SYSTEM
from gateway.trail import heads as kept_heads
from gateway.trail.fall import standing
from gateway.trail.heads import Kept
from gateway.trail.rows import rows, unsealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Base, Head
    from gateway.clock import Clock
    from gateway.metrics import Metrics
    from gateway.store.seals import NewestSeal, SealStore
    from gateway.trail.register import Register

_log = structlog.stdlib.get_logger("seals")
_audit = structlog.stdlib.get_logger("audit")

IDLE_SECONDS = 60.0
LEASE_SECONDS = 10.0
STORE_SECONDS = 2.0
REMEMBERED = 256  # entries of a bucket: what a failover may lose of what was sealed


class Refused(Exception):  # noqa: N818 -- reads as the fact it states
    """The newest checkpoint is nothing to go on from; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the seals stand: the newest one, the heads with it, and when it was made (ms)."""

    newest: NewestSeal
    heads: dict[int, Kept]
    at: int


def _unheard(kind: Kind, text: str) -> None:
    _log.error("seal.contradicted", finding=f"{kind.value}: {text}")


class Sealer:
    """`node` names this process in checkpoints and for the lease."""

    def __init__(
        self,
        store: SealStore,
        keyring: Keyring,
        register: Register,
        *,
        node: str,
        clock: Clock,
        metrics: Metrics,
        seal_seconds: float,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._register = register
        self._node = node
        self._clock = clock
        self._metrics = metrics
        self._every = seal_seconds
        self._place: _Place | None = None
        self._seen: defaultdict[int, deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._refused = ""
        self._begun = False
        self._unsealed = 0
        self._alarm: Callable[[Kind, str], None] = _unheard

    @asynccontextmanager
    async def sealing(self, alarm: Callable[[Kind, str], None] = _unheard) -> AsyncIterator[None]:
        """Seal while the block runs, and what is new once more at its end. `alarm` is told where seals are gone."""
        self._alarm = alarm
        try:
            async with beside(self._work()):
                yield
        finally:
            await self.turn()

    async def _work(self) -> None:
        while True:
            await self.turn()
            await self._clock.sleep(self._every)

    async def turn(self) -> None:
        """Write down what waits, and seal what is new, if that is ours to do. Never raises."""
        try:
            await self._register.flush()
            lease_ms = int(1000 * max(LEASE_SECONDS, 3 * self._every))
            if await self._store.lease(owner=self._node, ms=lease_ms, within=STORE_SECONDS):
                await self.seal()
            else:
                self._place = None
        except StoreUnavailable as error:
            self._place = None
            _log.warning("seal.missed", reason=str(error))
        except Refused as error:
            self._refuse(str(error))
        except Exception:  # noqa: BLE001 -- what one checkpoint trips over must not end the sealing
            self._place = None
            _log.exception("seal.failed")

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            _log.error("seal.refused", reason=reason)
        self._refused, self._place = reason, None

    async def seal(self, *, trim: Base | None = None) -> int:
        """Make the next checkpoint if there is news, or none was made for a minute; gives the newest one's number.

        `trim`: from this checkpoint on the trail may begin there. Raises `StoreUnavailable`, and `Refused`.
        """
        place = self._place or await self._begin()
        numbers = await self._store.newest_numbers(within=STORE_SECONDS)
        changed = [number for number, newest in numbers.items() if newest != _kept(place, number).head.seq]
        now = self._clock.ms()
        if not changed and trim is None and place.newest.number and now - place.at < 1000 * IDLE_SECONDS:
            return place.newest.number
        heads = dict(place.heads)
        lost: dict[int, Lost] = {}
        for number in changed:
            heads[number], gone = await self._head(number, _kept(place, number), numbers[number])
            lost |= {number: gone} if gone else {}
        checkpoint = self._checkpoint(place, {number: heads[number].head for number in changed}, heads, now)
        return await self._commit(place, replace(checkpoint, lost=lost, trimmed=trim), heads)

    def _checkpoint(self, place: _Place, changed: dict[int, Head], heads: dict[int, Kept], now: int) -> Checkpoint:
        return Checkpoint(
            number=place.newest.number + 1,
            previous=place.newest.hash,
            at=now,
            node=self._node,
            heads=changed,
            root=kept_heads.root_of(heads),
            chain_key=self._keyring.chain.id,
            key=self._keyring.signer.id,
        )

    async def _commit(self, place: _Place, checkpoint: Checkpoint, heads: dict[int, Kept]) -> int:
        line = self._keyring.signer.line(checkpoint.body())
        hash_ = line_hash(line)
        taken = await self._store.seal(
            place.newest,
            checkpoint.number,
            hash_,
            line=line,
            heads=kept_heads.write(heads),
            trims=checkpoint.trimmed is not None,
            within=STORE_SECONDS,
        )
        if not taken:
            self._place = None
            _log.error("seal.overtaken", n=checkpoint.number)
            raise StoreUnavailable("somebody else has sealed")
        newest = replace(place.newest, number=checkpoint.number, hash=hash_)
        self._place = _Place(newest=newest, heads=heads, at=checkpoint.at)
        self._metrics.sealed(checkpoint.at / 1000)
        # In base64: no run of digits in it can be taken for a card number and masked.
        _audit.info("seal.made", n=checkpoint.number, hash=hash_, seal=base64.b64encode(line).decode())
        await self._said(checkpoint.number)
        return checkpoint.number

    async def _said(self, number: int) -> None:
        """With which checkpoint we began is an entry: their numbers rise, or the seals were put back."""
        if not self._begun:
            self._begun = True
            entry = self._entry(EntryType.SEAL_STARTED, checkpoint=number)
            await self._register.write(replace(entry, count=self._unsealed or None))

    # ── what is sealed ──

    async def _head(self, number: int, kept: Kept, newest: int) -> tuple[Kept, Lost | None]:
        """The bucket's head now, from what is sealed of it and what came since."""
        base, lost, begin = kept.head, None, kept
        if not await self._stands(number, kept, newest):
            base = await standing(self._store, number, newest)
            lost = self._lost(number, had=kept.head.seq, kept=base.seq)
            begin = Kept(head=base)
            _log.error("seal.contradicted", bucket=number, sealed=kept.head.seq, stands=base.seq)
        return await self._extended(number, begin, newest), lost

    async def _stands(self, number: int, kept: Kept, newest: int) -> bool:
        """What was sealed last is there, or was taken away in order."""
        seq = kept.head.seq
        if not seq or newest < seq:
            return newest >= seq
        page = await self._store.rows(number, since=seq, most=1, within=STORE_SECONDS)
        first = page.entries[0] if page.entries else None
        return first is None or first.seq > seq or first.link == kept.link

    async def _extended(self, number: int, begin: Kept, newest: int) -> Kept:
        lines, link, seen = [], begin.link, self._seen[number]
        async for entry in rows(self._store, number, since=begin.head.seq + 1, until=newest):
            lines.append(row.line(entry))
            link = entry.link
            seen.append((entry.seq, sha256(entry.entry).hexdigest()))
            if not row.subject(entry.entry):
                self._register.found(entry)
        return Kept(head=seal.extended(begin.head, lines, newest), link=link)

    def _lost(self, number: int, *, had: int, kept: int) -> Lost:
        known = tuple(digest for seq, digest in self._seen.pop(number, ()) if kept < seq <= had)
        return Lost(had=had, kept=kept, entries=known)

    # ── the beginning ──

    async def _begin(self) -> _Place:
        """Where the seals stand, checked."""
        newest = await self._store.newest(within=STORE_SECONDS)
        place = _Place(newest=newest, heads={}, at=0)
        if newest.number:
            place, before = await self._checked(newest)
            await self._rotated(before)
        self._unsealed = 0 if newest.number else await self._without_seals()
        self._refused, self._begun = "", False
        return place

    async def _without_seals(self) -> int:
        """How many entries there are, if they are older than a trail ever is before its first checkpoint."""
        found = await unsealed(self._store, within=STORE_SECONDS)
        age = await self._store.now(SYSTEM, within=STORE_SECONDS) - found.since if found.since else 0
        nodes_age = self._clock.ms() - found.nodes_since if found.nodes_since else 0
        if age <= UNSEALED_MS and nodes_age <= CLOCKS_MS:
            return 0
        seconds = max(age, nodes_age) // 1000
        self._alarm(Kind.ROLLED_BACK, f"{found.entries} entries were there for {seconds} s, and no checkpoint")
        return found.entries

    async def _checked(self, newest: NewestSeal) -> tuple[_Place, Checkpoint]:
        line = await self._store.checkpoint(newest.number, within=STORE_SECONDS)
        if line is None or line_hash(line) != newest.hash:
            raise Refused("the newest checkpoint is not there")
        try:
            before, heads = seal.read(line), kept_heads.read(newest.heads)
        except ValueError as error:
            raise Refused(str(error)) from error
        if not self._keyring.publics.signs(line, before.key):
            raise Refused("the newest checkpoint is signed by no key of ours")
        if kept_heads.root_of(heads) != before.root:
            raise Refused("the heads are not those of the newest checkpoint")
        return _Place(newest=newest, heads=heads, at=before.at), before

    async def _rotated(self, before: Checkpoint) -> None:
        """A key that is another one than at the newest checkpoint."""
        ours = {"hmac-key": (before.chain_key, self._keyring.chain.id), "signing-key": (before.key, self._signer_id)}
        for kind, (was, now) in ours.items():
            if was != now:
                await self._register.write(
                    replace(self._entry(EntryType.KEY_ROTATED, checkpoint=before.number), key=now, reason=kind)
                )

    @property
    def _signer_id(self) -> str:
        return self._keyring.signer.id

    def _entry(self, kind: EntryType, *, checkpoint: int) -> Entry:
        return replace(notice(kind, node=self._node, ms=self._clock.ms()), checkpoint=checkpoint)


def _kept(place: _Place, number: int) -> Kept:
    return place.heads.get(number, Kept())
