"""What the trail says of access."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from gateway.asks import Code, Sought
from gateway.audit import schema
from gateway.audit.entry import Entry, EntryType
from gateway.auth.changes import changes
from gateway.auth.keys import Denied, Reason
from gateway.auth.notices import Notices, slug
from gateway.auth.scopes import Scope
from gateway.auth.tally import AT_ONCE, GROUPS
from gateway.model import Action, Device, Principal
from gateway.settings import Client, ClientKey

PUT = Sought(method="put", action=Action.MUTE, call_id="c-1")
PRINCIPAL = Principal(client="crm", tenant="acme", kid="aaaaaaaa")


class Register:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.wrote = asyncio.Event()

    async def write(self, entry: Entry) -> bool:
        self.entries.append(entry)
        self.wrote.set()
        return True


def key(letter: str, **said: object) -> ClientKey:
    return ClientKey.model_validate({"kid": letter * 8, "hash": "0" * 64, **said})


def client(*keys: ClientKey, **said: object) -> Client:
    return Client.model_validate({"tenant": "acme", "scopes": {Scope.MUTE}, "keys": keys, **said})


async def test_who_was_told_to_wait_is_a_number_for_each_source() -> None:
    """None is missing, however many sources there are; beyond a few they are not told apart."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    for number in range(1_000):
        notices.throttled(f"192.0.2.{number % (GROUPS + 4)}")
    async with notices.writing():
        await register.wrote.wait()
    assert {entry.reason for entry in register.entries} == {"throttled"}
    assert {entry.type for entry in register.entries} == {EntryType.ACCESS_DENIED}
    assert [entry.count for entry in register.entries] == [50] * GROUPS + [200]
    assert [entry.address for entry in register.entries] == [f"192.0.2.{n}" for n in range(GROUPS)] + [None]


async def test_a_flood_of_denials_is_a_few_entries_and_a_number() -> None:
    """Each entry says why and from where; the last of a batch how many it stands for: none is missing."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    for number in range(1_000):
        denied = Denied(reason=Reason.WRONG_SECRET, kid="aaaaaaaa", client="crm", tenant="acme")
        notices.denied(denied, PUT, address="192.0.2.1", request_id=f"r-{number:06}")
    async with notices.writing():
        await register.wrote.wait()
    assert len(register.entries) == AT_ONCE
    first, last = register.entries[0], register.entries[-1]
    assert (first.type, first.reason, first.address) == (EntryType.ACCESS_DENIED, "wrong-secret", "192.0.2.1")
    assert (first.tenant, first.client, first.kid, first.request_id) == ("acme", "crm", "aaaaaaaa", "r-000000")
    assert sum(entry.count or 1 for entry in register.entries) == 1_000
    assert last.count == 1_000 - AT_ONCE + 1
    assert (first.call_id, first.target, first.method, first.action) == (None, "c-1", "put", Action.MUTE)
    assert schema.faults(last.canonical()) == ()


async def test_the_next_flood_is_written_too() -> None:
    """After a pause, by the same task."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing(), asyncio.timeout(30):
        for _ in range(2):
            notices.denied(Denied(reason=Reason.MISSING), PUT, address=None, request_id="r")
            await register.wrote.wait()
            register.wrote.clear()
    assert len(register.entries) == 2


async def test_what_is_left_is_written_at_the_end() -> None:
    """A stop loses none; a stranger has no tenant."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        notices.denied(Denied(reason=Reason.MISSING), PUT, address=None, request_id="r")
    assert [(entry.tenant, entry.client) for entry in register.entries] == [("-", None)]


STRANGER = Denied(reason=Reason.UNKNOWN_KID, kid="bbbbbbbb")
WRONG = Denied(reason=Reason.WRONG_SECRET, kid="aaaaaaaa", client="crm", tenant="acme")
FORBIDDEN = Denied(reason=Reason.FORBIDDEN, kid="aaaaaaaa", client="crm", tenant="acme")


async def test_bad_keys_hide_no_stolen_one() -> None:
    """However many strangers from however many addresses, also with the ids of good keys: who has a good key and may
    not is written down as if they were not there, with address and key."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        for number in range(500):
            notices.denied(STRANGER, PUT, address=f"192.0.2.{number % 250}", request_id=f"s-{number:06}")
            notices.denied(WRONG, PUT, address=f"198.51.100.{number % 250}", request_id=f"w-{number:06}")
        for number in range(3):
            notices.denied(FORBIDDEN, PUT, address="203.0.113.9", request_id=f"f-{number:06}")
    found = [one for one in register.entries if one.reason == "forbidden"]
    assert [(one.client, one.kid, one.address, one.request_id, one.count) for one in found] == [
        ("crm", "aaaaaaaa", "203.0.113.9", f"f-{number:06}", None) for number in range(3)
    ]
    assert sum(one.count or 1 for one in register.entries) == 1_003
    assert len(register.entries) <= AT_ONCE + GROUPS + 1 + 3


async def test_a_sum_says_only_what_all_of_its_members_say() -> None:
    """Sixteen sources of a measure are told apart, each with its own number; the rest has neither address nor key."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    said = [
        replace(WRONG, kid=f"{number % 3:08}") if number % 2 else replace(STRANGER, kid=f"{number % 3:08}")
        for number in range(600)
    ]
    async with notices.writing():
        for number, one in enumerate(said):
            notices.denied(one, PUT, address=f"192.0.2.{number % 40}", request_id=f"r-{number:06}")
    counted: Counter[tuple[str | None, str | None, str | None, str]] = Counter()
    for entry in register.entries:
        counted[entry.address, entry.client, entry.reason, entry.tenant] += entry.count or 1
        if entry.count is not None:
            assert (entry.kid, entry.request_id) == (None, None)
    rest = (None, None, None, "-")
    assert counted.pop(rest) == 600 - 15 * GROUPS
    assert set(counted.values()) == {15}
    assert len(counted) == GROUPS
    for address, client, reason, tenant in counted:
        assert address is not None
        assert (client, reason, tenant) in {("crm", "wrong-secret", "acme"), (None, "unknown-kid", "-")}


async def test_the_rest_has_neither_address_nor_key() -> None:
    """Also when it is one alone: it says that there was no room to tell it apart."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        for number in range(GROUPS + 1):
            notices.denied(STRANGER, PUT, address=f"192.0.2.{number}", request_id=f"r-{number:06}")
    assert [one.address is None and one.kid is None for one in register.entries] == [False] * GROUPS + [True]


