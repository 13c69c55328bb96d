"""The claims that one mute needs before it may be called protected: made early, made again, and made for the calls
that only the recorders could name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import decide
from gateway.evidence import covers
from gateway.frozen import replace
from gateway.meant import named
from gateway.service.claims import SKEW_MS, names_of
from gateway.service.sharing import HURRIED_SECONDS, MUTE_STORE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.ledger import Recorded
    from gateway.model import Recorder, Redaction, Result
    from gateway.service.claims import Claimed
    from gateway.service.tools import Tools

CLAIM_AGAIN_SECONDS = 0.02
ROUNDS = 3  # how often a recorder may name yet another call


class Standing:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def meant(self, begun: Recorded[Redaction], claimed: Claimed) -> Claimed:
        """Others said better how to find the call than was known when it was claimed: what it is not goes back."""
        key, recorders = begun.redaction.key, begun.redaction.recorders
        strange = {name: own for name, own in claimed.own.items() if name not in names_of(recorders)}
        if not strange:
            return claimed
        _, again = await asyncio.gather(
            self._tools.claims.release(key, strange, over=True, landed=None, within=MUTE_STORE_SECONDS),
            self._tools.claims.claim(key, recorders, within=MUTE_STORE_SECONDS),
        )
        return again

    async def known(self, begun: Recorded[Redaction], claimed: Claimed) -> Claimed:
        """What earlier requests and the recorders said of the call is claimed, too, if it is not any more."""
        recorders = begun.redaction.recorders
        if not claimed.sure or not claimed.lacks(recorders):
            return claimed
        more = await self._tools.claims.claim(
            begun.redaction.key, recorders, within=MUTE_STORE_SECONDS, beside=claimed.own.keys()
        )
        return claimed.joined(_later(begun.redaction, more))

    async def sure(self, claimed: Claimed, begun: Recorded[Redaction], deadline: float) -> Claimed:
        """A claim that was not confirmed in time is made again while the recorders are at work. Who has a store and
        no claim cannot be called protected: another redaction's unmute may be on its way."""
        redaction = begun.redaction
        if claimed.sure:
            return claimed
        if begun.durability in {"journal", "none"}:
            return await self._tools.claims.claim(redaction.key, redaction.recorders, within=HURRIED_SECONDS)
        return await self._insisted(redaction, redaction.recorders, deadline)

    async def told(
        self, redaction: Redaction, results: Mapping[str, Result], claimed: Claimed, deadline: float
    ) -> tuple[Mapping[str, Result], Claimed]:
        """The calls that the recorders named are claimed, and proven silent once more where what was seen is from
        before somebody else's last command to them."""
        for _ in range(ROUNDS if claimed.sure else 0):
            recorders = _knowing(redaction, results)
            nameless = tuple(recorder for recorder in recorders if claimed.lacks((recorder,)))
            if not nameless:
                return results, claimed
            more = await self._insisted(redaction, nameless, deadline, beside=claimed.own.keys())
            claimed = claimed.joined(_later(redaction, more))
            old = tuple(recorder for recorder in nameless if _is_old(results[recorder.backend], more))
            if not (old and more.sure):
                return results, claimed
            results = {**results, **await self._again(redaction, old, claimed, deadline)}
        if claimed.sure and claimed.lacks(_knowing(redaction, results)):
            claimed = replace(claimed, doubt_until=self._tools.sharing.lands_before())
        return results, claimed

    async def _insisted(
        self, redaction: Redaction, recorders: tuple[Recorder, ...], deadline: float, *, beside: Collection[str] = ()
    ) -> Claimed:
        """Claimed until the store says so, or is known to be away: then it is for the outcome to show whether the store
        has the redaction."""
        while True:
            claimed = await self._tools.claims.claim(redaction.key, recorders, within=MUTE_STORE_SECONDS, beside=beside)
            if claimed.sure:
                return claimed
            if claimed.away or self._tools.clock.left(deadline) <= MUTE_STORE_SECONDS:
                return replace(claimed, doubt_until=self._tools.sharing.lands_before())
            await self._tools.clock.sleep(CLAIM_AGAIN_SECONDS)

    async def _again(
        self, redaction: Redaction, recorders: tuple[Recorder, ...], claimed: Claimed, deadline: float
    ) -> dict[str, Result]:
        """Asked again; muted again where that does not prove it, or a command may still land."""
        redaction = decide.loosened(redaction, before=claimed.loose_until)
        if redaction.loose_before <= self._tools.clock.ms():
            looks = (self._tools.recorders.look(recorder, deadline=deadline) for recorder in recorders)
            looked = dict(zip((r.backend for r in recorders), await asyncio.gather(*looks), strict=True))
            if all(result.fault is None and covers(result.seen, redaction.wanted) for result in looked.values()):
                return looked
        return await self._tools.mute_all(replace(redaction, recorders=recorders), deadline)


def _later(redaction: Redaction, claimed: Claimed) -> Claimed:
    """A redaction that was protected before is nobody's guest for a call that comes to it later."""
    return replace(claimed, foreign=False) if claimed.foreign and redaction.exposure_ms is not None else claimed


def _is_old(result: Result, claimed: Claimed) -> bool:
    seen = result.seen
    return claimed.loose_until > 0 and (seen is None or seen.at < claimed.loose_until + SKEW_MS)


def _knowing(redaction: Redaction, results: Mapping[str, Result]) -> tuple[Recorder, ...]:
    return named(redaction.recorders, results)
