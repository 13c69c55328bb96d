from __future__ import annotations

import asyncio
import base64
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gateway.backends.contract import (
    AmbiguousCall,
    BackendError,
    Command,
    NoSuchCall,
    NotSent,
    Receipt,
    Refused,
    Seen,
    Unconfirmed,
)
from gateway.backends.http import HttpReply
from gateway.backends.verba import VerbaBackend, VerbaSettings, instruct, search_fields
from gateway.backends.verba_answers import (
    Complaint,
    judge_command,
    judge_search,
    judge_state,
    judge_token,
    parse,
)
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor
from gateway.sandbox.desk import FakeReply, FaultKind, Perform, WireRequest
from gateway.sandbox.verba import VerbaFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ONGOING, NEXT, LAST = CallStatus.ONGOING, CallStatus.NEXT, CallStatus.LAST
CALL = "a8343631-9f35-4a3a-83f0-9e81592339fb"
BY_ID = Target(call_id=CALL)
MUTE = "MuteRecording"


def by_extension(*statuses: CallStatus) -> Target:
    return Target(extension="8856", call_status=statuses or (ONGOING,))


def mute(target: Target, parties: Parties = Parties.BOTH) -> Command:
    return Command(action=Action.MUTE, target=target, muted=parties)


def unmute(target: Target, parties: Parties = Parties.NONE) -> Command:
    return Command(action=Action.UNMUTE, target=target, muted=parties)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def seen(muted: Parties, *, mixed: bool = False) -> Seen:
    return Seen(muted=muted, evidence=Evidence.READBACK, mixed=mixed)


def xml(body: str, status: int = 200) -> HttpReply:
    return HttpReply(status=status, headers={}, body=f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode())


def error(text: str, action: str = MUTE, description: str = "") -> HttpReply:
    message = f"<ErrorMessage{description}>{text}</ErrorMessage>"
    return xml(f'<VerbaApi><Response code="2" type="{action}">{message}</Response></VerbaApi>')


class Server(VerbaFake):
    """A server at which something can happen right after a search, and whose noes can be worded otherwise."""

    after_search: Callable[[], object] = staticmethod(lambda: None)
    wording: str | None = None

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        reply = super().answer(request, perform)
        if ("action", "SearchCalls") in request.query:
            self.after_search()
        return reply

    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        return super().refuse(request, self.wording or text)


@pytest.fixture
async def fake() -> AsyncIterator[Server]:
    fake = Server()
    await fake.start()
    yield fake
    await fake.stop()


def connect(fake: VerbaFake, **more: object) -> VerbaBackend:
    backend = VerbaSettings.model_validate({**fake.settings(), **more}).build("verba_eu")
    assert isinstance(backend, VerbaBackend)
    return backend


@pytest.fixture
async def backend(fake: Server) -> AsyncIterator[VerbaBackend]:
    backend = connect(fake)
    yield backend
    await backend.close()


@pytest.fixture
async def searching(fake: Server) -> AsyncIterator[VerbaBackend]:
    """A backend that may look for the calls of an extension."""
    backend = connect(fake, search_calls=True)
    yield backend
    await backend.close()


# Settings


def test_what_it_says_of_itself() -> None:
    """Only the abilities that the documents give it."""
    settings = VerbaSettings.model_validate({"vendor": "verba", "base_url": "https://h.example", "api_key": "k"})
    backend = settings.build("verba_eu")
    assert (backend.name, backend.vendor) == ("verba_eu", Vendor.VERBA)
    abilities = backend.capabilities
    assert abilities.actions == {Action.MUTE, Action.UNMUTE, Action.KEEP, Action.DISCARD}
    assert abilities.parties == {Parties.NONE, Parties.CALLER, Parties.CALLED, Parties.BOTH}
    assert abilities.call_status == {(ONGOING,), (NEXT,), (LAST,), (ONGOING, NEXT), (LAST, ONGOING)}
    assert abilities.evidence == {Evidence.READBACK}
    assert abilities.observable
    assert not abilities.covers_later_calls
    assert Action.UNMUTE not in abilities.repeatable


