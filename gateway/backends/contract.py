"""What the gateway asks of a vendor: nothing in here knows HTTP, or that an answer follows a request.

    BackendError
    ├── NotSent        nothing left this machine                 another try is safe and worth it
    ├── Unconfirmed    it may have acted, nobody knows           find out by asking, then try again
    └── Refused        a readable no: it has not acted           another try is worth it only when `retryable`
        ├── NoSuchCall
        └── AmbiguousCall

An adapter raises only these; each carries a `Fault` of the closed set and never a vendor's own text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.frozen import quick
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


class BackendError(Exception):
    """A vendor did not do, or did not prove, what was asked."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class NotSent(BackendError):  # noqa: N818 -- reads as the fact it states
    """Nothing was sent: the vendor cannot have acted."""


class Unconfirmed(BackendError):  # noqa: N818 -- as NotSent
    """Something was sent and no readable answer came: the vendor may have acted."""


class Refused(BackendError):  # noqa: N818 -- as NotSent
    """The vendor said a readable no: it has not acted."""

    def __init__(self, fault: Fault = Fault.REFUSED, *, retryable: bool = False) -> None:
        super().__init__(fault)
        self.retryable = retryable


class NoSuchCall(Refused):
    """The vendor knows no such call (any more). `age_seconds` as in `Seen`."""

    def __init__(self, *, age_seconds: float = 0.0) -> None:
        super().__init__(Fault.NO_SUCH_CALL)
        self.age_seconds = age_seconds


class AmbiguousCall(Refused):
    """The extension has several calls and the vendor can neither take nor list them all."""

    def __init__(self) -> None:
        super().__init__(Fault.AMBIGUOUS_CALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one configured backend can do, so that nothing is sent that it cannot.

    `parties` are the sets it can silence, `call_status` the combinations it takes with an extension.
    `evidence` is how it can prove a state; `ACCEPTED` is in it only by the operator's word.
    `read_interval_seconds` is how far apart background reads must be; a request's own read goes at once.
    `covers_later_calls`: a command by extension also holds for calls that begin after it.
    `tells_calls`: whatever tells the state of an extension also says which calls it has.
    `resumes_after_seconds`: the vendor resumes recording by itself after so long, None for never.
    `repeatable` are the actions that may be sent twice with the effect of once.
    """

    actions: frozenset[Action]
    parties: frozenset[Parties]
    call_status: frozenset[tuple[CallStatus, ...]]
    evidence: frozenset[Evidence]
    by_call_id: bool = True
    by_extension: bool = True
    covers_later_calls: bool = False
    tells_calls: bool = False
    resumes_after_seconds: int | None = None
    repeatable: frozenset[Action] = frozenset({Action.MUTE})
    read_interval_seconds: float = 0.0

    @property
    def observable(self) -> bool:
        """`observe` can tell the state (as against a bare yes, or only an answer to a command)."""
        return Evidence.READBACK in self.evidence or Evidence.EVENT in self.evidence


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command to one recorder.

    `MUTE` and `UNMUTE` both say who is to be silent afterwards (`muted`): fewer than before narrows, and
    `Parties.NONE` (only with `UNMUTE`) lets everybody be recorded. `format` is for `START`, `mark` for `KEEP`
    and `DISCARD`.
    """

    action: Action
    target: Target
    muted: Parties = Parties.NONE
    format: str | None = None
    mark: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state of every call that the target means, taken together.

    `muted` is who is silent in *all* of them. A mixed bag, some silent and some not, is `mixed`. `age_seconds` is
    how long before the call of `observe` the vendor was asked: 0 unless an answer is shared. `calls` are the vendor's
    own ids of those calls, every id that a call is known by; empty where the answer does not say. The same state is
    the same, whichever calls it is of.
    """

    muted: Parties
    evidence: Evidence
    mixed: bool = False
    age_seconds: float = 0.0
    calls: frozenset[str] = field(default=frozenset(), compare=False)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The vendor's yes to a command: accepted, which is not done. `seen` is set only where the answer itself
    carries the recorder's state."""

    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a vendor said of one call by itself: `call_ids` are all ids that the call is known by, `extensions` the
    numbers that take part."""

    call_ids: frozenset[str]
    extensions: frozenset[str]
    seen: Seen


Hear = Callable[[Heard], None]


class Backend(Protocol):
    """One configured account at one vendor.

    `deadline` is absolute, in seconds of the running loop's clock (`loop.time()`); every method ends by then.
    All methods raise `BackendError` leaves only.
    """

    @property
    def name(self) -> str: ...

    @property
    def vendor(self) -> Vendor: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        """Send one command, once; a renewal of credentials after a readable refusal is not a second time."""
        ...

    async def observe(self, target: Target, *, deadline: float, background: bool = False) -> Seen:
        """Ask for the state now. `NoSuchCall` where the call is over or never was.

        In the `background` the newest answer may be shared where the vendor wants reads `read_interval_seconds`
        apart (then it says how old it is); `NotSent` with `BUSY` where there is none and it is too early to ask.
        """
        ...

    async def ping(self, *, deadline: float) -> None:
        """Show that host and credentials work without touching any call."""
        ...

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        """While the block runs, `hear` is told what the vendor says by itself; nothing where it says nothing.

        Trouble with the vendor is logged and got over, never raised. Events can be late, doubled or missing: they
        are a reason to look, and no news proves nothing.
        """
        ...

    async def close(self) -> None: ...
