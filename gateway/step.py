"""A step of a call, before and after it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.frozen import quick

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection

    from gateway.audit.entry import Entry
    from gateway.audit.note import Note
    from gateway.model import HoldKey, Redaction
    from gateway.store.contract import Change
    from gateway.view import Durability, TrailView

_T = TypeVar("_T")

CALLED_OFF = "called_off"  # the step that says that an unmute has not happened


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Generic[_T]):
    """What a step came to: the redaction after it, the transition's own word, and where its entry stands."""

    redaction: Redaction
    outcome: _T
    durability: Durability
    audit: TrailView | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[_T]):
    """`decide` gives the next redaction and its word, or raises `Failure`; `describe` the entry for it.

    A step that nobody needs to hear of has no entry.

    Whoever takes it is busy with the call for `busy_ms` more; nobody else need look at it before.

    `op` names the step: the same step tried again has the same name and is taken once. `needed`: without the
    store nothing may happen (whatever lets a party be recorded); otherwise it goes on undurable, decided by `alone`
    where that is another decision. `stands` are holds that are there after it, whoever has let go of them meanwhile.
    """

    op: str
    decide: Callable[[Redaction], tuple[Redaction, _T]]
    describe: Callable[[Redaction, Redaction, _T], Entry | None]
    within: float
    needed: bool = True
    busy_ms: int = 0
    alone: Callable[[Redaction], tuple[Redaction, _T]] | None = None
    stands: Collection[HoldKey] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[_T]):
    """A step decided on one state: the change for the store, and the note on its way to the journal."""

    change: Change
    outcome: _T
    note: Note | None
    written: asyncio.Future[bool] | None

    async def journaled(self) -> bool:
        return self.written is not None and await self.written
