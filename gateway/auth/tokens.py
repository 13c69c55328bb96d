"""Bearer tokens of persons (RFC 7519, signed as of RFC 7515), checked as RFC 8725 says.

Nothing in a token decides how it is checked: the key is looked up by name in the issuer's own set, and what the key
is decides the algorithm. Whatever could point elsewhere (another key, another certificate, extensions, encryption,
compression, a token in a token) is refused, not ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError

from gateway.auth import strict
from gateway.auth.keys import Denied, Reason
from gateway.auth.person import Person
from gateway.cards import holds_card

if TYPE_CHECKING:
    from datetime import datetime

    from joserfc._rfc7515.model import JWSAlgModel

    from gateway.auth.jwks import VerifyingKey
    from gateway.auth.strict import Members

MAX_TOKEN_LENGTH = 8_000  # what a header line of aiohttp holds, the word before it included
ALGORITHMS = ("RS256", "ES256", "EdDSA")

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_REFUSED = frozenset(
    {"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty", "epk", "p2s", "p2c", "apu", "apv"}
)
# An access token says so (RFC 9068) or is just a JWT; an identity token has the same word and another audience.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_KID_LENGTH = 256
_SUBJECT = re.compile(r"[A-Za-z0-9@._:|+=/~,-]{1,128}")
_LATEST = 253_402_300_799.0  # the last second of the year 9999
_SCOPE_CLAIMS = ("scope", "scp")


class _Invalid(Exception):  # noqa: N818 -- reads as the fact it states
    def __init__(self, reason: Reason = Reason.TOKEN_INVALID) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Issuer(Protocol):
    async def key(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """The issuer's key of that name, for that algorithm."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a token must say of itself. `leeway_seconds` is how far the issuer's clock may be from ours."""

    issuer: str
    audience: str
    leeway_seconds: float = 30.0


class TokenVerifier:
    def __init__(self, terms: Terms, issuer: Issuer) -> None:
        self._terms = terms
        self._issuer = issuer

    async def verify(self, token: str, now: datetime) -> Person | Denied:
        """Who the token names, if it holds at `now`. Raises nothing, whatever it is given."""
        try:
            return await self._person(token, now.timestamp())
        except _Invalid as invalid:
            return Denied(reason=invalid.reason)
        except ValueError:
            return Denied(reason=Reason.TOKEN_INVALID)

    async def _person(self, token: str, now: float) -> Person:
        form = _FORM.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
        if form is None:
            raise _Invalid
        header, payload, _ = (strict.decoded(part) for part in form.groups())
        kid, algorithm = _named(strict.members(header))
        key = await self._issuer.key(kid, algorithm)
        if key is None:
            raise _Invalid(Reason.TOKEN_KEY_UNKNOWN)
        _check_signature(token, key)
        return self._stated(strict.members(payload), now)

    def _stated(self, claims: Members, now: float) -> Person:
        if claims.get("iss") != self._terms.issuer or not _is_for(self._terms.audience, claims.get("aud")):
            raise _Invalid
        self._check_times(claims, now)
        return Person(subject=_subject(claims.get("sub")), scopes=_scopes(claims))

    def _check_times(self, claims: Members, now: float) -> None:
        leeway = self._terms.leeway_seconds
        if now - leeway >= _time(claims.get("exp")):
            raise _Invalid(Reason.TOKEN_EXPIRED)
        if any(name in claims and _time(claims[name]) > now + leeway for name in ("nbf", "iat")):
            raise _Invalid


def _named(header: Members) -> tuple[str | None, str]:
    """Which key the token says it was signed with, and how."""
    kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
    if _REFUSED & header.keys() or not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _Invalid
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _Invalid
    if "kid" in header and not (isinstance(kid, str) and 0 < len(kid) <= _KID_LENGTH):
        raise _Invalid
    return kid if isinstance(kid, str) else None, algorithm


class _Registry(jws.JWSRegistry):
    """One algorithm and no other. The sizes are ours: the whole token was measured before."""

    max_header_length = MAX_TOKEN_LENGTH
    max_payload_length = MAX_TOKEN_LENGTH

    def get_alg(self, name: str) -> JWSAlgModel:
        """Without the library's advice to issuers, which would be a warning at every token with EdDSA."""
        if self.allowed is None or name not in self.allowed:  # pragma: no cover -- the header was checked before
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


def _check_signature(token: str, key: VerifyingKey) -> None:
    registry = _Registry(algorithms=[key.algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(token, key.key, registry=registry)
    except (JoseError, ValueError, TypeError):
        raise _Invalid from None


def _is_for(audience: str, said: object) -> bool:
    if isinstance(said, list):
        return all(isinstance(one, str) for one in said) and audience in said
    return said == audience


def _time(said: object) -> float:
    """Seconds since the epoch; `_Invalid` for what is no time."""
    if not isinstance(said, int | float) or isinstance(said, bool):
        raise _Invalid
    if not 0 <= said <= _LATEST:  # nor what has no end, nor what is not a number
        raise _Invalid
    return float(said)


def _subject(said: object) -> str:
    """The actor in the trail: a name without spaces, and nothing that looks like a card number."""
    if not isinstance(said, str) or _SUBJECT.fullmatch(said) is None or holds_card(said):
        raise _Invalid(Reason.TOKEN_SUBJECT)
    return said


def _scopes(claims: Members) -> frozenset[str] | None:
    """`scope` (RFC 8693) or `scp`, as words in one text or a list of them. Both: what both give."""
    said = [_words(claims[name]) for name in _SCOPE_CLAIMS if name in claims]
    return frozenset.intersection(*said) if said else None


def _words(said: object) -> frozenset[str]:
    words = said.split(" ") if isinstance(said, str) else said
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _Invalid
    return frozenset(words)
