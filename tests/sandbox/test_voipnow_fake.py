from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.backends.contract import Command, Refused
from gateway.backends.voipnow import VoipNowBackend, VoipNowSettings
from gateway.model import Action, Fault, Parties, Target
from gateway.sandbox.desk import FakeCall, FaultKind
from gateway.sandbox.voipnow import VoipNowFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXTENSION = "0003*210"


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


async def test_the_fake_keeps_to_the_documents(fake: VoipNowFake, backend: VoipNowBackend) -> None:
    """Singular path, unknown user, unknown action and format, and a token in the wrong header are refused."""
    call = fake.add_call("444444", extension=EXTENSION)
    await backend.ping(deadline=soon())
    bearer = fake.requests[-1].headers["Authorization"]
    path = "/uapi/phoneCalls/12/0003*210/444444"
    body = {"action": "StopRecording", "phoneCallViewId": "01"}
    tries: list[tuple[str, dict[str, str], dict[str, str], int]] = [
        ("/uapi/phoneCall/12/0003*210/444444", {"Authorization": bearer}, body, 404),
        (path, {"Authentication": bearer}, body, 401),
        (path.replace("12", "root"), {"Authorization": bearer}, body, 400),
        (path, {"Authorization": bearer}, body | {"action": "Pause"}, 400),
        (path, {"Authorization": bearer}, body | {"action": "StartRecording", "format": "mp3"}, 400),
    ]
    for wrong, headers, wrong_body, status in tries:
        assert await _put(fake, wrong, headers, wrong_body) == status
    assert not silent(call)
    assert await _put(fake, path, {"Authorization": bearer}, body) == 200
    assert silent(call)


async def _put(fake: VoipNowFake, path: str, headers: dict[str, str], body: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.put(fake.origin + path, headers=headers, json=body) as answer,
    ):
        return answer.status


async def test_the_fake_wants_the_whole_token_form(fake: VoipNowFake) -> None:
    """A redirect URI that is not the registered one is no token, and says so by another word."""
    settings = VoipNowSettings.model_validate(fake.settings() | {"redirect_uri": "https://other.example"})
    backend = settings.build("pbx")
    with pytest.raises(Refused) as caught:
        await backend.ping(deadline=soon())
    assert caught.value.fault is Fault.MISCONFIGURED
    fake.plan(FaultKind.LEAK, on=["auth"])
    with pytest.raises(Refused) as caught:
        await backend.ping(deadline=soon())
    assert fake.client_secret not in str(caught.value)
    await backend.close()


async def test_a_call_is_silent_only_when_all_its_views_are(fake: VoipNowFake) -> None:
    """The tape runs as long as one view records, and the views come and go one by one."""
    call = fake.add_call("c1", extension=EXTENSION)
    fake.add_view("c1", "02", extension="0003*211")
    backend = VoipNowSettings.model_validate(fake.settings()).build("pbx")
    for view, is_silent in (("01", False), ("02", True)):
        target = Target(call_id="c1", view_id=view)
        await backend.apply(Command(action=Action.STOP, target=target), deadline=soon())
        assert silent(call) is is_silent
    fake.resume("c1")
    assert fake.recorded("c1", "01")
    assert not silent(call)
    await backend.close()
