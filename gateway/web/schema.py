"""What a client may say, as models: the parser and the OpenAPI document both come from here.

There is no free text: every string has a pattern, and the ones that end up in the trail cannot hold an API key or a
card number. `call_id` and `extension` are exempt from the latter: one numeric id in ten passes the Luhn check, and
a mute must not be refused for it. A field that is None was left out: the parser refuses a null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationInfo
from pydantic_core import PydanticCustomError

from gateway.asks import API_KEY, CARD_NUMBER
from gateway.auth.keys import holds_key
from gateway.cards import holds_card
from gateway.model import CallStatus

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_ID = r"^[A-Za-z0-9][A-Za-z0-9._:*+=@-]{0,127}$"
IDEMPOTENCY_KEY = r"^[A-Za-z0-9._~+/=:-]{1,128}$"
IF_MATCH = r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'
_COMBINATIONS = (
    (CallStatus.ONGOING,),
    (CallStatus.NEXT,),
    (CallStatus.LAST,),
    (CallStatus.ONGOING, CallStatus.NEXT),
    (CallStatus.LAST, CallStatus.ONGOING),
)


def nobodys(_: str) -> bool:
    """Where nobody has a secret."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the configuration makes of a body: the backends there are, whether `actor` must be said, and what holds the
    secret of a key."""

    backends: frozenset[str] = frozenset()
    needs_actor: bool = False
    holds_secret: Callable[[str], bool] = nobodys


def _no_card(text: str) -> str:
    if holds_card(text):
        raise PydanticCustomError("card_number", CARD_NUMBER)
    return text


def _no_key(text: str, info: ValidationInfo) -> str:
    if holds_key(text) or _known(info).holds_secret(text):
        raise PydanticCustomError("api_key", API_KEY)
    return text


def _legal(statuses: tuple[CallStatus, ...]) -> tuple[CallStatus, ...]:
    if statuses not in _COMBINATIONS:
        raise PydanticCustomError("call_status", "Must be ongoing, next, last, [ongoing, next] or [last, ongoing]")
    return statuses


def _configured(name: str, info: ValidationInfo) -> str:
    if name not in _known(info).backends:
        raise PydanticCustomError("backend", "No such backend is configured")
    return name


def _said(actor: str | None, info: ValidationInfo) -> str | None:
    if actor is None and _known(info).needs_actor:
        raise PydanticCustomError("actor", "Must name the person: this client is configured to need it")
    return actor


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise PydanticCustomError("repeated", "Must name each backend once")
    return names


def _known(info: ValidationInfo) -> Known:
    return info.context if isinstance(info.context, Known) else Known()


def _text(pattern: str) -> StringConstraints:
    return StringConstraints(pattern=pattern)


CallId = Annotated[str, _text(CALL_ID), AfterValidator(_no_key)]
Extension = Annotated[
    str,
    _text(r"^[0-9A-Za-z*#+@._-]{0,63}[0-9A-Za-z*#+@_-][.]{0,63}$"),
    Field(max_length=64),
    AfterValidator(_no_key),
]
UserId = Annotated[
    str, _text(r"^(@me|@viewer|@owner|[A-Za-z0-9-]{1,64})$"), AfterValidator(_no_key), AfterValidator(_no_card)
]
ViewId = Annotated[str, _text(r"^[A-Za-z0-9-]{1,64}$"), AfterValidator(_no_key)]
Statuses = Annotated[
    tuple[CallStatus, ...],
    Field(
        min_length=1, max_length=2, json_schema_extra={"uniqueItems": True}
    ),  # makers of clients know no enum of lists
    AfterValidator(_legal),
]
HoldName = Annotated[str, _text(r"^[a-z0-9._-]{1,64}$"), AfterValidator(_no_key), AfterValidator(_no_card)]
ActorName = Annotated[str, _text(r"^[A-Za-z0-9@._-]{1,64}$"), AfterValidator(_no_key), AfterValidator(_no_card)]
ReasonWord = Annotated[str, _text(r"^[a-z0-9-]{1,32}$"), AfterValidator(_no_card)]
BackendName = Annotated[str, _text(r"^[a-z][a-z0-9_]{0,31}$"), AfterValidator(_configured)]
BackendNames = Annotated[
    tuple[BackendName, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_once)
]
Mark = Annotated[str, _text(r"^[A-Za-z]{1,32}$")]
Flag = Literal["true", "false"]


class Said(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class TargetBody(Said):
    """How one backend finds the call."""

    call_id: CallId | None = None
    """The recorder's own id of the call."""

    extension: Extension | None = None
    """A participant's number or the vendor's name for a line (`0003*210`, `@self`)."""

    call_status: Statuses | None = None
    """With an extension, here or for all: which of its calls are meant, tried in order: one of the three,
    `ongoing, next` or `last, ongoing`."""

    user_id: UserId | None = None
    """VoipNow: whose line it is."""

    view_id: ViewId | None = None
    """VoipNow: which view of the call; found by the extension when not given."""


