from __future__ import annotations

import json

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr, ValidationError

from gateway.backends.contract import BackendError, Command, NoSuchCall, Refused, Seen, Unconfirmed
from gateway.backends.genesys import GenesysSettings, Operation, command_request, operation_of, read_request
from gateway.backends.genesys_answers import (
    RecordingState,
    judge,
    matching,
    parse_call,
    parse_calls,
    parse_code,
    parse_csrf,
    seen_in,
    state_of,
)
from gateway.backends.http import HttpReply
from gateway.model import Action, Evidence, Fault, Parties, Target

UUID = "00RV9H7S6O8V3BSHAG7GK2LAES00002M"
CONN_ID = "0071022ec8ac8056"
# The call of the documented event, its longer members left out.
CALL: dict[str, object] = {
    "id": UUID,
    "connId": CONN_ID,
    "state": "Established",
    "callUuid": UUID,
    "uri": f"http://127.0.0.1:8080/api/v2/me/calls/{UUID}",
    "participants": ["5000"],
    "ani": "5000",
    "dnis": "5001",
    "callType": "Internal",
    "capabilities": ["Hold", "Hangup", "ResumeCallRecording", "StopCallRecording"],
    "userData": {"GSIP_RECORD": "PAUSED"},
    "duration": "141",
    "mute": "Off",
    "recordingState": "Paused",
}
SETTINGS = GenesysSettings(
    vendor="genesys",
    base_url="http://localhost:8080/api/v2",
    username="agent",
    password=SecretStr("hush-secret"),
)
TARGET = Target(call_id=CONN_ID)


def reply(
    body: object = None,
    *,
    status: int = 200,
    content_type: str = "application/json;charset=UTF-8",
    headers: dict[str, str] | None = None,
) -> HttpReply:
    text = body if isinstance(body, str) else json.dumps(body)
    named = CIMultiDict({"Content-Type": content_type} | (headers or {}))
    return HttpReply(status=status, headers=named, body=text.encode())


def test_the_documented_command_is_built() -> None:
    """Path, body and credentials as documented, with the CSRF header under the name that the server gave it."""
    request = command_request(SETTINGS, CONN_ID, Operation.PAUSE, (("X-CSRF-TOKEN", "t0k3n"),))
    assert (request.method, request.path) == ("POST", ("me", "calls", CONN_ID))
    assert request.json == {"operationName": "PauseCallRecording"}
    assert dict(request.headers) == {"X-CSRF-TOKEN": "t0k3n", "Authorization": "Basic YWdlbnQ6aHVzaC1zZWNyZXQ="}


def test_nothing_shows_the_password() -> None:
    """Neither settings nor requests print what is in them."""
    assert "hush-secret" not in repr(SETTINGS)
    assert "aHVzaC1zZWNyZXQ" not in repr(read_request(SETTINGS, "me"))


def test_a_user_name_with_a_colon_is_a_mistake() -> None:
    """HTTP Basic would take its end for the password's beginning."""
    with pytest.raises(ValidationError):
        GenesysSettings.model_validate(
            {"vendor": "genesys", "base_url": "https://x.example", "username": "a:b", "password": "c"}
        )


@pytest.mark.parametrize(
    ("command", "operation"),
    [
        (Command(action=Action.MUTE, target=TARGET, muted=Parties.BOTH), "PauseCallRecording"),
        (Command(action=Action.UNMUTE, target=TARGET), "ResumeCallRecording"),
        (Command(action=Action.START, target=TARGET), "StartCallRecording"),
        (Command(action=Action.STOP, target=TARGET), "StopCallRecording"),
    ],
)
def test_each_action_has_its_operation(command: Command, operation: str) -> None:
    """The four documented operations."""
    assert operation_of(command) == operation


@pytest.mark.parametrize(
    "command",
    [
        Command(action=Action.MUTE, target=TARGET, muted=Parties.CALLED),
        Command(action=Action.MUTE, target=TARGET, muted=Parties.NONE),
        Command(action=Action.UNMUTE, target=TARGET, muted=Parties.CALLER),
        Command(action=Action.KEEP, target=TARGET),
        Command(action=Action.DISCARD, target=TARGET),
    ],
)
def test_what_the_vendor_cannot_do_is_refused(command: Command) -> None:
    """One party only, keeping: a no, and never the next best thing."""
    with pytest.raises(Refused) as caught:
        operation_of(command)
    assert caught.value.fault is Fault.UNSUPPORTED


