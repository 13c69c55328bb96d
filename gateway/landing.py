"""Whether what was sent for an order can still land, and until when it could: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model import BLAME, Blame, OrderKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.decide import OrderReported
    from gateway.model import Observation, Order, Redaction, Result


def is_over(redaction: Redaction, order: Order, event: OrderReported) -> bool:
    """Every command was answered for good and is seen to be done. While an earlier order's command can still land, what
    is seen may be that one's doing."""
    reported = (recorder.backend for recorder in redaction.recorders if recorder.backend in event.results)
    return answered(event.results) and all(
        order.earlier_before <= order.at and _moved(event.before.get(backend), event.results[backend])
        for backend in reported
    )


def landed(redaction: Redaction, order: Order, event: OrderReported) -> int:
    """Until when something of the order can have landed: not at all where nothing was sent. What was seen of a
    narrowing itself shows who is still silent."""
    if not event.results:
        return order.earlier_before
    seen = [result.seen.at for result in event.results.values() if result.seen is not None]
    at = min(seen, default=event.at) if order.kind is OrderKind.NARROW else event.at
    return max(order.earlier_before, min(at, redaction.loose_before))


def answered(results: Mapping[str, Result]) -> bool:
    """Every command was answered for good: nothing of it can land any more. What is seen after a lost answer does
    not tell: somebody else may have done it, with the command still on its way."""
    return all(
        not result.lost and (result.fault is None or BLAME[result.fault] is not Blame.UNCONFIRMED)
        for result in results.values()
    )


def _moved(before: Observation | None, result: Result) -> bool:
    """What the recorder is seen to do is the command's doing. One that was not seen silent right before may be live for
    another reason, with a command that was accepted still on its way."""
    if result.fault is not None or result.seen is None:
        return True
    return before is not None and before.muted != result.seen.muted
