from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.backends.contract import (
    BackendError,
    Command,
    NoSuchCall,
    Receipt,
    Refused,
    Seen,
    Unconfirmed,
)
from gateway.backends.http import HttpReply
from gateway.backends.voipnow import (
    Place,
    VoipNowSettings,
    command_request,
    instruct,
    judge_command,
    judge_state,
    parse_token,
    token_request,
)
from gateway.backends.voipnow_calls import PhoneCall, View, addressed, concerned, parse_calls
from gateway.model import Action, Evidence, Fault, Parties, Target

# The answer of the vendor's page, with the comma that its sample lacks.
SAMPLE = """
{"id":"b817d2618fe6f1804333",
  "extension":"0003*210",
  "ownerId":"3",
  "ownerName":"Default Organization",
  "answered":"2012-06-27T16:08:55+03:00",
  "published":"2012-06-27T16:08:50+02:00",
  "phoneCallView":[
    {
       "id":"01",
       "extension":"0003*210",
       "answered":"2012-06-27T16:08:55+03:00",
       "status":"5",
       "callerId":"John Doe <3333>",
       "source":["7778888"],
       "destination":["0003*210"],
       "recording":"2012-06-27T16:18:55+03:00"
     }
    ],
   "link":{"self":"https://x.x.x.x//uapi/phoneCalls/12/0003*210/b817d2618fe6f1804333"}
 }
"""
CALL = "b817d2618fe6f1804333"
EXTENSION = "0003*210"
MUTE = Command(action=Action.MUTE, target=Target(call_id=CALL), muted=Parties.BOTH)
SETTINGS = VoipNowSettings(
    vendor="voipnow", base_url="https://uapi.example", client_id="app", client_secret=SecretStr("hush-secret")
)


def mute(target: Target) -> Command:
    return Command(action=Action.MUTE, target=target, muted=Parties.BOTH)


def unmute(target: Target) -> Command:
    return Command(action=Action.UNMUTE, target=target)


def reply(body: object = None, *, status: int = 200) -> HttpReply:
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpReply(status=status, headers={}, body=text.encode())


def error(code: str) -> HttpReply:
    return reply({"error": {"code": code, "message": "4111111111111111"}}, status=400)


def sample(**changes: object) -> dict[str, Any]:
    """The sample call; `changes` are those of its view, None takes a member away."""
    call: dict[str, Any] = json.loads(SAMPLE)
    view = call["phoneCallView"][0] | changes
    call["phoneCallView"] = [{name: value for name, value in view.items() if value is not None}]
    return call


def seen(muted: Parties, evidence: Evidence, *, mixed: bool = False) -> Seen:
    return Seen(muted=muted, evidence=evidence, mixed=mixed)


def test_the_documented_answer_is_read() -> None:
    """The page's sample is one call with the view 01 of 0003*210, which is being recorded."""
    view = View(id="01", extension=EXTENSION, recorded=True)
    assert parse_calls(json.loads(SAMPLE)) == (PhoneCall(id=CALL, views=(view,)),)


def test_the_documented_command_is_built() -> None:
    """Path in the plural, `*` as it is, members named and ordered as on the page."""
    place = Place(user="12", extension=EXTENSION, call_id="444444", view_id="01")
    request = command_request(place, instruct(unmute(Target(call_id="444444")), SETTINGS))
    assert request.method == "PUT"
    assert request.path == ("uapi", "phoneCalls", "12", "0003*210", "444444")
    assert json.dumps(request.json) == '{"action": "StartRecording", "format": "wav", "phoneCallViewId": "01"}'


def test_the_token_request_has_every_documented_field() -> None:
    """The form is complete; without a redirect URI of its own the application's is the server's address."""
    assert dict(token_request(SETTINGS).form or ()) == {
        "client_id": "app",
        "client_secret": "hush-secret",
        "grant_type": "client_credentials",
        "type": "unifiedapi",
        "redirect_uri": "https://uapi.example",
    }


def test_settings_do_not_show_their_secret() -> None:
    """Neither the settings nor the request that carries the secret print it."""
    assert "hush-secret" not in repr(SETTINGS)
    assert "hush-secret" not in repr(token_request(SETTINGS))


@pytest.mark.parametrize(
    "wrong", [{"user_id": "../admin"}, {"format": "mp3"}, {"client_id": ""}, {"client_secret": ""}, {"nonsense": 1}]
)
def test_settings_refuse_what_cannot_work(wrong: dict[str, object]) -> None:
    """A user, a format or a credential that the vendor cannot know is a mistake of the configuration."""
    with pytest.raises(ValidationError):
        VoipNowSettings.model_validate(
            {"vendor": "voipnow", "base_url": "https://x.example", "client_id": "a", "client_secret": "b"} | wrong
        )


