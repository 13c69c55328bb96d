"""Limits as clients meet them: what is refused, what never is, and what the headers say."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from front import DOCUMENT, PATH, PEPPER, Front, Persons, fronted, until
from structlog.testing import capture_logs

from gateway.asks import Answer, Ask, Code, Failure, Mute
from gateway.auth import throttle
from gateway.auth.keys import Reason, mint
from gateway.auth.throttle import FAILURES_AT_ONCE
from gateway.web import door
from gateway.web.connection import Patience
from gateway.web.door import Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOW = 0.001  # a bucket of five that does not fill while a test runs


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted(per_second=SLOW) as front:
        yield front


async def test_reads_are_refused_first_then_deletes_and_a_mute_never(front: Front) -> None:
    """With a valid key; who waits is told for how long."""
    reads = [await front.ask("GET") for _ in range(5)]
    assert [reply.status for reply in reads] == [200, 200, 200, 200, 429]
    assert reads[-1].json["code"] == "rate-limited"
    assert int(reads[-1].headers["Retry-After"]) >= 1
    deletes = [(await front.ask("DELETE")).status for _ in range(2)]
    assert deletes == [200, 429]
    posts = [(await front.ask("POST", json={"action": action})).status for action in ("unmute", "keep", "mute")]
    assert posts == [429, 429, 200]
    assert {(await front.ask("PUT")).status for _ in range(50)} == {200}


async def test_every_answer_says_how_much_is_left(front: Front) -> None:
    """Also the refused; a stranger learns nothing."""
    first = await front.ask("GET")
    assert first.headers["RateLimit-Policy"] == '"client";q=1;w=1000'
    assert first.headers["RateLimit"].startswith('"client";r=4;t=')
    assert "RateLimit" in (await front.ask("PUT", json={"hold": "A"})).headers
    assert "RateLimit" not in (await front.ask("GET", client="")).headers


async def test_one_client_does_not_use_up_what_another_has(front: Front) -> None:
    """Each has a bucket of its own."""
    for _ in range(6):
        await front.ask("DELETE")
    assert (await front.ask("GET", client="reader")).status == 200


async def test_equal_mutes_beyond_the_limit_are_merged(front: Front) -> None:
    """One under way, the rest shares the next; each answer comes from a mute that began after it was asked for."""
    for _ in range(6):
        await front.ask("DELETE")
    front.service.asked.clear()
    gate = asyncio.Event()

    async def wait(_: Ask) -> Answer:
        await gate.wait()
        return Answer(document=DOCUMENT)

    front.service.act = wait
    first = asyncio.create_task(front.ask("PUT"))
    await until(lambda: front.service.asked)
    rest = [asyncio.create_task(front.ask("PUT")) for _ in range(20)]
    others = [asyncio.create_task(front.ask("PUT", json={"hold": "b"}))]
    named = asyncio.create_task(front.ask("PUT", headers={"Idempotency-Key": "k-1"}))
    await until(lambda: len(front.service.asked) == 3)
    served = front.count("redaction_requests_total", method="PUT", outcome="ok")
    gate.set()
    replies = await asyncio.gather(first, *rest, *others, named)
    assert {reply.status for reply in replies} == {200}
    assert served == 0
    plain = [ask for ask in front.service.asked if isinstance(ask, Mute) and ask.hold == "default" and not ask.once]
    assert 2 <= len(plain) <= 1 + len(rest)
    assert plain[0].received_at <= plain[-1].received_at


async def test_a_failed_mute_fails_for_all_who_share_it_and_the_next_is_tried(front: Front) -> None:
    """Nobody gets another answer than the mute had."""
    for _ in range(6):
        await front.ask("DELETE")
    front.service.fails(Failure(Code.RECORDER_UNCONFIRMED, "sent, not proven"))
    replies = await asyncio.gather(*(front.ask("PUT") for _ in range(10)))
    assert {reply.status for reply in replies} == {504}

    async def well(_: Ask) -> Answer:
        return Answer(document=DOCUMENT)

    front.service.act = well
    assert (await front.ask("PUT")).status == 200


async def test_bad_keys_are_throttled_and_a_good_one_from_there_is_not(front: Front) -> None:
    """Nobody can lock out whoever shares the address."""
    statuses = [(await front.ask("PUT", client="")).status for _ in range(int(FAILURES_AT_ONCE) + 200)]
    assert set(statuses[: int(FAILURES_AT_ONCE)]) == {401}
    assert 429 in statuses[int(FAILURES_AT_ONCE) :]
    reply = await front.ask("PUT", path=PATH)
    assert reply.status == 200
    assert front.count("auth_denied_total", reason="throttled")


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure is all that a source has."""
    monkeypatch.setattr(throttle, "FAILURES_AT_ONCE", 1.5)
    monkeypatch.setattr(throttle, "FAILURES_A_SECOND", 0.001)


