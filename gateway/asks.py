"""What a client can ask of the service, parsed and checked; and the two ways it answers.

The rim (HTTP) makes an ask, the service gives an `Answer` or raises a `Failure`. Neither knows HTTP.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.frozen import quick
from gateway.model import Action, CallKey, Origin, Parties, Where

if TYPE_CHECKING:
    from gateway.view import Document, RecorderView


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """The client's own name for an operation (`Idempotency-Key`); `fingerprint` tells whether the request under
    it is the same."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`received_at` is when the request came in (ms since the epoch); `if_match` the versions that the client
    would accept (empty tuple: any existing one), None for no condition; `once` its name, where it has one."""

    key: CallKey
    origin: Origin
    received_at: int
    if_match: tuple[int, ...] | None = None
    once: Once | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(Ask):
    hold: str = "default"
    parties: Parties = Parties.BOTH
    where: Where = field(default_factory=Where)
    resume_after_seconds: int | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute(Ask):
    """`dated` is the time (ms) for which the holder itself ordered this when it muted; None for an order now."""

    hold: str = "default"
    force: bool = False
    dated: int | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Ask):
    refresh: bool = False
    audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Ask):
    """A one-shot command: `action` is keep, discard, start or stop."""

    action: Action
    where: Where = field(default_factory=Where)
    format: str | None = None
    mark: str | None = None


class Code(enum.StrEnum):
    """The `code` of a problem; the HTTP status that goes with it is the web layer's."""

    INVALID_REQUEST = "invalid-request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    CALL_NOT_FOUND = "call-not-found"
    AMBIGUOUS_CALL = "ambiguous-call"
    IDEMPOTENCY_CONFLICT = "idempotency-conflict"
    REDACTION_OPEN = "redaction-open"
    VERSION_CONFLICT = "version-conflict"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNSUPPORTED_BY_RECORDER = "unsupported-by-recorder"
    RATE_LIMITED = "rate-limited"
    RECORDER_REFUSED = "recorder-refused"
    RECORDER_UNAVAILABLE = "recorder-unavailable"
    STORE_UNAVAILABLE = "store-unavailable"
    RECORDER_UNCONFIRMED = "recorder-unconfirmed"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NOT_FOUND = "not-found"
    EXPECTATION_FAILED = "expectation-failed"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What somebody asked for who may not have it, as far as it is known; `method` in lower case."""

    method: str
    action: Action | None = None
    call_id: str | None = None


CARD_NUMBER = "Must not hold what looks like a card number"
API_KEY = "Must not hold what looks like an API key"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """One thing wrong with a request: `field` is its place (``targets.pbx.extension``), never its value."""

    field: str
    message: str


class Failure(Exception):  # noqa: N818 -- the counterpart of Answer
    """The ask was not granted, or not (provably) carried out."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        faults: tuple[FieldFault, ...] = (),
        recorders: tuple[RecorderView, ...] = (),
        document: Document | None = None,
        unprocessable: bool = False,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.detail = detail
        self.faults = faults
        self.recorders = recorders
        self.document = document
        self.unprocessable = unprocessable


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The ask was carried out. `pending`: a mute of a call that has not begun yet (`next`): not protected."""

    document: Document
    pending: bool = False
