"""Who asks, and what they may: before anything of the request's content is looked at. Then the content."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from aiohttp import ClientError, hdrs, web

from gateway.asks import Code, Failure, FieldFault, Sought
from gateway.auth.keys import STRANGERS, Denied, Reason, denied
from gateway.auth.scopes import Scope
from gateway.frozen import quick
from gateway.model import Action, CallKey, Origin
from gateway.web import headers, parse
from gateway.web.connection import entitle
from gateway.web.door import refused
from gateway.web.exchange import EXCHANGE
from gateway.web.needs import needed
from gateway.web.problems import invalid
from gateway.web.schema import Known

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from gateway.clock import Clock
    from gateway.model import Principal
    from gateway.web.door import Door
    from gateway.web.exchange import Exchange, Meter
    from gateway.web.schema import Person

MAX_BODY_BYTES = 16_384
_CALL_SEGMENT = 3  # "", "v1", "calls", "<call_id>", "redaction"
_ACTIONS = {hdrs.METH_PUT: Action.MUTE, hdrs.METH_DELETE: Action.UNMUTE}
_BODILESS = FieldFault(field=parse.BODY, message="Is not taken by this method")
_NAMELESS = FieldFault(
    field="actor",
    message='Must name the person: send POST {"action": "unmute", "actor": ...}, or a bearer token with this DELETE',
)


class Authenticator(Protocol):
    def holds_secret(self, text: str) -> bool:
        """Whether the secret of somebody's key is in there."""
        ...

    def owner(self, key: str | None, now: datetime) -> Principal | Denied:
        """Whose the key is, whatever else must be shown with it."""
        ...

    async def authenticate(
        self, key: str | None, authorization: str | None, now: datetime, *, certificate: bytes | None = None
    ) -> Principal | Denied:
        """Who the values of `X-API-Key` and `Authorization` are, on a connection that showed this certificate."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration makes of requests.

    `backends` are the configured names; `needs_actor` the clients each of whose changes must name a person;
    `trusted_proxies` whose `X-Forwarded-For` is believed; a body must be there within `body_seconds`.
    """

    backends: frozenset[str]
    needs_actor: Container[str] = frozenset()
    trusted_proxies: Sequence[headers.Network] = ()
    body_seconds: float = 5.0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a request says outside of body and query."""

    call_id: str
    if_match: tuple[int, ...] | None
    idempotency_key: str | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One admitted request: who asks, and what goes with everything that is asked."""

    principal: Principal
    request_id: str
    received_at: int
    address: str | None
    known: Known
    exchange: Exchange
    meter: Meter
    door: Door
    within_limit: bool
    method: str
    path: str

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

    def permit(self, scope: Scope, action: Action | None = None) -> None:
        """`action` is what was asked for, where the method does not say it."""
        if scope not in self.principal.scopes:
            no = denied(Reason.FORBIDDEN, self.principal)
            sought = _sought(self.method, action, self.path, self.known.holds_secret)
            self.door.denials.denied(no, sought, address=self.address, request_id=self.request_id)
            self.meter.auth_denied(reason=no.reason)
            raise Failure(Code.FORBIDDEN, f"This needs the scope {scope.value}.")

    def keep_within_limit(self) -> None:
        """For what turned out to be no mute: it may be refused."""
        if not self.within_limit:
            raise refused(self.exchange)


