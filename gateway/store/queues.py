"""The work queues of buckets as one command, and what the answer to it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import ClusterCrossSlotError, RedisError

from gateway.store import keys
from gateway.store.contract import Queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.contract import Asked, StoreUnavailable
    from gateway.store.wire import Command

NOT_OURS = 0

_NOTHING = Queue(ours=True, whole=True)


def command(numbers: Sequence[int], asked: Asked) -> Command:
    names = [name for number in numbers for name in (keys.lease(number), keys.due(number))]
    letters = "".join("t" if number in asked.to_take else "h" for number in numbers)
    words = (asked.owner, asked.lease_ms, asked.until, asked.most, asked.enough, letters)
    return ("FCALL", "rgw_v2_queues", len(names), *names, *words)


def read(numbers: Sequence[int], answers: list[object], asked: Asked) -> dict[int, Queue]:
    """One that cannot be read is left out."""
    each = zip(numbers, answers, strict=True)
    return {number: _queue(answer, asked.most) for number, answer in each if not isinstance(answer, RedisError)}


def _queue(answer: object, most: int) -> Queue:
    if isinstance(answer, list) and answer:
        return Queue(ours=True, whole=len(answer) < most, keys=tuple(map(keys.call_key, answer)))
    return _NOTHING if isinstance(answer, list) else Queue(ours=answer != NOT_OURS, whole=answer == NOT_OURS)


def is_split(error: StoreUnavailable) -> bool:
    """The server is one of a cluster, though the address does not say so: it takes one bucket a command."""
    return isinstance(error.__cause__, ClusterCrossSlotError)
