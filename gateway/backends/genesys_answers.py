"""What Genesys Web Services answers: status codes, calls and their recording state, the header against CSRF."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.backends.contract import BackendError, NoSuchCall, Refused, Seen, Unconfirmed
from gateway.backends.http import as_list, as_object
from gateway.model import Evidence, Fault, Parties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.backends.http import HttpReply
    from gateway.model import Target

Headers = tuple[tuple[str, str], ...]

WRONG_STATE = 2
_ACCEPTED = 0
RELEASED = "Released"
_IDS = ("id", "connId", "callUuid")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_NOT_FOR_CSRF = frozenset({"authorization", "connection", "content-length", "content-type", "cookie", "host"})

# Every status code (V). A failure half-way may have acted; only a no before the start is a refusal.
_OUTCOMES: dict[int, Callable[[], BackendError]] = {
    1: partial(Refused, Fault.MISCONFIGURED),  # parameter missing
    WRONG_STATE: partial(Refused, Fault.REFUSED),
    3: partial(Refused, Fault.REFUSED),  # forbidden
    4: partial(Unconfirmed, Fault.SERVER_ERROR),  # internal error
    5: partial(Refused, Fault.REFUSED),  # no permission
    6: NoSuchCall,
    7: partial(Unconfirmed, Fault.NOT_PROVEN),  # partial success
    8: partial(Refused, Fault.UNAUTHENTICATED),  # password change demanded
    9: partial(Unconfirmed, Fault.NOT_PROVEN),  # processing incomplete
    10: partial(Refused, Fault.REFUSED),  # validation
    11: partial(Refused, Fault.REFUSED),  # read-only
    12: partial(Unconfirmed, Fault.SERVER_ERROR),  # retrieve failed
    13: partial(Unconfirmed, Fault.SERVER_ERROR),  # create failed
    14: partial(Unconfirmed, Fault.SERVER_ERROR),  # delete failed
    15: partial(Unconfirmed, Fault.SERVER_ERROR),  # update failed
    16: partial(Unconfirmed, Fault.SERVER_ERROR),  # assign failed
    17: partial(Unconfirmed, Fault.SERVER_ERROR),  # unassign failed
    18: partial(Refused, Fault.REFUSED),  # exists
    19: partial(Refused, Fault.REFUSED, retryable=True),  # in use
    20: partial(Refused, Fault.UNAUTHENTICATED),  # not authenticated
}


class RecordingState(enum.StrEnum):
    RECORDING = "Recording"
    PAUSED = "Paused"
    STOPPED = "Stopped"


STATES: dict[str, RecordingState] = {state.value: state for state in RecordingState}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of the agent. `ids` are all that it is known by; `recording_state` is the vendor's word, read only where
    the state is asked for."""

    id: str | None
    ids: frozenset[str]
    numbers: frozenset[str]
    recording_state: object
    over: bool


# Parse


def parse_code(reply: HttpReply) -> int:
    """The `statusCode`, under HTTP 200 or beside a status that is not. `Refused` or `Unconfirmed` without one."""
    coded = reply.headers.get("Content-Type", "").startswith("application/json")
    if reply.status in {401, 403} or not coded:
        reply.expect_ok()
    match as_object(reply.json()).get("statusCode"):
        case bool():
            raise Unconfirmed(Fault.BAD_ANSWER)
        case int(code) if reply.status == 200 or code != _ACCEPTED:  # noqa: PLR2004 -- a yes under an error is neither
            return code
        case _:
            reply.expect_ok()
            raise Unconfirmed(Fault.BAD_ANSWER)


def parse_csrf(reply: HttpReply) -> Headers:
    """The header that every POST needs; none where the server has no such protection."""
    judge(parse_code(reply))
    name, value = reply.headers.get("X-CSRF-HEADER"), reply.headers.get("X-CSRF-TOKEN")
    if name is None and value is None:
        return ()
    if not name or not value or not _HEADER_NAME.fullmatch(name) or name.lower() in _NOT_FOR_CSRF:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return ((name, value),)


def parse_call(reply: HttpReply) -> Call:
    judge(parse_code(reply))
    return _call(as_object(reply.json()).get("call"))


def parse_calls(reply: HttpReply) -> tuple[Call, ...]:
    judge(parse_code(reply))
    return tuple(_call(item) for item in as_list(as_object(reply.json()).get("calls")))


def _call(value: object) -> Call:
    members = as_object(value)
    call_id = members.get("id")
    return Call(
        id=call_id if isinstance(call_id, str) and call_id else None,
        ids=ids_of(members),
        numbers=numbers_of(members),
        recording_state=members.get("recordingState"),
        over=members.get("state") == RELEASED,
    )


def ids_of(call: Mapping[str, object]) -> frozenset[str]:
    """The connId and the UUID both occur, under these names (V)."""
    return frozenset(value for name in _IDS if isinstance(value := call.get(name), str) and value)


def numbers_of(call: Mapping[str, object]) -> frozenset[str]:
    """Everybody who takes part."""
    participants = call.get("participants")
    numbers = [call.get("ani"), call.get("dnis"), *(participants if isinstance(participants, list) else ())]
    return frozenset(number for number in numbers if isinstance(number, str))


# Judge


def judge(code: int) -> None:
    """Pass 0: accepted. Any other code is an error, one that is not in the table unreadable."""
    if code == _ACCEPTED:
        return
    error = _OUTCOMES.get(code, partial(Unconfirmed, Fault.BAD_ANSWER))()
    raise error


def matching(calls: Sequence[Call], target: Target) -> tuple[Call, ...]:
    """The calls under way that the target's extension takes part in. `NoSuchCall` for none."""
    found = tuple(
        call
        for call in calls
        if target.extension in call.numbers and not call.over and call.ids.isdisjoint(target.excluded)
    )
    if not found:
        raise NoSuchCall
    return found


def state_of(call: Call) -> RecordingState:
    """`NoSuchCall` where the call is over, `Unconfirmed` where it does not say one of the three states."""
    if call.over:
        raise NoSuchCall
    state = STATES.get(call.recording_state) if isinstance(call.recording_state, str) else None
    if state is None:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return state


def seen_in(call: Call) -> Seen:
    """What an answer says of one call. Raises as `state_of`."""
    return seen_of(state_of(call), Evidence.READBACK, call.ids)


def seen_of(state: RecordingState, evidence: Evidence, calls: frozenset[str]) -> Seen:
    muted = Parties.NONE if state is RecordingState.RECORDING else Parties.BOTH
    return Seen(muted=muted, evidence=evidence, calls=calls)