class Person(Said):
    actor: Annotated[ActorName | None, AfterValidator(_said), Field(validate_default=True)] = None
    """Who asks, when no bearer token says so."""

    trigger: Literal["automated", "manual"] | None = None
    """Whether a person or a program decided."""

    reason: ReasonWord | None = None
    """Why, in one word."""


class Finding(Said):
    extension: Extension | None = None
    """Find the call by a participant's number."""

    call_status: Statuses | None = None
    """With an extension, here or in a target: which of its calls are meant, tried in order: one of the three,
    `ongoing, next` or `last, ongoing`. Default ongoing."""

    targets: dict[BackendName, TargetBody] = Field(default_factory=dict)
    """How single backends find the call, by backend name."""

    backends: BackendNames | None = None
    """Only these of the backends that the call is routed to."""


class MuteBody(Finding, Person):
    """A mute: create this hold or renew it."""

    parties: Literal["caller", "called", "both"] = "both"
    """Who must be silent in the recording."""

    hold: HoldName = "default"
    """The name of this claim; recording resumes when the last claim is gone."""

    resume_after_seconds: Annotated[int, Field(ge=1, le=86400)] | None = None
    """The client's own order to unmute after so many seconds; each PUT of the hold sets it anew."""


class MuteCommand(MuteBody):
    """As PUT."""

    action: Literal["mute"]


class UnmuteCommand(Person):
    """As DELETE. What an earlier mute said about finding the call is remembered and cannot be said again."""

    action: Literal["unmute"]

    hold: HoldName = "default"
    """The claim to drop."""

    force: bool = False
    """Drop all claims and resume wherever it can; needs the scope `redaction:force`."""


class KeepCommand(Finding, Person):
    """Keep the recording of an on-demand call."""

    action: Literal["keep"]
    mark: Mark | None = None
    """What to mark instead of the recording."""


class DiscardCommand(Finding, Person):
    """Take a keep back."""

    action: Literal["discard"]
    mark: Mark | None = None
    """What to unmark instead of the recording."""


class StartCommand(Finding, Person):
    """Start recording. Refused while a redaction of the call is open."""

    action: Literal["start"]
    format: Literal["wav", "wav49"] | None = None
    """The recording's format."""


class StopCommand(Finding, Person):
    """Stop recording."""

    action: Literal["stop"]


ControlCommand = KeepCommand | DiscardCommand | StartCommand | StopCommand
AnyCommand = MuteCommand | UnmuteCommand | ControlCommand
Command = Annotated[AnyCommand, Field(discriminator="action")]


class NoQuery(Said):
    pass


class UnmuteQuery(Said):
    hold: HoldName = "default"
    """The claim to drop."""

    force: Flag = "false"
    """Drop all claims and resume wherever it can; needs the scope `redaction:force`."""


class ReadQuery(Said):
    refresh: Flag = "false"
    """Ask the recorders first."""

    include: Literal["audit"] | None = None
    """Add this call's audit entries; needs the scope `audit:read`."""


MUTE: TypeAdapter[MuteBody] = TypeAdapter(MuteBody)
COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(Command)
NO_QUERY: TypeAdapter[NoQuery] = TypeAdapter(NoQuery)
UNMUTE_QUERY: TypeAdapter[UnmuteQuery] = TypeAdapter(UnmuteQuery)
READ_QUERY: TypeAdapter[ReadQuery] = TypeAdapter(ReadQuery)
