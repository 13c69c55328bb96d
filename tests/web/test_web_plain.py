"""A body that is plainly well formed is read once: what comes of it is what the slow way makes of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gateway.asks import Failure
from gateway.web import parse, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

KNOWN = schema.Known(backends=frozenset({"pbx", "il"}))
PARTS = (
    '"hold"', '"default"', '"parties"', '"both"', '"targets"', '"pbx"', '"view_id"', '"01"', '"actor"', '"agent-17"',
    '"h\\u006fld"', '"a:b"', '"{"', '"call_status"', '"extension"', '["ongoing"]', '"8856"', "{", "}", "[", "]", ":",
    ",", "null", "1", "120", '"resume_after_seconds"', "NaN", "1e999", '"reason"', '"4111 1111 1111 1111"', " ",
    '"\\ud800"', '"x', "\\", "\u2028", "{}", '"backends"', '["pbx"]', "true",
)  # fmt: skip
WHOLE = (
    "{}",
    '{"hold":"a"}',
    '{"hold":"a","hold":"b"}',
    '{"hold":"a","h\\u006fld":"b"}',
    '{"targets":{"pbx":{"view_id":"01"},"pbx":{"view_id":"02"}}}',
    '{"targets":{"pbx":{"view_id":"01","view_id":"01"}}}',
    '{"actor":null}',
    '{"actor":"null"}',
    '{"actor":"a:b{c"}',
    '{"call_status":["ongoing"]}',
    '{"targets":' * 9 + "{}" + "}" * 9,
    '{"resume_after_seconds":NaN}',
    '{"resume_after_seconds":120}',
    '{"resume_after_seconds":1e999}',
)


def bodies() -> Iterator[bytes]:
    chance = random.Random(7)  # noqa: S311 -- bodies to be had again
    yield from (text.encode() for text in WHOLE)
    for _ in range(3_000):
        pairs = [f"{chance.choice(PARTS)}:{chance.choice(PARTS)}" for _ in range(chance.randrange(4))]
        yield ("{" + ",".join(pairs) + "}").encode()
        yield "".join(chance.choice(PARTS) for _ in range(chance.randrange(8))).encode()


def read(data: bytes) -> object:
    try:
        return parse.body(schema.MUTE, data, KNOWN)
    except Failure as failure:
        return failure.code, failure.faults


def test_both_ways_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of bodies, well formed and not, with names said twice, nulls, depth, odd numbers and odd letters: the
    same model, or the same faults."""
    quick = {data: read(data) for data in bodies()}
    plain = sum(parse._is_plain(data) for data in quick)
    monkeypatch.setattr(parse, "_is_plain", lambda _: False)
    slow = {data: read(data) for data in bodies()}
    assert quick == slow
    assert len(quick) > plain > 20
