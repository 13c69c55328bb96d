"""Which calls an event makes somebody look at, decided from what was last seen of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import TypeAdapter

from gateway import listening
from gateway.backends.contract import Backend, Heard, Seen
from gateway.backends.registry import AnyBackendSettings
from gateway.listening import Listening
from gateway.model import (
    CallKey,
    Evidence,
    Fault,
    Hold,
    HoldKey,
    Observation,
    Order,
    OrderKind,
    Parties,
    Recorder,
    Redaction,
    Target,
    Vendor,
)
from gateway.sandbox.fakes import FAKES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.backends.contract import Hear
    from gateway.sandbox.desk import Fake

KEY = CallKey(tenant="acme", call_id="crm-1")
OTHER = CallKey(tenant="acme", call_id="crm-2")
BY_ID = Recorder(backend="gws", vendor=Vendor.GENESYS, target=Target(call_id="c1", extension="5001"))
BY_EXTENSION = Recorder(backend="gws", vendor=Vendor.GENESYS, target=Target(extension="5001"))
HOLD = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
ORDER = Order(op="o", kind=OrderKind.RESUME, drops=(HOLD.key,), lands_before=9)


class Talker:
    """A backend as far as listening goes: it says what it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ears: list[Hear] = []

    @asynccontextmanager
    async def listening(self, hear: Hear) -> AsyncIterator[None]:
        self.ears.append(hear)
        yield
        self.ears.remove(hear)

    def say(self, heard: Heard) -> None:
        for hear in self.ears:
            hear(heard)


def seen(recorder: Recorder, muted: Parties = Parties.BOTH) -> Recorder:
    return replace(recorder, seen=Observation(muted=muted, evidence=Evidence.READBACK, at=1))


def redaction(*recorders: Recorder, key: CallKey = KEY, parties: Parties = Parties.BOTH) -> Redaction:
    return Redaction(key=key, holds=(replace(HOLD, parties=parties),), recorders=recorders)


def said(muted: Parties, *call_ids: str, extensions: tuple[str, ...] = ()) -> Heard:
    what = Seen(muted=muted, evidence=Evidence.EVENT)
    return Heard(call_ids=frozenset(call_ids), extensions=frozenset(extensions), seen=what)


RECORDING = said(Parties.NONE, "c1", "conn-1", extensions=("5001",))


@pytest.fixture
def nudged() -> list[CallKey]:
    return []


@pytest.fixture
async def ear(nudged: list[CallKey]) -> AsyncIterator[Listening]:
    ear = Listening()
    async with ear.listening([], nudged.append):
        yield ear


@pytest.mark.parametrize("recorder", [BY_ID, BY_EXTENSION])
def test_recording_of_a_muted_call_is_news(ear: Listening, nudged: list[CallKey], recorder: Recorder) -> None:
    """Found by the id or the extension that the requests named."""
    ear.saw(redaction(seen(recorder)))
    ear.heard("gws", RECORDING)
    assert nudged == [KEY]


def test_a_later_call_of_the_extension_is_news(ear: Listening, nudged: list[CallKey]) -> None:
    """Another call of the held extension is recorded; a call named by its id is not meant by it."""
    ear.saw(redaction(seen(BY_EXTENSION)))
    ear.saw(redaction(seen(BY_ID), key=OTHER))
    ear.heard("gws", said(Parties.NONE, "c2", extensions=("5001",)))
    assert nudged == [KEY]


def test_every_redaction_of_the_call_is_told(ear: Listening, nudged: list[CallKey]) -> None:
    """Two that mean the same call are both looked after."""
    ear.saw(redaction(seen(BY_ID)))
    ear.saw(redaction(seen(BY_EXTENSION), key=OTHER))
    ear.heard("gws", RECORDING)
    assert set(nudged) == {KEY, OTHER}


@pytest.mark.parametrize(
    ("backend", "heard"),
    [
        ("gws2", RECORDING),
        ("gws", said(Parties.NONE, "c9", extensions=("5009",))),
        ("gws", said(Parties.BOTH, "c1", extensions=("5001",))),
        ("gws", said(Parties.NONE, "5001", extensions=("c1",))),
    ],
)
def test_what_is_no_news(ear: Listening, nudged: list[CallKey], backend: str, heard: Heard) -> None:
    """Another backend, another call, silence, and an id that only looks like a number."""
    ear.saw(redaction(seen(BY_ID)))
    ear.saw(redaction(seen(BY_EXTENSION), key=OTHER))
    ear.heard(backend, heard)
    assert nudged == []


