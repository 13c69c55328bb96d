from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from pydantic import ValidationError

from gateway.backends.contract import (
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
from gateway.backends.voicenter import (
    VoicenterBackend,
    VoicenterSettings,
    judge_command,
    judge_state,
    meant,
    parse_calls,
)
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor
from gateway.sandbox.desk import FakeCall, FaultKind
from gateway.sandbox.voicenter import VoicenterFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ONGOING, NEXT = CallStatus.ONGOING, CallStatus.NEXT
BAD_PARAMETERS = 'Parameters are not valid, should be "ivrid" and "mute"'
CALL = "2020101201cc7b38df"
BY_ID = Target(call_id=CALL)
BY_EXTENSION = Target(extension="SIPSIP2")


def mute(target: Target, parties: Parties = Parties.BOTH) -> Command:
    return Command(action=Action.MUTE, target=target, muted=parties)


def unmute(target: Target, parties: Parties = Parties.NONE) -> Command:
    return Command(action=Action.UNMUTE, target=target, muted=parties)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def seen(muted: Parties, *, mixed: bool = False) -> Seen:
    return Seen(muted=muted, evidence=Evidence.READBACK, mixed=mixed)


def silent(call: FakeCall) -> bool:
    return call.muted is Parties.BOTH


def reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(status=status, headers={}, body=orjson.dumps(value))


@pytest.fixture
async def fake() -> AsyncIterator[VoicenterFake]:
    fake = VoicenterFake()
    await fake.start()
    yield fake
    await fake.stop()


def connect(fake: VoicenterFake, **more: object) -> VoicenterBackend:
    backend = VoicenterSettings.model_validate({**fake.settings(), **more}).build("voicenter_il")
    assert isinstance(backend, VoicenterBackend)
    return backend


@pytest.fixture
async def backend(fake: VoicenterFake) -> AsyncIterator[VoicenterBackend]:
    backend = connect(fake)
    yield backend
    await backend.close()


@pytest.fixture
async def trusting(fake: VoicenterFake) -> AsyncIterator[VoicenterBackend]:
    """A backend without a code, which is believed on its word."""
    backend = connect(fake, active_calls_code=None, evidence="accepted")
    yield backend
    await backend.close()


# Settings


def settings(**more: object) -> VoicenterSettings:
    return VoicenterSettings.model_validate({"vendor": "voicenter", "base_url": "https://h.example/Comet/API", **more})


def test_what_it_says_of_itself() -> None:
    """With a code states are read back, five seconds apart, whatever `evidence` says; one party cannot be muted."""
    backend = settings(active_calls_code="c", evidence="accepted").build("voicenter_il")
    assert (backend.name, backend.vendor) == ("voicenter_il", Vendor.VOICENTER)
    abilities = backend.capabilities
    assert abilities.actions == {Action.MUTE, Action.UNMUTE}
    assert abilities.parties == {Parties.NONE, Parties.BOTH}
    assert abilities.call_status == {(ONGOING,), (NEXT,), (ONGOING, NEXT)}
    assert abilities.evidence == {Evidence.READBACK}
    assert abilities.observable
    assert abilities.read_interval_seconds == 5.0
    assert not abilities.covers_later_calls


def test_without_a_code_it_is_the_operators_word() -> None:
    """Without a code nothing is proven: a bare yes counts only where the operator said so, and "next" is not
    offered, because nobody would see that there was no call."""
    abilities = settings(evidence="accepted").build("v").capabilities
    assert abilities.evidence == {Evidence.ACCEPTED}
    assert not abilities.observable
    assert abilities.call_status == {(ONGOING,)}
    with pytest.raises(ValidationError, match="evidence: must be `accepted`"):
        settings()
    with pytest.raises(ValidationError):
        settings(evidence="readback", active_calls_code="c")


@pytest.mark.parametrize("path", ["", "/x", "x/", "../x", "a?b", "a b", "%2e"])
def test_a_path_that_is_none(path: str) -> None:
    """Paths from the configuration are plain words."""
    with pytest.raises(ValidationError, match="mute_path"):
        settings(evidence="accepted", mute_path=path)


def test_the_second_host_is_checked_as_the_first() -> None:
    """The code does not go to another host in the clear either."""
    with pytest.raises(ValidationError, match="calls_base_url: http is only"):
        settings(active_calls_code="c", calls_base_url="http://h.example/comet/API")


# Requests as on the wire


async def test_get_requests_as_the_documents_have_them(fake: VoicenterFake) -> None:
    """The documents' URLs: extension or ivrid, then state; code, then extension."""
    fake.add_call(CALL, extension="SIPSIP2")
    backend = connect(fake, method="GET", calls_base_url=f"{fake.origin}/comet/API")
    await backend.apply(mute(BY_EXTENSION), deadline=soon())
    await backend.apply(unmute(BY_ID), deadline=soon())
    await backend.observe(BY_EXTENSION, deadline=soon())
    await backend.observe(BY_ID, deadline=soon())
    await backend.close()
    assert [(request.method, request.raw_path) for request in fake.requests] == [
        ("GET", "/Comet/API/MuteUnmuteCalls?extension=SIPSIP2&state=1"),
        ("GET", f"/Comet/API/MuteUnmuteCalls?ivrid={CALL}&state=0"),
        ("GET", f"/comet/API/GetExtensionsCalls?code={fake.code}&extension=SIPSIP2"),
        ("GET", f"/comet/API/GetExtensionsCalls?code={fake.code}"),
    ]


async def test_post_requests_as_the_documents_have_them(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """JSON with strings, nothing in the URL."""
    fake.add_call(CALL, extension="SIPSIP2")
    await backend.apply(mute(BY_EXTENSION), deadline=soon())
    await backend.apply(unmute(BY_ID), deadline=soon())
    await backend.observe(BY_EXTENSION, deadline=soon())
    assert [(request.method, request.raw_path, request.body) for request in fake.requests] == [
        ("POST", "/Comet/API/MuteUnmuteCalls", b'{"extension":"SIPSIP2","state":"1"}'),
        ("POST", "/Comet/API/MuteUnmuteCalls", f'{{"ivrid":"{CALL}","state":"0"}}'.encode()),
        (
            "POST",
            "/Comet/API/GetExtensionsCalls",
            f'{{"code":"{fake.code}","extension":"SIPSIP2"}}'.encode(),
        ),
    ]
    assert {request.headers["Content-Type"] for request in fake.requests} == {"application/json"}


async def test_other_hosts_have_other_paths(fake: VoicenterFake) -> None:
    """Host and path are configuration: a wrong one is a configuration fault."""
    backend = connect(fake, base_url=f"{fake.origin}/api", mute_path="v2/Mute")
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(BY_ID), deadline=soon())
    await backend.close()
    assert caught.value.fault is Fault.MISCONFIGURED
    assert fake.requests[0].raw_path == "/api/v2/Mute"


@pytest.mark.parametrize(
    "command",
    [
        mute(BY_ID, Parties.CALLER),
        mute(BY_ID, Parties.CALLED),
        mute(BY_ID, Parties.NONE),
        unmute(BY_ID, Parties.CALLER),
        mute(Target()),
        *(Command(action=action, target=BY_ID) for action in Action if action not in {Action.MUTE, Action.UNMUTE}),
    ],
)
async def test_what_it_cannot_do_is_not_sent(fake: VoicenterFake, backend: VoicenterBackend, command: Command) -> None:
    """One party only, a mute of nobody, no address, any other action: refused before anything is sent."""
    with pytest.raises(Refused) as caught:
        await backend.apply(command, deadline=soon())
    assert (caught.value.fault, len(fake.requests)) == (Fault.UNSUPPORTED, 0)


# Muting for real


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("target", [BY_ID, BY_EXTENSION, Target(call_id=CALL, extension="SIPSIP2")])
async def test_mute_prove_unmute(fake: VoicenterFake, method: str, target: Target) -> None:
    """A yes is only accepted; the list of calls proves that both are silent, and that nobody is afterwards. The
    answers' code is a string one time and an integer the next."""
    backend = connect(fake, method=method)
    call = fake.add_call(CALL, extension="SIPSIP2")
    fake.add_call("other", extension="SIPSIP1")
    assert await backend.apply(mute(target), deadline=soon()) == Receipt()
    assert silent(call)
    assert await backend.observe(target, deadline=soon()) == seen(Parties.BOTH)
    assert await backend.apply(mute(target), deadline=soon()) == Receipt()
    assert await backend.apply(unmute(target, Parties.NONE), deadline=soon()) == Receipt()
    assert not silent(call)
    assert await backend.observe(target, deadline=soon()) == seen(Parties.NONE)
    assert await backend.apply(unmute(target, Parties.BOTH), deadline=soon()) == Receipt()
    assert silent(call)
    await backend.close()


async def test_every_call_of_an_extension_counts(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """A call made after the mute is not covered by it: the extension is mixed, and muted again all are silent."""
    first = fake.add_call("first", extension="SIPSIP2")
    await backend.apply(mute(BY_EXTENSION), deadline=soon())
    second = fake.add_call("second", extension="SIPSIP2")
    assert (first.muted, second.muted) == (Parties.BOTH, Parties.NONE)
    assert await backend.observe(BY_EXTENSION, deadline=soon()) == seen(Parties.NONE, mixed=True)
    await backend.apply(mute(BY_EXTENSION), deadline=soon())
    assert await backend.observe(BY_EXTENSION, deadline=soon()) == seen(Parties.BOTH)


async def test_success_for_an_extension_without_a_call(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """Where there is no call "Success" is said as well: it is only accepted, and the list shows no muted call."""
    assert await backend.apply(mute(BY_EXTENSION), deadline=soon()) == Receipt()
    with pytest.raises(NoSuchCall):
        await backend.observe(BY_EXTENSION, deadline=soon())
    fake.add_call(CALL, extension="SIPSIP2")
    fake.end_call(CALL)
    with pytest.raises(NoSuchCall):
        await backend.observe(BY_EXTENSION, deadline=soon())


async def test_a_call_id_that_is_none(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """An unknown call is one for commands and for the list."""
    for ask in (backend.apply(mute(BY_ID), deadline=soon()), backend.observe(BY_ID, deadline=soon())):
        with pytest.raises(NoSuchCall):
            await ask
    assert fake.calls == {}


async def test_a_call_that_was_transferred_is_found(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """A call that is no longer on the extension given is looked for everywhere."""
    fake.add_call(CALL, extension="SIPSIP1")
    fake.add_call("other", extension="SIPSIP2")
    target = Target(call_id=CALL, extension="SIPSIP2")
    await backend.apply(mute(target), deadline=soon())
    assert await backend.observe(target, deadline=soon()) == seen(Parties.BOTH)
    assert len(fake.sent("read")) == 2


async def test_a_lying_server_is_seen_through(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """A yes without an effect is not believed: the list says so."""
    fake.add_call(CALL, extension="SIPSIP2")
    fake.plan(FaultKind.LIE, on={"command"})
    assert await backend.apply(mute(BY_ID), deadline=soon()) == Receipt()
    assert await backend.observe(BY_ID, deadline=soon()) == seen(Parties.NONE)


# The code


async def test_a_wrong_code_is_not_an_empty_account(fake: VoicenterFake) -> None:
    """A wrong code sees no extensions at all: that is a refusal, not a call that is over."""
    fake.add_call(CALL, extension="SIPSIP2")
    backend = connect(fake, active_calls_code="wrong")
    for ask in (
        backend.observe(BY_ID, deadline=soon()),
        backend.observe(BY_EXTENSION, deadline=soon()),
        backend.ping(deadline=soon()),
    ):
        with pytest.raises(Refused) as caught:
            await ask
        assert caught.value.fault is Fault.UNAUTHENTICATED
    await backend.close()


async def test_without_a_code_nothing_is_read(fake: VoicenterFake, trusting: VoicenterBackend) -> None:
    """Without a code commands work and no list is asked for."""
    call = fake.add_call(CALL, extension="SIPSIP2")
    assert await trusting.apply(mute(BY_ID), deadline=soon()) == Receipt()
    assert call.muted is Parties.BOTH
    with pytest.raises(Refused) as caught:
        await trusting.observe(BY_ID, deadline=soon())
    assert caught.value.fault is Fault.UNSUPPORTED
    assert fake.sent("read") == []


async def test_ping(fake: VoicenterFake, backend: VoicenterBackend, trusting: VoicenterBackend) -> None:
    """Ping touches no call: it lists the calls, or without a code sees that somebody answers."""
    call = fake.add_call(CALL, extension="SIPSIP2")
    await backend.ping(deadline=soon())
    await trusting.ping(deadline=soon())
    assert call.tape.cuts[1:] == ()
    assert [request.raw_path for request in fake.requests] == ["/Comet/API/GetExtensionsCalls", "/Comet/API"]
    fake.plan(FaultKind.UNAUTHORIZED)
    for one in (backend, trusting):
        with pytest.raises(Refused):
            await one.ping(deadline=soon())


async def test_ping_when_nobody_is_there(
    fake: VoicenterFake, backend: VoicenterBackend, trusting: VoicenterBackend
) -> None:
    """A host that does not listen is found out by either ping."""
    await fake.stop()
    for one in (backend, trusting):
        with pytest.raises(NotSent):
            await one.ping(deadline=soon())


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


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("kind", "fault"), UNCONFIRMED.items())
async def test_an_unusable_answer_is_unconfirmed(
    fake: VoicenterFake, kind: FaultKind, fault: Fault, method: str
) -> None:
    """After the command went out every fault is unconfirmed, and so is one of the list; nothing is sent twice."""
    fake.add_call(CALL, extension="SIPSIP2")
    backend = connect(fake, method=method, timeout_seconds=0.3)
    fake.plan(kind)
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: backend.apply(mute(BY_ID), deadline=soon()),
        lambda: backend.observe(BY_ID, deadline=soon()),
    ]
    for ask in asks:
        with pytest.raises(Unconfirmed) as caught:
            await ask()
        assert caught.value.fault is fault
    await backend.close()
    assert [request.operation for request in fake.requests] == ["command", "read"]


@pytest.mark.parametrize("kind", [FaultKind.REFUSE, FaultKind.LEAK, FaultKind.UNAUTHORIZED])
async def test_a_readable_no(fake: VoicenterFake, backend: VoicenterBackend, kind: FaultKind) -> None:
    """A no is a refusal, and nothing of its text comes along."""
    call = fake.add_call(CALL, extension="SIPSIP2")
    fake.plan(kind)
    fault = "unauthenticated" if kind is FaultKind.UNAUTHORIZED else "refused"
    for ask in (backend.apply(mute(BY_ID), deadline=soon()), backend.observe(BY_ID, deadline=soon())):
        with pytest.raises(BackendError) as caught:
            await ask
        assert isinstance(caught.value, Refused)
        assert caught.value.args == (fault,)
    assert call.muted is Parties.NONE


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/comet/API/GetExtensionsCalls", {"ERR": 1, "DESC": "Authorization failed."}),
        ("/Comet/API/MuteUnmuteCalls?extension=1&state=2", {"Message": BAD_PARAMETERS}),
        ("/Comet/API/MuteUnmuteCalls?state=1", {"Message": BAD_PARAMETERS}),
    ],
)
async def test_the_fake_speaks_as_documented(fake: VoicenterFake, path: str, answer: dict[str, object]) -> None:
    """What our client would never send is answered in the documents' words."""
    async with aiohttp.ClientSession() as web, web.get(f"{fake.origin}{path}") as response:
        assert answer.items() <= (await response.json()).items()


# Parsing and judging


@pytest.mark.parametrize("code", ["200", 200])
def test_a_yes(code: object) -> None:
    """200 as a string or as an integer is accepted."""
    answer = {"ErrorCode": code, "Message": "Success", "ActionID": "14d3b31988b247be8ff5818d1cadc3d3"}
    assert judge_command(reply(answer)) == Receipt()
    assert judge_command(reply({"ErrorCode": code})) == Receipt()


@pytest.mark.parametrize(
    ("answer", "kind", "fault"),
    [
        ({"ErrorCode": 404, "Message": "UniqueIvrID not found"}, NoSuchCall, Fault.NO_SUCH_CALL),
        (
            {"ErrorCode": "400", "Message": 'Parameters are not valid, should be "ivrid" and "mute"'},
            Refused,
            Fault.MISCONFIGURED,
        ),
        ({"ErrorCode": 400, "Message": "Anything"}, Refused, Fault.REFUSED),
        ({"ErrorCode": 400}, Refused, Fault.REFUSED),
        ({"ErrorCode": 0, "Message": "Success"}, Refused, Fault.REFUSED),
        ({"ErrorCode": 500, "Message": "Oops"}, Unconfirmed, Fault.SERVER_ERROR),
        ({"ErrorCode": 200, "Message": "UniqueIvrID not found"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": 200, "Message": None}, Unconfirmed, Fault.BAD_ANSWER),
        ({"Message": "Success"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": True, "Message": "Success"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": 200.0, "Message": "Success"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": " 200", "Message": "Success"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": "OK"}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ErrorCode": "2" * 5_000}, Unconfirmed, Fault.BAD_ANSWER),
        ([200], Unconfirmed, Fault.BAD_ANSWER),
    ],
)
def test_anything_else_is_not_a_yes(answer: object, kind: type[BackendError], fault: Fault) -> None:
    """Each documented message has its meaning; what contradicts itself or cannot be read is unconfirmed."""
    with pytest.raises(kind) as caught:
        judge_command(reply(answer))
    assert caught.value.fault is fault


def test_an_address_that_is_not_admitted() -> None:
    """403 is the vendor's no to our address."""
    with pytest.raises(Refused) as caught:
        judge_command(reply({"ErrorCode": 200, "Message": "Success"}, 403))
    assert caught.value.fault is Fault.UNAUTHENTICATED


def listing(*extensions: object, err: object = 0) -> HttpReply:
    return reply({"ERR": err, "DESC": "OK", "EXTENSIONS": list(extensions)})


def on(extension: object, *calls: object) -> dict[str, object]:
    return {"name": "User 2", "username": extension, "userID": 46454322, "calls": list(calls)}


def call(ivrid: object, muted: object) -> dict[str, object]:
    return {
        "callStarted": 1602465818,
        "callstatus": "Talking",
        "callerphone": "0722776772",
        "direction": "Outgoing",
        "ivrid": ivrid,
        "recording": {"Filename": "x.mp3", "IsMuted": muted},
    }


def state(answer: HttpReply, target: Target) -> Seen:
    calls = parse_calls(answer)
    assert calls is not None
    return judge_state(meant(calls, target))


@pytest.mark.parametrize(
    ("muted", "parties"), [(0, Parties.NONE), ("0", Parties.NONE), (1, Parties.BOTH), ("1", Parties.BOTH)]
)
@pytest.mark.parametrize("target", [BY_ID, BY_EXTENSION])
def test_the_state_of_a_call(muted: object, parties: Parties, target: Target) -> None:
    """IsMuted is 0 or 1, as an integer or a string; other extensions' calls do not count."""
    answer = listing(on("SIPSIP1", call("other", "nonsense")), on("SIPSIP2", call(CALL, muted)))
    assert state(answer, target) == seen(parties)


@pytest.mark.parametrize("bad", [None, 2, -1, True, False, "", "true", "01", 1.0, [1], {}])
def test_a_state_that_is_none(bad: object) -> None:
    """Anything else is unreadable and never muted; so is a call without a recording or without the flag."""
    without: list[object] = [{"ivrid": CALL}, {"ivrid": CALL, "recording": {}}, call(CALL, bad)]
    for one in without:
        with pytest.raises(Unconfirmed) as caught:
            state(listing(on("SIPSIP2", one)), BY_ID)
        assert caught.value.fault is Fault.BAD_ANSWER


def test_a_call_on_two_extensions() -> None:
    """A call that is listed twice is muted only when it is in both places."""
    for one, other in itertools.product((0, 1), repeat=2):
        answer = listing(on("SIPSIP1", call(CALL, one)), on("SIPSIP2", call(CALL, other)))
        parties = Parties.BOTH if one and other else Parties.NONE
        assert state(answer, BY_ID) == seen(parties, mixed=one != other)


def test_whose_calls_they_are() -> None:
    """An extension is matched whatever its case; a list that does not name it is taken as the one asked for."""
    assert state(listing(on("sipsip2", call("a", 1))), BY_EXTENSION) == seen(Parties.BOTH)
    assert state(listing(on(None, call("a", 1))), BY_EXTENSION) == seen(Parties.BOTH)
    with pytest.raises(NoSuchCall):
        state(listing(on("SIPSIP1", call("a", 1))), BY_EXTENSION)


@pytest.mark.parametrize(
    ("answer", "kind", "fault"),
    [
        ({"ERR": 1, "DESC": "Authorization failed."}, Refused, Fault.UNAUTHENTICATED),
        ({"ERR": "1", "DESC": "?"}, Refused, Fault.MISCONFIGURED),
        ({"ERR": 2, "DESC": "Internal error."}, Refused, Fault.REFUSED),
        ({"ERR": 3}, Unconfirmed, Fault.BAD_ANSWER),
        ({"EXTENSIONS": []}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": {}}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": [1]}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": [{"username": "SIPSIP2"}]}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": [on("SIPSIP2", call(None, 1))]}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": [on("SIPSIP2", call("", 1))]}, Unconfirmed, Fault.BAD_ANSWER),
        ({"ERR": 0, "EXTENSIONS": [on("SIPSIP2", {"ivrid": "a", "recording": 1})]}, Unconfirmed, Fault.BAD_ANSWER),
        ([], Unconfirmed, Fault.BAD_ANSWER),
    ],
)
def test_a_list_that_is_none(answer: object, kind: type[BackendError], fault: Fault) -> None:
    """Each documented error has its meaning; half a list is no list, so that no call is missed in it."""
    with pytest.raises(kind) as caught:
        parse_calls(reply(answer))
    assert caught.value.fault is fault


def test_an_internal_issue_may_pass() -> None:
    """Code 2 may be the vendor's own trouble: worth another try."""
    with pytest.raises(Refused) as caught:
        parse_calls(reply({"ERR": "2"}))
    assert caught.value.retryable


# In the background


async def test_background_looks_share_one_request(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """By id or by extension, all look at one answer about everybody, which is as old as it is; a request's own look
    goes out at once."""
    fake.add_call(CALL, extension="SIPSIP2").switch(Parties.BOTH)
    first = await backend.observe(BY_ID, deadline=soon(), background=True)
    second = await backend.observe(BY_EXTENSION, deadline=soon(), background=True)
    assert (first.muted, first.age_seconds) == (Parties.BOTH, 0.0)
    assert second.muted is Parties.BOTH
    assert second.age_seconds > 0
    with pytest.raises(NoSuchCall) as caught:
        await backend.observe(Target(call_id="none"), deadline=soon(), background=True)
    assert caught.value.age_seconds > 0
    assert len(fake.read_times) == 1
    assert (await backend.observe(BY_EXTENSION, deadline=soon())).age_seconds == 0
    assert len(fake.read_times) == 2


async def test_a_look_for_one_request_serves_all_when_they_are_overdue(
    fake: VoicenterFake, backend: VoicenterBackend
) -> None:
    """Where requests' reads keep the background from its turn, the next one is about everybody."""
    fake.add_call(CALL, extension="SIPSIP2")
    await backend.observe(BY_EXTENSION, deadline=soon())
    with pytest.raises(NotSent):
        await backend.observe(BY_EXTENSION, deadline=soon(), background=True)
    await backend.observe(BY_EXTENSION, deadline=soon())
    assert [b"extension" in request.body for request in fake.sent("read")] == [True, False]
    assert (await backend.observe(BY_ID, deadline=soon(), background=True)).muted is Parties.NONE


async def test_a_whole_contact_centre_fits(fake: VoicenterFake, backend: VoicenterBackend) -> None:
    """The answer about everybody may be far longer than any other."""
    for number in range(500):
        fake.add_call(f"ivr-{number}", extension=f"SIP{number}")
    assert (await backend.observe(Target(call_id="ivr-77"), deadline=soon(), background=True)).muted is Parties.NONE
    assert (await backend.observe(Target(call_id="ivr-78"), deadline=soon())).muted is Parties.NONE
