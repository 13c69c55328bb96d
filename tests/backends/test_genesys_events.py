"""The event stream of a whole backend against the fake vendor: evidence, hints, and what is not believed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.backends import genesys_events
from gateway.backends.contract import Command, Heard, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.genesys import GenesysBackend, GenesysSettings
from gateway.backends.genesys_answers import RecordingState
from gateway.backends.genesys_events import CHANNEL, parse_event
from gateway.model import Action, Evidence, Parties, Target
from gateway.sandbox.bayeux import Trick
from gateway.sandbox.desk import FaultKind
from gateway.sandbox.genesys import GenesysFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.sandbox.desk import FakeCall

UUID = "00RV9H7S6O8V3BSHAG7GK2LAES00002M"
MUTED = Seen(muted=Parties.BOTH, evidence=Evidence.EVENT)
LIVE = Seen(muted=Parties.NONE, evidence=Evidence.EVENT)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture
async def fake() -> AsyncIterator[GenesysFake]:
    fake = GenesysFake()
    await fake.start()
    yield fake
    await fake.stop()


def build(fake: GenesysFake, **settings: object) -> GenesysBackend:
    backend = GenesysSettings.model_validate({**fake.settings(), **settings}).build("gws")
    assert isinstance(backend, GenesysBackend)
    return backend


@pytest.fixture
async def backend(fake: GenesysFake) -> AsyncIterator[GenesysBackend]:
    backend = build(fake)
    yield backend
    await backend.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events have all the time that a test's machine may need."""
    monkeypatch.setattr(genesys_events, "EVENT_SECONDS", 10.0)


@asynccontextmanager
async def listening(fake: GenesysFake, backend: GenesysBackend) -> AsyncIterator[list[Heard]]:
    heard: list[Heard] = []
    async with backend.listening(heard.append):
        await until(lambda: backend._stream.live and fake.notifications.listeners)
        yield heard


def mute(target: Target) -> Command:
    return Command(action=Action.MUTE, target=target, muted=Parties.BOTH)


def unmute(target: Target) -> Command:
    return Command(action=Action.UNMUTE, target=target)


def soon() -> float:
    return asyncio.get_running_loop().time() + 30


def news(fake: GenesysFake, call: FakeCall, **changed: object) -> dict[str, object]:
    """A message about a call that is not about its recording being switched."""
    shown = {**fake._shown(call), **changed}
    return {"messageType": "CallStateChangeMessage", "call": shown, "notificationType": "StatusChange"}


# Reading


def told(**changed: object) -> dict[str, object]:
    call = {
        "id": UUID,
        "connId": "0071022ec8ac8056",
        "callUuid": UUID,
        "state": "Established",
        "participants": ["5000", 7],
        "ani": "5000",
        "dnis": "5001",
        "recordingState": "Paused",
        **changed,
    }
    return {
        "messageType": "CallStateChangeMessage",
        "call": call,
        "phoneNumber": "5002",
        "notificationType": "CallRecordingStateChange",
    }


def test_the_documented_event() -> None:
    """All ids that the call may be known by, all numbers that take part, and who is silent."""
    event = parse_event(told())
    assert event is not None
    assert event.switched
    assert event.heard.call_ids == {UUID, "0071022ec8ac8056"}
    assert event.heard.extensions == {"5000", "5001", "5002"}
    assert event.heard.seen == MUTED
    recording = parse_event(told(recordingState="Recording"))
    assert recording is not None
    assert recording.heard.seen == LIVE


def test_other_news_of_a_call_is_no_switch() -> None:
    """The state by the way is heard, but told apart; ids that are none are left out."""
    event = parse_event({**told(id=None, callUuid=""), "notificationType": "StatusChange", "phoneNumber": 5})
    assert event is not None
    assert not event.switched
    assert event.heard.call_ids == {"0071022ec8ac8056"}
    assert "5" not in event.heard.extensions


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        [],
        {},
        {**told(), "messageType": "DeviceStateChangeMessage"},
        {**told(), "call": None},
        told(recordingState=None),
        told(recordingState="Melting"),
        told(recordingState=["Paused"]),
        told(state="Released"),
    ],
)
def test_what_says_nothing_of_a_recording(data: object) -> None:
    """Other messages, calls that are over, states that nobody knows."""
    assert parse_event(data) is None