@pytest.mark.usefixtures("strict")
async def test_who_is_told_to_wait_costs_nothing_but_a_number() -> None:
    """No line, no entry of its own; the answer is a problem like any other."""
    async with fronted() as front:
        assert (await front.ask("PUT", client="")).status == 401
        with capture_logs() as lines:
            replies = [
                await front.ask("PUT", client="", headers={"X-Request-Id": "abcd-1234"}),
                await front.ask("GET", client="", headers={"X-API-Key": mint(bytes).text}),
            ]
        assert lines == []
        for reply, name in zip(replies, ("abcd-1234", replies[1].json["request_id"]), strict=True):
            assert (reply.status, reply.json["code"]) == (429, "rate-limited")
            assert reply.headers["Content-Type"].startswith("application/problem+json")
            assert int(reply.headers["Retry-After"]) > 1
            assert (reply.headers["X-Request-Id"], reply.json["request_id"]) == (name, name)
            assert (reply.headers["Cache-Control"], reply.headers["Server"]) == ("no-store", "redaction-gateway")
        assert front.denials.throttled_from == ["127.0.0.1"] * 2
        assert len(front.denials.said) == 1
        assert front.count("auth_denied_total", reason="throttled") == 2
        assert front.count("redaction_requests_total", method="GET", outcome="rate-limited") == 1


@pytest.mark.usefixtures("strict")
async def test_where_strangers_wait_others_do_not() -> None:
    """What needs no key is there for all; so is the answer to a good key, and a key that ran out is its client's."""
    async with fronted() as front:
        await front.ask("PUT", client="")
        assert (await front.ask("GET", "/openapi.json", client="")).status == 200
        assert (await front.ask("GET", "/nothing", client="")).status == 404
        assert (await front.ask("PUT")).status == 200
        ended = front.clients["reader"].keys[0].model_copy(update={"expires_at": datetime(2020, 1, 1, tzinfo=UTC)})
        known = {**front.clients, "reader": front.clients["reader"].model_copy(update={"keys": (ended,)})}
        front.authenticator.replace(known, PEPPER, Persons())
        assert (await front.ask("PUT", client="reader")).status == 429
        assert [(one.reason, one.client) for one, _ in front.denials.said[1:]] == [(Reason.EXPIRED, "reader")]


@pytest.mark.usefixtures("strict")
async def test_a_source_is_where_the_trusted_proxy_says() -> None:
    """One stranger behind a proxy makes nobody else behind it wait."""
    async with fronted(trusted_proxies=(ip_network("127.0.0.0/8"),)) as front:
        asks = [front.ask("PUT", client="", headers={"X-Forwarded-For": f"198.51.100.{n}"}) for n in (7, 7, 8)]
        assert [(await ask).status for ask in asks] == [401, 429, 401]
        assert front.denials.throttled_from == ["198.51.100.7"]


async def test_a_bad_token_is_told_so_every_time() -> None:
    """Its holder has a good key: it can get a new token only when it learns that this one is none."""
    async with fronted() as front:
        headers = {"Authorization": "Bearer bad"}
        asks = (front.ask("PUT", headers=headers, client="named") for _ in range(int(FAILURES_AT_ONCE) + 50))
        assert {(await ask).status for ask in asks} == {401}


async def test_strangers_who_wait_for_their_answer_lose_their_place_to_a_mute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them there are: what they are told has time, and a connection of theirs is worth less."""
    monkeypatch.setattr(door, "PACE_SECONDS", 1.0)
    monkeypatch.setattr(throttle, "FAILURES_AT_ONCE", 0.5)
    async with fronted(patience=Patience(connections=2)) as front, AsyncExitStack() as stack:
        strangers = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(2)]
        for _, writer in strangers:
            stack.callback(writer.close)
            writer.write(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until(lambda: front.count("auth_denied_total", reason="throttled") == 2)
        assert (await front.raw_path(PATH)).status == 200
        assert await strangers[0][0].read() == b""
        assert b" 429 " in await strangers[1][0].readline()


async def test_refusing_strangers_takes_its_turn() -> None:
    """While one is being answered the loop does other things, however many more there are."""
    queue, turns = Queue(), 0
    waiting = [asyncio.create_task(queue.passed()) for _ in range(50)]
    while not all(one.done() for one in waiting):
        turns += 1
        await asyncio.sleep(0)
        assert sum(one.done() for one in waiting) <= turns
    assert turns >= 50
