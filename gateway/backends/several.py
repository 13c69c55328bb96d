"""One target, several calls at the vendor: a command goes to all of them at once, a state is that of all."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, TypeVar

from gateway.backends.contract import (
    BackendError,
    NoSuchCall,
    NotSent,
    Receipt,
    Refused,
    Seen,
    Unconfirmed,
)
from gateway.model import Evidence, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

T = TypeVar("T")


async def command_all(commands: Sequence[Awaitable[Receipt]]) -> Receipt:
    """Send every command, whatever becomes of the others, and give one receipt for all.

    A call that ended meanwhile needs nothing. Raises `NoSuchCall` when none is left, the worst error when no
    command was carried out, `Unconfirmed` when only some were.
    """
    if not commands:
        raise NoSuchCall
    outcomes = [await _outcome(commands[0])] if len(commands) == 1 else await _outcomes(commands)
    errors = _errors(outcomes)
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    return _receipt(receipts) if not errors else _partly(errors, acted=bool(receipts))


async def _outcomes(commands: Sequence[Awaitable[Receipt]]) -> Sequence[Receipt | BaseException]:
    return await asyncio.gather(*commands, return_exceptions=True)


async def _outcome(command: Awaitable[Receipt]) -> Receipt | BaseException:
    try:
        return await command
    except BackendError as error:
        return error


def together(states: Sequence[Seen]) -> Seen:
    """Who is silent in all of `states`; `mixed` where they differ. Raises `NoSuchCall` for none at all."""
    if not states:
        raise NoSuchCall
    if len(states) == 1 and not states[0].age_seconds:
        return states[0]
    mixed = any(seen.mixed for seen in states) or len({seen.muted for seen in states}) > 1
    return Seen(
        muted=reduce(and_, (seen.muted for seen in states)),
        evidence=max((seen.evidence for seen in states), key=list(Evidence).index),
        mixed=mixed,
        calls=frozenset[str]().union(*(seen.calls for seen in states)),
    )


def _errors(outcomes: Sequence[object]) -> list[BackendError]:
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, BackendError):
            raise outcome
    errors = [outcome for outcome in outcomes if isinstance(outcome, BackendError)]
    alive = [error for error in errors if not isinstance(error, NoSuchCall)]
    return alive if alive or len(errors) < len(outcomes) else errors


def _receipt(receipts: Sequence[Receipt]) -> Receipt:
    states = [receipt.seen for receipt in receipts if receipt.seen is not None]
    return Receipt(seen=together(states) if len(states) == len(receipts) > 0 else None)


def _partly(errors: Sequence[BackendError], *, acted: bool) -> Receipt:
    worst = min(errors, key=_rank)
    if acted and isinstance(worst, Refused | NotSent):
        raise Unconfirmed(Fault.NOT_PROVEN) from worst
    raise worst


def _rank(error: BackendError) -> int:
    """Unconfirmed first: one call of which nobody knows makes the whole unknown."""
    order = (Unconfirmed, Refused, NotSent)
    return next(rank for rank, kind in enumerate(order) if isinstance(error, kind))
