"""API keys: ``rgw_<kid>_<secret>_<crc>``, made, read and checked without any I/O.

The check sum tells a typo from a wrong key, and lets scanners recognise a leaked one, without asking anybody.
Only the secret's hash is stored.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import string
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.frozen import quick
from gateway.model import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from gateway.settings import Client, ClientKey

_KID_LETTERS = string.digits + string.ascii_lowercase
_KID_LENGTH = 8
_SECRET_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_BYTES = 32
_SECRET_LENGTH = 43  # the fewest letters of 62 that hold 256 bits
_FORM = re.compile(r"(rgw_([a-z0-9]{8})_([A-Za-z0-9]{43}))_([0-9a-f]{8})", re.ASCII)
_HELD = re.compile(r"rgw_[a-z0-9]{8}_[A-Za-z0-9]{43}", re.ASCII)
_MAY_HOLD_SECRET = re.compile(rf"[A-Za-z0-9]{{{_SECRET_LENGTH},}}", re.ASCII)
_NO_HASH = "0" * hashlib.sha256().digest_size * 2


class Reason(enum.StrEnum):
    """Why somebody was not let in: for metrics and logs only, callers all get the same answer."""

    MISSING = "missing"
    MALFORMED = "malformed"
    BAD_CRC = "bad-crc"
    UNKNOWN_KID = "unknown-kid"
    WRONG_SECRET = "wrong-secret"  # noqa: S105 -- the name of a reason
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    CERTIFICATE = "certificate"
    TOKEN_MISSING = "token-missing"  # noqa: S105 -- as above
    TOKEN_INVALID = "token-invalid"  # noqa: S105 -- as above
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 -- as above
    TOKEN_KEY_UNKNOWN = "token-key-unknown"  # noqa: S105 -- as above
    TOKEN_SUBJECT = "token-subject"  # noqa: S105 -- as above
    FORBIDDEN = "forbidden"
    THROTTLED = "throttled"


# Nobody knows whose request it was: a key's id is no secret, and anybody can write one.
STRANGERS = frozenset(
    {Reason.MISSING, Reason.MALFORMED, Reason.BAD_CRC, Reason.UNKNOWN_KID, Reason.WRONG_SECRET, Reason.THROTTLED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """`kid` is what the key called itself, `client` and `tenant` whose it is, as far as that is known: for the
    trail."""

    reason: Reason
    kid: str | None = field(default=None, compare=False)
    client: str | None = field(default=None, compare=False)
    tenant: str | None = field(default=None, compare=False)


def denied(reason: Reason, principal: Principal) -> Denied:
    return Denied(reason=reason, kid=principal.kid, client=principal.client, tenant=principal.tenant)


def works(key: ClientKey, now: datetime) -> str:
    """Whether the key lets anybody in at that time: ``yes``, ``not yet`` or ``expired``."""
    if key.not_before is not None and now < key.not_before:
        return "not yet"
    return "expired" if key.expires_at is not None and now >= key.expires_at else "yes"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedKey:
    kid: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedKey:
    """A new key: `text` is the whole of it, shown once; `secret` is what gets hashed."""

    kid: str
    secret: str = field(repr=False)
    text: str = field(repr=False)


def mint(random: Callable[[int], bytes]) -> MintedKey:
    """A new key from `random` (`secrets.token_bytes`): 256 bits of it are the secret."""
    kid = _spelled(random(_KID_LENGTH), _KID_LETTERS, _KID_LENGTH)
    secret = _spelled(random(_SECRET_BYTES), _SECRET_LETTERS, _SECRET_LENGTH)
    body = f"rgw_{kid}_{secret}"
    return MintedKey(kid=kid, secret=secret, text=f"{body}_{_crc(body)}")


def parse(text: str) -> ParsedKey | None:
    """The parts of a key, or None when it cannot be one: wrong form or check sum."""
    key = _read(text)
    return key if isinstance(key, ParsedKey) else None


def holds_key(text: str) -> bool:
    """`text` holds a key, whole or without its check sum, or with a wrong one: the secret is in all of them."""
    return "rgw_" in text and _HELD.search(text) is not None


def hash_secret(pepper: bytes, secret: str) -> str:
    """What is stored of a key: HMAC-SHA256 in hex."""
    return hmac.digest(pepper, secret.encode(), "sha256").hex()


class KeyRing:
    """The keys of all clients. Immutable: a changed configuration makes a new one."""

    def __init__(self, clients: Mapping[str, Client], pepper: bytes) -> None:
        self._pepper = pepper
        self._keys = {
            key.kid: (key, _principal(name, client, key)) for name, client in clients.items() for key in client.keys
        }
        self._hashes = frozenset(key.hash for key, _ in self._keys.values())

    def authenticate(self, header: str | None, now: datetime) -> Principal | Denied:
        """Who the value of `X-API-Key` is. An unknown key id costs the same hash as a wrong secret."""
        if not header:
            return Denied(reason=Reason.MISSING)
        parsed = _read(header)
        if not isinstance(parsed, ParsedKey):
            return Denied(reason=parsed)
        key, principal = self._keys.get(parsed.kid, (None, None))
        proven = self._proves(parsed, key.hash if key else _NO_HASH)
        if key is None or principal is None:
            return Denied(reason=Reason.UNKNOWN_KID, kid=parsed.kid)
        reason = _untimely(key, now) if proven else Reason.WRONG_SECRET
        return denied(reason, principal) if reason else principal

    def holds_secret(self, text: str) -> bool:
        """`text` holds the secret of one of the keys, alone or among other letters and digits."""
        if len(text) < _SECRET_LENGTH:  # nearly all are
            return False
        return any(hash_secret(self._pepper, part) in self._hashes for part in _secrets_in(text))

    def _proves(self, parsed: ParsedKey, stored: str) -> bool:
        return hmac.compare_digest(hash_secret(self._pepper, parsed.secret), stored)


def _secrets_in(text: str) -> Iterator[str]:
    """Whatever in `text` is as long as a secret and made of the same letters: hardly any id has so many together."""
    for run in _MAY_HOLD_SECRET.findall(text):
        yield from (run[at : at + _SECRET_LENGTH] for at in range(len(run) - _SECRET_LENGTH + 1))


def _read(text: str) -> ParsedKey | Reason:
    match = _FORM.fullmatch(text)
    if match is None:
        return Reason.MALFORMED
    body, kid, secret, crc = match.groups()
    return ParsedKey(kid=kid, secret=secret) if crc == _crc(body) else Reason.BAD_CRC


def _crc(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _spelled(random: bytes, letters: str, length: int) -> str:
    number, spelled = int.from_bytes(random), ""
    for _ in range(length):
        number, digit = divmod(number, len(letters))
        spelled += letters[digit]
    return spelled


def _principal(name: str, client: Client, key: ClientKey) -> Principal:
    scopes = frozenset(scope.value for scope in client.scopes)
    return Principal(client=name, tenant=client.tenant, kid=key.kid, scopes=scopes)


def _untimely(key: ClientKey, now: datetime) -> Reason | None:
    if key.not_before is not None and now < key.not_before:
        return Reason.NOT_YET_VALID
    if key.expires_at is not None and now >= key.expires_at:
        return Reason.EXPIRED
    return None
