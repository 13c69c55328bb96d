"""The small parts of the count: times that overlap, the worst of many, what is told twice, words for figures."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from tales import dice, some_tale

from gateway.audit.keyring import Keyring
from gateway.audit.manifest import Manifest, manifest_name
from gateway.audit.seal import Base
from gateway.report import words
from gateway.report.access import Access
from gateway.report.facts import facts
from gateway.report.once import Once, told_again
from gateway.report.paper import exposed
from gateway.report.seen import read
from gateway.report.spans import NEAR_MS, Span, Spans, merged
from gateway.report.window import Window
from gateway.report.worst import Worst
from gateway.settings import parse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(20))
def test_times_that_touch_are_one(seed: int) -> None:
    """The merged times cover what the single ones cover and the short gaps between, and lie apart."""
    some = dice(seed)
    begins = [some.randrange(0, 40) * NEAR_MS // 2 for _ in range(some.randint(1, 30))]
    spans = [Span(begin=begin, end=begin + some.randrange(0, 4) * NEAR_MS // 2) for begin in begins]
    found = merged(spans)
    assert sum(span.times for span in found) == len(spans)
    near = NEAR_MS // 2
    covered = set(chain.from_iterable(range(one.begin, (one.end or 0) + 1, near) for one in spans))
    closed = {at for at in range(0, 60 * near, near) if {at - near, at + near} <= covered} | covered
    assert set(chain.from_iterable(range(one.begin, (one.end or 0) + 1, near) for one in found)) == closed
    ends = [one.end for one in found if one.end is not None]
    assert all(later.begin > end + NEAR_MS for end, later in zip(ends, found[1:], strict=False))


def test_what_has_no_end_takes_all_that_follows() -> None:
    """And keeps every cause."""
    spans = [
        Span(begin=5, end=None, causes=frozenset({"a"})),
        Span(begin=10**9, end=10**9 + 1, causes=frozenset({"b"})),
    ]
    assert merged(spans) == [Span(begin=5, end=None, times=2, causes=frozenset({"a", "b"}))]


def test_many_times_are_put_together_as_they_come() -> None:
    """Ten thousand failures in one hour are remembered as one."""
    spans = Spans()
    for at in range(10_000):
        spans.add("recorder", "pbx", Span(begin=at * 360, end=at * 360 + 1))
    assert sum(map(len, spans._found.values())) < 2_000
    ((kind, name, span),) = spans.all()
    assert (kind, name, span.begin, span.end, span.times) == ("recorder", "pbx", 0, 9_999 * 360 + 1, 10_000)


@pytest.mark.parametrize("seed", range(10))
def test_the_worst_are_kept(seed: int) -> None:
    """As many as there is room for, the worst first, of equals the first; and all are counted."""
    some = dice(seed)
    weights = [float(some.randrange(20)) for _ in range(some.randrange(60))]
    worst = Worst[int](10)
    for number, weight in enumerate(weights):
        worst.add(weight, number)
    order = sorted(range(len(weights)), key=lambda number: -weights[number])
    assert worst.kept == order[:10]
    assert (worst.count, worst.left_out) == (len(weights), max(0, len(weights) - 10))


def test_what_an_archive_tells_twice_counts_once() -> None:
    """Entries of a bucket that is told anew, and the same entry that came back as late; other buckets are not
    remembered."""
    lines = some_tale(dice(1), 30).lines()
    first = {line for line in lines if b'"healed"' not in line}
    late = [line.replace(b'"hold":', b'"healed":true,"hold":', 1) for line in first if b'"hold":' in line]
    buckets = frozenset(range(64))
    once = Once(buckets)
    assert sum(map(once.new, [*lines, *lines, *late])) == len(lines)
    none = Once(frozenset())
    assert sum(map(none.new, [*lines, *lines])) == 2 * len(lines)
    assert none._seen == set()


def test_manifests_say_what_is_told_again(tmp_path: Path) -> None:
    """The buckets of all manifests together; what is no manifest is for the verification to tell."""
    base = Base(number=0, hash="", heads={})
    for number, anew in ((1, ()), (2, (4, 7)), (3, (7, 9))):
        one = Manifest(
            number=number,
            previous="",
            at=1,
            begins=base,
            ends=base,
            floor=base,
            entries=0,
            files={},
            key="k",
            anew=anew,
        )
        (tmp_path / manifest_name(number)).write_bytes(one.body())
    (tmp_path / manifest_name(4)).write_bytes(b"{}")
    assert told_again(tmp_path) == {4, 7, 9}


def test_a_share_is_never_rounded_up_to_all() -> None:
    """One of a million that failed is seen."""
    assert words.share(999_999, 1_000_000) == "99.99 %"
    assert words.share(0, 3) == "0.00 %"
    assert words.share(3, 3) == "100 %"
    assert words.share(0, 0) == "–"


def test_times_are_words() -> None:
    """In the largest unit of which there is one; nothing for none."""
    told = [words.brief(ms) for ms in (None, 0, 840, 2_500, 90_000, 3_600_000, 10**9)]
    assert told == ["–", "0 ms", "840 ms", "2.5 s", "1.5 min", "1 h", "11.6 d"]
    assert words.exact(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert (words.time(None), words.time(0)) == ("–", "1970-01-01T00:00:00Z")


@pytest.mark.parametrize("seed", range(10))
def test_percentiles_are_values_that_were_seen(seed: int) -> None:
    """At least so many in a hundred are not above, and fewer are below."""
    some = dice(seed)
    values = [2_500, *(some.randrange(5_000) for _ in range(some.randint(0, 300)))]
    found = exposed(values, 2_500)
    for name, value in found.percentiles[:-1]:
        share = int(name[1:]) / 100
        assert sum(one <= value for one in values) >= share * len(values)
        assert sum(one < value for one in values) < share * len(values)
    assert found.percentiles[-1] == ("longest", max(values))
    assert found.within == sum(value <= 2_500 for value in values)


def test_sources_are_bounded() -> None:
    """Ever new addresses take no more memory than the limit; those with most denials stay."""
    access = Access(window=Window())
    for number in range(25_000):
        for address in ("10.0.0.1", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}x"):
            seen = read(
                b'{"bucket":0,"seq":1,"at":5,"hash":"h","type":"access.denied","tenant":"-","op":"o","node":"n",'
                b'"node_ms":5,"address":"%b"}' % address.encode()
            )
            assert seen is not None
            access.saw(seen)
    assert len(access.sources) <= 10_001
    assert access.sources.most_common(1) == [("10.0.0.1", 25_000)]
    assert access.denied == {"not said": 50_000}


def test_holders_are_those_of_the_configuration_and_of_the_trail() -> None:
    """Each key with whose it is, whether it works, and its newest use, whoever knows of it; a key that the
    configuration does not know any more is there, too."""
    seed = os.urandom(32)
    client = {
        "tenant": "acme",
        "scopes": ["redaction:mute"],
        "keys": [
            {"kid": "aaaaaaaa", "hash": "0" * 64, "expires_at": "2020-01-01"},
            {"kid": "bbbbbbbb", "hash": "1" * 64, "not_before": "2030-01-01"},
            {"kid": "k1crm000", "hash": "2" * 64},
        ],
    }
    settings = parse(
        {
            "environment": "development",
            "backends": {
                "pbx": {"vendor": "voicenter", "base_url": "http://127.0.0.1:9/api", "evidence": "accepted"},
                "far": {"vendor": "genesys", "base_url": "http://gws.example", "plaintext": True, "username": "a"}
                | {"password": "b"},
            },
            "audit": {"old_public_keys": [base64.b64encode(seed).decode()]},
            "routes": [{"backends": ["pbx", "far"]}],
            "clients": {"crm": client},
        }
    )
    old = settings.audit.old_public_keys
    keyring = Keyring.of(hmac_key=seed, signing_key=seed, old_hmac_keys=[os.urandom(32)], old_public_keys=old)
    found = facts(settings, keyring, now=datetime(2026, 11, 21, tzinfo=UTC), used={"aaaaaaaa": 7, "k1crm000": 1})
    assert (found.plaintext, found.accepted, found.production) == (("far",), ("pbx",), False)
    assert [key.setting for key in found.trail_keys] == [
        "audit.hmac_key",
        "audit.old_hmac_keys",
        "audit.signing_key",
        "audit.old_public_keys",
    ]
    access = Access(window=Window())
    for line in some_tale(dice(2), 40).lines():
        seen = read(line)
        assert seen is not None
        access.saw(seen)
    holders = {one.kid: one for one in found.all_holders(access.keys)}
    assert {kid: one.works for kid, one in holders.items()} == {
        "aaaaaaaa": "expired",
        "bbbbbbbb": "not yet",
        "k1crm000": "yes",
        "k2ivr000": "not configured",
        "k3desk00": "not configured",
    }
    assert (holders["aaaaaaaa"].used_at, holders["bbbbbbbb"].used_at) == (7, None)
    assert holders["k1crm000"].used_at == access.keys["k1crm000"].last
    assert holders["k1crm000"].entries == access.keys["k1crm000"].entries > 0