@pytest.mark.parametrize(
    ("command", "instruction"),
    [
        (MUTE, {"action": "StopRecording"}),
        (unmute(Target(call_id=CALL)), {"action": "StartRecording", "format": "wav"}),
        (Command(action=Action.STOP, target=Target(call_id=CALL)), {"action": "StopRecording"}),
        (
            Command(action=Action.START, target=Target(call_id=CALL), format="wav49"),
            {"action": "StartRecording", "format": "wav49"},
        ),
    ],
)
def test_each_action_is_start_or_stop(command: Command, instruction: dict[str, object]) -> None:
    """There is no pause: silence is a stop, sound is a start."""
    assert instruct(command, SETTINGS) == instruction


@pytest.mark.parametrize(
    "command",
    [
        Command(action=Action.MUTE, target=Target(call_id=CALL), muted=Parties.CALLER),
        Command(action=Action.MUTE, target=Target(call_id=CALL), muted=Parties.NONE),
        Command(action=Action.UNMUTE, target=Target(call_id=CALL), muted=Parties.CALLED),
        Command(action=Action.KEEP, target=Target(call_id=CALL)),
        Command(action=Action.START, target=Target(call_id=CALL), format="mp3"),
    ],
)
def test_what_the_vendor_cannot_do_is_refused(command: Command) -> None:
    """One party only, a format it does not know, keeping: a no, and never the next best thing."""
    with pytest.raises(Refused) as caught:
        instruct(command, SETTINGS)
    assert caught.value.fault is Fault.UNSUPPORTED


@pytest.mark.parametrize(
    "body", [sample(), [sample()], {"entry": [sample()], "totalResults": "1"}, {"entry": sample()}]
)
def test_a_collection_may_be_wrapped_as_it_likes(body: object) -> None:
    """A bare object, a list and `entry` all hold the same call."""
    assert [call.id for call in parse_calls(body)] == [CALL]


def test_numbers_may_be_strings_and_strings_numbers() -> None:
    """Ids and the status are the same as numbers and as strings."""
    call = sample(id=1, status=5) | {"id": 444444}
    assert parse_calls(call) == (PhoneCall(id="444444", views=(View(id="1", extension=EXTENSION, recorded=True),)),)
    assert judge_command(reply(call), "01").seen == seen(Parties.NONE, Evidence.ANSWER)


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        {},
        {"id": CALL},
        {"id": CALL, "phoneCallView": []},
        {"id": CALL, "phoneCallView": {}},
        {"id": CALL, "phoneCallView": [None]},
        {"id": CALL, "phoneCallView": [{}]},
        sample(id=""),
        sample(id=True),
        sample(extension=7),
        sample(status="busy"),
        sample(status=6),
        sample(status=-1),
        sample(status="1" * 5_000),
        sample(status=True),
        sample(recording=""),
        sample(recording=False),
        sample(recording=[]),
        sample() | {"id": 1.5},
        [sample(), 3],
        {"entry": None},
    ],
)
def test_what_cannot_be_read_is_never_silence(body: object) -> None:
    """Only a view without any `recording` is silent; whatever else is odd is "nobody knows"."""
    with pytest.raises(Unconfirmed) as caught:
        judge_command(reply(body), "01")
    assert caught.value.fault is Fault.BAD_ANSWER


def test_a_call_without_views_is_not_a_call_that_is_over() -> None:
    """A call that shows no side of itself is unreadable: taken for "no such call" it would end the redaction."""
    with pytest.raises(Unconfirmed):
        parse_calls([sample() | {"phoneCallView": []}])


def test_a_null_is_not_an_absence() -> None:
    """`"recording": null` is not the documented way to say "not recorded"."""
    call = sample()
    call["phoneCallView"][0]["recording"] = None
    with pytest.raises(Unconfirmed):
        judge_command(reply(call), "01")


def test_the_answer_is_read_for_the_view_that_was_commanded() -> None:
    """A view without `recording` is muted, one with it is not, and one that is not there says nothing."""
    assert judge_command(reply(sample(recording=None)), "01") == Receipt(seen=seen(Parties.BOTH, Evidence.ANSWER))
    assert judge_command(reply(sample()), "01") == Receipt(seen=seen(Parties.NONE, Evidence.ANSWER))
    with pytest.raises(Unconfirmed):
        judge_command(reply(sample(recording=None)), "02")


@pytest.mark.parametrize(
    ("answer", "kind", "fault"),
    [
        (reply("", status=204), NoSuchCall, Fault.NO_SUCH_CALL),
        (reply("", status=404), NoSuchCall, Fault.NO_SUCH_CALL),
        (error("pc_phonecall_invalid"), NoSuchCall, Fault.NO_SUCH_CALL),
        (error("pc_phonecallview_invalid"), Refused, Fault.MISCONFIGURED),
        (error("pc_recformat_invalid"), Refused, Fault.MISCONFIGURED),
        (error("pc_something_else"), Refused, Fault.REFUSED),
        (reply({"error": "what"}, status=400), Refused, Fault.REFUSED),
        (reply("<html>", status=400), Unconfirmed, Fault.BAD_ANSWER),
        (reply("", status=401), Refused, Fault.UNAUTHENTICATED),
        (reply("", status=403), Refused, Fault.UNAUTHENTICATED),
        (reply("", status=418), Refused, Fault.REFUSED),
        (reply(sample(recording=None), status=202), Unconfirmed, Fault.BAD_ANSWER),
    ],
)
def test_every_no_is_told_apart(answer: HttpReply, kind: type[BackendError], fault: Fault) -> None:
    """204 is no success but no call; each documented code has its meaning; only a readable no is a refusal."""
    with pytest.raises(BackendError) as caught:
        judge_command(answer, "01")
    assert type(caught.value) is kind
    assert caught.value.fault is fault
    assert "4111" not in repr(caught.value)