async def test_a_sum_of_different_calls_names_none() -> None:
    """Nor what was wanted of them, where that differs; which fields held a card number neither."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        for number in range(30):
            method = ("put", "get")[number % 2]
            sought = Sought(method=method, call_id=f"c-{number}")
            notices.denied(FORBIDDEN, sought, address="192.0.2.1", request_id=f"r-{number:06}")
            names = (("actor",), ("hold",))[number % 2]
            notices.card_found(PRINCIPAL, names=names, address="192.0.2.1", request_id=f"r-{number:06}")
    sums = [one for one in register.entries if one.count is not None]
    assert [(one.target, one.method, one.names, one.count) for one in sums] == [(None, None, (), 21)] * 2
    assert {(one.client, one.kid, one.address) for one in sums} == {("crm", "aaaaaaaa", "192.0.2.1")}
    assert register.entries[0].target == "c-0"


async def test_what_is_lost_hides_nothing_else_that_is() -> None:
    """A recorder that comes and goes all the time leaves room for another one, and for a device."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        for number in range(40):
            notices.recorder("pbx", up=False)
            notices.device(Device.STORE, up=True, away_ms=number)
        notices.recorder("verba", up=False)
        notices.device(Device.JOURNAL, up=True, away_ms=3)
    said = {
        (one.type.value, one.recorders[0].backend if one.recorders else one.device, one.away_ms, one.count)
        for one in register.entries[-2 * AT_ONCE - 2 :]
    }
    assert {("recorder.lost", "verba", None, None), ("device.recovered", Device.JOURNAL, 3, None)} <= said
    assert {("recorder.lost", "pbx", None, 31), ("device.recovered", Device.STORE, None, 31)} <= said


async def test_each_kind_has_its_own_measure() -> None:
    """A flood of one leaves room for the others; each says how many it stands for."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        for _ in range(50):
            notices.refused(Code.INVALID_REQUEST, address="192.0.2.1", request_id=None)
        notices.denied(Denied(reason=Reason.MISSING), PUT, address=None, request_id="r-000001")
        notices.card_found(PRINCIPAL, names=("actor",), address=None, request_id="r-000001")
    counts = Counter(dict.fromkeys(EntryType, 0))
    for entry in register.entries:
        counts[entry.type] += entry.count or 1
    assert counts[EntryType.REQUEST_REFUSED] == 50
    assert counts[EntryType.ACCESS_DENIED] == counts[EntryType.CARD_FOUND] == 1
    assert len(register.entries) == AT_ONCE + 2


@pytest.mark.pci("10.7")
async def test_what_is_lost_and_found_again_is_said() -> None:
    """Which device or recorder, why, and for how long it was away."""
    register = Register()
    notices = Notices(register, node="pod-1", ms=lambda: 7)
    async with notices.writing():
        notices.device(Device.STORE, up=False, reason=slug("TimeoutError"))
        notices.device(Device.STORE, up=True, away_ms=5, reason=slug(None))
        notices.recorder("pbx", up=False)
        notices.recorder("pbx", up=True, away_ms=6)
    told = [(entry.type.value, entry.device, entry.reason, entry.away_ms) for entry in register.entries]
    assert sorted(told, key=str) == sorted(
        [
            ("device.lost", Device.STORE, "timeout-error", None),
            ("device.recovered", Device.STORE, None, 5),
            ("recorder.lost", None, None, None),
            ("recorder.recovered", None, None, 6),
        ],
        key=str,
    )
    assert {one.backend for entry in register.entries for one in entry.recorders} == {"pbx"}


CASES = {
    "nothing": ({"crm": client(key("a"))}, {"crm": client(key("a"))}, []),
    "added": ({"crm": client()}, {"crm": client(key("a"))}, [("key.added", "crm", "aaaaaaaa")]),
    "removed": ({"crm": client(key("a"))}, {"crm": client()}, [("key.removed", "crm", "aaaaaaaa")]),
    "rotated": (
        {"crm": client(key("a"))},
        {"crm": client(key("a", expires_at="2030-01-01T00:00:00Z"), key("b"))},
        [("key.changed", "crm", "aaaaaaaa"), ("key.added", "crm", "bbbbbbbb")],
    ),
    "handed-over": (
        {"crm": client(key("a")), "ivr": client()},
        {"crm": client(), "ivr": client(key("a"))},
        [("key.removed", "crm", "aaaaaaaa"), ("key.added", "ivr", "aaaaaaaa")],
    ),
    "scopes": ({"crm": client()}, {"crm": client(scopes=set())}, [("client.changed", "crm", None)]),
    "clients": (
        {"crm": client()},
        {"ivr": client()},
        [("client.removed", "crm", None), ("client.added", "ivr", None)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_change_is_named(name: str) -> None:
    """Who got which key, who lost one, who may what: nothing more, and no secret."""
    before, after, expected = CASES[name]
    found = [(change.type.value, change.client, change.kid) for change in changes(before, after)]
    assert found == expected
