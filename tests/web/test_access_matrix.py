"""Method × scope × tenant × what the client must show: every cell, generated; and no route without a scope."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from front import CALL, PATH, Front, fronted

from gateway.asks import Sought
from gateway.auth.keys import Reason, mint
from gateway.auth.scopes import Scope
from gateway.model import Action
from gateway.web.needs import NEEDS, Open, UndeclaredRouteError, declare, needed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# What is asked, and the scopes without any of which it is forbidden.
ASKS: dict[str, tuple[str, str, Any, frozenset[Scope]]] = {
    "put": ("PUT", "", None, frozenset({Scope.MUTE})),
    "delete": ("DELETE", "", None, frozenset({Scope.UNMUTE})),
    "delete-hold": ("DELETE", "?hold=a", None, frozenset({Scope.UNMUTE})),
    "delete-force": ("DELETE", "?force=true", None, frozenset({Scope.UNMUTE, Scope.FORCE})),
    "get": ("GET", "", None, frozenset({Scope.READ})),
    "head": ("HEAD", "", None, frozenset({Scope.READ})),
    "get-refresh": ("GET", "?refresh=true", None, frozenset({Scope.READ})),
    "get-audit": ("GET", "?include=audit", None, frozenset({Scope.READ, Scope.AUDIT})),
    "post-mute": ("POST", "", {"action": "mute"}, frozenset({Scope.MUTE})),
    "post-unmute": ("POST", "", {"action": "unmute"}, frozenset({Scope.UNMUTE})),
    "post-force": ("POST", "", {"action": "unmute", "force": True}, frozenset({Scope.UNMUTE, Scope.FORCE})),
    "post-keep": ("POST", "", {"action": "keep"}, frozenset({Scope.CONTROL})),
    "post-discard": ("POST", "", {"action": "discard"}, frozenset({Scope.CONTROL})),
    "post-start": ("POST", "", {"action": "start"}, frozenset({Scope.CONTROL})),
    "post-stop": ("POST", "", {"action": "stop"}, frozenset({Scope.CONTROL})),
}
# Which scopes a client has: each set of them there is.
SETS = [frozenset(s for s, has in zip(Scope, bits, strict=True) if has) for bits in product((False, True), repeat=6)]
TENANTS = ("acme", "globex")
RULES: dict[str, dict[str, Any]] = {
    "free": {},
    "person-optional": {"token": "optional"},
    "person-required": {"token": "required"},
    "actor-required": {"require_actor": True},
}
SHOWN: dict[str, dict[str, str]] = {
    "nothing": {},
    "good-token": {"Authorization": "Bearer good"},
    "bad-token": {"Authorization": "Bearer bad"},
}
CHANGES = {"put", "post-mute", "post-unmute", "post-force", "post-keep", "post-discard", "post-start", "post-stop"}


def expected(ask: str, has: frozenset[Scope], rule: str, shown: str) -> int:
    """The rules of the contract, said once more: first who it is, then what it may, then what it says."""
    looked_at = rule in {"person-optional", "person-required"}
    if (looked_at and shown == "bad-token") or (rule == "person-required" and shown == "nothing"):
        return 401
    if rule == "actor-required" and ask.startswith("post") and ask in CHANGES:
        return 400  # the action is in the body, which must be whole before the action is looked at
    if rule == "actor-required" and ask.startswith("delete") and Scope.UNMUTE in has:
        return 400  # as there, but for what the method itself needs
    if not ASKS[ask][3] <= has:
        return 403
    return 400 if rule == "actor-required" and ask in CHANGES else 200


FEW = [scopes for scopes in SETS if len(scopes) in {0, 1, len(Scope)}]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shown", SHOWN)
async def test_every_cell_of_the_matrix(rule: str, shown: str) -> None:
    """15 asks × 64 sets of scopes × 2 tenants, and under each rule with each token 15 × 8 × 2: 4,560 cells. What is
    carried out is the tenant's own call."""
    sets = SETS if (rule, shown) == ("free", "nothing") else FEW
    clients = {
        f"c{number}-{tenant}": {"scopes": scopes, "tenant": tenant, **RULES[rule]}
        for (number, scopes), tenant in product(enumerate(sets), TENANTS)
    }
    async with fronted(clients=clients) as front:
        for client, ask in product(clients, ASKS):
            method, query, body, _ = ASKS[ask]
            before = len(front.service.asked)
            reply = await front.ask(method, PATH + query, json=body, headers=SHOWN[shown], client=client)
            wanted = expected(ask, clients[client]["scopes"], rule, shown)
            assert reply.status == wanted, (client, ask, rule, shown)
            asked = front.service.asked[before:]
            assert len(asked) == (wanted == 200)
            assert all(one.key.tenant == clients[client]["tenant"] for one in asked)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


