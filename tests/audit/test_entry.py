"""An entry has one form, and a late one says that it is late."""

from __future__ import annotations

import hmac
from dataclasses import fields, replace
from random import Random
from typing import Any, get_type_hints

import orjson
import pytest

from gateway.audit import schema
from gateway.audit.chain import GENESIS, link
from gateway.audit.entry import Entry, EntryType, RecorderEntry, healed
from gateway.model import Action, Device, Evidence, Fault, RecorderState
from gateway.settings import Settings
from gateway.web.schema import MuteBody, StartCommand, TargetBody, UnmuteCommand, UnmuteQuery

ENTRY = Entry(
    type=EntryType.MUTE_INTENDED,
    tenant="acme",
    call_id="c1",
    op="o1",
    node="n",
    node_ms=5,
    recorders=(RecorderEntry(backend="verba", state=RecorderState.UNKNOWN),),
)


def test_an_entry_has_one_form() -> None:
    """Sorted keys, no spaces, nothing that is absent."""
    assert ENTRY.canonical() == (
        b'{"call_id":"c1","node":"n","node_ms":5,"op":"o1","recorders":[{"backend":"verba","state":"unknown"}],'
        b'"schema":1,"tenant":"acme","type":"mute.intended"}'
    )
    assert (
        b"recorders"
        not in Entry(type=EntryType.TRAIL_READ, tenant="acme", call_id=None, op="o", node="n", node_ms=5).canonical()
    )


def test_a_late_entry_says_so() -> None:
    """The same members and one more, in the same form; saying it twice changes nothing."""
    late = healed(ENTRY.canonical())
    assert orjson.loads(late) == {**orjson.loads(ENTRY.canonical()), "healed": True}
    assert healed(late) == late == orjson.dumps(orjson.loads(late), option=orjson.OPT_SORT_KEYS)


def test_the_one_form_is_that_of_a_general_writer_with_sorted_keys() -> None:
    """Whichever members are there, zeros and noes among them."""
    random = Random(2)  # noqa: S311 -- entries to be had again, no secrets
    for _ in range(2_000):
        recorders = tuple(RecorderEntry(**_some(random, _OF_RECORDERS)) for _ in range(random.randrange(3)))
        entry = replace(ENTRY, **_some(random, _MEMBERS), recorders=recorders)
        members = {one: said for one, said in _members(entry).items() if said != ()}
        members |= {"recorders": [_members(one) for one in recorders]} if recorders else {}
        assert entry.canonical() == orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


_MEMBERS: dict[str, Any] = {
    "client": "crm",
    "kid": "k0000000",
    "actor": "agent-17",
    "address": "::1",
    "request_id": "a" * 32,
    "trigger": "manual",
    "action": Action.MUTE,
    "hold": "default",
    "parties": "none",
    "protected": False,
    "exposure_ms": 0,
    "revision": 0,
    "version": 0,
    "healed": True,
    "count": 0,
    "device": Device.STORE,
    "away_ms": 0,
    "target": "c2",
    "method": "get",
    "names": ("actor",),
    "call_id": "c1",
}
_OF_RECORDERS: dict[str, Any] = {"parties": "both", "evidence": Evidence.ANSWER, "error": Fault.REFUSED}


def _some(random: Random, members: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: members[name] for name in random.sample([*members], random.randrange(len(members)))}
    return chosen if members is _MEMBERS else {"state": RecorderState.MUTED, "backend": "pbx", **chosen}


def _members(entry: Entry | RecorderEntry) -> dict[str, Any]:
    said = {one.name: getattr(entry, one.name) for one in fields(entry)}
    return {name: value for name, value in said.items() if value is not None}


def test_a_link_is_an_hmac_over_the_link_before_and_the_entry() -> None:
    """As anybody can reckon it again."""
    random = Random(6)  # noqa: S311 -- as above
    for size in range(0, 600, 7):
        key, entry = random.randbytes(random.choice((1, 32, 64, 65, 100))), random.randbytes(size)
        before = random.choice((GENESIS, "ab" * 32))
        assert link(key, before, entry) == hmac.new(key, before.encode() + b"\n" + entry, "sha256").hexdigest()


def test_a_link_depends_on_all_before_it() -> None:
    """Another key, another entry or another link before: another link."""
    first = link(b"k", GENESIS, b"a")
    links = {first, link(b"j", GENESIS, b"a"), link(b"k", GENESIS, b"b"), link(b"k", first, b"a")}
    assert len(links) == 4
    assert all(len(one) == 64 for one in links)


# ── the schema ──


TEXTS = (
    "two words",
    'a"b',
    "a\\b",
    "a\nb",
    "a\r",
    "a\tb",
    "a\x00b",
    "<b>",
    "é",
    "a" * 129,
    "",
    "{}",
    "a;b",
    "a&b",
    "%34",
)


def test_every_field_has_a_rule() -> None:
    """None more, none less."""
    assert {field.name for field in fields(Entry)} == set(schema.FIELDS)
    assert {field.name for field in fields(RecorderEntry)} == set(schema.RECORDER)


@pytest.mark.pci("3.2.1")
@pytest.mark.parametrize("name", [*schema.FIELDS, *(f"recorders.{name}" for name in schema.RECORDER)])
def test_no_field_takes_free_text(name: str) -> None:
    """Nor a number as text, nor something with parts; what is not a field is none either."""
    own = schema.RECORDER[name.partition(".")[2]] if "." in name else schema.FIELDS[name]
    for text in TEXTS:
        assert not own(text), text
    for value in (None, {}, {"a": "b"}, [["a"]], ["a"], 1.5, -1, 2**64, float("inf")):
        assert not own(value), value


def test_the_names_are_of_closed_sets() -> None:
    """Every section of the configuration, and every field that looks for card numbers."""
    assert set(Settings.model_fields) == schema.SECTIONS
    models = (MuteBody, UnmuteCommand, TargetBody, UnmuteQuery, StartCommand)
    hints = {name: hint for model in models for name, hint in get_type_hints(model, include_extras=True).items()}
    looking = {name for name, hint in hints.items() if "_no_card" in repr(hint)}
    assert looking | {"idempotency-key"} == schema.CARD_FIELDS
    base = {**orjson.loads(ENTRY.canonical())}
    assert schema.faults(orjson.dumps({**base, "names": ["actor", "clients"]})) == ()
    for names in (["acme"], [1], [["actor"]], "actor", {"actor": 1}):
        assert schema.faults(orjson.dumps({**base, "names": names})) == ("names",)


def test_what_is_wrong_is_named() -> None:
    """What is missing, what is unknown, what has another form; what is no object at all."""
    assert schema.faults(ENTRY.canonical()) == ()
    members = orjson.loads(ENTRY.canonical())
    assert schema.faults(orjson.dumps({**members, "note": "x", "actor": "two words"})) == ("note", "actor")
    assert schema.faults(orjson.dumps({**members, "recorders": [{"backend": "pbx"}]})) == ("recorders",)
    del members["tenant"]
    assert schema.faults(orjson.dumps(members)) == ("tenant",)
    assert schema.faults(b"[]") == schema.faults(b"no") == ("",)
