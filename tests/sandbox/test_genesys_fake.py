from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.sandbox.genesys import GenesysFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAUSE = {"operationName": "PauseCallRecording"}


@pytest.fixture
async def fake() -> AsyncIterator[GenesysFake]:
    fake = GenesysFake()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def session(fake: GenesysFake) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    headers = {"Authorization": aiohttp.encode_basic_auth(fake.username, fake.password)}
    async with aiohttp.ClientSession(cookie_jar=jar, headers=headers) as session:
        yield session


async def guard(fake: GenesysFake, session: aiohttp.ClientSession) -> dict[str, str]:
    async with session.get(f"{fake.base_url}/me") as answer:
        return {answer.headers["X-CSRF-HEADER"]: answer.headers["X-CSRF-TOKEN"]}


async def post(
    fake: GenesysFake, session: aiohttp.ClientSession, body: dict[str, str], headers: dict[str, str]
) -> tuple[int, object]:
    async with session.post(f"{fake.base_url}/me/calls/c1", json=body, headers=headers) as answer:
        known = answer.content_type == "application/json"
        return answer.status, (await answer.json())["statusCode"] if known else None


async def test_a_post_needs_token_and_cookies(fake: GenesysFake, session: aiohttp.ClientSession) -> None:
    """Without the token, with another session's, and without the way to the node: 403, nothing done."""
    fake.add_call("c1", extension="5001")
    assert await post(fake, session, PAUSE, {}) == (403, None)
    headers = await guard(fake, session)
    assert await post(fake, session, PAUSE, {"X-CSRF-TOKEN": "made-up"}) == (403, None)
    session.cookie_jar.clear(lambda morsel: morsel.key == "GWSROUTE")
    assert await post(fake, session, PAUSE, headers) == (403, None)
    assert fake.state("c1") == "Recording"
    session.cookie_jar.clear()
    assert await post(fake, session, PAUSE, await guard(fake, session)) == (200, 0)
    assert fake.state("c1") == "Paused"


async def test_the_capabilities_follow_the_state(fake: GenesysFake, session: aiohttp.ClientSession) -> None:
    """What is offered is what is taken; anything else answers code 2, no operation code 1."""
    fake.add_call("c1", extension="5001")
    headers = await guard(fake, session)
    steps = [
        ("Recording", {"PauseCallRecording", "StopCallRecording"}, "PauseCallRecording"),
        ("Paused", {"ResumeCallRecording", "StopCallRecording"}, "StopCallRecording"),
        ("Stopped", {"StartCallRecording"}, "StartCallRecording"),
    ]
    for state, offered, operation in steps:
        async with session.get(f"{fake.base_url}/me/calls/c1") as answer:
            call = (await answer.json())["call"]
        assert call["recordingState"] == state
        assert {name for name in call["capabilities"] if name.endswith("CallRecording")} == offered
        refused = next(name for name in ("ResumeCallRecording", "PauseCallRecording") if name not in offered)
        assert await post(fake, session, {"operationName": refused}, headers) == (200, 2)
        assert await post(fake, session, {}, headers) == (200, 1)
        assert await post(fake, session, {"operationName": operation}, headers) == (200, 0)


async def test_other_paths_are_not_there(fake: GenesysFake, session: aiohttp.ClientSession) -> None:
    """Neither below another base nor for another resource."""
    for url in (f"{fake.origin}/me", f"{fake.base_url}/me/channels"):
        async with session.get(url) as answer:
            assert answer.status == 404