@pytest.mark.parametrize(
    "login", [{"username": "u"}, {"password": "s3cret"}, {"username": "u:v", "password": "s3cret"}]
)
def test_a_login_is_whole_or_absent(login: dict[str, str]) -> None:
    """A user without a password, or the other way round, is a fault; so is a name that Basic cannot carry."""
    with pytest.raises(ValidationError) as caught:
        VerbaSettings.model_validate({"vendor": "verba", "base_url": "https://h.example", "api_key": "k", **login})
    assert "username" in str(caught.value)
    assert "s3cret" not in str(caught.value)


# Requests as on the wire


async def test_the_requests_as_the_documents_have_them(fake: Server) -> None:
    """With GET: RequestToken with Basic, then MuteRecording and the state query, names and order as documented."""
    fake.add_call(CALL, extension="8856")
    backend = connect(fake, method="GET")
    await backend.apply(mute(BY_ID), deadline=soon())
    await backend.observe(by_extension(), deadline=soon())
    await backend.close()
    login, command, query = fake.requests
    key = ("apiKey", fake.api_key)
    xml_please = ("responseType", "XML")
    basic = base64.b64encode(f"{fake.username}:{fake.password}".encode()).decode()
    assert (login.method, login.path) == ("GET", ("verba", "api"))
    assert login.query == (("action", "RequestToken"), key, xml_please)
    assert login.headers["Authorization"] == f"Basic {basic}"
    token = dict(command.query)["token"]
    assert command.query == (
        ("action", MUTE),
        key,
        ("token", token),
        xml_please,
        ("callID", CALL),
        ("mute", "3"),
    )
    assert query.query == (
        ("action", MUTE),
        key,
        ("token", token),
        xml_please,
        ("extension", "8856"),
        ("status", "ongoing"),
    )
    assert "Authorization" not in command.headers
    assert command.headers["Cookie"].startswith("JSESSIONID=")


async def test_a_post_keeps_key_and_token_out_of_the_url(fake: Server, backend: VerbaBackend) -> None:
    """By default only the action is in the URL, the rest is a form."""
    fake.add_call(CALL, extension="8856")
    await backend.apply(mute(BY_ID, Parties.CALLER), deadline=soon())
    login, command = fake.requests
    assert [request.raw_path for request in (login, command)] == [
        "/verba/api?action=RequestToken",
        "/verba/api?action=MuteRecording",
    ]
    assert [name for name, _ in command.form] == ["apiKey", "token", "responseType", "callID", "mute"]
    assert dict(command.form)["mute"] == "1"


@pytest.mark.parametrize(
    ("statuses", "told", "asked"),
    [
        ((ONGOING,), "ongoing", "ongoing"),
        ((NEXT,), "next", "ongoing"),
        ((LAST,), "last", "last"),
        ((ONGOING, NEXT), "ongoing, next", "ongoing"),
        ((LAST, ONGOING), "last, ongoing", "last, ongoing"),
    ],
)
async def test_all_five_values_of_status(
    fake: Server, backend: VerbaBackend, statuses: tuple[CallStatus, ...], told: str, asked: str
) -> None:
    """Each combination goes out in the documents' own words, and the state is asked of calls that are there."""
    fake.add_call("old", extension="8856")
    fake.end_call("old")
    fake.add_call(CALL, extension="8856")
    target = by_extension(*statuses)
    await backend.apply(mute(target), deadline=soon())
    await backend.observe(target, deadline=soon())
    _, command, query = fake.requests
    assert dict(command.form)["status"] == told
    assert dict(query.form)["status"] == asked
    assert "mute" not in dict(query.form)


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (mute(BY_ID, Parties.CALLER), ("MuteRecording", (("mute", "1"),))),
        (mute(BY_ID, Parties.CALLED), ("MuteRecording", (("mute", "2"),))),
        (mute(BY_ID, Parties.BOTH), ("MuteRecording", (("mute", "3"),))),
        (unmute(BY_ID), ("MuteRecording", (("mute", "0"),))),
        (unmute(BY_ID, Parties.CALLED), ("MuteRecording", (("mute", "2"),))),
        (Command(action=Action.KEEP, target=BY_ID), ("KeepCall", ())),
        (
            Command(action=Action.KEEP, target=BY_ID, mark="manualRecord"),
            ("KeepCall", (("type", "manualRecord"),)),
        ),
        (Command(action=Action.DISCARD, target=BY_ID), ("KeepCall", (("unmark", "1"),))),
        (
            Command(action=Action.DISCARD, target=BY_ID, mark="manualRecord"),
            ("KeepCall", (("type", "manualRecord"), ("unmark", "1"))),
        ),
    ],
)
def test_commands_in_the_vendors_words(command: Command, fields: tuple[str, tuple[tuple[str, str], ...]]) -> None:
    """`mute` says who is silent afterwards; KeepCall has its opposite in `unmark` and its object in `type`."""
    assert instruct(command) == fields


