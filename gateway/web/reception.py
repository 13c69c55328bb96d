"""Who asks, and what they may: before anything of the request's content is looked at. Then the content."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from aiohttp import ClientError, hdrs, web

from gateway.asks import Code, Failure, FieldFault
from gateway.auth.keys import Denied
from gateway.model import CallKey, Origin
from gateway.web import headers, parse
from gateway.web.exchange import EXCHANGE
from gateway.web.problems import invalid
from gateway.web.schema import Known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.auth.scopes import Scope
    from gateway.model import Principal
    from gateway.web.exchange import Meter
    from gateway.web.schema import Person

MAX_BODY_BYTES = 16_384
_CALL_SEGMENT = 3  # "", "v1", "calls", "<call_id>", "redaction"


class Authenticator(Protocol):
    async def authenticate(self, key: str | None, authorization: str | None, now: datetime) -> Principal | Denied:
        """Who the values of `X-API-Key` and `Authorization` are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration makes of requests.

    `backends` are the configured names; `needs_actor` the clients whose mutes and commands must name a person;
    `trusted_proxies` whose `X-Forwarded-For` is believed; a body must be there within `body_seconds`.
    """

    backends: frozenset[str]
    needs_actor: frozenset[str] = frozenset()
    trusted_proxies: Sequence[headers.Network] = ()
    body_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a request says outside of body and query."""

    call_id: str
    if_match: tuple[int, ...] | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One admitted request: who asks, and what goes with everything that is asked."""

    principal: Principal
    request_id: str
    received_at: int
    address: str | None
    known: Known

    def key(self, envelope: Envelope) -> CallKey:
        return CallKey(tenant=self.principal.tenant, call_id=envelope.call_id)

    def origin(self, person: Person | None = None) -> Origin:
        """A token's subject is the actor, whatever the body says."""
        return Origin(
            principal=self.principal,
            request_id=self.request_id,
            address=self.address,
            actor=self.principal.subject or (person.actor if person else None),
            trigger=person.trigger if person else None,
            reason=person.reason if person else None,
        )

    def permit(self, scope: Scope) -> None:
        if scope not in self.principal.scopes:
            raise Failure(Code.FORBIDDEN, f"This needs the scope {scope.value}.")


class Reception:
    def __init__(self, authenticator: Authenticator, meter: Meter, rules: Rules) -> None:
        self._authenticator = authenticator
        self._meter = meter
        self._rules = rules

    async def admit(self, request: web.Request) -> Caller:
        """Whose key it is; the same answer for every reason why it is nobody's."""
        exchange = request[EXCHANGE]
        now = datetime.fromtimestamp(exchange.received_at / 1000, UTC)
        key = headers.single(request.headers, "X-API-Key")
        authorization = headers.single(request.headers, hdrs.AUTHORIZATION)
        found = await self._authenticator.authenticate(key, authorization, now)
        if isinstance(found, Denied):
            self._meter.auth_denied(reason=found.reason)
            raise Failure(Code.UNAUTHENTICATED, "A valid key in the header X-API-Key is needed.")
        exchange.client = found.client
        return Caller(
            principal=found,
            request_id=exchange.request_id,
            received_at=exchange.received_at,
            address=headers.peer_address(request.remote, request.headers, self._rules.trusted_proxies),
            known=self._known(found),
        )

    def _known(self, principal: Principal) -> Known:
        needs_actor = principal.client in self._rules.needs_actor and principal.subject is None
        return Known(backends=self._rules.backends, needs_actor=needs_actor)

    async def data(self, request: web.Request) -> bytes:
        """The body: plain JSON of at most 16 KiB, or nothing."""
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
            raise Failure(Code.UNSUPPORTED_MEDIA_TYPE, "A body may not be compressed.")
        data = await self._received(request)
        if data and request.content_type != "application/json":
            raise Failure(Code.UNSUPPORTED_MEDIA_TYPE, "A body must be application/json.")
        return data

    async def _received(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._rules.body_seconds):
                return await request.read()
        except TimeoutError:
            raise invalid(FieldFault(field=parse.BODY, message="Did not arrive in time")) from None
        except (ClientError, OSError, web.RequestPayloadError):
            raise invalid(FieldFault(field=parse.BODY, message="Did not arrive whole")) from None


def envelope(request: web.Request) -> Envelope:
    # The raw path: aiohttp has decoded the other one already, and would let an encoded slash pass as one.
    segment = request.rel_url.raw_path.split("/")[_CALL_SEGMENT]
    call_id, if_match, key = parse.all_of(
        lambda: parse.call_id(segment),
        lambda: headers.if_match(request.headers),
        lambda: headers.idempotency_key(request.headers),
    )
    return Envelope(call_id=call_id, if_match=if_match, idempotency_key=key)


def no_body(data: bytes) -> None:
    if data:
        raise invalid(FieldFault(field=parse.BODY, message="Is not taken by this method"))