OURS = View(id="01", extension=EXTENSION, recorded=False)
THEIRS = View(id="02", extension="0003*211", recorded=True)
QUIET = View(id="03", extension="0003*212", recorded=False)
LINE = View(id="04", extension=None, recorded=False)


@pytest.mark.parametrize(
    ("views", "target", "commanded", "silent"),
    [
        ((OURS, THEIRS, QUIET), Target(extension=EXTENSION), (OURS,), (OURS, THEIRS)),
        ((OURS, THEIRS, QUIET), Target(extension="210"), (OURS,), (OURS, THEIRS)),
        ((OURS, THEIRS, LINE), Target(call_id=CALL), (OURS, THEIRS), (OURS, THEIRS)),
        ((OURS, QUIET, LINE), Target(extension="8856"), (OURS, QUIET), (OURS, QUIET)),
        ((LINE,), Target(call_id=CALL), (LINE,), (LINE,)),
        ((OURS, THEIRS), Target(call_id=CALL, view_id="1"), (OURS,), (OURS,)),
        ((OURS, THEIRS), Target(extension=EXTENSION, view_id="09"), (OURS,), (OURS,)),
    ],
)
def test_which_views_are_meant(
    views: tuple[View, ...], target: Target, commanded: tuple[View, ...], silent: tuple[View, ...]
) -> None:
    """Ours are those of our extension; silence also concerns every other view that is being recorded."""
    call = PhoneCall(id=CALL, views=views)
    assert addressed(call, target) == commanded
    assert concerned(call, target) == silent


def test_another_view_that_is_recorded_spoils_the_silence() -> None:
    """Our own view is silent, the same voices are recorded in another: that is not muted."""
    call = PhoneCall(id=CALL, views=(OURS, THEIRS))
    assert judge_state((call,), Target(extension=EXTENSION)) == seen(Parties.NONE, Evidence.READBACK, mixed=True)


def test_no_calls_are_no_evidence() -> None:
    """An empty collection is "no such call", not silence."""
    with pytest.raises(NoSuchCall):
        judge_state(parse_calls([]), Target(extension=EXTENSION))


@pytest.mark.parametrize(
    ("expires_in", "renew_at", "expires_at"),
    [
        (7200, 7000, 7300),
        ("3600", 3400, 3700),
        (400, 300, 500),
        (0, 3400, 3700),
        (None, 3400, 3700),
        (10**400, 3400, 3700),
    ],
)
def test_a_token_is_renewed_before_it_ends(expires_in: object, renew_at: float, expires_at: float) -> None:
    """Five minutes early, at half-life when it is short, counted from the question; an hour where none is said."""
    lease = parse_token(reply({"access_token": "t0k3n", "expires_in": expires_in}), asked_at=100.0)
    assert lease.value.get_secret_value() == "t0k3n"
    assert (lease.renew_at, lease.expires_at) == (renew_at, expires_at)
    assert "t0k3n" not in repr(lease)


@pytest.mark.parametrize(
    ("answer", "kind", "fault"),
    [
        (reply({"error": "invalid_client"}, status=400), Refused, Fault.UNAUTHENTICATED),
        (reply({"error": "invalid_client"}), Refused, Fault.UNAUTHENTICATED),
        (reply("", status=401), Refused, Fault.UNAUTHENTICATED),
        (reply({"error": "unsupported_grant_type"}, status=400), Refused, Fault.MISCONFIGURED),
        (reply({}, status=404), Refused, Fault.MISCONFIGURED),
        (reply({"access_token": "t"}, status=202), Unconfirmed, Fault.BAD_ANSWER),
        (reply({}), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"access_token": "a\r\nb"}), Unconfirmed, Fault.BAD_ANSWER),
        (reply({"access_token": ""}), Unconfirmed, Fault.BAD_ANSWER),
        (reply("<html>"), Unconfirmed, Fault.BAD_ANSWER),
    ],
)
def test_an_answer_without_a_token_is_told_apart(answer: HttpReply, kind: type[BackendError], fault: Fault) -> None:
    """Wrong credentials, a wrong set-up and an unreadable answer are three things."""
    with pytest.raises(BackendError) as caught:
        parse_token(answer, asked_at=0.0)
    assert type(caught.value) is kind
    assert caught.value.fault is fault