async def test_what_was_denied_is_told_to_the_trail(front: Front) -> None:
    """Who it was as far as it is known, why, from where; counted too."""
    await front.ask("PUT", client="")
    await front.ask("PUT", client="reader")
    await front.ask("PUT", headers={"Authorization": "Bearer bad"}, client="named")
    said = [(denied.reason, denied.client, address) for denied, address in front.denials.said]
    assert said == [
        (Reason.MISSING, None, "127.0.0.1"),
        (Reason.FORBIDDEN, "reader", "127.0.0.1"),
        (Reason.TOKEN_INVALID, "named", "127.0.0.1"),
    ]
    assert front.count("auth_denied_total", reason="forbidden") == 1


KEY = mint(bytes).text
SOUGHT: list[tuple[str, str, str, dict[str, Any] | None, Sought]] = [
    ("reader", "PUT", PATH, None, Sought(method="put", action=Action.MUTE, call_id=CALL)),
    ("reader", "DELETE", PATH, None, Sought(method="delete", action=Action.UNMUTE, call_id=CALL)),
    ("muter", "GET", PATH, None, Sought(method="get", call_id=CALL)),
    ("reader", "GET", f"{PATH}?include=audit", None, Sought(method="get", call_id=CALL)),
    ("reader", "POST", PATH, {"action": "start"}, Sought(method="post", action=Action.START, call_id=CALL)),
    ("reader", "POST", PATH, {"action": "mute"}, Sought(method="post", action=Action.MUTE, call_id=CALL)),
    ("reader", "POST", PATH, {"action": "unmute"}, Sought(method="post", action=Action.UNMUTE, call_id=CALL)),
    ("muter", "PUT", PATH, {"resume_after_seconds": 9}, Sought(method="put", action=Action.MUTE, call_id=CALL)),
    ("", "PUT", PATH, None, Sought(method="put", action=Action.MUTE)),
    ("reader", "PUT", "/v1/calls/-/redaction", None, Sought(method="put", action=Action.MUTE)),
    ("reader", "PUT", f"/v1/calls/{KEY}/redaction", None, Sought(method="put", action=Action.MUTE)),
]


@pytest.mark.parametrize(
    ("client", "method", "path", "body", "sought"), SOUGHT, ids=[f"{n}-{one[1]}" for n, one in enumerate(SOUGHT)]
)
async def test_what_was_wanted_is_told_to_the_trail(
    front: Front, client: str, method: str, path: str, body: dict[str, Any] | None, sought: Sought
) -> None:
    """What of which call; of a stranger no call, nor of what is no id, or holds a key."""
    assert (await front.ask(method, path, json=body, client=client)).status == (403 if client else 401)
    assert front.denials.sought == [sought]


async def test_whose_key_it_was_is_told_with_the_call(front: Front) -> None:
    """A bad token with a good key is somebody known."""
    await front.ask("PUT", headers={"Authorization": "Bearer bad"}, client="named")
    assert front.denials.sought == [Sought(method="put", action=Action.MUTE, call_id=CALL)]


async def test_an_undeclared_route_keeps_the_application_from_starting() -> None:
    """Nobody can forget it."""
    app = web.Application()
    declare(app)
    app[NEEDS][app.router.add_get("/declared", _nothing)] = Open.TO_ALL
    app.router.add_get("/forgotten", _nothing)
    runner = web.AppRunner(app)
    with pytest.raises(UndeclaredRouteError, match=r"/forgotten|/declared"):
        await runner.setup()
    await runner.cleanup()


async def test_a_route_added_later_lets_nobody_in() -> None:
    """What it needs is asked when the request is there, too."""
    app = web.Application()
    declare(app)
    route = app.router.add_get("/late", _nothing)
    request = _Request(app, route)
    with pytest.raises(UndeclaredRouteError):
        needed(request)  # type: ignore[arg-type]  # -- the two members that are looked at
    app[NEEDS][route] = Scope.READ
    assert needed(request) is Scope.READ  # type: ignore[arg-type]  # -- as above


class _Request:
    def __init__(self, app: web.Application, route: Any) -> None:  # noqa: ANN401 -- aiohttp's own
        self.app = app
        self.match_info = type("Match", (), {"route": route})()


async def _nothing(_: web.Request) -> web.Response:
    return web.Response()