@pytest.mark.parametrize(
    "command",
    [
        mute(BY_ID, Parties.NONE),
        Command(action=Action.START, target=BY_ID),
        Command(action=Action.STOP, target=BY_ID),
        mute(Target()),
        mute(by_extension(NEXT, ONGOING)),
    ],
)
async def test_what_it_cannot_do_is_not_sent(fake: Server, backend: VerbaBackend, command: Command) -> None:
    """An action, address or order of statuses that the vendor does not know, or a mute of nobody, stays here."""
    with pytest.raises(Refused) as caught:
        await backend.apply(command, deadline=soon())
    assert (caught.value.fault, len(fake.requests)) == (Fault.UNSUPPORTED, 0)


# Muting for real


@pytest.mark.parametrize("target", [BY_ID, by_extension()])
@pytest.mark.parametrize("parties", [Parties.CALLER, Parties.CALLED, Parties.BOTH])
async def test_mute_prove_unmute(fake: Server, backend: VerbaBackend, target: Target, parties: Parties) -> None:
    """A yes is only accepted; the state query proves who is silent, and that nobody is after the unmute."""
    call = fake.add_call(CALL, extension="8856")
    assert await backend.apply(mute(target, parties), deadline=soon()) == Receipt()
    assert call.muted is parties
    assert await backend.observe(target, deadline=soon()) == seen(parties)
    assert await backend.apply(unmute(target), deadline=soon()) == Receipt()
    assert call.muted is Parties.NONE
    assert await backend.observe(target, deadline=soon()) == seen(Parties.NONE)


async def test_the_caller_is_an_extension_as_well(fake: Server, backend: VerbaBackend) -> None:
    """A call is found by the calling number, plus sign and all."""
    call = fake.add_call(CALL, extension="8856")
    await backend.apply(mute(Target(extension=call.facts["caller"])), deadline=soon())
    assert call.muted is Parties.BOTH


async def test_a_lying_server_is_seen_through(fake: Server, backend: VerbaBackend) -> None:
    """A server that says code 0 and does nothing is not believed: the state says so."""
    fake.add_call(CALL, extension="8856")
    fake.plan(FaultKind.LIE, on={"command"})
    assert await backend.apply(mute(BY_ID), deadline=soon()) == Receipt()
    assert await backend.observe(BY_ID, deadline=soon()) == seen(Parties.NONE)


async def test_next_mutes_the_call_that_comes(fake: Server, backend: VerbaBackend) -> None:
    """`next` is accepted without a call; the call that begins then is muted from its first moment, others are not."""
    target = by_extension(NEXT)
    assert await backend.apply(mute(target), deadline=soon()) == Receipt()
    with pytest.raises(NoSuchCall):
        await backend.observe(target, deadline=soon())
    other = fake.add_call("other", extension="9999")
    call = fake.add_call(CALL, extension="8856")
    assert await backend.observe(target, deadline=soon()) == seen(Parties.BOTH)
    fake.end_call(CALL)
    after = fake.add_call("after", extension="8856")
    assert (other.muted, call.muted, after.muted) == (Parties.NONE, Parties.BOTH, Parties.NONE)


async def test_next_waits_a_minute_and_no_longer(fake: Server, backend: VerbaBackend) -> None:
    """A call that comes too late is recorded, and is seen to be."""
    target = by_extension(ONGOING, NEXT)
    await backend.apply(mute(target), deadline=soon())
    fake.forget_next()
    fake.add_call(CALL, extension="8856")
    assert await backend.observe(target, deadline=soon()) == seen(Parties.NONE)


