"""What the gateway asks of a store: one atomic step for state, entry and work queue, and plain reads.

StoreError
├── StoreUnavailable   it was not reached or not in time; a change may or may not have been made
│   ├── StoreAway      it is known to be away, and was not asked
│   └── StoreUnsettled it is there, but new in its place: what lets a party be recorded has to wait
└── StoreUnfit         it was reached and must not be used (volatile, evicting, wrong version)
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import orjson

from gateway.frozen import quick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from gateway.model import CallKey, Redaction

BUCKETS = 64


class StoreError(Exception):
    """The store did not do, or did not confirm, what was asked."""


class StoreUnavailable(StoreError):  # noqa: N818 -- reads as the fact it states
    """Not reached, or no answer in time: a change may have been made; the same operation id asks again safely."""


class StoreAway(StoreUnavailable):
    """Nothing was changed, and will not be for a while: nobody reaches it."""


class StoreUnsettled(StoreUnavailable):
    """Nothing was changed: the server took another one's place, and may lack what that one had acknowledged."""


class StoreUnfit(StoreError):  # noqa: N818 -- as StoreUnavailable
    """The store's own settings would lose or evict what it must keep; the text names the setting."""


@lru_cache(maxsize=4_096)
def bucket(key: CallKey) -> int:
    """The bucket of a call, 0…63: everything of one call shares one hash slot."""
    digest = hashlib.sha256(f"{key.tenant}\n{key.call_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A redaction as the store has it; `head` is the newest link of its chain, `seq` that entry's number."""

    redaction: Redaction
    head: str
    seq: int = 0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: from `before` (None: the call is not expected to be there) to `after`, with its entry.

    A step without news has no entry (b""), and its `link` is the head as it was.
    `due_at` (ms) is when somebody must look at the call again, None for never; `keep_ms` how long the state is
    kept from now, None for as long as it takes. `state` is `after` as it is stored, where somebody has it already.
    """

    op: str
    before: Stored | None
    after: Redaction
    entry: bytes
    link: str
    due_at: int | None
    keep_ms: int | None
    state: bytes = b""

    @property
    def loosens(self) -> bool:
        """The step gives an order that lets a party be recorded."""
        given = self.before.redaction.order if self.before else None
        return self.after.order not in {None, given}

    @property
    def lets_go(self) -> bool:
        """After it some party may be recorded, or soon: whoever knows the call as it was before must not go by that."""
        return self.after.order is not None or not self.after.open


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Some pod has just changed the call; `lets_go` as in `Change`."""

    key: CallKey
    lets_go: bool


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The step was taken, now or at an earlier try with the same operation id. `at` is the store's clock, ms."""

    seq: int
    at: int
    durability: Literal["stored", "replicated"]
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The step was not taken: the call is no longer at `before`; `now` is where it is (None: it is gone)."""

    now: Stored | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """One stored entry with what the store gave it: `seq`, `at` (its clock, ms), `link`. `beside`: the row is not
    written as we write it, so that something stands there which no link and no seal covers."""

    bucket: int
    seq: int
    at: int
    link: str
    entry: bytes
    beside: bool = False

    def told(self) -> dict[str, object]:
        """As the log stream has it."""
        return {"bucket": self.bucket, "seq": self.seq, "at": self.at, "hash": self.link, "entry": self.entry.decode()}

    def members(self) -> dict[str, object]:
        """The entry as it is shown and exported: its own members, and what the store gave it."""
        return {**orjson.loads(self.entry), "bucket": self.bucket, "seq": self.seq, "at": self.at, "hash": self.link}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailPage:
    """Part of a bucket's trail: `first` is the oldest number that is still there, `newest` the last one given."""

    first: int | None
    newest: int
    entries: tuple[TrailEntry, ...]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A redaction that means the same recorder of the same call. `token` is the claim's own name: another one
    when it was renewed. It begins with when the redaction first claimed and ends with when it last did, by the store's
    clock in ms."""

    key: CallKey
    token: str

    @property
    def since(self) -> int:
        return int(self.token.partition(":")[0])

    @property
    def renewed_at(self) -> int:
        return int(self.token.rpartition(":")[2])


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Who else means a target, at the store's time `at`; what was seen there before `loose_until` (ms) proves nothing,
    because a command that lets a party be recorded may land until then, or has landed then. `own` is the asker's
    claim, "" for none."""

    at: int
    own: str
    others: tuple[Claim, ...]
    loose_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """When a key was first heard of and last used (None: never), in ms by the store's and the node's clock."""

    seen_at: int
    used_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Calls that are due by `until` (ms): `most` of a bucket, and no more buckets are looked at once `enough` were
    found. Of the buckets `to_take` the `owner` takes the lease first: it alone works on them for `lease_ms` from now.
    That of the others it has."""

    owner: str
    to_take: Collection[int]
    lease_ms: int
    until: int
    most: int
    enough: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A bucket's calls that are due, the longest due first. Not `ours`: somebody else works on it. Not `whole`: there
    may be more."""

    ours: bool
    whole: bool
    keys: tuple[CallKey, ...] = ()


class Turn(enum.StrEnum):
    """What a named operation is when it is asked for: to be done now, under way, begun by somebody who is gone,
    done, tried in vain, or another one's name."""

    NEW = "new"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    OTHER = "other"


class Store(Protocol):
    """`within` is how long the caller waits, in seconds; past it every method raises `StoreUnavailable`."""

    async def open(self) -> None:
        """Connect, check that the store is fit (`StoreUnfit`), load what it needs."""
        ...

    async def close(self) -> None: ...

    async def commit(self, change: Change, *, within: float) -> Committed | Stale: ...

    async def load(self, key: CallKey, *, within: float) -> Stored | None: ...

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        """This call's entries, oldest first."""
        ...

    def together(self, numbers: Sequence[int]) -> Sequence[Sequence[int]]:
        """The buckets in groups that can be asked by one command."""
        ...

    async def queues(self, numbers: Sequence[int], asked: Asked, *, within: float) -> Mapping[int, Queue]:
        """What is due in these buckets, all of one group. One that cannot be read is left out."""
        ...

    async def claim(self, target: str, key: CallKey, *, within: float) -> Claims:
        """The redaction of `key` means `target` from now on, if not already."""
        ...

    async def loosen(
        self, target: str, key: CallKey, *, lands_before: int, over: tuple[Claim, ...], within: float
    ) -> Claims:
        """Ask whether `target` may be let go. `over` are claims known to be dead, which are dropped; when nobody
        else is left, it is on record that something may land until `lands_before`."""
        ...

    async def release(self, target: str, key: CallKey, *, own: str, landed: int | None, within: float) -> None:
        """What was on record to land until `landed` has landed. With its claim `own` (not ""), `key` means
        `target` no more, unless it was claimed again meanwhile."""
        ...

    async def once(
        self, name: str, fingerprint: str, *, runs_ms: int, keep_ms: int, again: bool, within: float
    ) -> Turn:
        """Take the operation `name`, unless somebody has. One that runs longer than `runs_ms` was interrupted;
        `again` takes it anew."""
        ...

    async def once_over(self, name: str, fingerprint: str, *, left: Turn, within: float) -> None:
        """The operation is `left` done or failed; or new: nothing was done and the name is free again."""
        ...

    def changes(self) -> AsyncIterator[Word | None]:
        """None once every change will be heard, then word of each, for as long as the connection holds; then
        `StoreUnavailable`."""
        ...

    async def ping(self, *, within: float) -> None: ...


class WatchedStore(Store, Protocol):
    """What health and healing ask beyond it."""

    async def probe(self, name: str, *, word: str, within: float) -> str:
        """Write `word` under `name` and read it back; gives what stood there before ("" for nothing)."""
        ...

    async def trail(self, number: int, *, since: int, most: int, within: float) -> TrailPage:
        """Entries of bucket `number` from `since` on, oldest first."""
        ...
