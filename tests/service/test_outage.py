"""Who looks after a call while the store is away goes by what is remembered, and no longer than that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from workshop import Workshop, opened, until

from gateway.model import Action, Parties, Where
from gateway.reconcile import Reconciler
from gateway.service.dated import Dated
from gateway.store.contract import StoreAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.model import Target
    from gateway.store.redis import RedisStore


async def nothing(*_: object) -> None: ...


class Cut:
    """The way of one gateway to the store. While it is `away` whatever is asked fails, a step after `meanwhile`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.away = False
        self.meanwhile: Callable[[], Awaitable[None]] = nothing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- any command
        return self._failing(name) if self.away else getattr(self._store, name)

    def _failing(self, name: str) -> Callable[..., Awaitable[None]]:
        async def failing(*_: object, **__: object) -> None:
            if name == "commit":
                await self.meanwhile()
            raise StoreAway("cut")

        return failing


def looking_after(shop: Workshop) -> Reconciler:
    """Somebody who looks at calls only when told to."""
    return Reconciler(shop.tools, shop.store, Dated(shop.tools), node="n")


async def looked_after(reconciler: Reconciler, shop: Workshop, call_id: str) -> None:
    reconciler.nudge(shop.ask(call_id).key)
    await until(lambda: not reconciler._under_way, what="the end of a look")


async def test_what_another_gateway_let_go_meanwhile_is_not_muted_again(store: RedisStore) -> None:
    """The store is there again after the look, before the mute that it leads to."""
    cut: Any = Cut(store)
    async with opened(cut, "a") as here, opened(store, "a") as there:
        recorder, other = here.recorders["a"], there.recorders["a"]
        other.calls = recorder.calls
        recorder.calls["x"] = Parties.NONE
        await here.service.mute(here.ask("x").mute())
        sent = len(recorder.commands)

        async def let_go() -> None:
            cut.away, cut.meanwhile = False, nothing
            assert (await there.service.unmute(there.ask("x").unmute())).document.state == "unmuted"

        cut.away, cut.meanwhile = True, let_go
        recorder.calls["x"] = Parties.NONE  # resumed behind our back
        await looked_after(looking_after(here), here, "x")
        assert [command.action for command in other.commands] == [Action.UNMUTE]
        assert len(recorder.commands) == sent
        assert recorder.silent("x") is Parties.NONE


async def test_without_the_store_it_is_muted_again(store: RedisStore) -> None:
    """What nobody let go is kept silent."""
    cut: Any = Cut(store)
    async with opened(cut, "a") as here:
        here.recorders["a"].calls["x"] = Parties.NONE
        await here.service.mute(here.ask("x").mute())
        cut.away = True
        here.recorders["a"].calls["x"] = Parties.NONE
        await looked_after(looking_after(here), here, "x")
        assert here.recorders["a"].silent("x") is Parties.BOTH


async def test_a_look_beside_a_mute_without_the_store_does_not_spoil_it(store: RedisStore) -> None:
    """Nobody can be asked who else means the calls that the recorder names: that goes for both of them."""
    cut: Any = Cut(store)
    async with opened(cut, "a") as here:
        recorder, reconciler = here.recorders["a"], looking_after(here)
        recorder.calls["x"], recorder.extensions["88"] = Parties.NONE, ["x"]
        cut.away = True

        async def looked_at_too(_: Target) -> None:
            recorder.seen = nothing
            reconciler.nudge(here.ask("x").key)
            await asyncio.sleep(0.1)

        recorder.seen = looked_at_too
        answer = await here.service.mute(here.ask("x").mute(where=Where(extension="88")))
        assert answer.document.protected
        assert answer.document.durability == "none"
        await until(lambda: not reconciler._under_way, what="the end of a look")