async def test_last_is_the_last_finished_call(fake: Server, backend: VerbaBackend) -> None:
    """KeepCall reaches the call that has just ended, and its opposite undoes it."""
    call = fake.add_call(CALL, extension="8856")
    fake.end_call(CALL)
    target = by_extension(LAST)
    await backend.apply(Command(action=Action.KEEP, target=target, mark="manualRecord"), deadline=soon())
    assert (call.facts["kept"], call.facts["mark"]) == ("yes", "manualRecord")
    await backend.apply(Command(action=Action.DISCARD, target=target), deadline=soon())
    assert (call.facts["kept"], call.facts["mark"]) == ("no", "")


@pytest.mark.parametrize("described", [False, True])
async def test_no_such_call(fake: Server, backend: VerbaBackend, described: bool) -> None:  # noqa: FBT001 -- a parameter
    """An unknown or finished call cannot be found: by every command, by the state, in both wordings."""
    fake.described = described
    fake.add_call(CALL, extension="8856")
    fake.end_call(CALL)
    for target in (BY_ID, by_extension()):
        for command in (mute(target), unmute(target), Command(action=Action.KEEP, target=target)):
            with pytest.raises(NoSuchCall):
                await backend.apply(command, deadline=soon())
        with pytest.raises(NoSuchCall):
            await backend.observe(target, deadline=soon())


# Several calls


async def test_several_calls_are_ambiguous(fake: Server, backend: VerbaBackend) -> None:
    """Without the right to search, an extension with two calls is refused and neither is touched."""
    calls = [fake.add_call(name, extension="8856") for name in ("one", "two")]
    with pytest.raises(AmbiguousCall):
        await backend.apply(mute(by_extension()), deadline=soon())
    with pytest.raises(AmbiguousCall):
        await backend.observe(by_extension(), deadline=soon())
    assert [call.muted for call in calls] == [Parties.NONE, Parties.NONE]


async def test_several_calls_are_all_muted(fake: Server, searching: VerbaBackend) -> None:
    """With SearchCalls every match is muted by its id, and the state is that of all of them."""
    calls = [fake.add_call(name, extension="8856") for name in ("one", "two", "three")]
    bystander = fake.add_call("bystander", extension="9999")
    assert await searching.apply(mute(by_extension()), deadline=soon()) == Receipt()
    assert {call.muted for call in calls} == {Parties.BOTH}
    assert bystander.muted is Parties.NONE
    assert await searching.observe(by_extension(), deadline=soon()) == seen(Parties.BOTH)
    fake.resume("two")
    assert await searching.observe(by_extension(), deadline=soon()) == seen(Parties.NONE, mixed=True)


async def test_with_the_right_to_search_the_one_call_is_named(fake: Server, searching: VerbaBackend) -> None:
    """The state of an extension says which call it is of, by its id; without that right, and where the search is in
    doubt, it does not, and the state is told all the same."""
    fake.add_call("one", extension="8856")
    assert (await searching.observe(by_extension(), deadline=soon())).calls == {"one"}
    assert (await searching.observe(Target(call_id="one"), deadline=soon())).calls == {"one"}
    fake.add_call("longer", extension="18856")
    doubtful = await searching.observe(by_extension(), deadline=soon())
    assert (doubtful.muted, doubtful.calls) == (Parties.NONE, frozenset())
    fake.add_call("two", extension="8856")
    fake.end_call("longer")
    assert (await searching.observe(by_extension(), deadline=soon())).calls == {"one", "two"}


async def test_without_the_right_to_search_no_call_is_named(fake: Server, backend: VerbaBackend) -> None:
    """Nothing is asked beyond the state."""
    fake.add_call("one", extension="8856")
    assert (await backend.observe(by_extension(), deadline=soon())).calls == frozenset()
    assert not backend.capabilities.tells_calls


async def test_the_search_as_the_documents_have_it(fake: Server, searching: VerbaBackend) -> None:
    """SearchCalls asks for ongoing calls of the extension with their metadata."""
    for name in ("one", "two"):
        fake.add_call(name, extension="8856")
    await searching.apply(mute(by_extension()), deadline=soon())
    (search,) = fake.sent("read")
    fields = dict(search.form)
    assert dict(search.query) == {"action": "SearchCalls"}
    assert (fields["status"], fields["anynum"], fields["returnMetadata"]) == ("ongoing", "8856", "1")
    now = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert dict(search_fields("8856", now))["start"] == "2026-11-19 09:30:00"
    assert dict(search_fields("8856", now))["end"] == "2026-11-22 09:30:00"


