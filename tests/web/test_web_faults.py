"""Bad input: each fault is named with its field, nothing is asked of the service, no value is repeated."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from front import CARD, PATH, Front, fronted, parsed
from hypothesis import given
from hypothesis import strategies as st

from gateway.asks import API_KEY, Failure
from gateway.auth.keys import mint
from gateway.web import parse, schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SPACED_CARD = "4111-1111-1111-1111"


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


BAD_FIELDS: list[tuple[Any, str]] = [
    ({"parties": "nobody"}, "parties"),
    ({"parties": None}, "parties"),
    ({"parties": 3}, "parties"),
    ({"extension": ""}, "extension"),
    ({"extension": "8856 "}, "extension"),
    ({"extension": "8856\n"}, "extension"),
    ({"extension": "88/56"}, "extension"),
    ({"extension": "\u0668\u0668"}, "extension"),
    ({"extension": 8856}, "extension"),
    ({"extension": "1" * 65}, "extension"),
    ({"call_status": []}, "call_status"),
    ({"call_status": "ongoing"}, "call_status"),
    ({"call_status": ["now"]}, "call_status.0"),
    ({"call_status": ["next", "ongoing"]}, "call_status"),
    ({"call_status": ["ongoing", "last"]}, "call_status"),
    ({"call_status": ["ongoing", "ongoing"]}, "call_status"),
    ({"call_status": ["next", "last"]}, "call_status"),
    ({"call_status": ["ongoing", "next", "last"]}, "call_status"),
    ({"call_status": ["next"]}, "call_status"),
    ({"call_status": ["next"], "targets": {"pbx": {"call_id": "1"}}}, "call_status"),
    ({"targets": {"pbx": {"call_id": "1", "call_status": ["next"]}}}, "targets.pbx.call_status"),
    ({"targets": {"verba_eu": {"extension": "1"}, "pbx": {"call_status": ["next"]}}}, "targets.pbx.call_status"),
    ({"targets": []}, "targets"),
    ({"targets": {"pbx": []}}, "targets.pbx"),
    ({"targets": {"pbx": {"extension": "8 8"}}}, "targets.pbx.extension"),
    ({"targets": {"pbx": {"call_id": "../x"}}}, "targets.pbx.call_id"),
    ({"targets": {"pbx": {"call_status": ["now"]}}}, "targets.pbx.call_status.0"),
    ({"targets": {"pbx": {"user_id": "@you"}}}, "targets.pbx.user_id"),
    ({"targets": {"pbx": {"view_id": "0 1"}}}, "targets.pbx.view_id"),
    ({"targets": {"pbx": {"view_id": None}}}, "targets.pbx.view_id"),
    ({"targets": {"pbx": {"color": "red"}}}, "targets.pbx.color"),
    ({"targets": {"nope": {}}}, "targets.nope"),
    ({"targets": {"PBX": {}}}, "targets.PBX"),
    ({"backends": []}, "backends"),
    ({"backends": "pbx"}, "backends"),
    ({"backends": ["nope"]}, "backends.0"),
    ({"backends": [5]}, "backends.0"),
    ({"backends": ["pbx", "nope"]}, "backends.1"),
    ({"backends": ["pbx", "pbx"]}, "backends"),
    ({"hold": "Card"}, "hold"),
    ({"hold": ""}, "hold"),
    ({"hold": "h" * 65}, "hold"),
    ({"hold": CARD}, "hold"),
    ({"hold": f"h-{SPACED_CARD}"}, "hold"),
    ({"resume_after_seconds": 0}, "resume_after_seconds"),
    ({"resume_after_seconds": -1}, "resume_after_seconds"),
    ({"resume_after_seconds": 86401}, "resume_after_seconds"),
    ({"resume_after_seconds": 1.0}, "resume_after_seconds"),
    ({"resume_after_seconds": 1.5}, "resume_after_seconds"),
    ({"resume_after_seconds": True}, "resume_after_seconds"),
    ({"resume_after_seconds": "1"}, "resume_after_seconds"),
    ({"resume_after_seconds": 10**400}, "resume_after_seconds"),
    ({"actor": "agent 17"}, "actor"),
    ({"actor": SPACED_CARD}, "actor"),
    ({"actor": "a" * 65}, "actor"),
    ({"trigger": "both"}, "trigger"),
    ({"reason": "Card entry"}, "reason"),
    ({"reason": SPACED_CARD}, "reason"),
    ({"reason": "r" * 33}, "reason"),
    ({"format": "wav"}, "format"),
    ({"mark": "manualRecord"}, "mark"),
    ({"action": "mute"}, "action"),
    ({"force": True}, "force"),
    ({"": 1}, "?"),
    ({CARD: 1}, "?"),
    ({f"a{CARD}": 1}, "?"),
    ({"<script>": 1}, "?"),
    ([], "body"),
    ("mute", "body"),
    (7, "body"),
]


KEY = mint(lambda count: bytes([0xA5] * count)).text
UNCHECKED = KEY.rpartition("_")[0]
KEYS: list[tuple[dict[str, Any], str]] = [
    ({"extension": UNCHECKED}, "extension"),
    ({"actor": f"a-{UNCHECKED}"}, "actor"),
    ({"targets": {"pbx": {"call_id": KEY}}}, "targets.pbx.call_id"),
    ({"targets": {"pbx": {"call_id": UNCHECKED + "_00000000"}}}, "targets.pbx.call_id"),
    ({"targets": {"pbx": {"extension": UNCHECKED}}}, "targets.pbx.extension"),
]


# Words of the language that the checks are made in.
FOREIGN = re.compile(r"(?i)\b(input|tuple|dict|dictionary|frozenset|instance|validation|valid)\b|[<'\"]")


@pytest.mark.parametrize(("body", "field"), BAD_FIELDS, ids=[f"{field}-{n}" for n, (_, field) in enumerate(BAD_FIELDS)])
async def test_a_bad_field_of_a_mute_is_named(front: Front, body: object, field: str) -> None:
    """Exactly the place of the fault, no other, in words of the API; and nothing reaches the service."""
    reply = await front.ask("PUT", data=json.dumps(body).encode())
    assert (reply.status, reply.json["code"]) == (400, "invalid-request")
    assert reply.fields == [field]
    assert FOREIGN.search(reply.json["errors"][0]["message"]) is None
    assert not front.service.asked


@pytest.mark.parametrize(
    "body",
    [
        {"extension": "8856", "call_status": ["next"]},
        {"call_status": ["next"], "targets": {"pbx": {"extension": "8856"}}},
        {"extension": "8856", "targets": {"pbx": {"call_status": ["next"]}}},
        {"targets": {"pbx": {"extension": "8856", "call_status": ["next"]}, "verba_eu": {"call_id": "1"}}},
    ],
    ids=range(4),
)
async def test_which_call_is_meant_can_be_said_wherever_an_extension_is(front: Front, body: object) -> None:
    """What is said for all stands for what each target leaves out."""
    assert (await front.ask("PUT", json=body)).status == 200


@pytest.mark.parametrize(("body", "field"), KEYS, ids=[f"{field}-{n}" for n, (_, field) in enumerate(KEYS)])
async def test_an_api_key_in_a_field_is_named(front: Front, body: object, field: str) -> None:
    """Whole, without its check sum, and with a wrong one: it would be in the trail for years."""
    reply = await front.ask("PUT", json=body)
    assert reply.json["errors"] == [{"field": field, "message": API_KEY}]
    assert UNCHECKED not in reply.body.decode()
    assert not front.service.asked


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "POST"])
async def test_an_api_key_in_the_path_is_named(front: Front, capsys: pytest.CaptureFixture[str], method: str) -> None:
    """Whosever it is, also as an encoded segment or as an `Idempotency-Key`; no line repeats it."""
    body = {"action": "unmute"} if method == "POST" else None
    for said in (front.keys["crm"], KEY, UNCHECKED, KEY.replace("_", "%5F"), f"call-{KEY}"):
        reply = await front.ask(method, f"/v1/calls/{said}/redaction", json=body)
        assert (reply.status, reply.json["code"]) == (400, "invalid-request")
        assert reply.json["errors"] == [{"field": "call_id", "message": API_KEY}]
        assert KEY.split("_")[2] not in reply.body.decode() + capsys.readouterr().out
    if method in {"PUT", "POST"}:
        reply = await front.ask(method, headers={"Idempotency-Key": KEY}, json=body)
        assert reply.json["errors"] == [{"field": "Idempotency-Key", "message": API_KEY}]
    assert not front.service.asked


@pytest.mark.parametrize("around", ["{}", "call-{}", "{}7", "x{}.y"])
async def test_the_secret_alone_is_no_id(front: Front, capsys: pytest.CaptureFixture[str], around: str) -> None:
    """Of a key that somebody has, wherever an id belongs; nobody's 43 letters are an id like any other."""
    secret, strange = front.keys["crm"].split("_")[2], mint(lambda count: bytes([0x5A] * count)).secret
    said, free = around.format(secret), around.format(strange)
    reply = await front.ask("PUT", f"/v1/calls/{said}/redaction", headers={"Idempotency-Key": said})
    assert reply.json["errors"] == [{"field": name, "message": API_KEY} for name in ("call_id", "Idempotency-Key")]
    for name in ("call_id", "extension", "user_id", "view_id"):
        value = said.replace(".", "-")
        reply = await front.ask("PUT", json={"targets": {"pbx": {name: value}}})
        assert reply.json["errors"] == [{"field": f"targets.pbx.{name}", "message": API_KEY}]
    reply = await front.ask("PUT", json={"actor": said})
    assert reply.json["errors"] == [{"field": "actor", "message": API_KEY}]
    await front.ask("PUT", f"/v1/calls/{said}/redaction", client="reader")
    assert [sought.call_id for sought in front.denials.sought] == [None]
    assert secret not in reply.body.decode() + capsys.readouterr().out
    assert not front.service.asked
    assert (await front.ask("PUT", f"/v1/calls/{free}/redaction", headers={"Idempotency-Key": free})).status == 200


