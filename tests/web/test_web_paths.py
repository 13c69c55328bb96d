"""Raw request targets: what is no id is said to be none, and never leads anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from front import CALL, PATH, Front, fronted
from hypothesis import given
from hypothesis import strategies as st

from gateway.asks import Failure
from gateway.web.parse import call_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


@pytest.mark.parametrize(
    ("segment", "means"),
    [
        ("a8343631-9f35-4a3a-83f0-9e81592339fb", "a8343631-9f35-4a3a-83f0-9e81592339fb"),
        ("00170285D4561FBA", "00170285D4561FBA"),
        ("4111111111111111", "4111111111111111"),
        ("0003*210", "0003*210"),
        ("0003%2A210", "0003*210"),
        ("a%3ab", "a:b"),
        ("x.y_z:*+=@-", "x.y_z:*+=@-"),
        ("a+b", "a+b"),
        ("%61", "a"),
        ("a" * 128, "a" * 128),
    ],
)
async def test_an_id_is_decoded_once(front: Front, segment: str, means: str) -> None:
    """The service gets what the path means, a plus staying a plus; Luhn-valid ids are calls like others."""
    reply = await front.raw_path(f"/v1/calls/{segment}/redaction")
    assert reply.status == 200
    assert front.service.asked[0].key.call_id == means


@pytest.mark.parametrize(
    "segment",
    [
        "", ".", "..", "%2e", "%2e%2e", "%2E%2e", "a%2fb", "a%2Fb", "%2f", "a%5cb", "a\\b",
        "%252e%252e", "a%252fb", "a%2541", "%2561", "a%2525b", "a%250d%250a", "a%0d%0a", "a%0aX-Evil:1", "%00", "a%00",
        "a%09", "a%20b",
        "-a", ".a", "*a", "@self", "a" * 129, "%", "a%", "a%2", "a%zz", "%c3%a9", "%ff", "\xe9", "a;b", "a,b", "{id}",
        "a{b}", "%7bid%7d", "a&b", "a'b", "a%22b", "a%3fmute=0", "a%23b", "a%7f", "%e2%80%ae", "\xef\xbd\x81",
    ],
)  # fmt: skip
async def test_what_is_no_id_is_400_and_named(front: Front, segment: str) -> None:
    """No encoding trick is an id, a server error, or another resource."""
    for method in ("GET", "DELETE"):
        reply = await front.raw_path(f"/v1/calls/{segment}/redaction", method)
        assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")
        if reply.json.get("errors"):  # aiohttp itself refuses a few, before any path is known
            assert reply.fields == ["call_id"]
    assert not front.service.asked


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/calls", f"/v1/calls/{CALL}", f"{PATH}/", f"{PATH}/x", f"/v1/calls/a/{CALL}/redaction",
        "/v1/calls/../calls/x/redaction/..", f"/v2/calls/{CALL}/redaction", f"/V1/calls/{CALL}/redaction",
        "/v1/calls/a/../../../openapi.json", "/livez", "/readyz", "/metrics", "/admin", "/v1%2fcalls/a/redaction",
    ],
)  # fmt: skip
async def test_unknown_paths_are_404_problems(front: Front, path: str) -> None:
    """Nothing but the endpoint and its description is here; the internal pages are not."""
    reply = await front.raw_path(path)
    assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json")
    assert (reply.json["code"], reply.json["recorders"]) == ("not-found", [])
    assert not front.service.asked


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_405_and_told_which(front: Front, method: str) -> None:
    """As a problem, with the methods that there are."""
    reply = await front.raw_path(PATH, method)
    assert (reply.status, reply.json["code"]) == (405, "method-not-allowed")
    assert reply.headers["Allow"] == "DELETE,GET,HEAD,POST,PUT"
    assert not front.service.asked


async def test_the_description_takes_get_only(front: Front) -> None:
    """Its own methods, not the endpoint's."""
    reply = await front.raw_path("/openapi.json", "POST")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET,HEAD")


async def test_an_absolute_target_means_the_same_call(front: Front) -> None:
    """A proxy's way of saying it reaches the same place, whatever host it names."""
    reply = await front.raw_path(f"http://elsewhere.example{PATH}")
    assert reply.status == 200
    assert front.service.asked[0].key.call_id == CALL


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=140))
def test_only_the_alphabet_passes(segment: str) -> None:
    """Whatever comes out of a segment is made of the contract's letters alone."""
    letters = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:*+=@-")
    try:
        found = call_id(segment)
    except Failure:
        return
    assert set(found) <= letters
    assert found[0].isalnum()
    assert 1 <= len(found) <= 128