async def test_a_call_that_ends_meanwhile_does_not_count(fake: Server, searching: VerbaBackend) -> None:
    """A call that ended between the search and its command needs nothing; the rest decide."""
    calls = [fake.add_call(name, extension="8856") for name in ("one", "two")]
    fake.after_search = lambda: fake.end_call("two")
    await searching.apply(mute(by_extension()), deadline=soon())
    assert calls[0].muted is Parties.BOTH
    fake.add_call("three", extension="8856")
    fake.after_search = lambda: fake.end_call("three")
    assert await searching.observe(by_extension(), deadline=soon()) == seen(Parties.BOTH)


async def test_a_part_of_another_number_is_not_our_extension(fake: Server, searching: VerbaBackend) -> None:
    """The search finds parts of numbers: a longer extension that begins alike is left alone, one that ends alike
    may be ours written in full, so nothing is done."""
    calls = [fake.add_call(name, extension="8856") for name in ("one", "two")]
    longer = fake.add_call("longer", extension="88567")
    await searching.apply(mute(by_extension()), deadline=soon())
    assert ([call.muted for call in calls], longer.muted) == ([Parties.BOTH] * 2, Parties.NONE)
    fake.add_call("full", extension="+49308856")
    with pytest.raises(AmbiguousCall):
        await searching.apply(unmute(by_extension()), deadline=soon())
    assert [call.muted for call in calls] == [Parties.BOTH] * 2


async def test_the_search_is_for_ongoing_calls_only(fake: Server, searching: VerbaBackend) -> None:
    """Where something else is meant first, or a call id is several calls, a search would find the wrong ones."""
    for name in ("one", "two"):
        fake.add_call(name, extension="8856")
    with pytest.raises(AmbiguousCall):
        await searching.apply(mute(by_extension(LAST, ONGOING)), deadline=soon())
    fake.wording = "More than one record was found."
    fake.plan(FaultKind.REFUSE)
    with pytest.raises(AmbiguousCall):
        await searching.apply(mute(BY_ID), deadline=soon())
    assert "SearchCalls" not in {dict(request.query)["action"] for request in fake.requests}


async def test_some_of_several_is_not_all(fake: Server, searching: VerbaBackend) -> None:
    """When one of several commands is lost the whole is unconfirmed."""
    for name in ("one", "two"):
        fake.add_call(name, extension="8856")
    fake.after_search = lambda: fake.plan(FaultKind.DROP, on={"command"}, times=1)
    with pytest.raises(Unconfirmed):
        await searching.apply(mute(by_extension()), deadline=soon())


# Tokens


def tokens(fake: Server) -> list[str]:
    return [dict(request.form)["token"] for request in fake.sent("command")]


async def test_a_token_is_used_again(fake: Server, backend: VerbaBackend) -> None:
    """Every request of the hour uses one token; callers that come at once share one login."""
    fake.add_call(CALL, extension="8856")
    await asyncio.gather(*(backend.apply(mute(BY_ID), deadline=soon()) for _ in range(10)))
    await backend.apply(mute(BY_ID), deadline=soon())
    assert len(fake.sent("auth")) == 1
    assert len(set(tokens(fake))) == 1


async def test_a_voided_token_is_renewed_once(fake: Server, backend: VerbaBackend) -> None:
    """After a refusal that may be the token's everybody waits for one new login and repeats."""
    call = fake.add_call(CALL, extension="8856")
    await backend.observe(BY_ID, deadline=soon())
    fake.void_tokens()
    await asyncio.gather(*(backend.apply(mute(BY_ID), deadline=soon()) for _ in range(5)))
    assert call.muted is Parties.BOTH
    assert len(fake.sent("auth")) == 2
    assert len(fake.sent("command")) == 10
    assert len(set(tokens(fake))) == 2


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.UNAUTHORIZED])
async def test_a_refusal_that_stays(fake: Server, backend: VerbaBackend, kind: FaultKind) -> None:
    """A refusal that a new token does not cure is repeated once, and is then the answer."""
    call = fake.add_call(CALL, extension="8856")
    fake.plan(kind, on={"command"})
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(BY_ID), deadline=soon())
    assert caught.value.fault is (Fault.REFUSED if kind is FaultKind.REFUSE else Fault.UNAUTHENTICATED)
    assert (len(fake.sent("command")), len(fake.sent("auth")), call.muted) == (2, 2, Parties.NONE)


