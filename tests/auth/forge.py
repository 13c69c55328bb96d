"""An issuer, its tokens, and what somebody makes who would like to have one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from joserfc import jwk, jws

from gateway.auth import jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.auth.jwks import VerifyingKey

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER, AUDIENCE = "https://idp.example", "redaction-gateway"
RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa-1"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec-1"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
KEYS: dict[str, jwk.RSAKey | jwk.ECKey | jwk.OKPKey] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "agent-17",
    "iat": SECONDS - 10,
    "nbf": SECONDS - 10,
    "exp": SECONDS + 300,
}
_SIGNED_AS_SAID = {*KEYS, "RS512", "PS256", "Ed25519"}
_GROUP_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def public_set(*keys: jwk.Key) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


class Issuer:
    def __init__(self) -> None:
        self.set = jwks.parse(public_set(RSA, EC, ED))

    async def key(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        return self.set.find(kid, algorithm)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes, key: Any = None) -> str:  # noqa: ANN401 -- any key, also a wrong one
    """Header and claims as they are, signed with the key that the algorithm would need, or with `key`."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    said = json.loads(head).get("alg", "RS256") if not isinstance(header, bytes) else "RS256"
    algorithm = said if isinstance(said, str) and said in _SIGNED_AS_SAID else "RS256"
    return sealed(f"{b64(head)}.{b64(body)}", algorithm, key or KEYS.get(algorithm, RSA))


def sealed(text: str, algorithm: str, key: Any) -> str:  # noqa: ANN401 -- as above
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{text}.{b64(jws.JWSRegistry.algorithms[algorithm].sign(text.encode(), key))}"


def good(algorithm: str = "RS256", **claims: object) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return signed({"alg": algorithm, "kid": KEYS[algorithm].kid, "typ": "JWT"}, said)


def headed(**header: object) -> str:
    """A good token but for its header, signed by the issuer's own RSA key."""
    said = {"alg": "RS256", "kid": "rsa-1", "typ": "JWT", **header}
    return signed({name: value for name, value in said.items() if value is not ...}, CLAIMS, RSA)


def hmac_signed(secret: bytes, header: dict[str, Any]) -> str:
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def resigned(change: Callable[[list[str]], None]) -> str:
    parts = good().split(".")
    change(parts)
    return ".".join(parts)


def malleable() -> str:
    """ES256's other valid signature of the same bytes has no claim to be refused; out of range it has."""
    head, body, signature = good("ES256").split(".")
    raw = unb64(signature)
    beyond = (int.from_bytes(raw[:32]) + _GROUP_ORDER) % (1 << 256)
    return f"{head}.{body}.{b64(beyond.to_bytes(32) + raw[32:])}"
