"""Who asks: the application by its API key and, where configured, its certificate; the person by a bearer token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from gateway.auth.keys import Denied, KeyRing, Reason, denied
from gateway.auth.person import BearerVerifier, NoTokens
from gateway.auth.scopes import TokenRule
from gateway.auth.shown import Bound, bound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.model import Principal
    from gateway.settings import Client

__all__ = ["Authenticator", "BearerVerifier", "NoTokens"]

_SCHEME = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """All that is known of who may ask. Replaced as a whole: no request sees half of a change."""

    ring: KeyRing
    rules: Mapping[str, TokenRule]
    bound: Mapping[str, Bound]
    needs_actor: frozenset[str]
    verifier: BearerVerifier


class Authenticator:
    """`uses` is when each key was last good, by its kid."""

    def __init__(self, clients: Mapping[str, Client], pepper: bytes, verifier: BearerVerifier) -> None:
        self.uses: dict[str, datetime] = {}
        self._known = _known(clients, pepper, verifier)

    def replace(self, clients: Mapping[str, Client], pepper: bytes, verifier: BearerVerifier) -> None:
        """From now on these, and no others, are known."""
        self._known = _known(clients, pepper, verifier)

    def needs_actor(self, client: str) -> bool:
        """Whether each of its changes must name a person."""
        return client in self._known.needs_actor

    def holds_secret(self, text: str) -> bool:
        """Whether the secret of somebody's key is in there."""
        return self._known.ring.holds_secret(text)

    def owner(self, key: str | None, now: datetime) -> Principal | Denied:
        """Whose the value of `X-API-Key` is, whatever else must be shown with it."""
        return self._known.ring.authenticate(key, now)

    async def authenticate(
        self, key: str | None, authorization: str | None, now: datetime, *, certificate: bytes | None = None
    ) -> Principal | Denied:
        """Who the values of `X-API-Key` and `Authorization` are, on a connection that showed this certificate (DER).

        The key comes first: without a good one nothing else is looked at.
        """
        known = self._known
        principal = known.ring.authenticate(key, now)
        if isinstance(principal, Denied):
            return principal
        if not known.bound[principal.client].fits(certificate, now):
            return denied(Reason.CERTIFICATE, principal)
        self.uses[principal.kid] = now
        match known.rules[principal.client]:
            case TokenRule.NONE:
                return principal
            case TokenRule.OPTIONAL if authorization is None:
                return principal
            case TokenRule.OPTIONAL | TokenRule.REQUIRED:
                return await _with_person(known.verifier, principal, authorization, now)
            case rule:
                assert_never(rule)


def _known(clients: Mapping[str, Client], pepper: bytes, verifier: BearerVerifier) -> _Known:
    return _Known(
        ring=KeyRing(clients, pepper),
        rules={name: client.token for name, client in clients.items()},
        bound={name: bound(client.certificates) for name, client in clients.items()},
        needs_actor=frozenset(name for name, client in clients.items() if client.require_actor),
        verifier=verifier,
    )


async def _with_person(
    verifier: BearerVerifier, principal: Principal, authorization: str | None, now: datetime
) -> Principal | Denied:
    """A person's scopes narrow the application's."""
    if authorization is None:
        return denied(Reason.TOKEN_MISSING, principal)
    person = await verifier.verify(_token(authorization), now)
    if isinstance(person, Denied):
        return denied(person.reason, principal)
    scopes = principal.scopes if person.scopes is None else principal.scopes & person.scopes
    return replace(principal, subject=person.subject, scopes=scopes)


def _token(authorization: str) -> str:
    return authorization[len(_SCHEME) :].strip(" ") if authorization.lower().startswith(_SCHEME) else ""
