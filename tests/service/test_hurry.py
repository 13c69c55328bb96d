"""A mute never waits long for the store, whatever it asks it for and whatever comes of the mute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from workshop import Workshop, at, opened

from gateway.asks import Failure, Once
from gateway.model import Parties, Where
from gateway.service.sharing import MUTE_STORE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.store.redis import RedisStore

COMMANDS = ("commit", "load", "entries", "claim", "loosen", "release", "once", "once_over")


@pytest.fixture
async def shop(store: RedisStore) -> AsyncIterator[Workshop]:
    """The call `x` on extension 88, held by one tenant under its id."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls |= {"x": Parties.NONE, "y": Parties.NONE}
        shop.recorders["a"].extensions["88"] = ["y"]
        await shop.service.mute(shop.ask("held").mute(where=at("a", "x")))
        yield shop


@pytest.fixture
def waits(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """How long each command to the store would have been waited for."""
    asked: list[tuple[str, float]] = []

    def watched(name: str, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def command(*args: Any, within: float, **more: Any) -> Any:  # noqa: ANN401 -- any of them
            asked.append((name, within))
            return await real(*args, within=within, **more)

        return command

    for name in COMMANDS:
        monkeypatch.setattr(shop.store, name, watched(name, getattr(shop.store, name)))
    return asked


@pytest.mark.parametrize(
    ("call", "tenant", "more"),
    [
        ("y", "acme", {}),
        ("mine", "acme", {"where": Where(extension="88", backends=("a",))}),
        ("mine", "acme", {"where": Where(extension="88", backends=("a",)), "parties": Parties.CALLER}),
        ("held", "acme", {"hold": "another"}),
        ("gone", "acme", {}),
        ("x", "globex", {}),
    ],
    ids=["id", "extension", "one-party", "renewed", "no-such-call", "somebody-elses"],
)
async def test_a_mute_waits_for_no_command_longer_than_it_may(
    shop: Workshop, waits: list[tuple[str, float]], call: str, tenant: str, more: dict[str, object]
) -> None:
    """Under a name of the client's own, too."""
    ask = shop.ask(call, tenant=tenant, once=Once(name=f"{tenant}:{call}", fingerprint="f"))
    try:
        await shop.service.mute(ask.mute(**more))
    except Failure:
        assert call in {"gone", "x"}
    assert {"once", "commit", "claim", "once_over"} <= {name for name, _ in waits}
    assert [(name, within) for name, within in waits if within > MUTE_STORE_SECONDS] == []
