"""Who may do what, in which order it is asked, and what a stranger learns: nothing."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from front import CARD, PATH, Front, fronted

from gateway.auth.keys import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


def _bodies(front: Front) -> list[tuple[str, dict[str, str]]]:
    key = front.keys["crm"]
    return [
        ("missing", {}),
        ("malformed", {"X-API-Key": "rgw_"}),
        ("malformed", {"X-API-Key": "\xe9"}),
        ("bad-crc", {"X-API-Key": key[:-1] + ("0" if key[-1] != "0" else "1")}),
        ("missing", {"Authorization": f"Bearer {key}"}),
        ("missing", {"Cookie": f"X-API-Key={key}"}),
    ]


async def test_strangers_all_get_the_same_answer(front: Front) -> None:
    """401 with one body whatever the cause, whatever the path, query and body are; the metric tells the cause."""
    answers = set()
    for reason, headers in _bodies(front):
        before = front.count("auth_denied_total", reason=reason)
        for path in (PATH, "/v1/calls/%00/redaction?x=1"):
            sent = {"X-Request-Id": "always-the-same", **headers}
            reply = await front.ask("PUT", path, data=b"{nonsense", headers=sent, client="")
            answers.add((reply.status, reply.body, reply.headers["WWW-Authenticate"]))
        assert front.count("auth_denied_total", reason=reason) == before + 2
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    assert not front.service.asked


@pytest.mark.parametrize("reason", [Reason.MALFORMED])
async def test_a_key_that_is_there_twice_is_no_key(front: Front, reason: Reason) -> None:
    """Nobody picks the one that works."""
    key = front.keys["crm"]
    answer = await front.raw(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\nX-API-Key: {key}\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert key.encode() not in answer
    assert not front.service.asked
    assert reason


@pytest.mark.parametrize("name", ["api_key", "X-API-Key", "token", "access_token"])
async def test_a_key_in_the_query_lets_nobody_in(front: Front, name: str) -> None:
    """Without the header it is 401, with it the parameter is unknown; it is not said back either way."""
    key = front.keys["crm"]
    alone = await front.ask("GET", f"{PATH}?{name}={key}", client="")
    beside = await front.ask("GET", f"{PATH}?{name}={key}")
    assert (alone.status, beside.status) == (401, 400)
    assert key.encode() not in alone.body + beside.body
    assert not front.service.asked


ASKS: list[tuple[str, str, Any, set[str]]] = [
    ("PUT", "", None, {"crm", "muter"}),
    ("DELETE", "", None, {"crm", "unmuter"}),
    ("DELETE", "?force=false", None, {"crm", "unmuter"}),
    ("DELETE", "?force=true", None, {"crm"}),
    ("GET", "", None, {"crm", "reader"}),
    ("HEAD", "", None, {"crm", "reader"}),
    ("GET", "?refresh=true", None, {"crm", "reader"}),
    ("GET", "?include=audit", None, {"crm"}),
    ("PUT", "", {"resume_after_seconds": 60}, {"crm"}),
    ("POST", "", {"action": "mute"}, {"crm", "muter"}),
    ("POST", "", {"action": "mute", "resume_after_seconds": 60}, {"crm"}),
    ("POST", "", {"action": "unmute"}, {"crm", "unmuter"}),
    ("POST", "", {"action": "unmute", "force": True}, {"crm"}),
    ("POST", "", {"action": "keep"}, {"crm", "controller"}),
    ("POST", "", {"action": "discard"}, {"crm", "controller"}),
    ("POST", "", {"action": "start"}, {"crm", "controller"}),
    ("POST", "", {"action": "stop"}, {"crm", "controller"}),
]


@pytest.mark.parametrize(("method", "query", "body", "allowed"), ASKS, ids=[f"{a[0]}{a[1]}{a[2] or ''}" for a in ASKS])
async def test_each_ask_needs_its_scope(front: Front, method: str, query: str, body: object, allowed: set[str]) -> None:
    """Who lacks it gets 403 and nothing is asked, whichever other scope it has."""
    for client in ("crm", "muter", "unmuter", "reader", "controller", "nobody"):
        front.service.asked.clear()
        reply = await front.ask(method, PATH + query, json=body, client=client)
        assert (reply.status, len(front.service.asked)) == ((200, 1) if client in allowed else (403, 0)), client
        if reply.status == 403 and method != "HEAD":
            assert reply.json["code"] == "forbidden"


async def test_a_scope_is_asked_before_the_content(front: Front) -> None:
    """Who may not mute does not learn what is wrong with its mute."""
    reply = await front.ask("PUT", json={"hold": "A"}, client="reader")
    assert reply.status == 403


async def test_a_client_that_must_name_a_person_does(front: Front) -> None:
    """Without one it is 400 naming `actor`, together with the other faults."""
    bare = await front.ask("PUT", client="named")
    more = await front.ask("PUT", json={"hold": "A"}, client="named")
    command = await front.ask("POST", json={"action": "unmute"}, client="named")
    assert (bare.status, bare.fields) == (400, ["actor"])
    assert set(more.fields) == {"actor", "hold"}
    assert command.fields == ["actor"]
    assert not front.service.asked
    assert (await front.ask("PUT", json={"actor": "agent-17"}, client="named")).status == 200
    assert front.service.asked[0].origin.actor == "agent-17"


async def test_a_delete_names_the_person_by_token_only(front: Front) -> None:
    """It has no body: without a token it is 400 naming `actor`, and says what to send instead; that is taken."""
    bare = await front.ask("DELETE", client="named")
    more = await front.ask("DELETE", f"{PATH}?hold=A", json={"actor": "agent-17"}, client="named")
    assert (bare.status, bare.fields) == (400, ["actor"])
    assert '"action": "unmute"' in bare.json["errors"][0]["message"]
    assert set(more.fields) == {"actor", "body", "hold"}
    assert not front.service.asked
    assert (await front.ask("DELETE", headers={"Authorization": "Bearer good"}, client="named")).status == 200
    assert (await front.ask("POST", json={"action": "unmute", "actor": "agent-17"}, client="named")).status == 200
    assert [ask.origin.actor for ask in front.service.asked] == ["jane", "agent-17"]


async def test_a_token_names_the_person_and_the_body_does_not_override_it(front: Front) -> None:
    """Its subject is the actor, and enough where one is needed."""
    headers = {"Authorization": "Bearer good"}
    await front.ask("PUT", json={"actor": "somebody-else"}, headers=headers, client="named")
    await front.ask("PUT", headers=headers, client="named")
    assert [ask.origin.actor for ask in front.service.asked] == ["jane", "jane"]


async def test_a_bad_token_is_401(front: Front) -> None:
    """It is checked when it is there, also where none is needed."""
    reply = await front.ask("PUT", json={"actor": "a"}, headers={"Authorization": "Bearer bad"}, client="named")
    assert reply.status == 401
    assert not front.service.asked


async def test_x_forwarded_for_of_a_stranger_is_not_believed(front: Front) -> None:
    """Anybody can write the header."""
    await front.ask("PUT", headers={"X-Forwarded-For": "192.0.2.1"})
    assert front.service.asked[0].origin.address == "127.0.0.1"


async def test_a_card_number_in_the_request_id_is_replaced(front: Front) -> None:
    """It would be in every log line."""
    for said in (CARD, "4111-1111-1111-1111"):
        reply = await front.ask("PUT", headers={"X-Request-Id": said})
        assert reply.headers["X-Request-Id"] != said
        assert said not in front.service.asked[-1].origin.request_id


async def test_the_secret_of_a_key_as_a_request_id_is_replaced(front: Front) -> None:
    """Whoever's it is, and also where the request never gets as far as the application; another word of its length is
    an id like any other."""
    secrets = [key.split("_")[2] for key in front.keys.values()]
    for said in secrets[:2]:
        reply = await front.ask("PUT", headers={"X-Request-Id": said})
        assert said not in (reply.headers["X-Request-Id"], front.service.asked[-1].origin.request_id)
        lines = f"X-Request-Id: {said}\r\nExpect: nothing\r\nConnection: close\r\n"
        assert said.encode() not in await front.raw(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    other = "x" * 43
    assert (await front.ask("PUT", headers={"X-Request-Id": other})).headers["X-Request-Id"] == other


async def test_x_forwarded_for_of_our_own_proxy_is_believed() -> None:
    """The trail has the client's address, not the load balancer's."""
    async with fronted(trusted_proxies=(ip_network("127.0.0.0/8"),)) as front:
        await front.ask("PUT", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
        assert front.service.asked[0].origin.address == "198.51.100.7"