class Reception:
    def __init__(self, authenticator: Authenticator, meter: Meter, rules: Rules, door: Door, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._door = door
        self._meter = meter
        self._rules = rules
        self._known_to = {
            needs_actor: Known(
                backends=rules.backends, needs_actor=needs_actor, holds_secret=authenticator.holds_secret
            )
            for needs_actor in (False, True)
        }

    async def admit(self, request: web.Request) -> Caller:
        """Whose key it is, and whether it may what the route needs; the same answer for every reason why it is
        nobody's."""
        exchange = request[EXCHANGE]
        address = headers.peer_address(request.remote, request.headers, self._rules.trusted_proxies)
        exchange.address = address
        found = await self._known_as(request, exchange.received_at)
        if isinstance(found, Denied):
            path = None if found.reason in STRANGERS else request.rel_url.raw_path
            sought = _sought(request.method, None, path, self._authenticator.holds_secret)
            raise await self._door.turn_away(found, sought, exchange, self._meter)
        entitle(request)
        exchange.client, exchange.principal = found.client, found
        caller = Caller(
            principal=found,
            request_id=exchange.request_id,
            received_at=exchange.received_at,
            address=address,
            known=self._known(found),
            exchange=exchange,
            meter=self._meter,
            door=self._door,
            within_limit=self._door.enter(found.client, request.method, exchange),
            method=request.method,
            path=request.rel_url.raw_path,
        )
        needs = needed(request)
        if isinstance(needs, Scope):
            caller.permit(needs)
        return caller

    async def stays(self, request: web.Request, caller: Caller) -> bool:
        """Whether the caller would still be let in for what it does: its key may have been revoked meanwhile, its token
        or its certificate have run out, its rights have been taken away."""
        found, was = await self._known_as(request, self._clock.ms()), caller.principal
        if isinstance(found, Denied) or (found.tenant, found.client) != (was.tenant, was.client):
            return False
        return found.scopes >= was.scopes

    async def _known_as(self, request: web.Request, at: int) -> Principal | Denied:
        return await self._authenticator.authenticate(
            headers.single(request.headers, headers.API_KEY_HEADER),
            headers.single(request.headers, hdrs.AUTHORIZATION),
            datetime.fromtimestamp(at / 1000, UTC),
            certificate=_certificate(request),
        )

    def _known(self, principal: Principal) -> Known:
        return self._known_to[principal.client in self._rules.needs_actor and principal.subject is None]

    async def data(self, request: web.Request) -> bytes:
        """The body: plain JSON of at most 16 KiB, or nothing."""
        if any(said.strip().lower() != "identity" for said in request.headers.getall(hdrs.CONTENT_ENCODING, [])):
            raise Failure(Code.UNSUPPORTED_MEDIA_TYPE, "A body may not be compressed.")
        if (request.content_length or 0) > MAX_BODY_BYTES:  # before it is waited for
            raise Failure(Code.TOO_LARGE, f"A body may have {MAX_BODY_BYTES} bytes.")
        data = await self._received(request)
        if data and not _is_json(request):
            raise Failure(Code.UNSUPPORTED_MEDIA_TYPE, "A body must be application/json, in UTF-8.")
        return data

    async def _received(self, request: web.Request) -> bytes:
        if request.content.is_eof() and request.content.exception() is None:  # it came with the head
            if request.content_length is not None:  # which was looked at
                return request.content.read_nowait()
            return await request.read()
        try:
            async with asyncio.timeout(self._rules.body_seconds):
                return await request.read()
        except TimeoutError:
            raise invalid(FieldFault(field=parse.BODY, message="Did not arrive in time")) from None
        except (ClientError, OSError, web.RequestPayloadError):
            raise invalid(FieldFault(field=parse.BODY, message="Did not arrive whole")) from None


def _certificate(request: web.Request) -> bytes | None:
    """What the client showed when it connected, in DER."""
    shown = None if request.transport is None else request.transport.get_extra_info("ssl_object")
    return None if shown is None else shown.getpeercert(binary_form=True)


def _is_json(request: web.Request) -> bool:
    """In UTF-8, which is all that JSON between systems may be (RFC 8259, 8.1)."""
    return request.content_type == "application/json" and (request.charset or "utf-8").lower() in {"utf-8", "utf8"}


def envelope(request: web.Request, known: Known) -> Envelope:
    call_id, if_match, key = parse.all_of(
        lambda: _call_id(request.rel_url.raw_path, known.holds_secret),
        lambda: headers.if_match(request.headers),
        lambda: headers.idempotency_key(request.headers, known.holds_secret),
    )
    return Envelope(call_id=call_id, if_match=if_match, idempotency_key=key)


def _call_id(raw_path: str, holds_secret: Callable[[str], bool]) -> str:
    """Of the raw path: aiohttp has decoded the other one already, and would let an encoded slash pass as one."""
    return parse.call_id(raw_path.split("/")[_CALL_SEGMENT], holds_secret)


def _sought(method: str, action: Action | None, raw_path: str | None, holds_secret: Callable[[str], bool]) -> Sought:
    """No call where its id is none, or where nobody knows who asks: that could be anything."""
    try:
        call_id = None if raw_path is None else _call_id(raw_path, holds_secret)
    except Failure:
        call_id = None
    return Sought(method=method.lower(), action=action or _ACTIONS.get(method), call_id=call_id)


def no_body(data: bytes) -> None:
    if data:
        raise invalid(_BODILESS)


def bodiless(data: bytes, known: Known) -> None:
    """A change without a body has no place for `actor`: whoever must name a person shows a token, or says it with
    POST."""
    faults = [_BODILESS] if data else []
    if known.needs_actor:
        faults.append(_NAMELESS)
    if faults:
        raise invalid(*faults)
