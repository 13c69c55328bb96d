"""The control paths of a fake, for testers that are not in its process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.sandbox.faults import FaultKind, FaultPlan
from gateway.sandbox.wire import OPERATIONS, Operation, WireRequest

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from gateway.sandbox.desk import Fake

PREFIX = "/_sandbox"


class NewCall(BaseModel):
    model_config = ConfigDict(extra="forbid")

    call_id: str = Field(min_length=1)
    extension: str = Field(min_length=1)


class NewFault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    on: frozenset[Operation] = OPERATIONS
    times: int | None = Field(default=None, ge=1)
    delay: float = Field(default=0.3, ge=0, le=60)


def add_control(app: web.Application, fake: Fake) -> None:
    """`GET|POST /_sandbox/calls`, `DELETE /_sandbox/calls/{id}`, `POST /_sandbox/calls/{id}/resume`,
    `GET|POST|DELETE /_sandbox/faults`, `GET /_sandbox/requests`."""
    control = _Control(fake)
    app.middlewares.append(_problems)
    app.router.add_routes(
        [
            web.get(f"{PREFIX}/calls", control.list_calls),
            web.post(f"{PREFIX}/calls", control.add_call),
            web.delete(f"{PREFIX}/calls/{{call_id}}", control.end_call),
            web.post(f"{PREFIX}/calls/{{call_id}}/resume", control.resume),
            web.get(f"{PREFIX}/faults", control.list_faults),
            web.post(f"{PREFIX}/faults", control.add_fault),
            web.delete(f"{PREFIX}/faults", control.heal),
            web.get(f"{PREFIX}/requests", control.list_requests),
        ]
    )


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        return _json({"errors": error.errors(include_url=False, include_context=False)}, status=400)


class _Control:
    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def list_calls(self, _: web.Request) -> web.Response:
        return _json([call.describe() for call in self._fake.calls.values()])

    async def add_call(self, request: web.Request) -> web.Response:
        new = NewCall.model_validate_json(await request.read())
        call = self._fake.add_call(new.call_id, extension=new.extension)
        return _json(call.describe(), status=201)

    async def end_call(self, request: web.Request) -> web.Response:
        call_id = self._known(request)
        self._fake.end_call(call_id)
        return _json(self._fake.calls[call_id].describe())

    async def resume(self, request: web.Request) -> web.Response:
        call_id = self._known(request)
        self._fake.resume(call_id)
        return _json(self._fake.calls[call_id].describe())

    def _known(self, request: web.Request) -> str:
        call_id = request.match_info["call_id"]
        if call_id not in self._fake.calls:
            raise web.HTTPNotFound
        return call_id

    async def list_faults(self, _: web.Request) -> web.Response:
        return _json([_fault(plan) for plan in self._fake.faults])

    async def add_fault(self, request: web.Request) -> web.Response:
        new = NewFault.model_validate_json(await request.read())
        self._fake.plan(new.kind, on=new.on, times=new.times, delay=new.delay)
        return _json(_fault(self._fake.faults[-1]), status=201)

    async def heal(self, _: web.Request) -> web.Response:
        self._fake.heal()
        return _json([])

    async def list_requests(self, _: web.Request) -> web.Response:
        return _json([_request(request) for request in self._fake.requests])


def _fault(plan: FaultPlan) -> dict[str, object]:
    return {"kind": plan.kind, "on": sorted(plan.on), "times": plan.times, "delay": plan.delay}


def _request(wire: WireRequest) -> dict[str, object]:
    return {
        "operation": wire.operation,
        "method": wire.method,
        "raw_path": wire.raw_path,
        "headers": list(wire.headers.items()),
        "body": wire.body.decode(errors="replace"),
        "at_ns": wire.at,
    }


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
