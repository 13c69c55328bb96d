"""Which certificate belongs to whom, without a connection: names as the operator may write them, and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from papers import Authority

from gateway.auth.shown import bound, checked_name

PAIR = Authority().signs("crm", "acme")
DER = PAIR.certificate.public_bytes(Encoding.DER)
ENDS = PAIR.certificate.not_valid_after_utc
NOW = datetime.now(UTC)


def fits(*names: str, der: bytes | None = DER, now: datetime = NOW) -> bool:
    return bound([checked_name(name) for name in names]).fits(der, now)


def test_a_fingerprint_in_every_usual_spelling() -> None:
    """Capitals and colons do not count."""
    plain = PAIR.fingerprint
    colons = ":".join(plain[at : at + 2] for at in range(0, 64, 2)).upper()
    assert fits(plain)
    assert fits(plain.upper())
    assert fits(colons)
    assert checked_name(colons) == plain


def test_a_subject_is_the_whole_subject_in_its_order() -> None:
    """As RFC 4514 writes it, the last part first; no part of it is enough."""
    assert fits("CN=acme,CN=crm")
    assert not any(fits(name) for name in ("CN=crm", "CN=acme", "CN=crm,CN=acme", "CN=acme,CN=CRM"))


def test_it_ends_when_the_certificate_does() -> None:
    """Also on a connection that was made before."""
    assert fits("CN=acme,CN=crm", now=ENDS - timedelta(seconds=1))
    assert not fits("CN=acme,CN=crm", now=ENDS)


def test_who_is_bound_must_show_one_and_who_is_not_need_not() -> None:
    """No names: anything will do, nothing included; but what was shown must not have run out."""
    assert not fits(PAIR.fingerprint, der=None)
    assert fits(der=None)
    assert fits(der=None, now=ENDS)
    assert fits()
    assert not fits(now=ENDS)


@pytest.mark.parametrize("text", ["", "crm", "ab" * 31, "ab" * 33, "zz" * 32, "CN", "X=crm", "CN=crm,"])
def test_what_names_no_certificate_is_refused(text: str) -> None:
    """Before anybody relies on it; the message does not repeat it."""
    with pytest.raises(ValueError, match="SHA-256") as caught:
        checked_name(text)
    assert not text or text not in str(caught.value).replace("CN=crm,O=Acme", "")
