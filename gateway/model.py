"""The words of the product as frozen data: calls, commands, holds, recorders, redactions.

Nothing here does anything: no I/O, no clock, no randomness. Times are whole milliseconds since the epoch.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.frozen import quick

if TYPE_CHECKING:
    from collections.abc import Mapping


class Parties(enum.IntFlag):
    """Who on a call is silent in the recording; a set, so that holds add up by ``|``."""

    NONE = 0
    CALLER = 1
    CALLED = 2
    BOTH = 3


# Iterating a flag gives its single bits only.
EVERY_PARTIES = (Parties.NONE, Parties.CALLER, Parties.CALLED, Parties.BOTH)


class Vendor(enum.StrEnum):
    VERBA = "verba"
    VOICENTER = "voicenter"
    VOIPNOW = "voipnow"
    GENESYS = "genesys"


class CallStatus(enum.StrEnum):
    """Which call of an extension is meant."""

    ONGOING = "ongoing"
    NEXT = "next"
    LAST = "last"


class Action(enum.StrEnum):
    MUTE = "mute"
    UNMUTE = "unmute"
    KEEP = "keep"
    DISCARD = "discard"
    START = "start"
    STOP = "stop"


class Evidence(enum.StrEnum):
    """How a recorder's state is known, strongest first."""

    READBACK = "readback"
    EVENT = "event"
    ANSWER = "answer"
    ACCEPTED = "accepted"


class RecorderState(enum.StrEnum):
    MUTED = "muted"
    UNMUTED = "unmuted"
    MIXED = "mixed"
    UNKNOWN = "unknown"
    ENDED = "ended"


class Device(enum.StrEnum):
    """Where entries of the trail are written."""

    STORE = "store"
    JOURNAL = "journal"


class Fault(enum.StrEnum):
    """Why a recorder is not where it should be: the closed set behind a recorder's ``error``."""

    NO_SUCH_CALL = "no-such-call"
    AMBIGUOUS_CALL = "ambiguous-call"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    UNAUTHENTICATED = "unauthenticated"
    MISCONFIGURED = "misconfigured"
    CONNECTION_FAILED = "connection-failed"
    CIRCUIT_OPEN = "circuit-open"
    BUSY = "busy"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection-lost"
    BAD_ANSWER = "bad-answer"
    SERVER_ERROR = "server-error"
    RATE_LIMITED = "rate-limited"
    REDIRECTED = "redirected"
    NOT_PROVEN = "not-proven"
    HELD = "held"
    UNAWAITED = "not-awaited"  # sent where nobody waits for the backend


class Blame(enum.StrEnum):
    """What a fault means for the caller, the worst first."""

    UNCONFIRMED = "unconfirmed"  # sent, and nobody knows: treat as being recorded
    REFUSED = "refused"  # a readable no
    AMBIGUOUS = "ambiguous"
    NOT_FOUND = "not-found"
    UNAVAILABLE = "unavailable"  # nothing was sent


BLAME: dict[Fault, Blame] = {
    Fault.NO_SUCH_CALL: Blame.NOT_FOUND,
    Fault.AMBIGUOUS_CALL: Blame.AMBIGUOUS,
    Fault.UNSUPPORTED: Blame.REFUSED,
    Fault.REFUSED: Blame.REFUSED,
    Fault.UNAUTHENTICATED: Blame.REFUSED,
    Fault.MISCONFIGURED: Blame.REFUSED,
    Fault.HELD: Blame.REFUSED,
    Fault.CONNECTION_FAILED: Blame.UNAVAILABLE,
    Fault.CIRCUIT_OPEN: Blame.UNAVAILABLE,
    Fault.BUSY: Blame.UNAVAILABLE,
    Fault.TIMEOUT: Blame.UNCONFIRMED,
    Fault.CONNECTION_LOST: Blame.UNCONFIRMED,
    Fault.BAD_ANSWER: Blame.UNCONFIRMED,
    Fault.SERVER_ERROR: Blame.UNCONFIRMED,
    Fault.RATE_LIMITED: Blame.UNCONFIRMED,
    Fault.REDIRECTED: Blame.UNCONFIRMED,
    Fault.NOT_PROVEN: Blame.UNCONFIRMED,
    Fault.UNAWAITED: Blame.UNCONFIRMED,
}


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class CallKey:
    """A call as one tenant names it."""

    tenant: str
    call_id: str

    def __hash__(self) -> int:
        """Hardly two calls differ in the tenant alone, and a mute looks some thirty times into a table of calls."""
        return hash(self.call_id)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How one backend finds the call.

    `call_id` is the recorder's own id and comes first where it is given; `extension` finds the call where it
    is not, and helps where the vendor's API wants both. At least one of the two is set. `excluded` are the
    recorder's own ids of calls of the extension that are not meant.
    """

    call_id: str | None = None
    extension: str | None = None
    call_status: tuple[CallStatus, ...] = (CallStatus.ONGOING,)
    user_id: str | None = None
    view_id: str | None = None
    excluded: frozenset[str] = frozenset()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HoldKey:
    client: str
    name: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One holder's claim. `resume_at` is the holder's own order to unmute then, or None."""

    key: HoldKey
    parties: Parties
    actor: str | None
    resume_at: int | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a recorder was seen to do.

    `muted` is who was proven silent in all of its calls (`Parties.NONE`: somebody is recorded); `mixed` where
    its calls differ. `at` is when the question was asked, not when it was answered, so that evidence is never
    younger than it claims. `calls` are the recorder's own ids of those calls, where it tells them.
    """

    muted: Parties
    evidence: Evidence
    at: int
    mixed: bool = False
    calls: frozenset[str] = field(default=frozenset(), compare=False)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """One backend that the call was routed to, and what is known of it.

    `seen` is None while nothing is known. `fault` is the last reason why it is not where it should be. `calls` are
    the recorder's own ids of the calls that the target was seen to mean, the newest last. Where the next call is meant:
    `asked_at` (ms) is when that was said last, and `free` that the call seen next is the one.
    """

    backend: str
    vendor: Vendor
    target: Target
    optional: bool = False
    seen: Observation | None = None
    fault: Fault | None = None
    calls: tuple[str, ...] = ()
    asked_at: int = 0
    free: bool = False

    @property
    def waiting(self) -> bool:
        """It means none of the calls that are there."""
        return self.target.call_status == (CallStatus.NEXT,)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one recorder's share of an operation came to: the state that was seen last, and what went wrong.

    `lost`: the answer to the command was lost, so that it may still land, whatever was seen since.
    """

    seen: Observation | None = None
    fault: Fault | None = None
    lost: bool = False


