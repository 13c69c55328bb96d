from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.backends.contract import Command, NoSuchCall, NotSent, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.genesys import GenesysBackend, GenesysSettings
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor
from gateway.sandbox.desk import FakeCall, FaultKind
from gateway.sandbox.genesys import GenesysFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Build = Callable[[Target], Command]

UUID = "00RV9H7S6O8V3BSHAG7GK2LAES00002M"
MUTED = Seen(muted=Parties.BOTH, evidence=Evidence.READBACK)
LIVE = Seen(muted=Parties.NONE, evidence=Evidence.READBACK)


@pytest.fixture
async def fake() -> AsyncIterator[GenesysFake]:
    fake = GenesysFake()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def backend(fake: GenesysFake) -> AsyncIterator[GenesysBackend]:
    backend = GenesysSettings.model_validate(fake.settings()).build("gws")
    assert isinstance(backend, GenesysBackend)
    yield backend
    await backend.close()


def mute(target: Target) -> Command:
    return Command(action=Action.MUTE, target=target, muted=Parties.BOTH)


def unmute(target: Target) -> Command:
    return Command(action=Action.UNMUTE, target=target)


def stop(target: Target) -> Command:
    return Command(action=Action.STOP, target=target)


def start(target: Target) -> Command:
    return Command(action=Action.START, target=target)


def silent(call: FakeCall) -> bool:
    return call.muted is Parties.BOTH


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def operations(fake: GenesysFake) -> list[object]:
    return [request.json["operationName"] for request in fake.sent("command")]


def test_what_it_says_of_itself() -> None:
    """Name, vendor, and only the abilities that the documents give it: an answer never proves anything."""
    settings = {"vendor": "genesys", "base_url": "https://gws.example/api/v2", "username": "a", "password": "b"}
    backend = GenesysSettings.model_validate(settings).build("gws")
    assert (backend.name, backend.vendor) == ("gws", Vendor.GENESYS)
    abilities = backend.capabilities
    assert abilities.actions == {Action.MUTE, Action.UNMUTE, Action.START, Action.STOP}
    assert abilities.parties == {Parties.NONE, Parties.BOTH}
    assert abilities.evidence == {Evidence.READBACK, Evidence.EVENT}
    assert (CallStatus.LAST,) not in abilities.call_status


async def test_the_documented_pause_and_resume(fake: GenesysFake, backend: GenesysBackend) -> None:
    """The requests are the documents', by connId; the yes proves nothing, the state read afterwards does."""
    call = fake.add_call(UUID, extension="5001")
    target = Target(call_id=call.facts["connId"])
    assert await backend.apply(mute(target), deadline=soon()) == Receipt()
    assert silent(call)
    assert await backend.observe(target, deadline=soon()) == MUTED
    assert await backend.apply(unmute(target), deadline=soon()) == Receipt()
    assert not silent(call)
    assert await backend.observe(target, deadline=soon()) == LIVE
    first, pause = fake.requests[0], fake.requests[1]
    assert (first.method, first.raw_path) == ("GET", "/api/v2/me")
    assert (pause.method, pause.raw_path) == ("POST", f"/api/v2/me/calls/{target.call_id}")
    assert pause.body == b'{"operationName":"PauseCallRecording"}'
    assert pause.headers["Content-Type"] == "application/json"
    assert pause.headers["Authorization"].startswith("Basic ")
    assert "JSESSIONID=" in pause.headers["Cookie"]
    assert "GWSROUTE=" in pause.headers["Cookie"]
    assert operations(fake) == ["PauseCallRecording", "ResumeCallRecording"]


