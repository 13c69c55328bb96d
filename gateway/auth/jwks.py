"""The public keys of an issuer, from its JWK set (RFC 7517). Pure.

What a key is decides which algorithm it verifies, never what a token says: RSA of 2048 bits and more RS256,
P-256 ES256, Ed25519 EdDSA. Keys of other kinds, for other uses, or that cannot be read are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.auth import strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Key = RSAKey | ECKey | OKPKey
MAX_BYTES = 262_144
MAX_KEYS = 128

_SMALLEST_RSA_BITS = 2048
_LARGEST_RSA_BITS = 8192  # checking a signature of a larger one would take milliseconds of everybody's time
_SMALLEST_EXPONENT = 3
_KID_LENGTH = 256
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
# A published private key is the issuer's accident; the private part is not even read.
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    kid: str | None
    algorithm: str
    key: Key


class KeySet:
    """The usable keys of one set; two that answer to one name and algorithm are none."""

    def __init__(self, keys: tuple[VerifyingKey, ...] = ()) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """The one key of that name, for that algorithm; a token without a name means the only key there is."""
        named = [key for key in self._keys if kid is None or key.kid == kid]
        return named[0] if len(named) == 1 and named[0].algorithm == algorithm else None


def parse(data: bytes) -> KeySet:
    """The keys in a JWK set. `ValueError` when it is none, is too large, or has no key that could be used."""
    if len(data) > MAX_BYTES:
        raise ValueError("is too large")
    found = strict.members(data).get("keys")
    if not isinstance(found, list) or len(found) > MAX_KEYS:
        raise ValueError("is not a set of keys")
    keys = tuple(_usable(found))
    if not keys:
        raise ValueError("has no key for RS256, ES256 or EdDSA")
    return KeySet(keys)


def _usable(found: list[object]) -> Iterator[VerifyingKey]:
    for said in found:
        if isinstance(said, dict) and (key := _read(said)) is not None:
            yield key


def _read(said: Mapping[str, object]) -> VerifyingKey | None:
    kid, kind = said.get("kid"), said.get("kty")
    algorithm = _algorithm(said)
    if algorithm is None or not isinstance(kind, str) or not (kid is None or _is_kid(kid)):
        return None
    try:
        key = _imported(kind, {name: said[name] for name in _PUBLIC[kind]})
        return VerifyingKey(kid=kid if isinstance(kid, str) else None, algorithm=algorithm, key=key)
    except (JoseError, ValueError, KeyError, TypeError):
        return None


def _algorithm(said: Mapping[str, object]) -> str | None:
    """The one that the key's kind is for, unless the key says that it is for something else."""
    kind, curve = said.get("kty"), said.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = _ALGORITHMS.get((kind, curve))
    operations = said.get("key_ops", ["verify"])
    signs = said.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return algorithm if signs and said.get("alg", algorithm) == algorithm else None


def _imported(kind: str, public: dict[str, object]) -> Key:
    texts: dict[str, str | list[str]] = {name: _text(value) for name, value in public.items()}
    match kind:
        case "RSA":
            _check_rsa(public)
            return RSAKey.import_key(texts)
        case "EC":
            return ECKey.import_key(texts)
        case _:
            return OKPKey.import_key(texts)


def _check_rsa(public: Mapping[str, object]) -> None:
    """Before the library reads it, which warns of small ones and takes them."""
    modulus, exponent = (int.from_bytes(strict.decoded(_text(public[name]))) for name in ("n", "e"))
    if not _SMALLEST_RSA_BITS <= modulus.bit_length() <= _LARGEST_RSA_BITS or exponent < _SMALLEST_EXPONENT:
        raise ValueError("is too weak or too large")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("is not text")
    return value


def _is_kid(kid: object) -> bool:
    return isinstance(kid, str) and 0 < len(kid) <= _KID_LENGTH
