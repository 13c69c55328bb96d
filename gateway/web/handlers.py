"""The methods of the one endpoint: admit, read what is said, ask the service, answer."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Protocol, assert_never

import orjson
from aiohttp import hdrs, web

from gateway.asks import Control, Mute, Once, Read, Unmute
from gateway.auth.scopes import Scope
from gateway.model import Action, PartialTarget, Parties, Where
from gateway.web import parse, schema, stream
from gateway.web.exchange import EXCHANGE, PENDING
from gateway.web.merge import Merger
from gateway.web.reception import Caller, Envelope, bodiless, envelope, no_body
from gateway.web.render import to_json

if TYPE_CHECKING:
    from gateway.asks import Answer
    from gateway.web.reception import Reception


class Service(Protocol):
    """What carries an ask out. Each raises `Failure` when it is not granted or not (provably) done."""

    async def mute(self, ask: Mute) -> Answer: ...

    async def unmute(self, ask: Unmute) -> Answer: ...

    async def read(self, ask: Read) -> Answer: ...

    async def control(self, ask: Control) -> Answer: ...


class Endpoint:
    """``/v1/calls/{call_id}/redaction``."""

    def __init__(self, service: Service, reception: Reception, changes: stream.Changes) -> None:
        self._service = service
        self._merger = Merger(service.mute)
        self._changes = changes
        self._reception = reception

    async def put(self, request: web.Request) -> web.StreamResponse:
        caller = await self._reception.admit(request)
        data = await self._reception.data(request)
        said, _, body = parse.all_of(
            partial(envelope, request, caller.known),
            partial(parse.query, schema.NO_QUERY, request.rel_url.query),
            partial(parse.body, schema.MUTE, data, caller.known),
        )
        ask = _mute(caller, said, body, _once(request, caller, said, data))
        return _answered(request, await self._mute(caller, ask))

    async def post(self, request: web.Request) -> web.StreamResponse:
        caller = await self._reception.admit(request)
        data = await self._reception.data(request)
        said, _, command = parse.all_of(
            partial(envelope, request, caller.known),
            partial(parse.query, schema.NO_QUERY, request.rel_url.query),
            partial(parse.body, schema.COMMAND, data, caller.known, tagged=True),
        )
        once = _once(request, caller, said, data)
        return _answered(request, await self._commanded(caller, said, command, once))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        caller = await self._reception.admit(request)
        data = await self._reception.data(request)
        said, query, _ = parse.all_of(
            partial(envelope, request, caller.known),
            partial(parse.query, schema.UNMUTE_QUERY, request.rel_url.query),
            partial(bodiless, data, caller.known),
        )
        ask = _unmute(caller, said, hold=query.hold, force=query.force == "true")
        return _answered(request, await self._service.unmute(ask))

    async def get(self, request: web.Request) -> web.StreamResponse:
        caller = await self._reception.admit(request)
        data = await self._reception.data(request)
        said, query, _ = parse.all_of(
            partial(envelope, request, caller.known),
            partial(parse.query, schema.READ_QUERY, request.rel_url.query),
            partial(no_body, data),
        )
        ask = _read(caller, said, query)
        if stream.wanted(request) and request.method == hdrs.METH_GET:
            stays = partial(self._reception.stays, request, caller)
            return await stream.stream(request, ask, self._service, self._changes, stays)
        return _answered(request, await self._service.read(ask))

    async def _mute(self, caller: Caller, ask: Mute) -> Answer:
        """Beyond the client's limit equal mutes are merged, never refused."""
        return await (self._service if caller.within_limit else self._merger).mute(ask)

    async def _commanded(self, caller: Caller, said: Envelope, command: schema.AnyCommand, once: Once | None) -> Answer:
        match command:
            case schema.MuteCommand():
                caller.permit(Scope.MUTE, Action.MUTE)
                return await self._mute(caller, _mute(caller, said, command, once))
            case schema.UnmuteCommand():
                caller.permit(Scope.UNMUTE, Action.UNMUTE)
                caller.keep_within_limit()
                ask = _unmute(caller, said, hold=command.hold, force=command.force, person=command, once=once)
                return await self._service.unmute(ask)
            case schema.KeepCommand() | schema.DiscardCommand() | schema.StartCommand() | schema.StopCommand():
                caller.permit(Scope.CONTROL, Action(command.action))
                caller.keep_within_limit()
                return await self._service.control(_control(caller, said, command, once))
            case never:
                assert_never(never)


