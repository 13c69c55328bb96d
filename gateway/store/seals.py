"""What seals, exports and verification ask of the store: heads, rows, checkpoints, entries about no call."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from gateway.store import keys
from gateway.store.contract import BUCKETS, StoreError, StoreUnavailable, TrailPage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.store.contract import Use
    from gateway.store.redis import RedisStore

SYSTEM = 0  # the bucket of checkpoints and of entries about no call
_HEAD = f"{keys.tag(SYSTEM)}:system"
_NEWEST = f"{keys.tag(SYSTEM)}:seal"
_CHECKPOINTS = f"{keys.tag(SYSTEM)}:seals"
_LEASE = f"{keys.tag(SYSTEM)}:seal:lease"
_AT_ONCE = 8  # buckets asked at a time


class Unreadable(StoreError):  # noqa: N818 -- reads as the fact it states
    """What stands in a bucket is of another form or type than anything that is written there."""

    def __init__(self, bucket: int) -> None:
        super().__init__(f"bucket {bucket} cannot be read")
        self.bucket = bucket


@contextmanager
def _reading(bucket: int) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        if isinstance(error.__cause__, ResponseError) and str(error.__cause__).startswith("WRONGTYPE"):
            raise Unreadable(bucket) from error
        raise
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unreadable(bucket) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestSeal:
    """The newest checkpoint as the store knows it: its number (0 for none), its hash, and the heads of all buckets
    in the sealer's own form. `trimmed` is the number of the newest checkpoint from which on the trail begins."""

    number: int = 0
    hash: str = ""
    heads: bytes = b""
    trimmed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRow:
    """`beside` as in `TrailEntry`."""

    number: int
    line: bytes
    beside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """`done`: the entry is there; `head` is the newest link, its own or the one that it should have followed. `seq`
    is its number, 0 when that is not known; `at` the store's clock, ms."""

    done: bool
    head: str
    seq: int
    at: int


class SealStore:
    """`within` as in the store's contract."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def newest_numbers(self, *, within: float) -> dict[int, int]:
        """The newest number given in each bucket, 0 for none."""
        names = {number: keys.sequence(number) for number in range(BUCKETS)}
        if await self._store.alone(within):
            found = await self._store.swift(within, SYSTEM, *(("GET", name) for name in names.values()))
        else:
            gate = asyncio.Semaphore(_AT_ONCE)
            found = await asyncio.gather(*(self._get(gate, number, name, within) for number, name in names.items()))
        return {number: _number(number, newest) for number, newest in zip(names, found, strict=True)}

    async def _get(self, gate: asyncio.Semaphore, number: int, name: str, within: float) -> bytes | None:
        async with gate:
            value: bytes | None
            with _reading(number):
                (value,) = await self._store.swift(within, number, ("GET", name))
            return value

    async def rows(self, number: int, *, since: int, most: int, within: float) -> TrailPage:
        with _reading(number):
            return await self._store.trail(number, since=since, most=most, within=within)

    async def uses(self, *, within: float) -> Mapping[str, Use]:
        """As `RedisStore.uses`."""
        return await self._store.uses(within=within)

    async def size(self, number: int, *, within: float) -> int:
        """How many entries the bucket holds."""
        with _reading(number):
            (count,) = await self._store.ask(within, number, ("XLEN", keys.trail(number)))
        return int(count)

    async def now(self, number: int, *, within: float) -> int:
        """The clock (ms) of the server that takes the bucket's entries."""
        ((seconds, micros),) = await self._store.ask(within, number, ("TIME",))
        return 1000 * int(seconds) + int(micros) // 1000

    async def newest(self, *, within: float) -> NewestSeal:
        command = ("HMGET", _NEWEST, "n", "hash", "heads", "trimmed")
        with _reading(SYSTEM):
            ((number, hash_, heads, trimmed),) = await self._store.ask(within, SYSTEM, command)
            return NewestSeal(
                number=int(number or 0), hash=(hash_ or b"").decode(), heads=heads or b"", trimmed=int(trimmed or 0)
            )

    async def checkpoint(self, number: int, *, within: float) -> bytes | None:
        """The line of the checkpoint of that number, if it is there."""
        found = await self.checkpoints(since=number, most=1, within=within)
        return found[0].line if found and found[0].number == number else None

    async def checkpoints(self, *, since: int, most: int, within: float) -> tuple[SealRow, ...]:
        """From number `since` on, oldest first."""
        command = ("XRANGE", _CHECKPOINTS, f"{since}-0", "+", "COUNT", most)
        with _reading(SYSTEM):
            (rows,) = await self._store.ask(within, SYSTEM, command)
            return tuple(_seal_row(row) for row in rows)

    async def checkpoints_back(self, *, until: int, most: int, within: float) -> tuple[SealRow, ...]:
        """From number `until` back, newest first."""
        command = ("XREVRANGE", _CHECKPOINTS, f"{until}-0", "-", "COUNT", most)
        with _reading(SYSTEM):
            (rows,) = await self._store.ask(within, SYSTEM, command)
            return tuple(_seal_row(row) for row in rows)

    async def seal(
        self, before: NewestSeal, number: int, hash_: str, *, line: bytes, heads: bytes, trims: bool, within: float
    ) -> bool:
        """False: somebody else has sealed since `before`."""
        words = (before.number, before.hash, number, hash_, line, heads, "1" if trims else "0")
        call = ("FCALL", "rgw_v2_seal", 2, _NEWEST, _CHECKPOINTS, *words)
        (reply,) = await self._store.ask(within, SYSTEM, call)
        return bool(reply[0] == b"done")

    async def lease(self, *, owner: str, ms: int, within: float) -> bool:
        (taken,) = await self._store.swift(within, SYSTEM, ("FCALL", "rgw_v2_lease", 1, _LEASE, owner, ms))
        return bool(taken)

    async def system_head(self, *, within: float) -> str:
        (head,) = await self._store.ask(within, SYSTEM, ("GET", _HEAD))
        return (head or b"").decode()

    async def append(self, before: str, entry: bytes, link: str, *, within: float) -> Appended:
        """An entry about no call, after the one whose link is `before`."""
        names = (_HEAD, keys.trail(SYSTEM), keys.sequence(SYSTEM))
        (reply,) = await self._store.ask(within, SYSTEM, ("FCALL", "rgw_v2_append", 3, *names, before, entry, link))
        word, at, seq, head = reply
        return Appended(done=word != b"stale", head=head.decode(), seq=int(seq), at=int(at))

    async def trim(self, number: int, *, oldest: int, within: float) -> int:
        """Take the entries before number `oldest` away; gives how many."""
        (count,) = await self._store.ask(within, number, ("FCALL", "rgw_v2_trim", 1, keys.trail(number), oldest))
        return int(count)

    async def trim_checkpoints(self, *, oldest: int, within: float) -> None:
        await self._store.ask(within, SYSTEM, ("FCALL", "rgw_v2_trim", 1, _CHECKPOINTS, oldest))


def _number(bucket: int, value: bytes | None) -> int:
    with _reading(bucket):
        return int(value or 0)


def _seal_row(row: tuple[bytes, list[bytes]]) -> SealRow:
    name, flat = row
    number, line = int(name.partition(b"-")[0]), flat[1]
    return SealRow(number=number, line=line, beside=name != b"%d-0" % number or flat != [b"c", line])
