from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.model import Parties
from gateway.sandbox.verba import VerbaFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def fake() -> AsyncIterator[VerbaFake]:
    fake = VerbaFake(login=False)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def web(fake: VerbaFake) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake.origin) as session:
        yield session


async def ask(web: aiohttp.ClientSession, fake: VerbaFake, **fields: str) -> str:
    async with web.get("/verba/api", params={"apiKey": fake.api_key, **fields}) as response:
        assert response.status == 200
        return await response.text()


async def test_a_lost_mute_parameter_looks_like_success(fake: VerbaFake, web: aiohttp.ClientSession) -> None:
    """Without `mute`, and with an empty one, the server tells the state, says code 0 and does nothing."""
    call = fake.add_call("c1", extension="8856")
    state = '<Response code="0" type="MuteRecording" callerMuted="false" calledMuted="false" />'
    assert state in await ask(web, fake, action="MuteRecording", callID="c1")
    assert state in await ask(web, fake, action="MuteRecording", callID="c1", mute="")
    assert call.tape.cuts[1:] == ()
    assert {request.operation for request in fake.requests} == {"read"}


async def test_mute_sets_and_does_not_add(fake: VerbaFake, web: aiohttp.ClientSession) -> None:
    """`mute=1` after `mute=2` leaves the called party audible."""
    call = fake.add_call("c1", extension="8856")
    await ask(web, fake, action="MuteRecording", callID="c1", mute="2")
    assert '<Response code="0" type="MuteRecording" />' in await ask(
        web, fake, action="MuteRecording", callID="c1", mute="1"
    )
    assert call.muted is Parties.CALLER


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [("HTML", "<html><body><p>The call has been marked for recording.</p></body></html>"), ("TEXT", None)],
)
async def test_other_shapes_of_answers(
    fake: VerbaFake, web: aiohttp.ClientSession, shape: str, sentence: str | None
) -> None:
    """HTML and TEXT say the same in prose: whoever asks for them gets no code."""
    fake.add_call("c1", extension="8856")
    text = await ask(web, fake, action="KeepCall", callID="c1", responseType=shape)
    assert text == (sentence or "The call has been marked for recording.")


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "Nonsense"},
        {"action": "MuteRecording", "callID": "c1", "mute": "4"},
        {"action": "MuteRecording", "mute": "3"},
        {"action": "MuteRecording", "extension": "8856", "mute": "3"},
        {"action": "MuteRecording", "extension": "8856", "status": "next, ongoing", "mute": "3"},
        {"action": "MuteRecording", "extension": "8856", "status": "next"},
        {"action": "MuteRecording", "callID": "c1", "mute": "3", "apiKey": "wrong"},
        {"action": "SearchCalls", "status": "ongoing"},
    ],
)
async def test_requests_that_are_wrong(fake: VerbaFake, web: aiohttp.ClientSession, fields: dict[str, str]) -> None:
    """A wrong request is code 2 under HTTP 200, and touches nothing."""
    call = fake.add_call("c1", extension="8856")
    assert 'code="2"' in await ask(web, fake, **fields)
    assert call.tape.cuts[1:] == ()


async def test_a_path_that_is_not_the_api(fake: VerbaFake, web: aiohttp.ClientSession) -> None:
    """Only the documented path is there."""
    async with web.get(f"{fake.origin}/api") as response:
        assert response.status == 404


async def test_the_search_lists_what_was_asked_for(fake: VerbaFake, web: aiohttp.ClientSession) -> None:
    """Ongoing or recorded calls, parts of numbers too; the numbers only with `returnMetadata`."""
    fake.add_call("c1", extension="8856")
    fake.add_call("c2", extension="188567")
    fake.add_call("c3", extension="8856")
    fake.end_call("c3")
    period = {"action": "SearchCalls", "start": "2026-11-21 00:00", "end": "2026-11-22 00:00", "anynum": "8856"}
    ongoing = await ask(web, fake, **period, status="ongoing", returnMetadata="1")
    assert [name in ongoing for name in ("c1", "c2", "c3")] == [True, True, False]
    assert "<destination_caller_id>8856<" in ongoing
    recorded = await ask(web, fake, **period)
    assert [name in recorded for name in ("c1", "c2", "c3")] == [False, False, True]
    assert "caller_id" not in recorded