async def test_what_only_begins_like_a_key_is_an_id(front: Front) -> None:
    """No call is refused for its prefix."""
    for said in ("rgw_12345678_short", "rgw_" + "x" * 52, UNCHECKED[4:]):
        assert (await front.ask("PUT", f"/v1/calls/{said}/redaction")).status == 200


async def test_every_fault_is_named_at_once(front: Front) -> None:
    """Path, headers, query and body are all looked at before the answer."""
    reply = await front.ask(
        "PUT",
        "/v1/calls/-/redaction?colour=red",
        json={"hold": "A", "targets": {"nope": {}}, "parties": "x", "nonsense": 1},
        headers={"If-Match": "3", "Idempotency-Key": "a b"},
    )
    assert set(reply.fields) == {
        "call_id", "If-Match", "Idempotency-Key", "colour", "hold", "targets.nope", "parties", "nonsense",
    }  # fmt: skip
    assert not front.service.asked


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"call_status": ["next"], "hold": "A"}, {"call_status", "hold"}),
        ({"targets": {"nope": {"extension": "8 8"}}}, {"targets.nope", "targets.nope.extension"}),
        ({"backends": ["nope", "NOPE"]}, {"backends.0", "backends.1"}),
    ],
    ids=range(3),
)
async def test_two_faults_are_two(front: Front, body: object, fields: set[str]) -> None:
    """Neither hides the other, and none comes of them."""
    reply = await front.ask("PUT", json=body)
    assert (len(reply.fields), set(reply.fields)) == (len(fields), fields)


