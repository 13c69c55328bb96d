"""An entry has one form, and a late one says that it is late."""

from __future__ import annotations

import orjson

from gateway.audit.chain import GENESIS, link
from gateway.audit.entry import Entry, EntryType, RecorderEntry, healed
from gateway.model import RecorderState

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


def test_a_link_depends_on_all_before_it() -> None:
    """Another key, another entry or another link before: another link."""
    first = link(b"k", GENESIS, b"a")
    links = {first, link(b"j", GENESIS, b"a"), link(b"k", GENESIS, b"b"), link(b"k", first, b"a")}
    assert len(links) == 4
    assert all(len(one) == 64 for one in links)