async def test_a_finished_call_costs_no_login(fake: Server, backend: VerbaBackend) -> None:
    """That a call cannot be found is not the token's fault: there is no new login for it."""
    for _ in range(3):
        with pytest.raises(NoSuchCall):
            await backend.apply(mute(BY_ID), deadline=soon())
    assert len(fake.sent("auth")) == 1


async def test_a_wrong_password_is_a_refusal(fake: Server) -> None:
    """Nothing but the login is sent with a wrong password, and ping says the same."""
    backend = connect(fake, password="wrong")
    for ask in (backend.apply(mute(BY_ID), deadline=soon()), backend.ping(deadline=soon())):
        with pytest.raises(Refused) as caught:
            await ask
        assert caught.value.fault is Fault.UNAUTHENTICATED
    await backend.close()
    assert {request.operation for request in fake.requests} == {"auth"}


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.GARBAGE, FaultKind.DROP, FaultKind.THROTTLE])
async def test_a_login_that_fails_sends_no_command(fake: Server, backend: VerbaBackend, kind: FaultKind) -> None:
    """Whatever went wrong with the login, no command has gone out: not sent."""
    fake.plan(kind, on={"auth"})
    with pytest.raises(NotSent):
        await backend.apply(mute(BY_ID), deadline=soon())
    assert fake.sent("command") == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_api_key_without_login(method: str) -> None:
    """Where the key needs no authentication no token is asked for or sent."""
    fake = VerbaFake(login=False)
    await fake.start()
    backend = connect(fake, method=method)
    call = fake.add_call(CALL, extension="8856")
    await backend.apply(mute(BY_ID), deadline=soon())
    await backend.ping(deadline=soon())
    assert call.muted is Parties.BOTH
    assert all("token" not in dict(request.query + request.form) for request in fake.requests)
    await backend.close()
    wrong = connect(fake, api_key="wrong")
    with pytest.raises(Refused):
        await wrong.ping(deadline=soon())
    await wrong.close()
    await fake.stop()


async def test_ping_with_a_login(fake: Server, backend: VerbaBackend) -> None:
    """Ping logs in anew each time: a token from before shows nothing about now."""
    await backend.ping(deadline=soon())
    await backend.ping(deadline=soon())
    assert [request.operation for request in fake.requests] == ["auth", "auth"]
    fake.plan(FaultKind.SERVER_ERROR)
    with pytest.raises(Unconfirmed):
        await backend.ping(deadline=soon())


# Faults


UNCONFIRMED = {
    FaultKind.THROTTLE: Fault.RATE_LIMITED,
    FaultKind.SERVER_ERROR: Fault.SERVER_ERROR,
    FaultKind.GARBAGE: Fault.BAD_ANSWER,
    FaultKind.DROP: Fault.CONNECTION_LOST,
    FaultKind.DROP_AFTER: Fault.CONNECTION_LOST,
    FaultKind.REDIRECT: Fault.REDIRECTED,
    FaultKind.HUGE: Fault.BAD_ANSWER,
    FaultKind.XML_BOMB: Fault.BAD_ANSWER,
    FaultKind.HANG: Fault.TIMEOUT,
}


@pytest.mark.parametrize(("kind", "fault"), UNCONFIRMED.items())
async def test_an_unusable_answer_is_unconfirmed(fake: Server, kind: FaultKind, fault: Fault) -> None:
    """After the command went out every fault is unconfirmed, and so is one of the state query; nothing is sent
    twice."""
    fake.add_call(CALL, extension="8856")
    backend = connect(fake, timeout_seconds=0.3)
    await backend.observe(BY_ID, deadline=soon())
    fake.plan(kind, on={"command", "read"})
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: backend.apply(mute(BY_ID), deadline=soon()),
        lambda: backend.observe(BY_ID, deadline=soon()),
    ]
    for ask in asks:
        with pytest.raises(Unconfirmed) as caught:
            await ask()
        assert caught.value.fault is fault
    await backend.close()
    assert (len(fake.sent("command")), len(fake.sent("read"))) == (1, 2)


