"""Several redactions of one call: while any of them is open, no other one's unmute reaches the recorder.

A claim says "this redaction means this recorder's call". It is an index, never the truth: what another claim is
worth is read from that redaction's own state. Where that is not open and the claim was made just now its redaction may
be about to begin, or to have ended with nobody left to say so: it is waited for a little, then nothing is done. The
recorder's call is known by what the requests said of it (its id, or the extension) and by every id that the recorder
has told of it since. Where it tells none, an id and an extension that mean the same call are not seen to.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.beside import together
from gateway.frozen import quick
from gateway.store.contract import Claim, StoreAway, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from gateway.ledger import Ledger
    from gateway.model import CallKey, Recorder
    from gateway.store.contract import Claims, Store

AT_ONCE_MS = 1_000
FRESH_MS = 5_000
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.0)  # seconds between two looks at a claim whose redaction may be about to begin
SKEW_MS = 250  # how far apart the store's clock and ours may be


class Life(enum.Enum):
    """What the redaction of a claim is found to be. `DOUBTFUL`: not open, though it was claimed for just now."""

    OPEN = enum.auto()
    OVER = enum.auto()
    DOUBTFUL = enum.auto()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What the others' claims mean for a mute: evidence must be younger than `loose_until`; `foreign` is True
    where another tenant held the target before. `own` are the claims by target. Not `sure`: the store has not
    confirmed them; `away`: it is known not to be there, and who has it may let go until `doubt_until` (ms) what it was
    not told of. What was seen before all of them stood proves nothing: until `stood_at` (ms) others' commands may have
    landed unseen."""

    loose_until: int = 0
    doubt_until: int = 0
    foreign: bool = False
    sure: bool = True
    away: bool = False
    stood_at: int = 0
    own: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, recorders: Iterable[Recorder]) -> bool:
        """Some of the recorders' calls are not claimed by a name that is known by now."""
        return not set(names_of(recorders)) <= set(self.own)

    def joined(self, more: Claimed) -> Claimed:
        return Claimed(
            loose_until=max(self.loose_until, more.loose_until),
            foreign=self.foreign or more.foreign,
            doubt_until=max(self.doubt_until, more.doubt_until),
            sure=self.sure and more.sure,
            away=self.away or more.away,
            stood_at=max(self.stood_at, more.stood_at),
            own={**self.own, **more.own},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The `backends` whose recorder must stay silent because another redaction means it too; `own` as above.

    `calls` are the ids, by backend, of single calls of an extension that others hold, where it has more. `foreign`:
    one of the others is another tenant's. `unsure` are backends of which it cannot be told now.
    """

    backends: frozenset[str]
    own: Mapping[str, str]
    unsure: frozenset[str] = frozenset()
    calls: Mapping[str, frozenset[str]] = field(default_factory=dict)
    foreign: bool = False


class ClaimBook:
    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def claim(
        self, key: CallKey, recorders: Iterable[Recorder], *, within: float, beside: Collection[str] = ()
    ) -> Claimed:
        """Claim every recorder's call by each of its names, but those `beside`, which are claimed already. Without the
        store nobody can be asked, and a mute goes on."""
        names = [name for name in names_of(recorders) if name not in beside]
        try:
            found = await together(self._store.claim(name, key, within=within) for name in names)
            foreign = await together(self._foreign(key, claims, within) for claims in found)
        except StoreUnavailable as error:
            return Claimed(sure=False, away=isinstance(error, StoreAway))
        return Claimed(
            loose_until=max((claims.loose_until for claims in found), default=0),
            foreign=any(foreign),
            stood_at=max((_since(key, claims) + SKEW_MS for claims in found), default=0),
            own={name: claims.own for name, claims in zip(names, found, strict=True)},
        )

    async def _foreign(self, key: CallKey, claims: Claims, within: float) -> bool:
        """Who held the target before is nobody's guest. Of two that come at once one stays, at all their recorders
        the same one, whoever was the first at which."""
        since = _since(key, claims)
        others = tuple(
            claim
            for claim in claims.others
            if claim.key.tenant != key.tenant
            and (claim.key.tenant < key.tenant if abs(claim.since - since) < AT_ONCE_MS else claim.since < since)
        )
        return await self._any_alive(others, claims.at, within)

    async def held(self, key: CallKey, recorders: Iterable[Recorder], *, lands_before: int, within: float) -> Held:
        """Which recorders another redaction holds; for the others it is on record that our command may land
        until `lands_before`."""
        asked = tuple(recorders)
        names = names_of(asked)
        found = await asyncio.gather(*(self._loosen(name, key, lands_before, within) for name in names))
        claims = dict(zip(names, found, strict=True))
        held = {name for name, (holders, _) in claims.items() if holders}
        doubtful = {name for name, (holders, _) in claims.items() if holders is None}
        calls = {recorder.backend: _held_calls(recorder, held) for recorder in asked}
        return Held(
            backends=frozenset(r.backend for r in asked if held & target_names(r) and not calls[r.backend]),
            own={name: own for name, (_, own) in claims.items()},
            unsure=frozenset(recorder.backend for recorder in asked if doubtful & target_names(recorder)),
            calls={backend: ids for backend, ids in calls.items() if ids},
            foreign=any(holders and holders != {key.tenant} for holders, _ in found),
        )

    async def _loosen(
        self, name: str, key: CallKey, lands_before: int, within: float
    ) -> tuple[frozenset[str] | None, str]:
        """The tenants of the redactions that hold the target, None where that cannot be told; and our own claim."""
        over: tuple[Claim, ...] = ()
        for pause in PAUSES:
            claims = await self._store.loosen(name, key, lands_before=lands_before, over=over, within=within)
            lives = await asyncio.gather(*(self._life(claim, claims.at, within) for claim in claims.others))
            holders = frozenset(
                claim.key.tenant for claim, life in zip(claims.others, lives, strict=True) if life is Life.OPEN
            )
            if holders or not claims.others:
                return holders, claims.own
            over = tuple(claim for claim, life in zip(claims.others, lives, strict=True) if life is Life.OVER)
            if over != claims.others:
                await asyncio.sleep(pause)
        return None, claims.own

    async def release(
        self, key: CallKey, own: Mapping[str, str], *, over: bool, landed: int | None, within: float
    ) -> None:
        """The redaction with these claims is `over`, or what was on its way until `landed` has landed. What cannot
        be said now is found out by whoever meets the claim."""
        said = (
            self._store.release(name, key, own=claim if over else "", landed=landed, within=within)
            for name, claim in own.items()
        )
        await asyncio.gather(*said, return_exceptions=True)

    async def _any_alive(self, claims: tuple[Claim, ...], at: int, within: float) -> bool:
        lives = await asyncio.gather(*(self._life(claim, at, within) for claim in claims))
        return any(life is not Life.OVER for life in lives)

    async def _life(self, claim: Claim, at: int, within: float) -> Life:
        stored = await self._ledger.load(claim.key, within=within)
        if stored is not None and (stored.redaction.open or stored.redaction.order is not None):
            return Life.OPEN
        return Life.DOUBTFUL if at - claim.renewed_at < FRESH_MS else Life.OVER


def _since(key: CallKey, claims: Claims) -> int:
    return Claim(key=key, token=claims.own).since


def _held_calls(recorder: Recorder, held: set[str]) -> frozenset[str]:
    """The calls of an extension that others hold by their ids, where it has more than those; none where it is the
    extension that they hold."""
    places = {f"{recorder.backend}:{place}" for place in _places(recorder)}
    if recorder.target.call_id is not None or places & held:
        return frozenset()
    ids = frozenset(call for call in recorder.calls if f"{recorder.backend}:call:{call}" in held)
    return ids if ids < frozenset(recorder.calls) else frozenset()


def names_of(recorders: Iterable[Recorder]) -> list[str]:
    return sorted({name for recorder in recorders for name in target_names(recorder)})


def target_names(recorder: Recorder) -> frozenset[str]:
    """What a recorder's calls are known by: one of them is the same for every redaction that means a call."""
    calls = (f"call:{call}" for call in recorder.calls)
    return frozenset(f"{recorder.backend}:{place}" for place in (*_places(recorder), *calls))


def _places(recorder: Recorder) -> tuple[str, ...]:
    """Who waits for an extension's next call does not mean those that it has, nor does who has found it later on."""
    target = recorder.target
    if target.call_id is not None:
        return (f"call:{target.call_id}",)
    if recorder.waiting:
        return (f"next:{target.extension}",)
    return () if target.excluded else (f"extension:{target.extension}",)
