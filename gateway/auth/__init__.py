"""Who asks: the application by its API key and, where configured, the person by a bearer token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, assert_never

from gateway.auth.keys import Denied, KeyRing, Reason
from gateway.auth.scopes import TokenRule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.model import Principal
    from gateway.settings import Client

_SCHEME = "bearer "


class BearerVerifier(Protocol):
    async def verify(self, token: str, now: datetime) -> str | None:
        """The subject of a token that holds at `now`; None when it does not."""
        ...


class NoTokens:
    """The verifier where nobody vouches for persons: no token holds."""

    async def verify(self, token: str, now: datetime) -> str | None:  # noqa: ARG002 -- as BearerVerifier has it
        return None


class Authenticator:
    def __init__(self, clients: Mapping[str, Client], pepper: bytes, verifier: BearerVerifier) -> None:
        self._ring = KeyRing(clients, pepper)
        self._rules = {name: client.token for name, client in clients.items()}
        self._verifier = verifier

    async def authenticate(self, key: str | None, authorization: str | None, now: datetime) -> Principal | Denied:
        """Who the values of `X-API-Key` and `Authorization` are.

        The key comes first: without a good one no token is looked at.
        """
        principal = self._ring.authenticate(key, now)
        if isinstance(principal, Denied):
            return principal
        match self._rules[principal.client]:
            case TokenRule.NONE:
                return principal
            case TokenRule.OPTIONAL:
                return await self._with_person(principal, authorization, now) if authorization else principal
            case TokenRule.REQUIRED:
                return await self._with_person(principal, authorization, now)
            case rule:
                assert_never(rule)

    async def _with_person(self, principal: Principal, authorization: str | None, now: datetime) -> Principal | Denied:
        if not authorization:
            return Denied(reason=Reason.TOKEN_MISSING)
        subject = await self._verifier.verify(_token(authorization), now)
        return Denied(reason=Reason.TOKEN_INVALID) if subject is None else replace(principal, subject=subject)


def _token(authorization: str) -> str:
    return authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