# Evidence


@pytest.mark.usefixtures("patient")
async def test_the_event_proves_the_command(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Mute and unmute come with their evidence, and the state need not be asked for."""
    call = fake.add_call(UUID, extension="5001")
    target = Target(call_id=call.facts["connId"])
    async with listening(fake, backend):
        assert await backend.apply(mute(target), deadline=soon()) == Receipt(seen=MUTED)
        assert fake.state(UUID) == "Paused"
        assert await backend.apply(unmute(target), deadline=soon()) == Receipt(seen=LIVE)
        assert fake.state(UUID) == "Recording"
    assert not fake.sent("read")


@pytest.mark.usefixtures("patient")
async def test_late_effect_is_waited_for(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Code 0 comes before the deed; the evidence comes with it."""
    call = fake.add_call(UUID, extension="5001")
    fake.delay_seconds = 0.05
    async with listening(fake, backend):
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt(seen=MUTED)
        assert call.muted is Parties.BOTH


@pytest.mark.usefixtures("patient")
async def test_by_extension_every_call_must_have_told(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Two calls, two events, one evidence."""
    calls = [fake.add_call(name, extension="8856") for name in ("c1", "c2")]
    async with listening(fake, backend):
        assert await backend.apply(mute(Target(extension="8856")), deadline=soon()) == Receipt(seen=MUTED)
        assert all(call.muted is Parties.BOTH for call in calls)


async def test_observe_asks(fake: GenesysFake, backend: GenesysBackend) -> None:
    """However fresh the events are, a question is answered by asking."""
    fake.add_call(UUID, extension="5001")
    async with listening(fake, backend) as heard:
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
        await until(lambda: heard)
        seen = await backend.observe(Target(call_id=UUID), deadline=soon())
        assert seen == Seen(muted=Parties.BOTH, evidence=Evidence.READBACK)


@pytest.mark.parametrize("trouble", ["lie", "silent"])
async def test_no_event_is_no_evidence(fake: GenesysFake, backend: GenesysBackend, trouble: str) -> None:
    """A liar says yes, a dumb server does it, and no event comes: nothing is claimed, and one wait is enough."""
    for name in ("c1", "c2"):
        fake.add_call(name, extension="5001")
    if trouble == "lie":
        fake.plan(FaultKind.LIE)
    else:
        fake.notifications.tricks = {Trick.SILENT}
    async with listening(fake, backend):
        assert await backend.apply(mute(Target(call_id="c1")), deadline=soon()) == Receipt()
        with backend._stream.expecting("c2", frozenset()) as expected:
            assert not expected._trusted


@pytest.mark.usefixtures("patient")
async def test_another_calls_event_is_no_evidence(
    fake: GenesysFake, backend: GenesysBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is this call's other news: only its own switch proves."""
    call, other = fake.add_call(UUID, extension="5001"), fake.add_call("c2", extension="5001")
    fake.plan(FaultKind.LIE)
    async with listening(fake, backend) as heard:
        applying = asyncio.create_task(backend.apply(mute(Target(call_id=UUID)), deadline=soon()))
        await until(lambda: fake.sent("command"))
        fake._enter(other, "Paused")
        fake.notifications.publish(CHANNEL, news(fake, call, recordingState="Paused"))
        await until(lambda: len(heard) == 2)
        monkeypatch.setattr(genesys_events, "EVENT_SECONDS", 0.0)
        applying.cancel()
        await asyncio.wait({applying})
        assert applying.cancelled()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("tricks", [set(), {Trick.REVERSED}, {Trick.DOUBLED, Trick.GARBAGE}])
async def test_a_contradiction_is_no_evidence(fake: GenesysFake, backend: GenesysBackend, tricks: set[Trick]) -> None:
    """Paused and recording again since the command went out, in whatever order it is told: read the state."""
    fake.add_call(UUID, extension="5001")
    fake.notifications.tricks = tricks
    async with listening(fake, backend) as heard:
        fake.notifications.withheld = True
        applying = asyncio.create_task(backend.apply(mute(Target(call_id=UUID)), deadline=soon()))
        await until(lambda: fake.state(UUID) == "Paused")
        fake.resume(UUID)
        fake.notifications.withheld = False
        fake.notifications.release()
        assert await applying == Receipt()
        assert {one.seen.muted for one in heard} == {Parties.BOTH, Parties.NONE}


async def test_a_late_event_of_an_earlier_command_proves_nothing(
    fake: GenesysFake, backend: GenesysBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is owed, no event is taken for evidence; when it came, the next one is again."""
    fake.add_call(UUID, extension="5001")
    target = Target(call_id=UUID)
    async with listening(fake, backend) as heard:
        fake.notifications.withheld = True
        assert await backend.apply(mute(target), deadline=soon()) == Receipt()
        fake.resume(UUID)
        monkeypatch.setattr(genesys_events, "EVENT_SECONDS", 10.0)
        fake.plan(FaultKind.LIE, on=["command"], times=1)
        applying = asyncio.create_task(backend.apply(mute(target), deadline=soon()))
        await until(lambda: len(fake.sent("command")) == 2)
        fake.notifications.withheld = False
        fake.notifications.release()
        assert await applying == Receipt()
        await until(lambda: len(heard) == 2)
        assert await backend.apply(mute(target), deadline=soon()) == Receipt(seen=MUTED)


async def test_an_event_that_never_comes_is_written_off(
    fake: GenesysFake, backend: GenesysBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lie does not cost the evidence of all later commands."""
    fake.add_call(UUID, extension="5001")
    async with listening(fake, backend):
        fake.plan(FaultKind.LIE, on=["command"], times=1)
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt()
        monkeypatch.setattr(genesys_events, "OWED_SECONDS", 0.0)
        monkeypatch.setattr(genesys_events, "EVENT_SECONDS", 10.0)
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt(seen=MUTED)


@pytest.mark.usefixtures("patient")
async def test_a_command_that_was_not_taken_owes_nothing(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Muting what is muted brings no event, and none is missed: the state is read, the next event counts."""
    fake.add_call(UUID, extension="5001")
    target = Target(call_id=UUID)
    async with listening(fake, backend):
        await backend.apply(mute(target), deadline=soon())
        again = await backend.apply(mute(target), deadline=soon())
        assert again == Receipt(seen=Seen(muted=Parties.BOTH, evidence=Evidence.READBACK))
        assert await backend.apply(unmute(target), deadline=soon()) == Receipt(seen=LIVE)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("code", "error"), [(3, Refused), (4, Unconfirmed)])
async def test_an_event_does_not_outrank_a_no(
    fake: GenesysFake, backend: GenesysBackend, code: int, error: type[Exception]
) -> None:
    """Whatever is heard meanwhile, a command that failed has failed."""
    call = fake.add_call(UUID, extension="5001")
    fake.next_code = code
    async with listening(fake, backend):
        fake.notifications.publish(CHANNEL, told(recordingState="Paused", id=call.call_id))
        with pytest.raises(error):
            await backend.apply(mute(Target(call_id=UUID)), deadline=soon())


# Without the stream


async def test_without_listening_the_state_is_read(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Nobody waits for an event that nobody hears."""
    fake.add_call(UUID, extension="5001")
    assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt()
    assert not fake.notifications.received


async def test_switched_off_there_is_no_stream(fake: GenesysFake) -> None:
    """`events: false` sends nothing there and claims no such evidence."""
    backend = build(fake, events=False)
    assert backend.capabilities.evidence == {Evidence.READBACK}
    async with backend.listening(lambda _: None):
        fake.add_call(UUID, extension="5001")
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt()
    assert not fake.notifications.received
    await backend.close()


@pytest.mark.usefixtures("patient")
async def test_a_server_without_the_channel_mutes_all_the_same(fake: GenesysFake, backend: GenesysBackend) -> None:
    """No waiting, no evidence claimed, no harm."""
    call = fake.add_call(UUID, extension="5001")
    fake.notifications.missing = True
    async with backend.listening(lambda _: None):
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt()
    assert call.muted is Parties.BOTH


@pytest.mark.usefixtures("patient")
async def test_a_stream_that_opens_later_proves_nothing_of_before(fake: GenesysFake, backend: GenesysBackend) -> None:
    """The event may be of another cause when nobody listened as the command went out."""
    call = fake.add_call(UUID, extension="5001")
    heard: list[Heard] = []
    with backend._stream.expecting(UUID, frozenset({RecordingState.PAUSED})) as expected:
        async with backend.listening(heard.append):
            await until(lambda: backend._stream.live)
            fake._enter(call, "Paused")
            await until(lambda: heard)
            assert await expected.seen(deadline=soon()) is None


# The session


@pytest.mark.usefixtures("patient")
async def test_the_stream_has_the_session_of_the_commands(fake: GenesysFake, backend: GenesysBackend) -> None:
    """One login: a single token was fetched, and a command finds the node that has the session."""
    fake.add_call(UUID, extension="5001")
    async with listening(fake, backend):
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt(seen=MUTED)
    assert len(fake._sessions) == 1
    assert len(fake.sent("auth")) == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("spoil", [GenesysFake.stale_tokens, GenesysFake.void_sessions])
async def test_a_stale_token_is_renewed(
    fake: GenesysFake, backend: GenesysBackend, spoil: Callable[[GenesysFake], None]
) -> None:
    """After new tokens, and after a restart that forgot every session, events come again."""
    fake.add_call(UUID, extension="5001")
    async with listening(fake, backend) as heard:
        spoil(fake)
        connects = len(fake.notifications.said("/meta/connect"))
        fake.notifications.cut()
        await until(lambda: len(fake.notifications.said("/meta/connect")) > connects)
        await until(lambda: backend._stream.live and fake.notifications.listeners)
        fake._enter(fake.calls[UUID], "Paused")
        await until(lambda: heard)


@pytest.mark.usefixtures("patient")
async def test_the_held_connection_is_not_one_of_the_commands(fake: GenesysFake) -> None:
    """With a single connection for commands, one goes out while the stream is held."""
    fake.add_call(UUID, extension="5001")
    backend = build(fake, max_connections=1)
    async with listening(fake, backend):
        assert await backend.apply(mute(Target(call_id=UUID)), deadline=soon()) == Receipt(seen=MUTED)
    await backend.close()


async def test_wrong_credentials_are_got_over(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Neither a raise nor a storm: it is tried again later."""
    right, fake.password = fake.password, "changed"
    async with backend.listening(lambda _: None):
        await until(lambda: len(fake.sent("auth")) >= 2)
        fake.password = right
        await until(lambda: backend._stream.live)


async def test_it_takes_its_leave(fake: GenesysFake, backend: GenesysBackend) -> None:
    """At the end the server is told, and nothing is left behind there."""
    async with listening(fake, backend):
        pass
    assert len(fake.notifications.said("/meta/disconnect")) == 1
    assert not fake.notifications._clients
    assert not backend._stream.live


async def test_what_is_heard_names_the_call(fake: GenesysFake, backend: GenesysBackend) -> None:
    """Recording that somebody else resumes is told with every id and number."""
    call = fake.add_call(UUID, extension="5001")
    async with listening(fake, backend) as heard:
        await backend.apply(mute(Target(call_id=UUID)), deadline=soon())
        fake.resume(UUID)
        fake.resume(UUID)
        fake._enter(call, "Stopped")
        fake._enter(call, "Recording")
        await until(lambda: len(heard) == 4)
        assert [one.seen for one in heard] == [MUTED, LIVE, MUTED, LIVE]
        assert heard[-1].call_ids == {UUID, call.facts["connId"]}
        assert {"5001", "5550100"} <= heard[-1].extensions