async def test_one_fault_is_named_once(front: Front) -> None:
    """A null is one fault, not one of the shape and one of the type."""
    reply = await front.ask("PUT", json={"hold": None})
    assert reply.fields == ["hold"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"{", "body"),
        (b"\xff{}", "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (b"null", "body"),
        (b"{} {}", "body"),
        (b'{"resume_after_seconds": NaN}', "body"),
        (b'{"resume_after_seconds": Infinity}', "body"),
        (b'{"resume_after_seconds": -Infinity}', "body"),
        (b'{"resume_after_seconds": 1e999}', "resume_after_seconds"),
        (b'{"resume_after_seconds": ' + b"9" * 5000 + b"}", "body"),
        (b'{"hold": "a", "hold": "b"}', "hold"),
        (b'{"hold": "a", "h\\u006fld": "b"}', "hold"),
        (b'{"targets": {"pbx": {"extension": "1", "extension": "2"}}}', "targets.pbx.extension"),
        (b'{"targets": {"pbx": {}, "pbx": {}}}', "targets.pbx"),
        (b'{"hold": "\\ud800"}', "body"),
        (b'{"\\ud800": 1}', "body"),
        (b"[" * 5000, "body"),
        (b'{"a":' * 2000, "body"),
        (b"[" * 9 + b"]" * 9, "body"),
        (b'{"hold": "a\\u0000"}', "hold"),
    ],
    ids=str,
)
async def test_odd_json_is_refused(front: Front, data: bytes, field: str) -> None:
    """Two readers could take such a body for two different things; nobody acts on it."""
    reply = await front.ask("PUT", data=data[:16384])
    assert reply.status == 400
    assert field in reply.fields
    assert not front.service.asked


