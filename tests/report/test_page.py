"""The page: one file that needs nothing else, in which nothing that stood in an entry can be more than text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from tales import BEGIN, CLIENTS, KEY, Tale, dice, some_tale

from gateway.audit.entry import EntryType
from gateway.audit.findings import Finding, Kind, Verdict
from gateway.audit.keyring import Keyring
from gateway.cards import holds_card, scrub
from gateway.model import Action
from gateway.report.controls import Failure
from gateway.report.facts import Facts, Holder, TrailKey
from gateway.report.figures import Figures, Limits
from gateway.report.page import render
from gateway.report.paper import Source, paper
from gateway.report.plots import timeline
from gateway.report.spans import Span
from gateway.report.window import Window

HOSTILE = "</style></svg><script>alert(1)</script><img src=//evil.example onerror='x()'>\"'&{{7*7}}$\\frac$\x00\u202e"
CARD = "4111 1111 1111 1111"
VOID = frozenset({"meta", "br", "use", "path", "rect"})
FACTS = Facts(
    production=True,
    tls=False,
    retention_days=400,
    late_ms=2_500,
    forgotten_ms=900_000,
    backends=("verba_eu", "pbx"),
    plaintext=(),
    accepted=("pbx",),
    clients=3,
    persons_required=1,
    holders=tuple(
        Holder(kid=kid, client=client, tenant=tenant, works="yes", scopes="redaction:mute", token="none")
        for client, kid, tenant in CLIENTS
    ),
    trail_keys=(TrailKey(setting="audit.hmac_key", id=Keyring.of(hmac_key=KEY, signing_key=KEY).chain.id),),
)


class Elements(HTMLParser):
    """What a browser makes of it: elements that nest, with what they refer to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID or tag in {"use", "path", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(lines: list[bytes], *, window: Window | None = None, facts: Facts = FACTS, **source: Any) -> str:  # noqa: ANN401 -- members of a source
    figures = Figures(window=window or Window(), limits=Limits(late_ms=2_500, forgotten_ms=900_000))
    for line in lines:
        figures.line(line)
    figures.finish()
    verdict = Verdict(entries=len(lines), sealed=len(lines), checkpoints=3)
    given = Source(name="trail.jsonl", at=BEGIN, verdict=verdict, counted=len(lines), version="0.1.0")
    return render(paper(figures, facts, replace(given, **source)))


def elements(text: str) -> Elements:
    """Every element closed where it has to be, none that fetches or runs anything, every reference within the file."""
    found = Elements()
    found.feed(text)
    found.close()
    assert found.open == []
    assert not {"script", "img", "image", "iframe", "link", "object", "embed", "base", "form", "a:"} & set(found.seen)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in found.attributes:
        assert not name.startswith("on"), name
        assert name not in {"src", "srcset", "action", "data", "xmlns", "xlink:href", "xmlns:xlink"}, name
        assert name != "href" or (value.startswith("#") and value[1:] in ids), value
        assert all(f"url(#{one})" in value for one in re.findall(r"url\(#?([^)]*)\)", value))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_one_file_that_needs_nothing_else(seed: int) -> None:
    """Well formed, no script, nothing fetched, no other host named, and no number that could be a card's: none is
    masked in the plots either, where it would take the lines with it."""
    tale = some_tale(dice(seed))
    text = page(tale.lines())
    found = elements(text)
    assert 1 <= found.seen["svg"] <= 4
    assert "://" not in text
    assert "@import" not in text
    assert scrub(text) == text
    assert all("**" not in svg for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "default-src 'none'" in text


def hostile(line: bytes, text: str) -> bytes:
    """The line with a hostile text in every field that holds one."""
    members = {**orjson.loads(line), **dict.fromkeys(TEXTS, text)}
    parts = [dict.fromkeys(("backend", "state", "parties", "evidence", "error"), text)]
    return orjson.dumps({**members, "recorders": parts, "type": members["type"]}) + b"\n"


TEXTS = (
    *("actor", "address", "call_id", "client", "hash", "hold", "kid", "node", "op", "parties", "reason", "tenant"),
    *("request_id", "trigger", "action", "key", "target", "method", "names"),
)


def test_hostile_texts_stay_texts() -> None:
    """In every field of every kind of entry, of the configuration, of the verification and in the file's name."""
    lines = some_tale(dice(5), 25).lines()
    bad = [hostile(line, HOSTILE) for line in lines]
    kinds = [orjson.dumps({**orjson.loads(line), "type": HOSTILE}) for line in bad[:3]]
    system = [orjson.dumps({**orjson.loads(line), "call_id": None}) for line in bad]
    names: dict[str, Any] = {f.name: HOSTILE for f in fields(Holder) if f.type == "str"}
    facts = replace(
        FACTS,
        holders=(Holder(**names),),
        trail_keys=(TrailKey(setting=HOSTILE, id=HOSTILE),),
        plaintext=(HOSTILE,),
        accepted=(HOSTILE,),
    )
    finding = Finding(kind=Kind.EDITED, detail=HOSTILE)
    verdict = Verdict(entries=1, wrong=2, unanchored=1, findings=(finding,), notes=(HOSTILE,))
    text = page([*lines, *bad, *kinds, *system], facts=facts, name=HOSTILE, version=HOSTILE, verdict=verdict)
    found = elements(text)
    plain = "".join(found.text)
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
    assert plain.count(shown) > 100
    assert "{{7*7}}" in plain
    assert "\x00" not in text
    assert "\u202e" not in text


def test_what_looks_like_a_card_number_is_masked() -> None:
    """Wherever it stands: in any field of an entry, or cut in two by the page's own words."""
    lines = [hostile(line, CARD) for line in some_tale(dice(6), 10).lines()]
    lines = [orjson.dumps({**orjson.loads(line), "hash": "0a" * 32}) for line in lines]
    text = page(lines, name=CARD, version=CARD)
    assert not holds_card(text)
    assert "4111" not in text
    elements(text)


@pytest.mark.parametrize("window", [Window(), Window(since=BEGIN * 2), Window(until=1)], ids=["all", "later", "before"])
def test_an_empty_time_makes_a_page(window: Window) -> None:
    """It says that there is nothing, and divides by none of it."""
    for lines in ([], some_tale(dice(7), 3).lines()):
        text = page(lines, window=window)
        elements(text)
        assert ("There is no entry in this time." in text) == (window != Window() or not lines)


def test_a_bad_year_is_drawn_as_what_can_be_seen_of_it() -> None:
    """Failures that would lie upon each other are one bar: thousands take no more room than the width has."""
    failures = [
        Failure(kind="recorder", name="pbx", span=Span(begin=at * 600_000, end=at * 600_000 + 1)) for at in range(9_000)
    ]
    svg = timeline(failures, 0, 9_000 * 600_000)
    apart = timeline(failures[::3_000], 0, 9_000 * 600_000)
    assert len(svg) < len(apart) < 30_000


def test_every_detail_of_a_failure_is_shown() -> None:
    """Who, from where, on what, why, by which request, what came of it, and where the entry stands."""
    tale = Tale(random=dice(8))
    while b"mute.failed" not in b"".join(tale.lines()):
        tale.call(f"call-{tale.ops}")
    lines = tale.lines()
    failed = next(orjson.loads(line) for line in lines if b"mute.failed" in line)
    text = page(lines)
    plain = " ".join("".join(elements(text).text).split())
    assert "failed" in plain
    for name in ("call_id", "tenant", "client", "kid", "actor", "address", "trigger", "reason", "hold", "request_id"):
        assert failed.get(name) is None or failed[name] in text, name
    for name in ("op", "node"):
        assert f"<dd>{failed[name]}</dd>" in text
    for part in failed["recorders"]:
        assert f"<strong>{part['backend']}</strong>: {part['state']}" in text
        assert part["error"] in text
    assert f"bucket {failed['bucket']}, number {failed['seq']}, link {failed['hash'][:12]}…" in plain


def test_what_was_no_request_and_where_a_card_number_was_is_counted() -> None:
    """Each as often as its entries say; the requirement's row names the application."""
    tale = Tale(random=dice(11))
    tale.system(EntryType.REQUEST_REFUSED, reason="invalid-request", address="10.1.2.3")
    tale.system(EntryType.REQUEST_REFUSED, reason="invalid-request", address="10.1.2.3", count=40)
    tale.system(EntryType.CARD_FOUND, client="crm", kid="k1crm000", names=("hold", "actor"), count=3)
    plain = " ".join(" ".join(elements(page(tale.lines())).text).split())
    assert "What never became a request reason times invalid-request 41" in plain
    assert "41 more were no requests." in plain
    assert "Found 3 times in requests; sent by: crm; in: actor, hold." in plain


def test_what_a_good_key_was_denied_is_listed() -> None:
    """Which key, what, of which call, from where; strangers are numbers only, whatever key they name."""
    tale = Tale(random=dice(11))
    said: dict[str, Any] = {"client": "crm", "kid": "k1crm000", "address": "10.1.2.3"}
    tale.system(
        EntryType.ACCESS_DENIED, reason="forbidden", action=Action.START, target="call-4711", method="post", **said
    )
    tale.system(EntryType.ACCESS_DENIED, reason="forbidden", method="get", count=30, **said)
    tale.system(EntryType.ACCESS_DENIED, reason="wrong-secret", method="put", client="ivr", kid="k1ivr000")
    plain = " ".join(" ".join(elements(page(tale.lines())).text).split())
    table = plain.partition("To whom, with a good key")[2].partition("Changes and the trail itself")[0]
    assert "crm, k1crm000 start call-4711 10.1.2.3" in table
    assert "crm, k1crm000 get, 30 requests – 10.1.2.3" in table
    assert "ivr" not in table


def test_the_rows_of_the_standard_are_all_there() -> None:
    """Each requirement that bears on the gateway, once, with sections of this page that exist."""
    text = page(some_tale(dice(9), 20).lines())
    rows = re.findall(r"<tr><th>([\d., ]+)</th><td data-head=\"duty\">", text)
    assert rows == [
        *("3.3.1", "3.2.1, 3.4.1", "4.2.1", "2.2, 6.5", "7.2, 7.3", "8.2, 8.6", "8.3.4", "10.2.1, 10.2.2"),
        *("10.3", "10.5.1", "10.6", "10.7", "6.2, 6.3", "12.10.7"),
    ]
    elements(text)


def test_a_trail_that_is_not_whole_is_said_first() -> None:
    """Beside the title, in the verification, and in its row of the standard."""
    finding = Finding(kind=Kind.HOLE, detail="3 missing", bucket=4, seq=9)
    verdict = Verdict(entries=10, wrong=7, findings=(finding,))
    text = page(some_tale(dice(10), 5).lines(), verdict=verdict)
    assert "trail NOT whole" in text.split("<main>")[0]
    assert "hole: 3 missing (bucket 4, number 9)" in text
    assert "And 6 more." in text
    assert "trail verified" not in text