class OrderKind(enum.StrEnum):
    """What may put recording on: the last hold dropped, a hold dropped that narrows, force, a one-shot start."""

    RESUME = "resume"
    NARROW = "narrow"
    FORCE = "force"
    START = "start"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A client's order under way that lets some party be recorded again.

    `op` is the operation that gave it, `at` when; `drops` the holds that go when it succeeds. What it sends may
    land until `lands_before`, what was sent for orders before it until `earlier_before`.
    """

    op: str
    kind: OrderKind
    drops: tuple[HoldKey, ...]
    lands_before: int
    earlier_before: int = 0
    at: int = 0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """The fact that a call's recording must be silent now, from PUT to DELETE, and what is known of it.

    `revision` counts every change, `version` those that a reader can see. `loose_before` is when the last
    command of ours that lets a party be recorded can have landed at the latest, `loose_revision` the revision
    that ordered it: evidence from before either proves nothing. `ordered_at` is when the last such command may have
    been sent, 0 for never: a vendor can carry it out later than it should. `stood_at` is since when the claims have
    stood under which all was proven, 0 for not known. `closed_at` is None while the redaction is open; `void` says that
    no recorder ever knew the call. `extension` is the participant's number that requests gave for all recorders, by
    which the call is routed.
    """

    key: CallKey
    revision: int = 0
    version: int = 0
    holds: tuple[Hold, ...] = ()
    recorders: tuple[Recorder, ...] = ()
    order: Order | None = None
    loose_before: int = 0
    loose_revision: int = 0
    ordered_at: int = 0
    stood_at: int = 0
    requested_at: int = 0
    updated_at: int = 0
    exposure_ms: int | None = None
    closed_at: int | None = None
    void: bool = True
    extension: str | None = None

    @property
    def open(self) -> bool:
        return bool(self.holds)

    @property
    def wanted(self) -> Parties:
        """Who must be silent: the union over all holds."""
        return union(self.holds)

    def hold(self, key: HoldKey) -> Hold | None:
        return next((hold for hold in self.holds if hold.key == key), None)

    def recorder(self, backend: str) -> Recorder | None:
        return next((recorder for recorder in self.recorders if recorder.backend == backend), None)


def union(holds: tuple[Hold, ...]) -> Parties:
    if len(holds) == 1:  # almost always, and a flag's ``|`` is slow
        return holds[0].parties
    parties = Parties.NONE
    for hold in holds:
        parties |= hold.parties
    return parties


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: the application by its key, and the tenant and scopes that the configuration gives it."""

    client: str
    tenant: str
    kid: str
    scopes: frozenset[str] = frozenset()
    subject: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one request came from: for the trail, never for a decision.

    `actor` is the person (a token's subject first, the body's word otherwise), `address` the peer's.
    """

    principal: Principal
    request_id: str
    address: str | None = None
    actor: str | None = None
    trigger: str | None = None
    reason: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTarget:
    """A target as a request words it: what is not said is None."""

    call_id: str | None = None
    extension: str | None = None
    call_status: tuple[CallStatus, ...] | None = None
    user_id: str | None = None
    view_id: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What one request said about finding the call; all of it optional. `targets` are by backend name."""

    extension: str | None = None
    call_status: tuple[CallStatus, ...] | None = None
    targets: Mapping[str, PartialTarget] = field(default_factory=dict)
    backends: tuple[str, ...] | None = None