async def test_a_leaking_refusal_is_only_a_refusal(fake: Server, backend: VerbaBackend) -> None:
    """Nothing of an error text that quotes keys and card numbers is in the error that comes out."""
    fake.add_call(CALL, extension="8856")
    fake.plan(FaultKind.LEAK, on={"command"})
    with pytest.raises(BackendError) as caught:
        await backend.apply(mute(BY_ID), deadline=soon())
    assert caught.value.args == ("refused",)


# Parsing and judging, by the documents' samples


def test_the_documents_samples() -> None:
    """The answers printed in the vendor's documents mean what the documents say."""
    state = '<VerbaApi><Response code="0" type="MuteRecording" callerMuted="false" calledMuted="false"/></VerbaApi>'
    assert judge_state(parse(xml(state), MUTE)) == seen(Parties.NONE)
    kept = '<VerbaApi>\n<Response code="0" type="KeepCall"/>\n</VerbaApi>'
    assert judge_command(parse(xml(kept), "KeepCall")) == Receipt()
    token = (
        '<VerbaApi><Response code="0" type="RequestToken" token="0983"/><SessionId>8950</SessionId>'
        "<SessionParameterName>jsessionid</SessionParameterName><Remote>false</Remote></VerbaApi>"
    )
    assert judge_token(parse(xml(token), "RequestToken")) == "0983"
    for reply, action in (
        (error("The call cannot be found."), MUTE),
        (error("The call cannot be found.", description=' description="Error"'), MUTE),
        (error("Unable to keep the call, because the call cannot be found.", "KeepCall"), "KeepCall"),
    ):
        with pytest.raises(NoSuchCall):
            judge_command(parse(reply, action))


@pytest.mark.parametrize(
    ("caller", "called", "muted"),
    [
        ("true", "true", Parties.BOTH),
        ("true", "false", Parties.CALLER),
        ("false", "true", Parties.CALLED),
        ("false", "false", Parties.NONE),
    ],
)
def test_both_flags_count(caller: str, called: str, muted: Parties) -> None:
    """Who is silent is read from both flags."""
    attributes = f'code="0" type="MuteRecording" callerMuted="{caller}" calledMuted="{called}"'
    assert judge_state(parse(xml(f"<VerbaApi><Response {attributes}/></VerbaApi>"), MUTE)) == seen(muted)


FLAGS = ["", "True", "1", "yes", "TRUE", " true", None]


@pytest.mark.parametrize(("bad", "good"), [*itertools.product(FLAGS, ["callerMuted", "calledMuted"])])
def test_a_flag_that_is_not_one(bad: str | None, good: str) -> None:
    """A missing flag, or one in any other word than true and false, is unreadable and never muted."""
    other = "calledMuted" if good == "callerMuted" else "callerMuted"
    shown = "" if bad is None else f'{other}="{bad}"'
    answer = parse(xml(f'<VerbaApi><Response code="0" type="MuteRecording" {good}="true" {shown}/></VerbaApi>'), MUTE)
    with pytest.raises(Unconfirmed) as caught:
        judge_state(answer)
    assert caught.value.fault is Fault.BAD_ANSWER


@pytest.mark.parametrize("flags", ['callerMuted="true" calledMuted="true"', 'callerMuted="false"', 'calledMuted="x"'])
def test_a_state_is_no_answer_to_a_command(flags: str) -> None:
    """A command answered with the flags of a state has lost its `mute`: code 0 is not a yes then."""
    answer = parse(xml(f'<VerbaApi><Response code="0" type="MuteRecording" {flags}/></VerbaApi>'), MUTE)
    with pytest.raises(Unconfirmed):
        judge_command(answer)


