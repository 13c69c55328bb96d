"""API keys: their form, their hash, and who is let in when."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import Denied, KeyRing, MintedKey, ParsedKey, Reason, hash_secret, mint, parse
from gateway.auth.scopes import Scope
from gateway.model import Principal
from gateway.settings import Client, ClientKey

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
PEPPER = bytes(range(32))
# Always the same key: parallel workers must collect the same tests.
KEY = mint(lambda size: bytes(range(7, 7 + size)))


def ring(*entries: ClientKey) -> KeyRing:
    client = Client(tenant="acme", scopes=frozenset({Scope.MUTE, Scope.READ}), keys=entries)
    return KeyRing({"crm": client, "ivr": Client(tenant="other", scopes=frozenset())}, PEPPER)


def entry(key: MintedKey = KEY, *, not_before: datetime | None = None, expires_at: datetime | None = None) -> ClientKey:
    stored = hash_secret(PEPPER, key.secret)
    return ClientKey(kid=key.kid, hash=stored, not_before=not_before, expires_at=expires_at)


def with_crc(body: str) -> str:
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def test_a_minted_key_has_the_form_of_the_contract() -> None:
    """rgw, key id, 43 letters of secret, and the check sum over all of it."""
    assert re.fullmatch(r"rgw_[a-z0-9]{8}_[A-Za-z0-9]{43}_[0-9a-f]{8}", KEY.text)
    body, _, crc = KEY.text.rpartition("_")
    assert crc == f"{zlib.crc32(body.encode()):08x}"
    assert body == f"rgw_{KEY.kid}_{KEY.secret}"


def test_the_secret_holds_every_bit_of_its_256() -> None:
    """Two sources that differ in one bit never make one secret, from the lowest bit to the highest."""
    sources = [(1 << bit).to_bytes(32) for bit in range(256)] + [bytes(32), b"\xff" * 32]
    made = {mint(lambda size, source=source: source[:size] if size == 32 else bytes(size)).secret for source in sources}  # type: ignore[misc]
    assert len(made) == 258
    assert {len(secret) for secret in made} == {43}


@given(st.binary(min_size=40, max_size=40))
def test_what_is_minted_is_parsed(chance: bytes) -> None:
    """Any key that can come out is taken in again."""
    made = mint(lambda size: chance[:size])
    assert parse(made.text) == ParsedKey(kid=made.kid, secret=made.secret)


@pytest.mark.parametrize("at", range(len(KEY.text)))
def test_one_wrong_letter_is_told_offline(at: int) -> None:
    """A typo anywhere, in the check sum too."""
    letter = "1" if KEY.text[at] != "1" else "2"
    assert parse(KEY.text[:at] + letter + KEY.text[at + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rgw",
        KEY.text.upper(),
        KEY.text + "\n",
        " " + KEY.text,
        KEY.text + ", " + KEY.text,
        with_crc(f"rgw_{KEY.kid.upper()[:7]}A_{KEY.secret}"),
        with_crc(f"rgw_{KEY.kid}_{KEY.secret}x"),
        with_crc(f"rgw_{KEY.kid}_{KEY.secret[:-1]}-"),
        with_crc(f"rgw_{KEY.kid}_{KEY.secret[:-1]}é"),
        with_crc(f"rgw_{KEY.kid[:-1]}١_{KEY.secret}"),
    ],
)
def test_what_has_another_form_is_no_key(text: str) -> None:
    """Even with a check sum that holds."""
    assert parse(text) is None
    assert ring(entry()).authenticate(text or None, NOW) != Denied(reason=Reason.UNKNOWN_KID)


def test_only_an_hmac_of_the_secret_is_stored() -> None:
    """With the pepper: whoever has the file alone can check no guess."""
    stored = hash_secret(PEPPER, KEY.secret)
    assert stored == hmac.new(PEPPER, KEY.secret.encode(), hashlib.sha256).hexdigest()
    assert stored != hash_secret(bytes(32), KEY.secret)


def test_a_good_key_is_the_client_with_its_tenant_and_scopes() -> None:
    """From the configuration, none of it from the caller."""
    expected = Principal(
        client="crm", tenant="acme", kid=KEY.kid, scopes=frozenset({"redaction:mute", "redaction:read"})
    )
    assert ring(entry()).authenticate(KEY.text, NOW) == expected


def test_each_cause_is_told_apart_for_the_metrics() -> None:
    """The caller sees none of this."""
    other = mint(secrets.token_bytes)
    wrong = with_crc(f"rgw_{KEY.kid}_{other.secret}")
    bad_crc = KEY.text[:-1] + ("0" if KEY.text[-1] != "0" else "1")
    cases = {
        None: Reason.MISSING,
        "": Reason.MISSING,
        "Bearer x": Reason.MALFORMED,
        bad_crc: Reason.BAD_CRC,
        other.text: Reason.UNKNOWN_KID,
        wrong: Reason.WRONG_SECRET,
    }
    denials = {header: ring(entry()).authenticate(header, NOW) for header in cases}
    assert denials == {header: Denied(reason=reason) for header, reason in cases.items()}


def test_a_key_works_from_its_first_instant_until_just_before_its_last() -> None:
    """`not_before` is inside, `expires_at` outside."""
    instant = timedelta(microseconds=1)
    bounded = ring(entry(not_before=NOW, expires_at=NOW + timedelta(hours=1)))
    assert bounded.authenticate(KEY.text, NOW - instant) == Denied(reason=Reason.NOT_YET_VALID)
    assert isinstance(bounded.authenticate(KEY.text, NOW), Principal)
    assert isinstance(bounded.authenticate(KEY.text, NOW + timedelta(hours=1) - instant), Principal)
    assert bounded.authenticate(KEY.text, NOW + timedelta(hours=1)) == Denied(reason=Reason.EXPIRED)


def test_whoever_has_not_the_secret_does_not_learn_that_a_key_expired() -> None:
    """The secret is judged before the time."""
    wrong = with_crc(f"rgw_{KEY.kid}_{mint(secrets.token_bytes).secret}")
    assert ring(entry(expires_at=NOW)).authenticate(wrong, NOW) == Denied(reason=Reason.WRONG_SECRET)


def test_keys_can_be_rotated() -> None:
    """Two keys of one client work side by side."""
    second = mint(secrets.token_bytes)
    both = ring(entry(), entry(second))
    found = [both.authenticate(key.text, NOW) for key in (KEY, second)]
    assert [item.kid for item in found if isinstance(item, Principal)] == [KEY.kid, second.kid]


def test_an_unknown_key_costs_the_same_hash_and_the_same_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: whether a key id exists cannot be told by the work it makes."""
    compared: list[int] = []
    real = hmac.compare_digest

    def counting(ours: str, theirs: str) -> bool:
        compared.append(len(theirs))
        return real(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    wrong = with_crc(f"rgw_{KEY.kid}_{mint(secrets.token_bytes).secret}")
    for header in (wrong, mint(secrets.token_bytes).text, KEY.text):
        ring(entry()).authenticate(header, NOW)
    assert compared == [64, 64, 64]


def test_no_secret_shows_in_a_repr() -> None:
    """Whatever ends up in a traceback."""
    assert KEY.secret not in f"{KEY!r} {parse(KEY.text)!r} {ring(entry())!r}"


@pytest.mark.parametrize("around", ["{}", "a{}", "{}b", "x-{}-y", "rgw_{}", "0" * 60 + "{}"])
def test_a_secret_is_seen_alone_and_among_other_letters(around: str) -> None:
    """Whole; without its last letter, or another one in its place, it is nobody's."""
    known = ring(entry())
    assert known.holds_secret(around.format(KEY.secret))
    other = "A" if KEY.secret[-1] != "A" else "B"
    for text in ("", KEY.secret[:-1], KEY.secret[:-1] + other):
        assert not known.holds_secret(around.format(text))