async def test_brackets_in_strings_do_not_count_as_depth(front: Front) -> None:
    """A long odd string is a bad field, not a deep body."""
    reply = await front.ask("PUT", json={"hold": '[[[[[[[[[["\\'})
    assert reply.fields == ["hold"]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}])
@pytest.mark.parametrize("data", [b"", b"{}", b" \r\n\t", b" { } "])
async def test_nothing_is_an_empty_object(front: Front, data: bytes, headers: dict[str, str]) -> None:
    """White space alone too, also where it is to be done once."""
    assert (await front.ask("PUT", data=data, headers=headers)).status == 200


BAD_COMMANDS: list[tuple[Any, str]] = [
    ({}, "action"),
    ({"action": "resume"}, "action"),
    ({"action": CARD}, "action"),
    ({"action": None}, "action"),
    ({"action": ["mute"]}, "action"),
    ([], "body"),
    ({"action": "mute", "format": "wav"}, "format"),
    ({"action": "mute", "force": True}, "force"),
    ({"action": "unmute", "parties": "both"}, "parties"),
    ({"action": "unmute", "extension": "1"}, "extension"),
    ({"action": "unmute", "force": "true"}, "force"),
    ({"action": "unmute", "force": 1}, "force"),
    ({"action": "unmute", "hold": CARD}, "hold"),
    ({"action": "keep", "format": "wav"}, "format"),
    ({"action": "keep", "hold": "h"}, "hold"),
    ({"action": "keep", "mark": "manual record"}, "mark"),
    ({"action": "discard", "resume_after_seconds": 1}, "resume_after_seconds"),
    ({"action": "start", "format": "mp3"}, "format"),
    ({"action": "start", "mark": "x"}, "mark"),
    ({"action": "stop", "format": "wav"}, "format"),
    ({"action": "start", "targets": {"nope": {}}}, "targets.nope"),
    ({"action": "start", "targets": {"pbx": {"view_id": ""}}}, "targets.pbx.view_id"),
]


@pytest.mark.parametrize(("body", "field"), BAD_COMMANDS, ids=[str(body) for body, _ in BAD_COMMANDS])
async def test_a_bad_field_of_a_command_is_named(front: Front, body: object, field: str) -> None:
    """Each action takes its own fields only; the place has no trace of how the union was resolved."""
    reply = await front.ask("POST", json=body)
    assert reply.status == 400
    assert field in reply.fields
    assert not front.service.asked


