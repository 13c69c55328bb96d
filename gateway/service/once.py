"""`Idempotency-Key`: an operation that a client named is run once, on whatever pod it is asked for again.

A replay is never the old answer: it tells the state as it is now, and is a conflict when that is not what the
operation was to bring about.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway.asks import Answer, Code, Control, Failure, Mute, Unmute
from gateway.evidence import pending
from gateway.model import HoldKey
from gateway.service.oneshot import Given, done_before, shown, with_outcomes
from gateway.service.sharing import MUTE_STORE_SECONDS
from gateway.service.tools import STORE_SECONDS
from gateway.store.contract import StoreUnavailable, Turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.asks import Ask, Once
    from gateway.model import Redaction
    from gateway.service.tools import Tools
    from gateway.store.contract import Store
    from gateway.view import Document

_log = structlog.stdlib.get_logger("once")

KEEP_MS = 24 * 3_600_000
# The operation came to nothing: the name is free for another try.
HARMLESS = frozenset(
    {
        Code.CALL_NOT_FOUND,
        Code.AMBIGUOUS_CALL,
        Code.UNSUPPORTED_BY_RECORDER,
        Code.VERSION_CONFLICT,
        Code.STORE_UNAVAILABLE,
        Code.REDACTION_OPEN,
        Code.RECORDER_UNAVAILABLE,
    }
)


class Onces:
    def __init__(self, tools: Tools, store: Store) -> None:
        self._tools = tools
        self._store = store

    async def run(self, ask: Mute | Unmute | Control, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do `work`, unless it was done under this name; then what has become of it."""
        if ask.once is None:
            return await work()
        match await self._turn(ask, ask.once):
            case Turn.NEW:
                return await self._work(ask.once, work, within=_within(ask))
            case Turn.RUNNING:
                raise Failure(Code.IDEMPOTENCY_CONFLICT, "This operation is still running.")
            case Turn.OTHER:
                raise Failure(Code.IDEMPOTENCY_CONFLICT, "The key was used for another request.", unprocessable=True)
            case Turn.DONE | Turn.FAILED | Turn.INTERRUPTED as turn:
                return await self._replay(ask, turn)

    async def _turn(self, ask: Ask, once: Once) -> Turn:
        """A mute does not wait for the store's word, and one that was interrupted is finished: twice muted is
        muted."""
        mutes = isinstance(ask, Mute)
        runs_ms = 2 * self._tools.settings.busy_ms
        try:
            return await self._store.once(
                once.name, once.fingerprint, runs_ms=runs_ms, keep_ms=KEEP_MS, again=mutes, within=_within(ask)
            )
        except StoreUnavailable:
            if mutes:
                return Turn.NEW
            raise Failure(Code.STORE_UNAVAILABLE, "It cannot be told whether this was done.") from None

    async def _work(self, once: Once, work: Callable[[], Awaitable[Answer]], *, within: float) -> Answer:
        try:
            answer = await work()
        except Failure as failure:
            await self._over(once, Turn.NEW if _harmless(failure) else Turn.FAILED, within)
            raise
        await self._over(once, Turn.DONE, within)
        return answer

    async def _over(self, once: Once, left: Turn, within: float) -> None:
        """What cannot be said now ends by itself, when the operation can no longer be running."""
        try:
            await self._store.once_over(once.name, once.fingerprint, left=left, within=within)
        except StoreUnavailable:
            _log.warning("once.unwritten")

    async def _replay(self, ask: Mute | Unmute | Control, turn: Turn) -> Answer:
        redaction = await self._redaction(ask)
        document = self._tools.plain(redaction)
        if isinstance(ask, Mute) and _holds(ask, redaction) and pending(redaction, now=self._tools.clock.ms()):
            return Answer(document=document, pending=True)
        if not _as_wanted(ask, turn, redaction, protected=document.protected):
            raise Failure(Code.IDEMPOTENCY_CONFLICT, _WORDS[turn], document=document)
        return Answer(document=self._told(ask, redaction) if isinstance(ask, Control) else document)

    def _told(self, ask: Control, redaction: Redaction) -> Document:
        """A command that was done, beside the state as it is now."""
        asked = self._tools.addressed(ask, redaction)
        given = Given(action=ask.action, recorders=asked, results={}, at_revision=redaction.revision)
        own, now = self._tools.plain(redaction), self._tools.plain(shown(redaction, given))
        document = replace(now, protected=own.protected and now.protected)
        return with_outcomes(document, ask.action, done_before(ask.action, asked))

    async def _redaction(self, ask: Ask) -> Redaction:
        try:
            stored = await self._tools.ledger.load(ask.key, within=STORE_SECONDS)
        except StoreUnavailable:
            raise Failure(Code.STORE_UNAVAILABLE, "The state cannot be read now.") from None
        if stored is None:
            raise Failure(Code.IDEMPOTENCY_CONFLICT, "The operation was run; there is no redaction now.")
        return stored.redaction


_WORDS = {
    Turn.DONE: "The operation was run; the call is not so now.",
    Turn.FAILED: "The operation was run in vain; the call is not so now.",
    Turn.INTERRUPTED: "The operation was interrupted: whether it was carried out is not known.",
}


def _within(ask: Ask) -> float:
    return MUTE_STORE_SECONDS if isinstance(ask, Mute) else STORE_SECONDS


def _harmless(failure: Failure) -> bool:
    """No recorder did anything that must not be done twice."""
    return failure.code in HARMLESS and not any(view.outcome in {"done", "accepted"} for view in failure.recorders)


def _as_wanted(ask: Mute | Unmute | Control, turn: Turn, redaction: Redaction, *, protected: bool) -> bool:
    """A mute and an unmute by what is so now; a command leaves nothing behind that could be looked at."""
    match ask:
        case Mute():
            return protected and _holds(ask, redaction)
        case Unmute():
            return redaction.hold(_key(ask)) is None
        case Control():
            return turn is Turn.DONE


def _holds(ask: Mute, redaction: Redaction) -> bool:
    """The client's own hold stands, with everybody whom the mute was to silence: another one's may be for fewer, and
    go at any time."""
    hold = redaction.hold(_key(ask))
    return hold is not None and ask.parties & hold.parties == ask.parties


def _key(ask: Mute | Unmute) -> HoldKey:
    return HoldKey(client=ask.origin.principal.client, name=ask.hold)
