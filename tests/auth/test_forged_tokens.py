"""Tokens that somebody made up: none holds, whatever is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt as other_library
import pytest
from forge import (
    AUDIENCE,
    CLAIMS,
    EC,
    ED,
    ISSUER,
    KEYS,
    NOW,
    RSA,
    SECONDS,
    Issuer,
    b64,
    good,
    headed,
    hmac_signed,
    malleable,
    resigned,
    sealed,
    signed,
    unb64,
)
from joserfc import jwk

from gateway.auth.keys import Denied, Reason
from gateway.auth.person import Person
from gateway.auth.tokens import MAX_TOKEN_LENGTH, Terms, TokenVerifier

if TYPE_CHECKING:
    from collections.abc import Callable

TERMS = Terms(issuer=ISSUER, audience=AUDIENCE, leeway_seconds=30)
STRANGER = jwk.RSAKey.generate_key(2048, {"kid": "rsa-1"})
PEM = RSA.as_pem(private=False)
BODY = json.dumps(CLAIMS).encode()
HEAD = b'{"alg":"RS256","kid":"rsa-1","typ":"JWT"}'


def _flipped(part: int, at: int) -> Callable[[], str]:
    def change(parts: list[str]) -> None:
        data = bytearray(unb64(parts[part]))
        data[at] ^= 1
        parts[part] = b64(bytes(data))

    return lambda: resigned(change)


FORGED: dict[str, Callable[[], str]] = {
    # no signature, or none that counts
    "empty": lambda: "",
    "dots": lambda: "..",
    "alg-none": lambda: signed({"alg": "none"}, CLAIMS).rpartition(".")[0] + ".",
    "alg-none-signed": lambda: headed(alg="none"),
    "alg-None": lambda: headed(alg="None"),
    "alg-NONE": lambda: headed(alg="nOnE"),
    "alg-empty": lambda: headed(alg=""),
    "alg-null": lambda: headed(alg=None),
    "alg-missing": lambda: headed(alg=...),
    "alg-number": lambda: headed(alg=256),
    "alg-list": lambda: headed(alg=["RS256"]),
    "alg-lower": lambda: headed(alg="rs256"),
    "signature-cut": lambda: good()[:-8],
    "signature-gone": lambda: good().rpartition(".")[0],
    "signature-empty": lambda: good().rpartition(".")[0] + ".",
    "signature-zero": lambda: good().rpartition(".")[0] + "." + b64(bytes(256)),
    "signature-flipped": _flipped(2, 5),
    "payload-flipped": _flipped(1, 10),
    "header-flipped": _flipped(0, 3),
    "es256-zero": lambda: good("ES256").rpartition(".")[0] + "." + b64(bytes(64)),
    "es256-der": lambda: good("ES256").rpartition(".")[0] + "." + b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"),
    "es256-beyond-order": malleable,
    "eddsa-zero": lambda: good("EdDSA").rpartition(".")[0] + "." + b64(bytes(64)),
    # the wrong key, or the right one used wrongly
    "hs256-public-pem": lambda: hmac_signed(PEM, {"alg": "HS256", "kid": "rsa-1", "typ": "JWT"}),
    "hs256-as-rs256": lambda: hmac_signed(PEM, {"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}),
    "hs256-modulus": lambda: hmac_signed(unb64(str(RSA.as_dict()["n"])), {"alg": "HS256", "kid": "rsa-1"}),
    "hs256-empty": lambda: hmac_signed(b"", {"alg": "HS256", "kid": "rsa-1"}),
    "stranger-same-kid": lambda: signed({"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}, CLAIMS, STRANGER),
    "rs512": lambda: headed(alg="RS512"),
    "ps256": lambda: headed(alg="PS256"),
    "es384": lambda: headed(alg="ES384"),
    "es256k": lambda: headed(alg="ES256K"),
    "ed25519-name": lambda: signed({"alg": "Ed25519", "kid": "ed-1", "typ": "JWT"}, CLAIMS, ED),
    "rs256-under-ec-kid": lambda: headed(kid="ec-1"),
    "es256-under-rsa-kid": lambda: signed({"alg": "ES256", "kid": "rsa-1", "typ": "JWT"}, CLAIMS, EC),
    "eddsa-under-ec-kid": lambda: signed({"alg": "EdDSA", "kid": "ec-1", "typ": "JWT"}, CLAIMS, ED),
    # names of keys that are more than names
    "kid-unknown": lambda: headed(kid="rsa-2"),
    "kid-missing": lambda: headed(kid=...),
    "kid-empty": lambda: headed(kid=""),
    "kid-null": lambda: headed(kid=None),
    "kid-number": lambda: headed(kid=1),
    "kid-list": lambda: headed(kid=["rsa-1"]),
    "kid-path": lambda: headed(kid="../../../../dev/null"),
    "kid-query": lambda: headed(kid="' UNION SELECT 'key"),
    "kid-nul": lambda: headed(kid="rsa-1\x00"),
    "kid-space": lambda: headed(kid="rsa-1 "),
    "kid-long": lambda: headed(kid="r" * 300),
    # headers that point elsewhere
    "jku": lambda: headed(jku="https://evil.example/jwks.json"),
    "x5u": lambda: headed(x5u="https://evil.example/x.pem"),
    "x5c": lambda: headed(x5c=["MIIB"]),
    "jwk": lambda: signed(
        {"alg": "RS256", "kid": "rsa-1", "typ": "JWT", "jwk": STRANGER.as_dict(private=False)}, CLAIMS, STRANGER
    ),
    "crit-unknown": lambda: headed(crit=["https://evil.example/x"]),
    "crit-exp": lambda: headed(crit=["exp"], exp=SECONDS),
    "crit-empty": lambda: headed(crit=[]),
    "b64-false": lambda: headed(b64=False, crit=["b64"]),
    "b64-false-alone": lambda: headed(b64=False),
    "b64-false-raw": lambda: sealed(
        b64(b'{"alg":"RS256","kid":"rsa-1","b64":false,"crit":["b64"]}') + "." + BODY.decode(), "RS256", RSA
    ),
    "zip": lambda: headed(zip="DEF"),
    "nested": lambda: signed({"alg": "RS256", "kid": "rsa-1", "typ": "JWT", "cty": "JWT"}, good().encode()),
    "jwe": lambda: ".".join([b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), "a", "b", "c", "d"]),
    "jwe-headers": lambda: headed(enc="A256GCM"),
    "typ-logout": lambda: headed(typ="logout+jwt"),
    "typ-number": lambda: headed(typ=1),
    "typ-dpop": lambda: headed(typ="dpop+jwt"),
    # not the bytes that were meant
    "json-serialization": lambda: json.dumps(
        dict(zip(("protected", "payload", "signature"), good().split("."), strict=True))
    ),
    "four-parts": lambda: good() + ".x",
    "padded": lambda: good() + "=",
    "standard-alphabet": lambda: good().replace("-", "+").replace("_", "/") + "+",
    "newline": lambda: good() + "\n",
    "inner-space": lambda: good().replace(".", " .", 1),
    "trailing-bits": lambda: sealed(b64(HEAD)[:-1] + chr(ord(b64(HEAD)[-1]) + 1) + "." + b64(BODY), "RS256", RSA),
    "header-twice": lambda: signed(b'{"alg":"none","alg":"RS256","kid":"rsa-1","typ":"JWT"}', CLAIMS),
    "claims-twice": lambda: signed(HEAD, BODY[:-1] + b',"sub":"admin"}'),
    "header-list": lambda: signed(b'["RS256"]', CLAIMS),
    "header-no-json": lambda: signed(b"{alg:RS256}", CLAIMS),
    "header-latin": lambda: signed(b'{"alg":"RS256","kid":"rsa-1","x":"\xe9"}', CLAIMS),
    "header-deep": lambda: signed(b'{"alg":"RS256","kid":"rsa-1","x":' + b"[" * 2000 + b"]" * 2000 + b"}", CLAIMS),
    "claims-list": lambda: signed(HEAD, b"[1]"),
    "claims-text": lambda: signed(HEAD, b'"sub"'),
    "claims-nan": lambda: signed(HEAD, BODY[:-1] + b',"x":NaN}'),
    "too-long": lambda: good(x="a" * MAX_TOKEN_LENGTH),
    # true tokens of somebody else, some other time, or nobody
    "iss-other": lambda: good(iss="https://evil.example"),
    "iss-slash": lambda: good(iss=ISSUER + "/"),
    "iss-list": lambda: good(iss=[ISSUER]),
    "iss-missing": lambda: good(iss=...),
    "aud-other": lambda: good(aud="billing"),
    "aud-part": lambda: good(aud="redaction-gateway-test"),
    "aud-missing": lambda: good(aud=...),
    "aud-empty": lambda: good(aud=[]),
    "aud-mixed": lambda: good(aud=[AUDIENCE, 1]),
    "aud-object": lambda: good(aud={AUDIENCE: 1}),
    "exp-past": lambda: good(exp=SECONDS - 31),
    "exp-edge": lambda: good(exp=SECONDS - 30),
    "exp-missing": lambda: good(exp=...),
    "exp-null": lambda: good(exp=None),
    "exp-text": lambda: good(exp=str(SECONDS + 300)),
    "exp-true": lambda: good(exp=True),
    "exp-huge": lambda: good(exp=10**400),
    "exp-infinite": lambda: signed(HEAD, BODY.replace(str(SECONDS + 300).encode(), b"1e999")),
    "exp-negative": lambda: good(exp=-1),
    "nbf-future": lambda: good(nbf=SECONDS + 31),
    "nbf-text": lambda: good(nbf="now"),
    "iat-future": lambda: good(iat=SECONDS + 31),
    "iat-null": lambda: good(iat=None),
    "sub-missing": lambda: good(sub=...),
    "sub-empty": lambda: good(sub=""),
    "sub-number": lambda: good(sub=17),
    "sub-list": lambda: good(sub=["agent-17"]),
    "sub-line": lambda: good(sub="agent\n17"),
    "sub-long": lambda: good(sub="a" * 129),
    "sub-card": lambda: good(sub="4111111111111111"),
    "sub-spaces": lambda: good(sub=" agent"),
    "scope-number": lambda: good(scope=7),
    "scope-list-of-numbers": lambda: good(scp=[7]),
}


async def verified(token: str) -> Person | Denied:
    return await TokenVerifier(TERMS, Issuer()).verify(token, NOW)


@pytest.mark.parametrize("name", FORGED)
async def test_no_forged_token_holds(name: str) -> None:
    """And nothing is raised, whatever it is."""
    assert isinstance(await verified(FORGED[name]()), Denied)


def test_there_are_enough_of_them() -> None:
    """Sixty at least, all different."""
    assert len({name: make() for name, make in FORGED.items()}) >= 60


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+JWT", ...], ids=["jwt", "at", "long", "none"])
async def test_a_true_token_names_the_person(algorithm: str, kind: Any) -> None:  # noqa: ANN401 -- a text or its absence
    """Of every algorithm, under every name of its kind; unknown headers that point nowhere do not hurt."""
    header = {"alg": algorithm, "kid": KEYS[algorithm].kid, "typ": kind, "x5t": "abc", "org": "7"}
    token = signed({name: value for name, value in header.items() if value is not ...}, CLAIMS)
    assert await verified(token) == Person(subject="agent-17")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": SECONDS - 29},
        {"exp": SECONDS + 0.5},
        {"nbf": SECONDS + 30},
        {"nbf": ..., "iat": ...},
        {"iat": SECONDS + 30},
        {"aud": ["billing", AUDIENCE]},
    ],
    ids=["exp", "half", "nbf", "no-times", "iat", "several"],
)
async def test_what_is_just_within_holds(claims: dict[str, Any]) -> None:
    """The leeway to its last second, several audiences, no times but the end."""
    assert await verified(good(**claims)) == Person(subject="agent-17")


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "redaction:mute redaction:read"}, {"redaction:mute", "redaction:read"}),
        ({"scp": ["redaction:mute"]}, {"redaction:mute"}),
        ({"scope": "redaction:mute redaction:read", "scp": ["redaction:read"]}, {"redaction:read"}),
        ({"scope": ""}, {""}),
    ],
    ids=["words", "list", "both", "empty"],
)
async def test_the_scopes_of_a_token_are_read(claims: dict[str, Any], scopes: set[str]) -> None:
    """As issuers write them; where two claims speak, what both give."""
    assert await verified(good(**claims)) == Person(subject="agent-17", scopes=frozenset(scopes))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exp-past", Reason.TOKEN_EXPIRED),
        ("kid-unknown", Reason.TOKEN_KEY_UNKNOWN),
        ("sub-card", Reason.TOKEN_SUBJECT),
        ("alg-none", Reason.TOKEN_INVALID),
    ],
)
async def test_the_operator_learns_why(name: str, reason: Reason) -> None:
    """By the metric; the caller does not."""
    assert await verified(FORGED[name]()) == Denied(reason=reason)


def _other(name: str) -> bool:
    """Whether the other library takes it, as it is commonly called: key by name, a list of algorithms."""
    by_kid: dict[object, Any] = {"rsa-1": RSA, "ec-1": EC, "ed-1": ED}
    token = FORGED[name]()
    try:
        kid = other_library.get_unverified_header(token).get("kid")
        key = by_kid[kid].public_key
        options: Any = {"require": ["exp", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        other_library.decode(
            token, key, algorithms=["RS256", "ES256", "EdDSA"], audience=AUDIENCE, issuer=ISSUER, options=options
        )
    except (other_library.PyJWTError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


LAXER = {
    "claims-twice",
    "exp-edge",
    "exp-past",
    "nbf-future",
    "iat-future",
    "sub-line",
    "sub-long",
    "sub-card",
    "sub-spaces",
    "sub-empty",
    "header-twice",
}


@pytest.mark.parametrize("name", sorted(LAXER))
def test_where_another_library_would_let_it_pass_we_do_not(name: str) -> None:
    """The readers disagree here (times apart, which it was told not to judge): the strict one is ours."""
    assert _other(name)
