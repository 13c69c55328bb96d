"""A call muted at one gateway and let go at another, and then nobody has a store any more: what the first one knows of
it must not outlive what the second one did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from fleet import Fleet, fleet
from servers import Place, single, until

from gateway.model import Parties

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.sandbox.desk import FakeCall

LOOKS = 12
PAUSE_SECONDS = 0.25


async def test_without_the_store_nobody_holds_on_to_what_another_gateway_let_go(tmp_path: Path) -> None:
    """It is not muted again and not called protected; what nobody let go stays silent whoever resumes it, and does so
    also when the store is there again."""
    async with single(tmp_path) as server:
        place = Place(url=f"redis://127.0.0.1:{server.port}", servers=(server,))
        async with fleet(place, tmp_path) as gateways:
            over, kept = (gateways.recorder.add_call(f"call-{name}", extension=name) for name in ("1", "2"))
            for tape in (over, kept):
                assert (await _ask(gateways, "PUT", tape, 0))["protected"]
            assert (await _ask(gateways, "DELETE", over, 1))["state"] == "unmuted"
            await asyncio.sleep(1.0)  # word of it has come, and most often was looked up
            await server.kill()
            kept.switch(Parties.NONE)
            for _ in range(LOOKS):
                assert not (await _ask(gateways, "GET", over, 0)).get("protected")
                assert over.muted is Parties.NONE
                await asyncio.sleep(PAUSE_SECONDS)
            await until(lambda: _silent(kept))
            await server.start()
            await until(lambda: _shown(gateways, kept))
            assert over.muted is Parties.NONE
            assert (await _ask(gateways, "GET", over, 0))["state"] == "unmuted"


async def _ask(gateways: Fleet, method: str, tape: FakeCall, at: int) -> dict[str, Any]:
    """The document, or the problem, of the gateway number `at`."""
    url = f"http://127.0.0.1:{gateways.ports[at]}/v1/calls/{tape.call_id}/redaction"
    body = {"actor": "agent-17"} if method == "PUT" else None
    async with gateways.session.request(method, url, json=body, headers={"X-API-Key": gateways.key}) as response:
        found: dict[str, Any] = orjson.loads(await response.read())
        return found


async def _silent(tape: FakeCall) -> bool:
    return tape.muted == Parties.BOTH


async def _shown(gateways: Fleet, tape: FakeCall) -> bool:
    document = await _ask(gateways, "GET", tape, 0)
    return bool(document.get("protected")) and document.get("durability") == "stored"
