"""Everything that reads what others have written: samples of what is right, and what else it may say."""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import forge
from multidict import CIMultiDict, MultiDict
from samples import (
    BAYEUX,
    COMMANDS,
    CONFIGURATION,
    EVENTS,
    GENESYS,
    HEADERS,
    IDS,
    MUTES,
    QUERIES,
    STORES,
    VERBA,
    VOICENTER,
    VOIPNOW,
)

from gateway import cards, settings
from gateway.asks import Failure
from gateway.auth import jwks, keys, tokens
from gateway.auth.person import Person
from gateway.backends import bayeux, genesys_answers, genesys_events, verba_answers, voicenter, voipnow, voipnow_calls
from gateway.backends.contract import BackendError
from gateway.backends.http import HttpReply, HttpRequest, build_url
from gateway.model import Target
from gateway.store import address
from gateway.web import headers, parse, schema

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from pydantic import TypeAdapter

Read = Callable[[bytes, Random], object]
T = TypeVar("T")

KNOWN = schema.Known(backends=frozenset({"pbx", "verba_eu"}))
TARGET = Target(call_id="c1", extension="8856")
STATUSES = (200, 200, 200, 200, 200, 201, 204, 400, 401, 403, 404, 405, 408, 409, 418)
KEY = keys.mint(secrets.token_bytes).text
TOKENS = frozenset(forge.good(algorithm) for algorithm in forge.KEYS)
VERIFIER = tokens.TokenVerifier(tokens.Terms(issuer=forge.ISSUER, audience=forge.AUDIENCE), forge.Issuer())
FORGED = (
    forge.headed(alg="none"),
    forge.headed(jku="https://x.example"),
    forge.hmac_signed(b"x", {"alg": "HS256"}),
    forge.malleable(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """`read` takes whatever there is, and raises what is `declared` or nothing. `share` is how many of a thousand
    runs it gets, by what one of them costs."""

    name: str
    read: Read
    seeds: tuple[bytes, ...]
    declared: tuple[type[Exception], ...] = ()
    share: int = 50


def _reply(data: bytes, random: Random, **said: str) -> HttpReply:
    kind = random.choice(("application/json", "application/json; charset=utf-8", "text/xml", ""))
    named: Mapping[str, str] = CIMultiDict({"Content-Type": kind, **said})
    return HttpReply(status=random.choice(STATUSES), headers=named, body=data)


def _text(data: bytes) -> str:
    return data.decode("latin-1" if len(data) % 2 else "utf-8", "surrogateescape")


# Vendors


def _verba(data: bytes, random: Random) -> None:
    action = random.choice(("MuteRecording", "RequestToken", verba_answers.SEARCH_CALLS))
    answer = verba_answers.parse(_reply(data, random), action)
    random.choice(
        (
            verba_answers.judge_command,
            verba_answers.judge_state,
            verba_answers.judge_token,
            lambda found: verba_answers.judge_search(found, "8856", least=1),
        )
    )(answer)


def _genesys(data: bytes, random: Random) -> None:
    reply = _reply(data, random, **{"X-CSRF-HEADER": "X-CSRF-TOKEN", "X-CSRF-TOKEN": "t"})
    match random.randrange(4):
        case 0:
            genesys_answers.judge(genesys_answers.parse_code(reply))
        case 1:
            genesys_answers.parse_csrf(reply)
        case 2:
            genesys_answers.seen_in(genesys_answers.parse_call(reply))
        case _:
            for call in genesys_answers.matching(genesys_answers.parse_calls(reply), Target(extension="8856")):
                genesys_answers.seen_in(call)


def _event(data: bytes, random: Random) -> None:
    genesys_events.parse_event(_reply(data, random).json())


def _bayeux(data: bytes, random: Random) -> None:
    asked = random.choice((bayeux.handshake(1), bayeux.subscribe(2, "c", "/v2/me/calls"), bayeux.connect(3, "c")))
    answer = bayeux.read(_reply(data, random).json(), asked, bayeux.Advice())
    assert 0 <= answer.advice.interval_seconds <= bayeux.LONGEST_PAUSE_SECONDS
    assert 0 <= answer.advice.timeout_seconds <= bayeux.LONGEST_POLL_SECONDS
    for event in answer.events:
        genesys_events.parse_event(event.data)


def _voicenter(data: bytes, random: Random) -> None:
    reply = _reply(data, random)
    if random.randrange(2):
        voicenter.judge_command(reply)
        return
    calls = voicenter.parse_calls(reply) or ()
    voicenter.judge_state(voicenter.meant(calls, random.choice((TARGET, Target(extension="8856")))))


def _voipnow(data: bytes, random: Random) -> None:
    reply = _reply(data, random)
    match random.randrange(4):
        case 0:
            lease = voipnow.parse_token(reply, asked_at=1000.0)
            assert 1000.0 <= lease.renew_at <= lease.expires_at < float("inf")
        case 1:
            voipnow.judge_command(reply, "01")
        case _:
            voipnow.judge(reply)
            voipnow.judge_state(voipnow_calls.parse_calls(reply.json()), TARGET)


# Clients


def _path(data: bytes, _: Random) -> None:
    """An id that is taken has nothing in it that could be more than an id; and whatever it had, it would stay one
    segment of a vendor's URL."""
    text = _text(data)
    with suppress(ValueError):
        _one_segment(text)
    call_id = parse.call_id(text.encode("ascii", "replace").decode())
    assert not set(call_id) & set("/?#%\\ \r\n\t&;")
    _one_segment(call_id)


def _one_segment(text: str) -> None:
    url = build_url("https://pbx.example/api", HttpRequest(method="GET", path=("calls", text, "mute")))
    assert url.raw_path.count("/") == 4
    assert (url.host, url.query_string, url.fragment) == ("pbx.example", "", "")


def _body(data: bytes, _: Random) -> None:
    parse.body(schema.MUTE, data, KNOWN)


def _command(data: bytes, _: Random) -> None:
    parse.body(schema.COMMAND, data, KNOWN, tagged=True)


def _query(data: bytes, random: Random) -> None:
    pairs = [part.partition("=") for part in _text(data).split("&")]
    said: MultiDict[str] = MultiDict((name, value) for name, _, value in pairs)
    model: TypeAdapter[Any] = random.choice((schema.READ_QUERY, schema.UNMUTE_QUERY, schema.NO_QUERY))
    parse.query(model, said)


def _headers(data: bytes, _: Random) -> None:
    lines = [part.partition(": ") for part in _text(data).split("\n")]
    said = CIMultiDict((name, value) for name, _, value in lines)
    assert len(headers.request_id(said, lambda _: False)) <= 64
    headers.peer_address("10.0.0.1", said, (IPv4Network("10.0.0.0/8"),))
    headers.if_match(said)
    headers.idempotency_key(said)


def _api_key(data: bytes, _: Random) -> None:
    text = _text(data)
    assert keys.parse(text) is None or text == KEY


def _token(data: bytes, _: Random) -> None:
    """Nobody makes one by changing another."""
    text = _text(data)
    assert not isinstance(_done(VERIFIER.verify(text, forge.NOW)), Person) or text in TOKENS


def _done(coroutine: Coroutine[None, None, T]) -> T:
    """The result of what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: T = stop.value
        return found
    raise AssertionError("it waits")


def _key_set(data: bytes, _: Random) -> None:
    jwks.parse(data)


def _cards(data: bytes, _: Random) -> None:
    text = _text(data)
    assert not cards.holds_card(cards.scrub(text))


# Operators


def _settings(data: bytes, random: Random) -> None:
    """One value somewhere in a whole configuration."""
    tree: Any = copy.deepcopy(CONFIGURATION)
    *above, last = random.choice(_PLACES)
    at = tree
    for step in above:
        at = at[step]
    at[last] = _scalar(data)
    settings.parse(tree)


def _scalar(data: bytes) -> object:
    """As a file has it; else as a variable of the environment has it."""
    text = _text(data)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _store(data: bytes, _: Random) -> None:
    address.parse(_text(data))


_PLACES: tuple[tuple[str, ...], ...] = (
    ("policy", "deadline_seconds"),
    ("policy", "reassert_seconds"),
    ("policy", "alert_after_seconds"),
    ("policy", "state_retention_hours"),
    ("audit", "seal_seconds"),
    ("audit", "retention_days"),
    ("audit", "hmac_key"),
    ("backends", "pbx", "timeout_seconds"),
    ("backends", "pbx", "base_url"),
    ("backends", "pbx", "vendor"),
    ("backends", "pbx"),
    ("clients", "crm", "requests_per_second"),
    ("clients", "crm", "keys"),
    ("clients", "crm", "scopes"),
    ("clients", "crm"),
    ("listen", "port"),
    ("listen", "host"),
    ("listen", "trusted_proxies"),
    ("store", "url"),
    ("store", "directory"),
    ("routes",),
    ("tokens",),
)

PARSERS = (
    Parser(name="verba", read=_verba, seeds=VERBA, declared=(BackendError,), share=100),
    Parser(name="genesys", read=_genesys, seeds=GENESYS, declared=(BackendError,), share=100),
    Parser(name="genesys events", read=_event, seeds=EVENTS, declared=(BackendError,)),
    Parser(name="bayeux", read=_bayeux, seeds=(*BAYEUX, *EVENTS), declared=(BackendError,), share=80),
    Parser(name="voicenter", read=_voicenter, seeds=VOICENTER, declared=(BackendError,), share=100),
    Parser(name="voipnow", read=_voipnow, seeds=VOIPNOW, declared=(BackendError,), share=100),
    Parser(name="path", read=_path, seeds=IDS, declared=(Failure,), share=80),
    Parser(name="body", read=_body, seeds=MUTES, declared=(Failure,), share=70),
    Parser(name="command", read=_command, seeds=COMMANDS, declared=(Failure,), share=70),
    Parser(name="query", read=_query, seeds=QUERIES, declared=(Failure,)),
    Parser(name="headers", read=_headers, seeds=HEADERS, declared=(Failure,)),
    Parser(name="API key", read=_api_key, seeds=(KEY.encode(),), share=30),
    Parser(name="token", read=_token, seeds=tuple(text.encode() for text in (*TOKENS, *FORGED)), share=30),
    Parser(
        name="key set", read=_key_set, seeds=(forge.public_set(*forge.KEYS.values()),), declared=(ValueError,), share=20
    ),
    Parser(name="cards", read=_cards, seeds=(*IDS, *HEADERS), share=30),
    Parser(name="settings", read=_settings, seeds=QUERIES, declared=(settings.ConfigurationError,), share=20),
    Parser(name="store", read=_store, seeds=STORES, declared=(ValueError,), share=20),
)
