from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import SecretStr

from gateway.backends.contract import (
    Command,
    NoSuchCall,
    NotSent,
    Receipt,
    Refused,
    Seen,
    Unconfirmed,
)
from gateway.backends.voipnow import (
    VoipNowBackend,
    VoipNowSettings,
)
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor
from gateway.sandbox.desk import FakeCall, FaultKind
from gateway.sandbox.voipnow import VoipNowFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Wrapping = Literal["object", "list", "entry"]
WRAPPINGS: list[Wrapping] = ["object", "list", "entry"]

EXTENSION = "0003*210"


def mute(target: Target) -> Command:
    return Command(action=Action.MUTE, target=target, muted=Parties.BOTH)


def unmute(target: Target) -> Command:
    return Command(action=Action.UNMUTE, target=target)


def seen(muted: Parties, evidence: Evidence, *, mixed: bool = False) -> Seen:
    return Seen(muted=muted, evidence=evidence, mixed=mixed)


def silent(call: FakeCall) -> bool:
    return call.muted is Parties.BOTH


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


@pytest.fixture
async def fake() -> AsyncIterator[VoipNowFake]:
    fake = VoipNowFake()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def backend(fake: VoipNowFake) -> AsyncIterator[VoipNowBackend]:
    backend = VoipNowSettings.model_validate(fake.settings()).build("pbx")
    assert isinstance(backend, VoipNowBackend)
    yield backend
    await backend.close()


def test_what_it_says_of_itself() -> None:
    """Name, vendor, and only the abilities that the documents give it."""
    backend = VoipNowSettings(
        vendor="voipnow", base_url="https://uapi.example", client_id="app", client_secret=SecretStr("s")
    ).build("pbx")
    assert (backend.name, backend.vendor) == ("pbx", Vendor.VOIPNOW)
    abilities = backend.capabilities
    assert abilities.actions == {Action.MUTE, Action.UNMUTE, Action.START, Action.STOP}
    assert abilities.parties == {Parties.NONE, Parties.BOTH}
    assert abilities.evidence == {Evidence.READBACK, Evidence.ANSWER}
    assert (CallStatus.LAST,) not in abilities.call_status


