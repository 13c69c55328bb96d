"""The store on Redis or Valkey: one Function library writes, plain commands read.

Every try again here carries the operation id, which the function has seen or has not; the client library itself
never tries again. A command that is under way on a connection is never cancelled: the caller stops waiting, the
command ends by its own limit.

What the server answers at once goes over one connection that all share (`wire`). What keeps it busy or waiting has a
connection of its own: pages of the trail, the stream of changes, and steps that wait for replicas (WAIT).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from redis.exceptions import RedisError, ResponseError

from gateway.store import address, keys, queues
from gateway.store.contract import (
    Claim,
    Claims,
    Committed,
    Stale,
    Stored,
    StoreUnavailable,
    TrailEntry,
    TrailPage,
    Turn,
)
from gateway.store.keys import Keys
from gateway.store.node import COMMAND_SECONDS
from gateway.store.primaries import Primaries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from gateway.model import CallKey
    from gateway.store.contract import Asked, Change, Queue, Use, Word
    from gateway.store.wire import Command

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("store")

COMMIT = "rgw_v2_commit"
LEASE = "rgw_v2_lease"
OPEN_SECONDS = 5.0
TRIES = 3
PROBE_KEPT_SECONDS = 3_600
REPLICA_MS = 80  # a mute waits 150 ms for the store at most, the write and its way there and back included


class RedisStore:
    """`url` as in `address`; `ValueError` when it is none. `strict` refuses a store that could lose or evict what
    it was given (production).

    `replicas` must have a step before it counts as replicated; one that fewer have acknowledged in time is merely
    stored. A failover may then lose it; what that means is `primaries`' and the journal's to handle.
    """

    def __init__(self, url: str, *, strict: bool, replicas: int = 0) -> None:
        place = address.parse(url)
        self._primaries = Primaries(place, strict=strict)
        self._split = place.kind is address.Kind.CLUSTER  # a command's keys are of one bucket
        self._replicas = replicas
        self._lacking = False
        self._histories: frozenset[str] = frozenset()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        self._histories = await self._within(OPEN_SECONDS, self._primaries.check)

    async def close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=COMMAND_SECONDS)
        await self._primaries.close()

    async def ping(self, *, within: float) -> None:
        await self._within(within, self._primaries.check)

    async def probe(self, name: str, *, word: str, within: float) -> str:
        """At every primary. What stood there before is "" also when it differs, or a primary is a new one."""
        self._start(self._primaries.check)  # notices a primary that was replaced behind its back
        return await self._within(within, lambda: self._probe(name, word))

    async def _probe(self, name: str, word: str) -> str:
        primaries = await self._primaries.all()
        found = await asyncio.gather(*(self._probe_one(number, name, word) for number in primaries))
        before, self._histories = self._histories, frozenset(primaries.values())
        return found[0] if self._histories <= before and len(set(found)) == 1 else ""

    async def _probe_one(self, number: int, name: str, word: str) -> str:
        key = keys.probe(number, name)
        write = ("SET", key, word, "EX", PROBE_KEPT_SECONDS, "GET")
        before, now = await self._primaries.send(number, write, ("GET", key))
        if now != word.encode():
            raise StoreUnavailable("what was written was not read back")
        return before.decode() if before else ""

    async def clocks(self, *, within: float) -> tuple[float, ...]:
        """The clock (ms) of every primary."""
        return await self._within(within, self._clocks)

    async def _clocks(self) -> tuple[float, ...]:
        asked = (self._primaries.send(number, ("TIME",)) for number in await self._primaries.all())
        return tuple(1000 * int(time[0]) + int(time[1]) / 1000 for (time,) in await asyncio.gather(*asked))

    async def trail(self, number: int, *, since: int, most: int, within: float) -> TrailPage:
        name = keys.trail(number)
        newest, first, rows = await self.ask(
            within,
            number,
            ("GET", keys.sequence(number)),
            ("XRANGE", name, "-", "+", "COUNT", 1),
            ("XRANGE", name, f"{since}-0", "+", "COUNT", most),
        )
        return TrailPage(
            first=keys.trail_entry(number, first[0]).seq if first else None,
            newest=int(newest or 0),
            entries=tuple(keys.trail_entry(number, row) for row in rows),
        )

    async def commit(self, change: Change, *, within: float) -> Committed | Stale:
        key = change.after.key
        reply, acked = await self._committed(change, within)
        match reply[0]:
            case b"done" | b"again":
                return Committed(
                    seq=int(reply[2]),
                    at=int(reply[1]),
                    durability="replicated" if self._replicated(acked) else "stored",
                    link=reply[3].decode(),
                )
            case _:
                return Stale(now=keys.stored(key, head=reply[3], seq=reply[4], state=reply[5]))

    async def load(self, key: CallKey, *, within: float) -> Stored | None:
        names = Keys(key)
        ((head, seq, state),) = await self._send(within, names.bucket, ("HMGET", names.call, "head", "seq", "state"))
        return keys.stored(key, head=head, seq=seq, state=state)

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        return await self._within(within, lambda: self._entries(Keys(key)))

    def together(self, numbers: Sequence[int]) -> Sequence[Sequence[int]]:
        return [[number] for number in numbers] if self._split else [numbers]

    async def queues(self, numbers: Sequence[int], asked: Asked, *, within: float) -> Mapping[int, Queue]:
        if self._split:
            return {number: await self._queue(number, asked, within) for number in numbers}
        try:
            (answers,) = await self._send(within, numbers[0], queues.command(numbers, asked))
        except StoreUnavailable as error:
            self._split = queues.is_split(error)
            raise
        return queues.read(numbers, answers, asked)

    async def _queue(self, number: int, asked: Asked, within: float) -> Queue:
        """A command for each key: while a slot is on its way to another server there is no other way to be told of one
        that is there and of one that is not."""
        if number in asked.to_take:
            words = asked.owner, asked.lease_ms
            if not await self._call(within, (number, keys.lease(number)), LEASE, *words):
                return queues.OTHERS
        (members,) = await self._send(within, number, queues.due(number, asked))
        return queues.ours(members, asked.most)

    async def claim(self, target: str, key: CallKey, *, within: float) -> Claims:
        place = keys.spread("target", target)
        at, own, found, loose = await self._call(within, place, "rgw_v2_claim", keys.member(key))
        return Claims(at=int(at), own=own.decode(), loose_until=int(loose), others=keys.claims(found))

    async def loosen(
        self, target: str, key: CallKey, *, lands_before: int, over: tuple[Claim, ...], within: float
    ) -> Claims:
        place = keys.spread("target", target)
        dead = [word for claim in over for word in (keys.member(claim.key), claim.token)]
        at, own, found = await self._call(within, place, "rgw_v2_loosen", keys.member(key), lands_before, *dead)
        return Claims(at=int(at), own=own.decode(), others=keys.claims(found))

    async def release(self, target: str, key: CallKey, *, own: str, landed: int | None, within: float) -> None:
        place, said = keys.spread("target", target), "" if landed is None else landed
        await self._call(within, place, "rgw_v2_release", keys.member(key), own, said)

    async def once(
        self, name: str, fingerprint: str, *, runs_ms: int, keep_ms: int, again: bool, within: float
    ) -> Turn:
        place = keys.spread("once", name)
        word = await self._call(within, place, "rgw_v2_once", fingerprint, runs_ms, keep_ms, int(again))
        return Turn(word.decode())

    async def once_over(self, name: str, fingerprint: str, *, left: Turn, within: float) -> None:
        place = keys.spread("once", name)
        await self._call(within, place, "rgw_v2_once_over", fingerprint, left.value)

    async def take(self, name: str, used: float, *, rate: float, burst: float, within: float) -> float:
        """What is left in the bucket of tokens `name` after `used` was taken out."""
        words = f"{used:.6f}", f"{rate:.6f}", f"{burst:.6f}"
        return float(await self._call(within, keys.spread("bucket", name), "rgw_v2_take", *words))

    async def note_uses(self, uses: Mapping[str, int], *, within: float) -> None:
        """When keys were last used (ms; 0 for never), by kid. The newest stands."""
        words = [word for kid, at in uses.items() for word in (kid, at)]
        await self._call(within, keys.spread("keys", "used"), "rgw_v2_used", *words)

    async def uses(self, *, within: float) -> Mapping[str, Use]:
        """What is known of the use of keys, by kid."""
        number, name = keys.spread("keys", "used")
        (found,) = await self._send(within, number, ("HGETALL", name))
        return keys.uses(found)

    async def changes(self) -> AsyncIterator[Word | None]:
        """Every node of a cluster tells what any of them was told, so one connection hears all."""
        try:
            primary = await self._primaries.primary(0)
            ear = await primary.node.listen(keys.CHANGES)
            try:
                yield None
                while self._primaries.current(primary):
                    for said in await ear.heard(within=COMMAND_SECONDS / 2):
                        if (word := keys.word(said)) is not None:
                            yield word
            finally:
                ear.end()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error
        raise StoreUnavailable("the primary is another one")

    async def ask(self, within: float, number: int, *commands: Command) -> list[Any]:
        """The replies of the bucket's primary to commands that read or write much: they keep nobody waiting."""
        return await self._within(within, lambda: self._primaries.send(number, *commands, apart=True))

    async def swift(self, within: float, number: int, *commands: Command) -> list[Any]:
        """As `ask`, for what the server answers at once."""
        return await self._send(within, number, *commands)

    async def alone(self, within: float) -> bool:
        """All buckets are at one server."""
        return len(await self._within(within, self._primaries.all)) == 1

    async def _call(self, within: float, place: tuple[int, str], function: str, *words: str | int) -> Any:  # noqa: ANN401 -- as the function has it
        number, name = place
        (reply,) = await self._send(within, number, ("FCALL", function, 1, name, *words))
        return reply

    async def _send(self, within: float, number: int, *commands: Command) -> list[Any]:
        """At once where the primary is at hand; else it is looked for, within the same time."""
        until = time.monotonic() + within
        try:
            asked = self._at_once(until, number, *commands)
            replies = None if asked is None else await asked
        except (RedisError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error
        if replies is not None:
            return replies
        return await self._within(until - time.monotonic(), lambda: self._primaries.send(number, *commands))

    def _at_once(self, until: float, number: int, *commands: Command) -> Awaitable[list[Any] | None] | None:
        """None where the primary is not at hand, or says that they are not for it: nothing was done."""
        primary = self._primaries.ready(number)
        return None if primary is None else self._primaries.ask(primary, commands, within=until - time.monotonic())

    async def _entries(self, names: Keys) -> tuple[TrailEntry, ...]:
        (numbers,) = await self._primaries.send(names.bucket, ("LRANGE", names.index, 0, -1), apart=True)
        wanted = [f"{int(number)}-0" for number in numbers]
        if not wanted:
            return ()
        each = (("XRANGE", names.trail, name, name) for name in wanted)
        found = await self._primaries.send(names.bucket, *each, apart=True)
        return tuple(keys.trail_entry(names.bucket, row) for rows in found for row in rows)

    async def _committed(self, change: Change, within: float) -> tuple[list[Any], int]:
        """The function's reply, and how many replicas have the step."""
        until = time.monotonic() + within
        if not self._replicas and not change.loosens:
            names, replies = Keys(change.after.key), None
            try:
                asked = self._at_once(until, names.bucket, _commit(names, change))
                replies = None if asked is None else await asked
            except ResponseError as error:
                raise StoreUnavailable(type(error).__name__) from error
            except (RedisError, OSError):
                pass  # nobody knows: it is tried again by the same name
            if replies is not None:
                return replies[0], 0
        return await self._within(until - time.monotonic(), lambda: self._commit_again(change))

    async def _commit_again(self, change: Change) -> tuple[list[Any], int]:
        """Try until an answer is readable; the operation id makes the second time harmless."""
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._commit_once(change)
            except ResponseError:
                raise
            except (RedisError, OSError):
                if not tries_left:
                    raise
        raise AssertionError  # pragma: no cover -- the last try returns or raises

    async def _commit_once(self, change: Change) -> tuple[list[Any], int]:
        """One round trip; WAIT rides on the same connection, or it would count another's writes. It keeps whoever
        comes behind it waiting, so that it has the connection for itself."""
        names = Keys(change.after.key)
        commands = [_commit(names, change)]
        if self._replicas:
            commands.append(("WAIT", self._replicas, REPLICA_MS))
        waits = bool(self._replicas)
        reply, *acked = await self._primaries.send(names.bucket, *commands, settled=change.loosens, apart=waits)
        return reply, acked[0] if acked else 0

    def _replicated(self, acked: int) -> bool:
        """Said in the log when replicas begin and cease to lag behind what was asked for."""
        lacking = acked < self._replicas
        if lacking and not self._lacking:
            _log.warning("replicas.missed", acknowledged=acked, wanted=self._replicas)
        if self._lacking and not lacking:
            _log.info("replicas.reached")
        self._lacking = lacking
        return bool(self._replicas) and not lacking

    async def _within(self, seconds: float, work: Callable[[], Awaitable[_T]]) -> _T:
        """Wait so long for `work`; it goes on by itself when nobody waits any more."""
        if seconds <= 0:
            raise StoreUnavailable("no answer in time")
        task = self._start(work)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise StoreUnavailable("no answer in time")
        try:
            return task.result()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    def _start(self, work: Callable[[], Awaitable[_T]]) -> asyncio.Task[_T]:
        task = asyncio.ensure_future(_run(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(_retrieve)
        return task


def _commit(names: Keys, change: Change) -> Command:
    every = names.all()
    return ("FCALL", COMMIT, len(every), *every, *keys.arguments(change))


async def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    return await work()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the exception of a task nobody waits for, or the loop would complain about it."""
    if not task.cancelled():
        task.exception()