async def test_post_without_body_asks_for_the_action(front: Front) -> None:
    """There is no default command."""
    reply = await front.ask("POST")
    assert (reply.status, reply.fields) == (400, ["action"])


@pytest.mark.parametrize(
    ("method", "query", "field"),
    [
        ("PUT", "?hold=x", "hold"),
        ("POST", "?force=true", "force"),
        ("GET", "?hold=x", "hold"),
        ("GET", "?refresh=1", "refresh"),
        ("GET", "?refresh=True", "refresh"),
        ("GET", "?refresh", "refresh"),
        ("GET", "?refresh=true&refresh=true", "refresh"),
        ("GET", "?include=all", "include"),
        ("GET", "?include=", "include"),
        ("GET", "?api_key=abc", "api_key"),
        ("GET", "?X-API-Key=abc", "X-API-Key"),
        ("GET", f"?{CARD}=1", "?"),
        ("GET", "?%ff%00=1", "?"),
        ("DELETE", "?refresh=true", "refresh"),
        ("DELETE", "?hold=A", "hold"),
        ("DELETE", "?hold=", "hold"),
        ("DELETE", "?hold=a&hold=b", "hold"),
        ("DELETE", f"?hold={SPACED_CARD}", "hold"),
        ("DELETE", "?hold=a%0d%0ab", "hold"),
        ("DELETE", "?force=yes", "force"),
    ],
)
async def test_a_bad_query_parameter_is_named(front: Front, method: str, query: str, field: str) -> None:
    """Unknown, repeated or odd parameters are refused like unknown fields, card numbers in them too."""
    body = {"action": "unmute"} if method == "POST" else None
    reply = await front.ask(method, PATH + query, json=body)
    assert (reply.status, reply.fields) == (400, [field])
    assert not front.service.asked


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_body_that_would_be_ignored_is_refused(front: Front, method: str) -> None:
    """A hold named in the body of a DELETE must not drop the default one."""
    reply = await front.ask(method, json={"hold": "card-form"})
    assert (reply.status, reply.fields) == (400, ["body"])
    assert not front.service.asked


@pytest.mark.parametrize("said", ["3", "'3'", '"3', '"3" "4"', '"3",', "", '"3", *', 'w/"3"', '"a"b"', '"4 5"'])
async def test_a_malformed_if_match_is_named(front: Front, said: str) -> None:
    """A condition that cannot be read is not taken for none."""
    reply = await front.ask("PUT", headers={"If-Match": said})
    assert (reply.status, reply.fields) == (400, ["If-Match"])