async def test_a_named_view_is_muted_with_one_documented_request(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """Token, then the PUT of the page, byte by byte; the tape is silent before the answer is there."""
    call = fake.add_call("444444", extension=EXTENSION)
    target = Target(call_id="444444", extension=EXTENSION, user_id="12", view_id="01")
    receipt = await backend.apply(mute(target), deadline=soon())
    assert receipt == Receipt(seen=seen(Parties.BOTH, Evidence.ANSWER))
    assert silent(call)
    token, put = fake.requests
    assert (token.method, token.raw_path) == ("POST", "/oauth/token.php")
    assert dict(token.form)["redirect_uri"] == fake.redirect_uri
    assert (put.method, put.raw_path) == ("PUT", "/uapi/phoneCalls/12/0003*210/444444")
    assert put.headers["Content-Type"] == "application/json"
    assert put.headers["Authorization"].startswith("Bearer ")
    assert put.body == b'{"action":"StopRecording","phoneCallViewId":"01"}'
    await backend.apply(unmute(target), deadline=soon())
    assert fake.requests[-1].body == b'{"action":"StartRecording","format":"wav","phoneCallViewId":"01"}'
    assert not silent(call)


async def test_with_only_a_call_id_the_view_is_looked_up(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """`@me` and `@self` stand in the path as they are, and the view comes from the call."""
    call = fake.add_call("abc1", extension=EXTENSION)
    receipt = await backend.apply(mute(Target(call_id="abc1")), deadline=soon())
    assert receipt.seen == seen(Parties.BOTH, Evidence.ANSWER)
    assert silent(call)
    paths = [(request.method, request.raw_path) for request in fake.requests][1:]
    assert paths == [("GET", "/uapi/phoneCalls/@me/@self/abc1"), ("PUT", "/uapi/phoneCalls/@me/@self/abc1")]
    assert await backend.observe(Target(call_id="abc1"), deadline=soon()) == seen(Parties.BOTH, Evidence.READBACK)


@pytest.mark.parametrize(("wrapping", "numbers"), list(itertools.product(WRAPPINGS, [False, True])))
async def test_by_extension_every_call_is_muted(
    fake: VoipNowFake, backend: VoipNowBackend, wrapping: Wrapping, *, numbers: bool
) -> None:
    """All calls of the extension and no other's, however the collection is wrapped."""
    fake.wrapping, fake.numbers = wrapping, numbers
    ours = [fake.add_call(name, extension=EXTENSION) for name in ("c1", "c2")]
    other = fake.add_call("c3", extension="0003*999")
    receipt = await backend.apply(mute(Target(extension=EXTENSION)), deadline=soon())
    assert receipt.seen == seen(Parties.BOTH, Evidence.ANSWER)
    assert all(silent(call) for call in ours)
    assert not silent(other)
    fake.resume("c2")
    state = await backend.observe(Target(extension=EXTENSION), deadline=soon())
    assert state == seen(Parties.NONE, Evidence.READBACK, mixed=True)
    fake.end_call("c2")
    assert (await backend.observe(Target(extension="210"), deadline=soon())).muted is Parties.BOTH


@pytest.mark.parametrize("target", [Target(extension=EXTENSION), Target(call_id="c1")])
async def test_every_recorded_view_of_the_call_is_silenced(
    fake: VoipNowFake, backend: VoipNowBackend, target: Target
) -> None:
    """Another agent's view that records the same voices is stopped too; only ours is started again by extension."""
    call = fake.add_call("c1", extension=EXTENSION)
    fake.add_view("c1", "02", extension="0003*211")
    fake.add_view("c1", "03", extension=None, recording=False)
    receipt = await backend.apply(mute(target), deadline=soon())
    assert receipt.seen == seen(Parties.BOTH, Evidence.ANSWER)
    assert silent(call)
    await backend.apply(unmute(Target(extension=EXTENSION)), deadline=soon())
    assert fake.recorded("c1", "01")
    assert not fake.recorded("c1", "02")
    assert not fake.recorded("c1", "03")


@pytest.mark.parametrize(
    "target", [Target(call_id="nope"), Target(extension=EXTENSION), Target(call_id="nope", view_id="01")]
)
async def test_no_call_is_no_success(fake: VoipNowFake, backend: VoipNowBackend, target: Target) -> None:
    """204 means that nothing happened: to a command and to a question alike; also for a call that is over."""
    with pytest.raises(NoSuchCall):
        await backend.apply(mute(target), deadline=soon())
    fake.add_call("nope", extension=EXTENSION)
    fake.end_call("nope")
    with pytest.raises(NoSuchCall):
        await backend.observe(target, deadline=soon())


async def test_an_id_that_the_vendor_does_not_take_is_no_call(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """`pc_phonecall_invalid` means the same as 204."""
    with pytest.raises(NoSuchCall):
        await backend.apply(mute(Target(call_id="a-b", view_id="01")), deadline=soon())
    assert len(fake.sent("command")) == 1


async def test_a_wrong_view_and_a_terminal_without_trigger_are_told(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """Both are a readable no that no repetition changes."""
    fake.add_call("c1", extension=EXTENSION)
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id="c1", view_id="09")), deadline=soon())
    assert caught.value.fault is Fault.MISCONFIGURED
    fake.untriggered.add(EXTENSION)
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id="c1")), deadline=soon())
    assert not caught.value.retryable


async def test_a_partly_refused_command_says_that_something_may_have_happened(
    fake: VoipNowFake, backend: VoipNowBackend
) -> None:
    """One of two calls refuses to start: the other one is recorded, so nobody may read "it has not acted"."""
    fake.add_call("c1", extension=EXTENSION)
    fake.add_call("c2", extension=EXTENSION)
    await backend.apply(mute(Target(extension=EXTENSION)), deadline=soon())
    fake.plan(FaultKind.REFUSE, on=["command"], times=1)
    with pytest.raises(Unconfirmed):
        await backend.apply(unmute(Target(extension=EXTENSION)), deadline=soon())