def _mute(caller: Caller, said: Envelope, body: schema.MuteBody, once: Once | None) -> Mute:
    if body.resume_after_seconds is not None:  # an order to unmute, only later
        caller.permit(Scope.UNMUTE, Action.MUTE)
    return Mute(
        key=caller.key(said),
        origin=caller.origin(body),
        received_at=caller.received_at,
        if_match=said.if_match,
        once=once,
        hold=body.hold,
        parties=Parties[body.parties.upper()],
        where=_where(body),
        resume_after_seconds=body.resume_after_seconds,
    )


def _unmute(
    caller: Caller,
    said: Envelope,
    *,
    hold: str,
    force: bool,
    person: schema.Person | None = None,
    once: Once | None = None,
) -> Unmute:
    if force:
        caller.permit(Scope.FORCE, Action.UNMUTE)
    return Unmute(
        key=caller.key(said),
        origin=caller.origin(person),
        received_at=caller.received_at,
        if_match=said.if_match,
        once=once,
        hold=hold,
        force=force,
    )


def _read(caller: Caller, said: Envelope, query: schema.ReadQuery) -> Read:
    audit = query.include == "audit"
    if audit:
        caller.permit(Scope.AUDIT)
    return Read(
        key=caller.key(said),
        origin=caller.origin(),
        received_at=caller.received_at,
        if_match=said.if_match,
        refresh=query.refresh == "true",
        audit=audit,
    )


def _control(caller: Caller, said: Envelope, command: schema.ControlCommand, once: Once | None) -> Control:
    return Control(
        key=caller.key(said),
        origin=caller.origin(command),
        received_at=caller.received_at,
        if_match=said.if_match,
        once=once,
        action=Action(command.action),
        where=_where(command),
        format=command.format if isinstance(command, schema.StartCommand) else None,
        mark=command.mark if isinstance(command, schema.KeepCommand | schema.DiscardCommand) else None,
    )


def _once(request: web.Request, caller: Caller, said: Envelope, data: bytes) -> Once | None:
    """The client's name for this operation; the same body in another spelling is the same request."""
    if said.idempotency_key is None:
        return None
    body = orjson.dumps(orjson.loads(data.strip() or b"{}"), option=orjson.OPT_SORT_KEYS)
    request_line = f"{request.method} {said.call_id}\n".encode()
    return Once(
        name=f"{caller.principal.tenant}:{caller.principal.client}:{said.idempotency_key}",
        fingerprint=hashlib.sha256(request_line + body).hexdigest(),
    )


def _where(body: schema.Finding) -> Where:
    return Where(
        extension=body.extension,
        call_status=body.call_status,
        targets={name: _target(target) for name, target in body.targets.items()},
        backends=body.backends,
    )


def _target(said: schema.TargetBody) -> PartialTarget:
    return PartialTarget(
        call_id=said.call_id,
        extension=said.extension,
        call_status=said.call_status,
        user_id=said.user_id,
        view_id=said.view_id,
    )


def _answered(request: web.Request, answer: Answer) -> web.Response:
    if answer.pending:
        request[EXCHANGE].outcome = PENDING
    return web.Response(
        status=202 if answer.pending else 200,
        body=to_json(answer.document),
        content_type="application/json",
        headers={hdrs.ETAG: f'"{answer.document.version}"'},
    )