@pytest.mark.parametrize("said", ["", "a b", "k" * 129, '"quoted"', SPACED_CARD, CARD, "4111:1111:1111:1111"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_bad_idempotency_key_is_named(front: Front, method: str, said: str) -> None:
    """Wrong form or a card number."""
    reply = await front.ask(method, headers={"Idempotency-Key": said})
    assert (reply.status, reply.fields) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("said", ["k", "a8343631-9f35-4a3a-83f0-9e81592339fb", "AZaz09._~+/=:-", "k" * 128])
async def test_a_good_idempotency_key_is_taken(front: Front, said: str) -> None:
    """The whole alphabet and the whole length."""
    assert (await front.ask("PUT", headers={"Idempotency-Key": said})).status == 200


async def test_a_repeated_idempotency_key_is_refused(front: Front) -> None:
    """Nobody guesses which of the two is meant."""
    head = f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {front.keys['crm']}\r\nConnection: close\r\n"
    answer = await front.raw(f"{head}Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n".encode())
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b'"Idempotency-Key"' in answer


async def test_a_body_of_16_kib_is_read_and_one_byte_more_is_413(front: Front) -> None:
    """The border is exact."""
    fits = await front.ask("PUT", data=b"{}".ljust(16384))
    over = await front.ask("PUT", data=b"{}".ljust(16385))
    assert (fits.status, over.status, over.json["code"]) == (200, 413, "too-large")
    assert len(front.service.asked) == 1


async def test_a_chunked_body_has_the_same_border(front: Front) -> None:
    """No length said beforehand does not help."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 4096

    headers = {"X-API-Key": front.keys["crm"], "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{front.port}{PATH}"
    async with front.session.put(url, data=chunks(), headers=headers) as response:
        assert response.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "nonsense"])
async def test_a_compressed_body_is_415(front: Front, encoding: str) -> None:
    """Also a well-formed one, and one in a coding that nobody knows."""
    reply = await front.ask("PUT", data=gzip.compress(b"{}"), headers={"Content-Encoding": encoding})
    assert (reply.status, reply.json["code"]) == (415, "unsupported-media-type")
    assert not front.service.asked


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "json",
        "application/json; charset=utf-16", 'application/json; charset="ISO-8859-1"',
        "application/json; charset=us-ascii",
    ],
)  # fmt: skip
async def test_a_body_that_is_not_json_by_its_type_is_415(front: Front, kind: str) -> None:
    """A browser's form cannot mute or unmute a call."""
    reply = await front.ask("PUT", data=b"{}", headers={"Content-Type": kind})
    assert (reply.status, reply.json["code"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("line", ["Content-Type: text/plain", "Content-Encoding: gzip"])
async def test_a_header_said_twice_hides_nothing(front: Front, line: str) -> None:
    """The second one is as good as the first: a proxy in front may have read that one."""
    said = ("Content-Type: application/json", "Content-Encoding: identity", "Content-Length: 2", line)
    head = [f"PUT {PATH} HTTP/1.1", "Host: x", f"X-API-Key: {front.keys['crm']}", "Connection: close", *said, "", "{}"]
    answer = await front.raw("\r\n".join(head).encode())
    assert parsed(answer).status in {400, 415}
    assert not front.service.asked


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", 'application/json; charset="UTF-8"'],
)
async def test_json_by_any_spelling_of_its_type_is_read(front: Front, kind: str) -> None:
    """Parameters and case do not matter."""
    assert (await front.ask("PUT", data=b"{}", headers={"Content-Type": kind})).status == 200


async def test_no_value_that_was_sent_comes_back(front: Front) -> None:
    """Neither card numbers nor anything else: values, and names that are no names."""
    canary = "canary-7f3a"
    body = {
        "hold": f"{canary} {CARD}", "action": canary, CARD: canary, f"{canary} x": 1, "parties": canary,
        "targets": {f"{canary} y": {}, "pbx": {"extension": f"{canary} {CARD}"}}, "call_status": [canary],
    }  # fmt: skip
    headers = {"If-Match": canary, "Idempotency-Key": f"{canary} {CARD}"}
    for method in ("PUT", "POST"):
        reply = await front.ask(method, f"{PATH}?hold={canary}&{CARD}={CARD}", json=body, headers=headers)
        assert reply.status == 400
        assert canary.encode() not in reply.body
        assert CARD.encode() not in reply.body


SAID = ["action", "targets", "pbx", "hold", "call_status", "backends", "parties", "extension"]
NAMES = st.sampled_from(SAID) | st.text(max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6) | VALUES)
def test_any_json_is_a_model_or_named_faults(value: object) -> None:
    """No body makes the parser fail in another way, and each fault has a place that can be written."""
    data = json.dumps(value).encode()
    known = schema.Known(backends=frozenset({"pbx"}))
    for faults in (
        found(lambda: parse.body(schema.MUTE, data, known)),
        found(lambda: parse.body(schema.COMMAND, data, known, tagged=True)),
    ):
        assert faults is None or faults
        assert orjson.dumps(faults)


def found(parsing: Callable[[], object]) -> list[str] | None:
    """The places of the faults; None for none at all."""
    try:
        parsing()
    except Failure as failure:
        return [fault.field for fault in failure.faults]
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_named_faults(data: bytes) -> None:
    """As above, for what is not even JSON."""
    faults = found(lambda: parse.body(schema.MUTE, data, schema.Known()))
    assert faults is None or faults