def test_only_what_is_wanted_counts(ear: Listening, nudged: list[CallKey]) -> None:
    """Somebody may be recorded whom nobody wants silent."""
    ear.saw(redaction(seen(BY_ID, Parties.CALLER), parties=Parties.CALLER))
    ear.heard("gws", said(Parties.CALLER, "c1"))
    assert nudged == []
    ear.heard("gws", said(Parties.CALLED, "c1"))
    assert nudged == [KEY]


def test_our_own_unmute_is_no_news(ear: Listening, nudged: list[CallKey]) -> None:
    """While an order of ours is under way recording is what was ordered; when it is over nobody cares."""
    ear.saw(replace(redaction(seen(BY_ID)), order=ORDER))
    ear.heard("gws", RECORDING)
    ear.saw(replace(redaction(seen(BY_ID)), holds=()))
    ear.heard("gws", RECORDING)
    assert nudged == []
    assert not ear._open
    assert not ear._by_name


@pytest.mark.parametrize("recorder", [BY_ID, replace(seen(BY_ID), fault=Fault.NOT_PROVEN), seen(BY_ID, Parties.NONE)])
def test_while_it_is_worked_on_the_doubt_is_kept(ear: Listening, nudged: list[CallKey], recorder: Recorder) -> None:
    """Who mutes it now is not disturbed; what was heard meanwhile is looked into afterwards, once."""
    ear.saw(redaction(recorder))
    ear.heard("gws", RECORDING)
    ear.saw(redaction(recorder))
    assert nudged == []
    ear.saw(redaction(seen(BY_ID)))
    ear.saw(redaction(seen(BY_ID)))
    assert nudged == [KEY]


def test_a_doubt_ends_with_the_redaction(ear: Listening, nudged: list[CallKey]) -> None:
    """A later one of the same call begins without it."""
    ear.saw(redaction(BY_ID))
    ear.heard("gws", RECORDING)
    ear.saw(replace(redaction(BY_ID), holds=()))
    ear.saw(redaction(seen(BY_ID)))
    assert nudged == []


def test_an_optional_recorder_without_the_call_is_not_waited_for(ear: Listening, nudged: list[CallKey]) -> None:
    """What does not count for protection does not count here."""
    absent = replace(BY_ID, backend="gws2", optional=True, fault=Fault.NO_SUCH_CALL)
    ear.saw(redaction(seen(BY_ID), absent))
    ear.heard("gws", RECORDING)
    assert nudged == [KEY]


def test_the_oldest_are_forgotten(ear: Listening, nudged: list[CallKey], monkeypatch: pytest.MonkeyPatch) -> None:
    """The index has a bound; what was seen lately stays."""
    monkeypatch.setattr(listening, "REMEMBERED", 2)
    keys = [CallKey(tenant="acme", call_id=f"crm-{number}") for number in range(3)]
    for key in (keys[0], keys[1], keys[0], keys[2]):
        ear.saw(redaction(seen(BY_ID), key=key))
    ear.heard("gws", RECORDING)
    assert set(nudged) == {keys[0], keys[2]}


async def test_every_backend_is_listened_to() -> None:
    """While the block runs, and each under its name; afterwards nobody is nudged."""
    nudged: list[CallKey] = []
    ear, talkers = Listening(), [Talker("gws"), Talker("gws2")]
    ear.saw(redaction(seen(BY_ID)))
    async with ear.listening([cast("Backend", talker) for talker in talkers], nudged.append):
        talkers[1].say(RECORDING)
        assert nudged == []
        talkers[0].say(RECORDING)
        assert nudged == [KEY]
    assert not any(talker.ears for talker in talkers)
    ear.heard("gws", RECORDING)
    assert nudged == [KEY]


@pytest.mark.parametrize("make", FAKES)
async def test_every_vendor_can_be_listened_to(make: type[Fake]) -> None:
    """Those that say nothing by themselves too: nothing is sent, nothing is heard, nothing fails."""
    fake = make()
    await fake.start()
    backend = TypeAdapter[AnyBackendSettings](AnyBackendSettings).validate_python(fake.settings()).build("gws")
    heard: list[Heard] = []
    async with backend.listening(heard.append):
        fake.add_call("c1", extension="5001")
        fake.resume("c1")
    await backend.close()
    assert not heard
    if Evidence.EVENT not in backend.capabilities.evidence:
        assert not fake.requests
    await fake.stop()