# What each code means: the kind of error and its fault. Refusals say that nothing was done.
CODES: list[tuple[int, type[BackendError], Fault]] = [
    (1, Refused, Fault.MISCONFIGURED),
    (2, Refused, Fault.REFUSED),
    (3, Refused, Fault.REFUSED),
    (4, Unconfirmed, Fault.SERVER_ERROR),
    (5, Refused, Fault.REFUSED),
    (6, NoSuchCall, Fault.NO_SUCH_CALL),
    (7, Unconfirmed, Fault.NOT_PROVEN),
    (8, Refused, Fault.UNAUTHENTICATED),
    (9, Unconfirmed, Fault.NOT_PROVEN),
    (10, Refused, Fault.REFUSED),
    (11, Refused, Fault.REFUSED),
    *((code, Unconfirmed, Fault.SERVER_ERROR) for code in range(12, 18)),
    (18, Refused, Fault.REFUSED),
    (19, Refused, Fault.REFUSED),
    (20, Refused, Fault.UNAUTHENTICATED),
    (21, Unconfirmed, Fault.BAD_ANSWER),
    (-1, Unconfirmed, Fault.BAD_ANSWER),
]


@pytest.mark.parametrize(("code", "kind", "fault"), CODES)
def test_every_status_code_has_its_outcome(code: int, kind: type[BackendError], fault: Fault) -> None:
    """Only 0 is a yes; what may have been done half-way is never a refusal; an unknown code says nothing."""
    with pytest.raises(BackendError) as caught:
        judge(parse_code(reply({"statusCode": code, "statusMessage": "4111111111111111"})))
    assert type(caught.value) is kind
    assert caught.value.fault is fault
    assert "4111" not in repr(caught.value)


def test_only_a_busy_resource_is_worth_another_try() -> None:
    """Of all refusals, "in use" alone may be gone a moment later."""
    codes = [code for code, kind, _ in CODES if issubclass(kind, Refused)]
    retryable = []
    for code in codes:
        with pytest.raises(Refused) as caught:
            judge(code)
        retryable += [code] if caught.value.retryable else []
    assert retryable == [19]


def test_zero_is_accepted() -> None:
    """The documented answer passes, and says nothing about the state."""
    judge(parse_code(reply({"statusCode": 0})))


@pytest.mark.parametrize(
    ("answer", "kind", "fault"),
    [
        (reply({}), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"statusCode": True}), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"statusCode": "0"}), Unconfirmed, Fault.BAD_ANSWER),
        (reply([]), Unconfirmed, Fault.BAD_ANSWER),
        (reply("<html>"), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"statusCode": 0}, status=202), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"statusCode": 0}, status=404), Refused, Fault.MISCONFIGURED),
        (reply("<html>", status=404, content_type="text/html"), Refused, Fault.MISCONFIGURED),
        (reply({"statusCode": 20}, status=401), Refused, Fault.UNAUTHENTICATED),
        (reply({"statusCode": 3}, status=403), Refused, Fault.UNAUTHENTICATED),
        (reply("", status=400, content_type="text/plain"), Refused, Fault.REFUSED),
    ],
)
def test_an_answer_without_a_readable_code_is_no_yes(answer: HttpReply, kind: type[BackendError], fault: Fault) -> None:
    """Neither a bare 200 nor a code 0 under another status counts as one."""
    with pytest.raises(BackendError) as caught:
        parse_code(answer)
    assert type(caught.value) is kind
    assert caught.value.fault is fault


def test_a_code_beside_an_error_status_is_read() -> None:
    """Not found is the same under 404 as under 200."""
    assert parse_code(reply({"statusCode": 6}, status=404)) == 6


def test_a_code_is_read_whatever_the_answer_calls_itself() -> None:
    """A 200 without a content type is still looked at."""
    assert parse_code(reply({"statusCode": 0}, content_type="text/plain")) == 0


def test_the_documented_call_is_read() -> None:
    """The call of the documented event is silent."""
    call = parse_call(reply({"statusCode": 0, "call": CALL}))
    assert call.id == UUID
    assert call.numbers == {"5000", "5001"}
    assert seen_in(call) == Seen(muted=Parties.BOTH, evidence=Evidence.READBACK)


