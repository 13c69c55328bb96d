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

OTHERS = Queue(ours=False, whole=True)
_UNASKED = Queue(ours=True, whole=False)


def command(numbers: Sequence[int], asked: Asked) -> Command:
    names = [name for number in numbers for name in (keys.lease(number), keys.due(number))]
    letters = "".join("t" if number in asked.to_take else "h" for number in numbers)
    words = (asked.owner, asked.lease_ms, asked.until, asked.most, asked.enough, letters)
    return ("FCALL", "rgw_v2_queues", len(names), *names, *words)


def due(number: int, asked: Asked) -> Command:
    return ("ZRANGE", keys.due(number), 0, asked.until, "BYSCORE", "LIMIT", 0, asked.most)


def read(numbers: Sequence[int], answers: list[object], asked: Asked) -> dict[int, Queue]:
    """One that cannot be read is left out."""
    each = zip(numbers, answers, strict=True)
    return {number: _queue(answer, asked.most) for number, answer in each if not isinstance(answer, RedisError)}


def _queue(answer: object, most: int) -> Queue:
    if isinstance(answer, list):
        return ours(answer, most)
    return OTHERS if answer == NOT_OURS else _UNASKED


def ours(members: list[bytes], most: int) -> Queue:
    return Queue(ours=True, whole=len(members) < most, keys=tuple(map(keys.call_key, members)))


def is_split(error: StoreUnavailable) -> bool:
    """The server is one of a cluster, though the address does not say so: it takes one bucket a command."""
    return isinstance(error.__cause__, ClusterCrossSlotError)
