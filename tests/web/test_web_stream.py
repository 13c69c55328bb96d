"""The event stream: the state at once, every change after, a sign of life, and an end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from front import DOCUMENT, PATH, PEPPER, Front, Persons, fronted

from gateway.asks import Answer, Ask, Code, Failure
from gateway.auth import NoTokens
from gateway.settings import Client
from gateway.web import stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from gateway.view import Document


class Told:
    """The state that the service tells, and what it was asked."""

    def __init__(self, document: Document) -> None:
        self.document = document

    async def __call__(self, _: Ask) -> Answer:
        return Answer(document=self.document)


@asynccontextmanager
async def listener(
    front: Front, *, accept: str = "text/event-stream", client: str = "crm", **said: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"X-API-Key": front.keys[client], "Accept": accept, **said}
    async with front.session.get(f"http://127.0.0.1:{front.port}{PATH}", headers=headers) as response:
        yield response


async def event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event or comment, by field name."""
    fields: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while line := (await response.content.readline()).decode().strip():
            name, _, value = line.partition(": ")
            fields[name] = value
    if "data" in fields:
        fields["data"] = orjson.loads(fields["data"])
    return fields


async def test_the_state_at_once_and_every_change_after() -> None:
    """First what is, then each version, named by it; the head says what every answer says."""
    async with fronted() as front:
        front.service.act = told = Told(DOCUMENT)
        async with listener(front) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            assert len(response.headers["X-Request-Id"]) == 32
            first = await event(response)
            assert (first["event"], first["id"]) == ("redaction", str(DOCUMENT.version))
            assert first["data"]["call_id"] == DOCUMENT.call_id
            told.document = replace(DOCUMENT, version=DOCUMENT.version + 1, state="mixed")
            second = await event(response)
            assert (second["id"], second["data"]["state"]) == (str(DOCUMENT.version + 1), "mixed")


async def test_protection_that_ends_by_age_is_told() -> None:
    """No version moves when evidence grows old, and the listener hears of it all the same."""
    async with fronted() as front:
        front.service.act = told = Told(DOCUMENT)
        async with listener(front) as response:
            await event(response)
            told.document = replace(DOCUMENT, protected=not DOCUMENT.protected)
            assert (await event(response))["data"]["protected"] is not DOCUMENT.protected


async def test_a_word_of_change_is_passed_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener is woken; it does not only look by itself."""
    monkeypatch.setattr(stream, "LOOK_SECONDS", 3600)
    async with fronted() as front:
        front.service.act = told = Told(DOCUMENT)
        async with listener(front) as response:
            await event(response)
            told.document = replace(DOCUMENT, version=DOCUMENT.version + 1)
            front.live.changed(front.service.asked[0].key)
            assert (await event(response))["id"] == str(DOCUMENT.version + 1)


async def test_a_sign_of_life_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment while nothing changes, so that proxies keep the stream and the caller knows it is alive."""
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(stream, "SIGN_SECONDS", 0.05)
    async with fronted() as front:
        front.service.act = Told(DOCUMENT)
        async with listener(front) as response:
            await event(response)
            assert await event(response) == {"": "alive"}


async def test_a_call_without_a_redaction_is_a_problem_and_no_stream() -> None:
    """404 before anything is streamed."""
    async with fronted() as front:
        front.service.fails(Failure(Code.CALL_NOT_FOUND, "There is no redaction of this call."))
        async with listener(front) as response:
            assert response.status == 404
            assert response.headers["Content-Type"].startswith("application/problem+json")


async def test_listeners_are_bounded() -> None:
    """One too many is told so; when one goes, the next is taken."""
    async with fronted(most_listeners=1) as front:
        front.service.act = Told(DOCUMENT)
        async with listener(front) as first:
            await event(first)
            async with listener(front) as second:
                assert second.status == 429
                assert second.headers["Retry-After"] == "1"
        async with asyncio.timeout(30):
            while True:
                async with listener(front) as third:
                    if third.status == 200:
                        break


@pytest.mark.parametrize(
    "change",
    [{"keys": ()}, {"scopes": ()}, {"tenant": "globex"}, {"token": "required"}],
    ids=["revoked", "narrowed", "moved", "a-person-needed"],
)
async def test_the_stream_ends_when_its_caller_would_not_be_let_in_any_more(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was revoked hears nothing more on what it opened before; whoever keeps theirs goes on."""
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.01)
    async with fronted() as front:
        front.service.act = told = Told(DOCUMENT)
        async with listener(front) as response, listener(front, client="reader") as other:
            await event(response), await event(other)
            known = {**front.clients, "crm": front.clients["crm"].model_copy(update=_checked(change))}
            front.authenticator.replace(known, PEPPER, Persons())
            async with asyncio.timeout(30):
                assert await response.content.read() == b""
            told.document = replace(DOCUMENT, version=DOCUMENT.version + 1)
            assert (await event(other))["id"] == str(DOCUMENT.version + 1)


def _checked(change: dict[str, Any]) -> dict[str, Any]:
    """As the model has it."""
    model = Client.model_validate({"tenant": "acme", "scopes": (), **change})
    return {name: getattr(model, name) for name in change}


async def test_the_stream_ends_with_the_token_that_opened_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token holds until it runs out, and no stream holds longer."""
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.01)
    async with fronted() as front:
        front.service.act = Told(DOCUMENT)
        async with listener(front, client="named", Authorization="Bearer good") as response:
            await event(response)
            front.authenticator.replace(front.clients, PEPPER, NoTokens())
            async with asyncio.timeout(30):
                assert await response.content.read() == b""


async def test_the_stream_ends_when_the_gateway_does() -> None:
    """Nobody is left hanging at shutdown."""
    async with fronted() as front:
        front.service.act = Told(DOCUMENT)
        async with listener(front) as response:
            await event(response)
            front.live.end()
            assert await response.content.read() == b""


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream, application/json"])
async def test_json_stays_json(accept: str) -> None:
    """Only who asks for the stream alone gets it."""
    async with fronted() as front:
        front.service.act = Told(DOCUMENT)
        async with listener(front, accept=accept) as response:
            assert response.headers["Content-Type"].startswith("application/json")