async def test_the_uuid_finds_the_call_too(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Both ids that occur are taken."""
    call = fake.add_call(UUID, extension="5001")
    await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert silent(call)


async def test_by_extension_every_call_is_muted(fake: GenesysFake, backend: GenesysBackend) -> None:
    """All calls that the number takes part in, and no others; their states count together."""
    ours = [fake.add_call(name, extension="8856") for name in ("c1", "c2")]
    as_participant = fake.add_call("c3", extension="7000")
    as_participant.facts["participants"] = "5550100,8856"
    other = fake.add_call("c4", extension="88")
    target = Target(extension="8856")
    await backend.apply(mute(target), deadline=soon())
    assert all(silent(call) for call in [*ours, as_participant])
    assert not silent(other)
    assert await backend.observe(target, deadline=soon()) == MUTED
    fake.resume("c2")
    mixed = Seen(muted=Parties.NONE, evidence=Evidence.READBACK, mixed=True)
    assert await backend.observe(target, deadline=soon()) == mixed
    fake.end_call("c2")
    assert await backend.observe(target, deadline=soon()) == MUTED


@pytest.mark.parametrize("target", [Target(call_id="nope"), Target(extension="8856")])
async def test_no_call_is_no_success(fake: GenesysFake, backend: GenesysBackend, target: Target) -> None:
    """An unknown call, and one that is over, is told as such to commands and questions."""
    fake.add_call("nope", extension="8856")
    fake.end_call("nope")
    with pytest.raises(NoSuchCall):
        await backend.apply(mute(target), deadline=soon())
    with pytest.raises(NoSuchCall):
        await backend.observe(target, deadline=soon())


@pytest.mark.parametrize(
    ("before", "command", "after"),
    [
        ([mute], mute, MUTED),
        ([stop], mute, MUTED),
        ([stop], stop, MUTED),
        ([], unmute, LIVE),
        ([], start, LIVE),
    ],
)
async def test_already_there_is_success_when_the_state_says_so(
    fake: GenesysFake, backend: GenesysBackend, before: list[Build], command: Build, after: Seen
) -> None:
    """Code 2 on what is done already is not a refusal: the state is read, and comes back as evidence."""
    fake.add_call(UUID, extension="5001")
    target = Target(call_id=UUID)
    for earlier in before:
        await backend.apply(earlier(target), deadline=soon())
    assert await backend.apply(command(target), deadline=soon()) == Receipt(seen=after)


@pytest.mark.parametrize(("before", "command"), [(mute, start), (None, mute)])
async def test_not_there_and_not_possible_is_a_refusal(
    fake: GenesysFake, backend: GenesysBackend, before: Build | None, command: Build
) -> None:
    """Code 2 while the state is not what was wanted: the server says no, and it is a no."""
    fake.add_call(UUID, extension="5001")
    target = Target(call_id=UUID)
    if before is None:
        fake.next_code = 2
    else:
        await backend.apply(before(target), deadline=soon())
    with pytest.raises(Refused) as caught:
        await backend.apply(command(target), deadline=soon())
    assert caught.value.fault is Fault.REFUSED


async def test_a_stopped_recording_is_started_again(fake: GenesysFake, backend: GenesysBackend) -> None:
    """What was stopped cannot be resumed: the unmute starts it."""
    call = fake.add_call(UUID, extension="5001")
    await backend.apply(stop(Target(call_id=UUID)), deadline=soon())
    assert await backend.apply(unmute(Target(call_id=UUID)), deadline=soon()) == Receipt()
    assert not silent(call)
    assert operations(fake) == ["StopCallRecording", "ResumeCallRecording", "StartCallRecording"]


async def test_a_yes_is_not_the_deed(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Code 0 comes before the recorder acts: the receipt claims nothing, the state shows it once it is so."""
    call = fake.add_call(UUID, extension="5001")
    fake.delay_seconds = 0.05
    target = Target(call_id=UUID)
    assert await backend.apply(mute(target), deadline=soon()) == Receipt()
    assert await backend.observe(target, deadline=soon()) == LIVE
    async with asyncio.timeout(5):
        while await backend.observe(target, deadline=soon()) == LIVE:
            pass
    assert silent(call)


async def test_a_liar_is_seen_through(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Code 0 and nothing done: the state says so."""
    fake.add_call(UUID, extension="5001")
    fake.plan(FaultKind.LIE)
    assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt()
    assert await backend.observe(Target(call_id=UUID), deadline=soon()) == LIVE


async def test_the_csrf_header_has_the_name_that_the_server_gives(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Another name is used as it is told; without protection none is sent."""
    call = fake.add_call(UUID, extension="5001")
    fake.csrf_header = "X-Guard"
    await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert "X-Guard" in fake.sent("command")[0].headers
    assert silent(call)


async def test_without_csrf_protection_the_cookies_are_there_all_the_same(
    fake: GenesysFake, backend: GenesysBackend
) -> None:
    """The first command meets the node that has the session."""
    call = fake.add_call(UUID, extension="5001")
    fake.csrf = False
    await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert silent(call)
    assert len(fake.sent("command")) == 1
    assert "X-CSRF-TOKEN" not in fake.sent("command")[0].headers


async def test_many_commands_share_one_csrf_fetch(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Twenty commands at once ask once, and each goes out once."""
    for number in range(20):
        fake.add_call(f"c{number}", extension="5001")
    await asyncio.gather(*(backend.apply(mute(Target(call_id=f"c{n}")), deadline=soon()) for n in range(20)))
    assert len(fake.sent("auth")) == 1
    assert len(fake.sent("command")) == 20
    assert all(silent(call) for call in fake.calls.values())


@pytest.mark.parametrize("spoil", [GenesysFake.stale_tokens, GenesysFake.void_sessions])
async def test_a_stale_token_is_fetched_again_once(
    fake: GenesysFake, backend: GenesysBackend, spoil: Callable[[GenesysFake], None]
) -> None:
    """A 403 has not acted: one fetch for all, and each command is repeated once. So after a server's restart."""
    for number in range(5):
        fake.add_call(f"c{number}", extension="5001")
    await backend.apply(mute(Target(call_id="c0")), deadline=soon())
    spoil(fake)
    await asyncio.gather(*(backend.apply(mute(Target(call_id=f"c{n}")), deadline=soon()) for n in range(1, 5)))
    assert all(silent(call) for call in fake.calls.values())
    assert len(fake.sent("auth")) == 2
    assert len(fake.sent("command")) == 1 + 2 * 4


async def test_a_403_for_good_is_a_refusal(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Two tries, then it is the server's no."""
    fake.add_call(UUID, extension="5001")
    fake.forbidden = True
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert caught.value.fault is Fault.UNAUTHENTICATED
    assert len(fake.sent("command")) == 2


async def test_wrong_credentials_are_a_refusal(fake: GenesysFake, backend: GenesysBackend) -> None:
    """A 401 is a readable no, to a command, a question and a ping; no command has left."""
    fake.add_call(UUID, extension="5001")
    fake.password = "changed"
    for attempt in (
        backend.apply(mute(Target(call_id=UUID)), deadline=soon()),
        backend.observe(Target(call_id=UUID), deadline=soon()),
        backend.ping(deadline=soon()),
    ):
        with pytest.raises(Refused) as caught:
            await attempt
        assert caught.value.fault is Fault.UNAUTHENTICATED
    assert not fake.sent("command")


@pytest.mark.parametrize("code", [4, 7, 9, 15])
async def test_a_code_that_may_have_acted_is_unconfirmed(fake: GenesysFake, backend: GenesysBackend, code: int) -> None:
    """A failure half-way is no refusal: nobody knows until the state is read."""
    fake.add_call(UUID, extension="5001")
    fake.next_code = code
    with pytest.raises(Unconfirmed):
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())


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
    fake: GenesysFake, backend: GenesysBackend, kind: FaultKind, fault: Fault
) -> None:
    """Nobody knows, so nobody says yes, and nothing is sent a second time."""
    fake.add_call(UUID, extension="5001")
    fake.plan(kind, on=["command"])
    with pytest.raises(Unconfirmed) as caught:
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert caught.value.fault is fault
    assert len(fake.sent("command")) == 1


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.GARBAGE, FaultKind.DROP])
async def test_without_a_session_nothing_is_sent(fake: GenesysFake, backend: GenesysBackend, kind: FaultKind) -> None:
    """Trouble before the first command is "nothing was sent"."""
    fake.plan(kind, on=["auth"])
    with pytest.raises(NotSent):
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert not fake.sent("command")


async def test_a_refusal_says_nothing_of_the_vendors_text(fake: GenesysFake, backend: GenesysBackend) -> None:
    """The card number and the secrets in an error text stay there."""
    fake.add_call(UUID, extension="5001")
    fake.plan(FaultKind.LEAK, on=["command"])
    with pytest.raises(Refused) as caught:
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
    assert str(caught.value) == "refused"


async def test_calls_without_ids_cannot_be_commanded(fake: GenesysFake, backend: GenesysBackend) -> None:
    """A list whose calls have no ids is unreadable, not empty."""
    fake.add_call("", extension="8856")
    with pytest.raises(Unconfirmed):
        await backend.apply(mute(Target(extension="8856")), deadline=soon())


async def test_ping_touches_no_call(fake: GenesysFake, backend: GenesysBackend) -> None:
    """It asks for the agent, nothing else."""
    call = fake.add_call(UUID, extension="5001")
    await backend.ping(deadline=soon())
    assert [request.raw_path for request in fake.requests] == ["/api/v2/me"]
    assert not silent(call)