@pytest.mark.parametrize(
    ("state", "muted"),
    [
        (RecordingState.PAUSED, Parties.BOTH),
        (RecordingState.STOPPED, Parties.BOTH),
        (RecordingState.RECORDING, Parties.NONE),
    ],
)
def test_paused_and_stopped_are_silent(state: RecordingState, muted: Parties) -> None:
    """Only `Recording` puts voices on the tape."""
    call = parse_call(reply({"statusCode": 0, "call": CALL | {"recordingState": state.value}}))
    assert seen_in(call).muted is muted


@pytest.mark.parametrize("state", [None, "", "paused", "Unknown", False, 1, ["Paused"], {"a": 1}])
def test_any_other_state_is_unreadable(state: object) -> None:
    """What is not one of the three documented words is "nobody knows"."""
    with pytest.raises(Unconfirmed):
        state_of(parse_call(reply({"statusCode": 0, "call": CALL | {"recordingState": state}})))


def test_a_missing_state_is_unreadable() -> None:
    """A call that says nothing of its recording is not silent."""
    call = {name: value for name, value in CALL.items() if name != "recordingState"}
    with pytest.raises(Unconfirmed):
        state_of(parse_call(reply({"statusCode": 0, "call": call})))


def test_a_released_call_is_over() -> None:
    """Its last recording state says nothing any more."""
    call = parse_call(reply({"statusCode": 0, "call": CALL | {"state": "Released"}}))
    with pytest.raises(NoSuchCall):
        state_of(call)
    with pytest.raises(NoSuchCall):
        matching((call,), Target(extension="5000"))


@pytest.mark.parametrize("body", [{"statusCode": 0}, {"statusCode": 0, "call": None}, {"statusCode": 0, "call": []}])
def test_an_answer_without_a_call_is_unreadable(body: object) -> None:
    """Code 0 alone shows nothing."""
    with pytest.raises(Unconfirmed):
        parse_call(reply(body))


@pytest.mark.parametrize("body", [{"statusCode": 0}, {"statusCode": 0, "calls": {}}, {"statusCode": 0, "calls": [7]}])
def test_an_answer_without_a_list_is_unreadable(body: object) -> None:
    """A list that is not there is not an empty one: the call might be on it."""
    with pytest.raises(Unconfirmed):
        parse_calls(reply(body))


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"ani": "8856", "dnis": None, "participants": None}, True),
        ({"ani": 1, "dnis": "8856", "participants": []}, True),
        ({"ani": None, "dnis": None, "participants": ["5000", "8856"]}, True),
        ({"ani": "88567", "dnis": "18856", "participants": ["5000"]}, False),
    ],
)
def test_an_extension_is_found_in_each_place(members: dict[str, object], found: bool) -> None:  # noqa: FBT001 -- a table's column
    """By ani, dnis or participant, and only the whole number."""
    calls = parse_calls(reply({"statusCode": 0, "calls": [CALL | members]}))
    if found:
        assert matching(calls, Target(extension="8856")) == calls
    else:
        with pytest.raises(NoSuchCall):
            matching(calls, Target(extension="8856"))


@pytest.mark.parametrize(
    ("headers", "csrf"),
    [
        ({"X-CSRF-HEADER": "X-CSRF-TOKEN", "X-CSRF-TOKEN": "t0k3n"}, (("X-CSRF-TOKEN", "t0k3n"),)),
        ({"x-csrf-header": "X-Other", "x-csrf-token": "t0k3n"}, (("X-Other", "t0k3n"),)),
        ({}, ()),
    ],
)
def test_the_header_against_csrf_is_the_named_one(headers: dict[str, str], csrf: object) -> None:
    """The server says what it is called; where it says nothing there is no protection."""
    assert parse_csrf(reply({"statusCode": 0}, headers=headers)) == csrf


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-HEADER": "X-CSRF-TOKEN"},
        {"X-CSRF-TOKEN": "t0k3n"},
        {"X-CSRF-HEADER": "Host", "X-CSRF-TOKEN": "t0k3n"},
        {"X-CSRF-HEADER": "a b", "X-CSRF-TOKEN": "t0k3n"},
        {"X-CSRF-HEADER": "", "X-CSRF-TOKEN": "t0k3n"},
    ],
)
def test_half_a_header_or_a_dangerous_one_is_unreadable(headers: dict[str, str]) -> None:
    """The server does not get to set the headers that say where a request goes or who sends it."""
    with pytest.raises(Unconfirmed):
        parse_csrf(reply({"statusCode": 0}, headers=headers))