async def test_a_liar_is_seen_through(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """200 and nothing done: the answer itself shows that recording is on."""
    call = fake.add_call("c1", extension=EXTENSION)
    fake.plan(FaultKind.LIE)
    receipt = await backend.apply(mute(Target(call_id="c1")), deadline=soon())
    assert receipt.seen == seen(Parties.NONE, Evidence.ANSWER)
    assert not silent(call)


async def test_start_and_stop_take_a_format(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """The one-shot commands do what they say; the format of a start is passed on."""
    call = fake.add_call("c1", extension=EXTENSION)
    await backend.apply(Command(action=Action.STOP, target=Target(call_id="c1")), deadline=soon())
    assert silent(call)
    start = Command(action=Action.START, target=Target(call_id="c1"), format="wav49")
    await backend.apply(start, deadline=soon())
    assert not silent(call)
    assert fake.requests[-1].json["format"] == "wav49"


async def test_one_token_for_many_commands(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """Twenty commands at once fetch one token."""
    for number in range(20):
        fake.add_call(f"c{number}", extension=f"0003*{number}")
    await asyncio.gather(*(backend.apply(mute(Target(call_id=f"c{n}")), deadline=soon()) for n in range(20)))
    assert len(fake.sent("auth")) == 1
    assert all(silent(call) for call in fake.calls.values())


async def test_a_token_that_is_not_taken_any_more_is_renewed_once(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """A 401 has not acted: one renewal for all, and each command is repeated once, with the new token."""
    for number in range(5):
        fake.add_call(f"c{number}", extension=EXTENSION)
    await backend.ping(deadline=soon())
    fake.void_tokens()
    commands = [mute(Target(call_id=f"c{n}", view_id="01")) for n in range(5)]
    await asyncio.gather(*(backend.apply(command, deadline=soon()) for command in commands))
    assert len(fake.sent("auth")) == 2
    assert all(silent(call) for call in fake.calls.values())
    assert len(fake.sent("command")) == 10


async def test_a_401_for_good_is_a_refusal(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """When the new token is not taken either, that is all: two commands, no third."""
    fake.add_call("c1", extension=EXTENSION)
    fake.plan(FaultKind.UNAUTHORIZED, on=["command"])
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id="c1", view_id="01")), deadline=soon())
    assert caught.value.fault is Fault.UNAUTHENTICATED
    assert len(fake.sent("command")) == 2


async def test_a_short_lived_token_is_renewed_before_it_ends(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """Past its half-life the token still serves, and a new one is fetched beside."""
    fake.add_call("c1", extension=EXTENSION)
    fake.token_seconds = 1
    await backend.ping(deadline=soon())
    async with asyncio.timeout(10):
        while len(fake.sent("auth")) < 2:
            await backend.observe(Target(call_id="c1"), deadline=soon())
            await asyncio.sleep(0.05)


async def test_wrong_credentials_are_a_refusal(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """`invalid_client` is a readable no; no call is touched, and the vendor's text goes nowhere."""
    fake.client_secret = "changed"
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id="c1", view_id="01")), deadline=soon())
    assert caught.value.fault is Fault.UNAUTHENTICATED
    assert not fake.sent("command")


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.GARBAGE, FaultKind.DROP, FaultKind.XML_BOMB])
async def test_without_a_token_nothing_is_sent(fake: VoipNowFake, backend: VoipNowBackend, kind: FaultKind) -> None:
    """Trouble with the token server is "nothing was sent": no command has left."""
    fake.plan(kind, on=["auth"])
    with pytest.raises(NotSent):
        await backend.apply(mute(Target(call_id="c1", view_id="01")), deadline=soon())
    assert not fake.sent("command")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (FaultKind.SERVER_ERROR, Fault.SERVER_ERROR),
        (FaultKind.THROTTLE, Fault.RATE_LIMITED),
        (FaultKind.GARBAGE, Fault.BAD_ANSWER),
        (FaultKind.XML_BOMB, Fault.BAD_ANSWER),
        (FaultKind.HUGE, Fault.BAD_ANSWER),
        (FaultKind.REDIRECT, Fault.REDIRECTED),
        (FaultKind.DROP_AFTER, Fault.CONNECTION_LOST),
    ],
)
async def test_a_command_without_a_readable_answer_goes_out_once(
    fake: VoipNowFake, backend: VoipNowBackend, kind: FaultKind, fault: Fault
) -> None:
    """Nobody knows, so nobody says yes, and nothing is sent a second time."""
    fake.add_call("c1", extension=EXTENSION)
    fake.plan(kind, on=["command"])
    with pytest.raises(Unconfirmed) as caught:
        await backend.apply(mute(Target(call_id="c1")), deadline=soon())
    assert caught.value.fault is fault
    assert len(fake.sent("command")) == 1


async def test_ping_touches_no_call(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """With and without calls there it asks only; what is wrong with the host comes out."""
    await backend.ping(deadline=soon())
    call = fake.add_call("c1", extension=EXTENSION)
    await backend.ping(deadline=soon())
    assert not silent(call)
    assert not fake.sent("command")
    fake.plan(FaultKind.GARBAGE, on=["read"])
    with pytest.raises(Unconfirmed):
        await backend.ping(deadline=soon())
