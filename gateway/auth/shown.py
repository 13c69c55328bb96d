"""Client certificates: which ones a client may show. That an authority vouches for it was seen when the connection
was made; whose it is, is seen here, with every request."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def checked_name(text: str) -> str:
    """The SHA-256 fingerprint, in small letters without colons, or the subject as it was written. `ValueError` when
    it is neither."""
    plain = text.replace(":", "").lower()
    if _FINGERPRINT.fullmatch(plain):
        return plain
    try:
        named = len(x509.Name.from_rfc4514_string(text))
    except ValueError:
        named = 0
    if not named:
        raise ValueError("must be a SHA-256 fingerprint (64 hex digits) or a subject such as CN=crm,O=Acme")
    return text


@dataclass(frozen=True, slots=True)
class Bound:
    """The certificates that one client may show; none: it need not show any."""

    fingerprints: frozenset[str]
    subjects: tuple[x509.Name, ...]

    def fits(self, der: bytes | None, now: datetime) -> bool:
        """Whether the one that was shown (DER; None for none) is one of them, and has not run out meanwhile: a
        connection lasts, and a session can be taken up again without being looked at."""
        anything = not self.fingerprints and not self.subjects
        if der is None:
            return anything
        shown = x509.load_der_x509_certificate(der)
        known = hashlib.sha256(der).hexdigest() in self.fingerprints or shown.subject in self.subjects
        return (anything or known) and now < shown.not_valid_after_utc


def bound(names: Iterable[str]) -> Bound:
    """`names` as `checked_name` gives them."""
    fingerprints = frozenset(name for name in names if _FINGERPRINT.fullmatch(name))
    subjects = (x509.Name.from_rfc4514_string(name) for name in names if name not in fingerprints)
    return Bound(fingerprints, tuple(subjects))