@pytest.mark.parametrize(
    "body",
    [
        "<VerbaApi/>",
        "<html><body><p>The call recording has been changed.</p></body></html>",
        '<Response code="0" type="MuteRecording"/>',
        '<VerbaApi><Response type="MuteRecording"/></VerbaApi>',
        '<VerbaApi><Response code="" type="MuteRecording"/></VerbaApi>',
        '<VerbaApi><Response code="0x0" type="MuteRecording"/></VerbaApi>',
        '<VerbaApi><Response code="0"/></VerbaApi>',
        '<VerbaApi><Response code="0" type="KeepCall"/></VerbaApi>',
        '<VerbaApi><Response code="0" type="MuteRecording"/><Response code="2" type="MuteRecording"/></VerbaApi>',
        "<verbacdrlist/>",
    ],
)
def test_an_answer_to_something_else(body: str) -> None:
    """What is not one answer of the right type is unconfirmed."""
    with pytest.raises(Unconfirmed) as caught:
        parse(xml(body), MUTE)
    assert caught.value.fault is Fault.BAD_ANSWER


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("The call cannot be found.", Complaint.NO_SUCH_CALL),
        ("THE CALL COULD NOT BE FOUND", Complaint.NO_SUCH_CALL),
        ("More than one record was found.", Complaint.SEVERAL_CALLS),
        ("The API found more than 1 record", Complaint.SEVERAL_CALLS),
        ("Multiple calls match.", Complaint.SEVERAL_CALLS),
        ("The token cannot be found.", Complaint.OTHER),
        ("Call failed. The API key cannot be found.", Complaint.OTHER),
        ("", Complaint.OTHER),
    ],
)
def test_the_wording_of_errors(text: str, complaint: Complaint) -> None:
    """What is wrong is read from the text, and a text about something else is not about the call."""
    assert parse(error(text), MUTE).complaint is complaint


def test_a_no_to_another_question() -> None:
    """A refusal under another type may be the token's; if it stays it is unconfirmed."""
    answer = parse(error("The call cannot be found.", "Login"), MUTE)
    assert answer.complaint is Complaint.UNKNOWN
    with pytest.raises(Unconfirmed):
        judge_command(answer)


def test_any_other_code_is_a_no() -> None:
    """Only 0 is yes, however many zeros a code has."""
    answer = parse(xml('<VerbaApi><Response code="00" type="MuteRecording"/></VerbaApi>'), MUTE)
    with pytest.raises(Refused):
        judge_command(answer)


def test_a_token_that_is_missing() -> None:
    """Code 0 without a token is no login."""
    answer = parse(xml('<VerbaApi><Response code="0" type="RequestToken"/></VerbaApi>'), "RequestToken")
    with pytest.raises(Unconfirmed):
        judge_token(answer)


def found(*calls: tuple[str, str, str]) -> str:
    return "".join(
        f"<verbacdr><ccdr_id>{call_id}</ccdr_id><source_caller_id>{caller}</source_caller_id>"
        f"<destination_caller_id>{called}</destination_caller_id></verbacdr>"
        for call_id, caller, called in calls
    )


def search(body: str) -> tuple[str, ...]:
    return judge_search(parse(xml(body), "SearchCalls"), "8856")


ONE, TWO = ("one", "8856", "5550100"), ("two", "5550101", "sip:8856@pbx.example")


def test_the_calls_of_an_extension() -> None:
    """The list is read at the root or below the usual one, numbers in either place and with a host."""
    assert search(f"<verbacdrlist>{found(ONE, TWO)}</verbacdrlist>") == ("one", "two")
    below = f'<Response code="0" type="SearchCalls"/><verbacdrlist>{found(ONE, TWO)}</verbacdrlist>'
    assert search(f"<VerbaApi>{below}</VerbaApi>") == ("one", "two")


@pytest.mark.parametrize(
    "calls",
    [
        found(),
        found(ONE),
        found(ONE, ("two", "8856", "5550101"))[: -len("</verbacdr>")] + "</verbacdr><verbacdr/>",
        found(ONE, ("", "8856", "5550101")),
        found(ONE, TWO, ("three", "+49308856", "5550102")),
        found(*[(f"c{number}", "8856", "1") for number in range(100)]),
    ],
)
def test_a_search_that_leaves_a_doubt(calls: str) -> None:
    """Too few, too many, without an id or numbers, or a number that may be ours in full: nothing is commanded."""
    with pytest.raises(AmbiguousCall):
        search(f"<verbacdrlist>{calls}</verbacdrlist>")


def test_a_search_that_is_no_list() -> None:
    """A yes without a list is unreadable, a no is a no."""
    with pytest.raises(Unconfirmed):
        search('<VerbaApi><Response code="0" type="SearchCalls"/></VerbaApi>')
    with pytest.raises(Refused):
        judge_search(parse(error("No right to search.", "SearchCalls"), "SearchCalls"), "8856")
