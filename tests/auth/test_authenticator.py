"""Key and token together: who is let in under which rule."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from gateway.auth import Authenticator, BearerVerifier, NoTokens
from gateway.auth.keys import Denied, Reason, hash_secret, mint
from gateway.auth.scopes import TokenRule
from gateway.model import Principal
from gateway.settings import Client, ClientKey

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
PEPPER = bytes(range(32))
KEY = mint(secrets.token_bytes)


class OneToken:
    """Knows one token, of one person."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def verify(self, token: str, now: datetime) -> str | None:
        self.asked.append(token)
        return "agent-17" if token == "good" and now == NOW else None


def authenticator(rule: TokenRule, verifier: BearerVerifier) -> Authenticator:
    key = ClientKey(kid=KEY.kid, hash=hash_secret(PEPPER, KEY.secret))
    return Authenticator({"crm": Client(tenant="acme", scopes=frozenset(), token=rule, keys=(key,))}, PEPPER, verifier)


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
        (TokenRule.REQUIRED, "", Reason.TOKEN_MISSING),
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
