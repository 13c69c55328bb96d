"""Key and token together: who is let in under which rule."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from gateway.auth import Authenticator, BearerVerifier, NoTokens
from gateway.auth.keys import Denied, Reason, hash_secret, mint
from gateway.auth.person import Person
from gateway.auth.scopes import Scope, TokenRule
from gateway.model import Principal
from gateway.settings import Client, ClientKey

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
PEPPER = bytes(range(32))
KEY = mint(secrets.token_bytes)


class OneToken:
    """Knows one token, of one person."""

    def __init__(self, scopes: frozenset[str] | None = None) -> None:
        self.asked: list[str] = []
        self.scopes = scopes

    async def verify(self, token: str, now: datetime) -> Person | Denied:
        self.asked.append(token)
        good = token == "good" and now == NOW
        return Person(subject="agent-17", scopes=self.scopes) if good else Denied(reason=Reason.TOKEN_INVALID)


def authenticator(rule: TokenRule, verifier: BearerVerifier) -> Authenticator:
    key = ClientKey(kid=KEY.kid, hash=hash_secret(PEPPER, KEY.secret))
    return Authenticator(
        {"crm": Client(tenant="acme", scopes=frozenset({Scope.MUTE, Scope.READ}), token=rule, keys=(key,))},
        PEPPER,
        verifier,
    )


@pytest.mark.parametrize(
    ("rule", "authorization", "expected"),
    [
        (TokenRule.NONE, None, None),
        (TokenRule.NONE, "Bearer bad", None),
        (TokenRule.OPTIONAL, None, None),
        (TokenRule.OPTIONAL, "Bearer good", "agent-17"),
        (TokenRule.OPTIONAL, "bearer  good ", "agent-17"),
        (TokenRule.OPTIONAL, "Bearer bad", Reason.TOKEN_INVALID),
        (TokenRule.OPTIONAL, "Basic good", Reason.TOKEN_INVALID),
        (TokenRule.OPTIONAL, "Digest good", Reason.TOKEN_INVALID),
        (TokenRule.REQUIRED, None, Reason.TOKEN_MISSING),
        (TokenRule.REQUIRED, "", Reason.TOKEN_INVALID),
        (TokenRule.OPTIONAL, "", Reason.TOKEN_INVALID),
        (TokenRule.REQUIRED, "Bearer good", "agent-17"),
        (TokenRule.REQUIRED, "Bearer bad", Reason.TOKEN_INVALID),
        (TokenRule.REQUIRED, "good", Reason.TOKEN_INVALID),
    ],
)
async def test_the_rule_decides_what_a_token_must_be(
    rule: TokenRule, authorization: str | None, expected: str | Reason | None
) -> None:
    """Ignored, checked when it comes, or needed; a good one names the person."""
    found = await authenticator(rule, OneToken()).authenticate(KEY.text, authorization, NOW)
    assert (found.reason if isinstance(found, Denied) else found.subject) == expected


async def test_no_token_is_looked_at_without_a_good_key() -> None:
    """The cheap check comes first, and strangers cannot make us fetch keys."""
    verifier = OneToken()
    found = await authenticator(TokenRule.REQUIRED, verifier).authenticate(None, "Bearer good", NOW)
    assert found == Denied(reason=Reason.MISSING)
    assert verifier.asked == []


async def test_where_nobody_vouches_no_token_holds() -> None:
    """A client that needs one is refused; one that does not is not."""
    needs = await authenticator(TokenRule.REQUIRED, NoTokens()).authenticate(KEY.text, "Bearer good", NOW)
    assert needs == Denied(reason=Reason.TOKEN_INVALID)
    free = await authenticator(TokenRule.NONE, NoTokens()).authenticate(KEY.text, "Bearer good", NOW)
    assert isinstance(free, Principal)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (None, {"redaction:mute", "redaction:read"}),
        (frozenset({"redaction:mute", "openid"}), {"redaction:mute"}),
        (frozenset({"redaction:force", "redaction:unmute"}), set()),
        (frozenset[str](), set()),
    ],
    ids=["silent", "part", "more", "none"],
)
async def test_a_token_narrows_and_never_widens(given: frozenset[str] | None, left: set[str]) -> None:
    """What the application may not, no person may through it."""
    found = await authenticator(TokenRule.REQUIRED, OneToken(given)).authenticate(KEY.text, "Bearer good", NOW)
    assert isinstance(found, Principal)
    assert found.scopes == left


async def test_who_was_denied_is_known_as_far_as_it_is() -> None:
    """The trail names key and client once the key was good."""
    found = await authenticator(TokenRule.REQUIRED, OneToken()).authenticate(KEY.text, None, NOW)
    assert isinstance(found, Denied)
    assert (found.kid, found.client, found.tenant) == (KEY.kid, "crm", "acme")


async def test_a_replaced_configuration_counts_at_once_and_whole() -> None:
    """Keys, rules and who must name a person come and go together."""
    door = authenticator(TokenRule.NONE, NoTokens())
    assert isinstance(await door.authenticate(KEY.text, None, NOW), Principal)
    assert door.uses == {KEY.kid: NOW}
    assert not door.needs_actor("crm")
    other = mint(secrets.token_bytes)
    key = ClientKey(kid=other.kid, hash=hash_secret(PEPPER, other.secret))
    client = Client(tenant="acme", scopes=frozenset(), keys=(key,), require_actor=True)
    door.replace({"crm": client}, PEPPER, NoTokens())
    assert await door.authenticate(KEY.text, None, NOW) == Denied(reason=Reason.UNKNOWN_KID)
    assert isinstance(await door.authenticate(other.text, None, NOW), Principal)
    assert door.needs_actor("crm")
