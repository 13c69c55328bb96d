"""A disk that takes no more: a real process whose files may not grow, which is what a full quota looks like."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from fleet import SCRIPT, _ready, _settings
from servers import PATIENCE_SECONDS, free_ports, single, until

from gateway.auth.keys import mint
from gateway.sandbox.verba import VerbaFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def process(home: Path, tree: dict[str, Any], session: aiohttp.ClientSession) -> AsyncIterator[tuple[int, str]]:
    """A gateway; gives its pid and where it listens. It says nothing: what it said could not be written either."""
    port, admin = free_ports(2)
    listen = {"host": "127.0.0.1", "port": port, "admin_host": "127.0.0.1", "admin_port": admin}
    whole = {**tree, "listen": listen, "store": {**tree["store"], "directory": str(home / "data")}}
    (home / "gateway.yaml").write_bytes(orjson.dumps(whole))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    quiet = asyncio.subprocess.DEVNULL
    words = (SCRIPT, "serve", "--config", str(home / "gateway.yaml"))
    popen = await asyncio.create_subprocess_exec(*words, cwd=home, env=environ, stdout=quiet, stderr=quiet)
    try:
        await until(partial(_ready, session, admin))
        yield popen.pid, f"http://127.0.0.1:{port}"
    finally:
        popen.terminate()
        await asyncio.wait_for(popen.wait(), PATIENCE_SECONDS)


async def test_a_full_disk_costs_the_journal_only(tmp_path: Path) -> None:
    """No file may grow by a byte: mutes and unmutes go on by the store, each kept by it; when there is room again the
    journal has what it missed."""
    recorder, minted = VerbaFake(), mint(secrets.token_bytes)
    await recorder.start()
    async with single(tmp_path) as server, aiohttp.ClientSession() as session:
        tree = _settings(recorder, f"redis://127.0.0.1:{server.port}", minted, 0)
        async with process(tmp_path, tree, session) as (pid, base):
            headers = {"X-API-Key": minted.text}

            async def asked(method: str, name: str) -> tuple[int, Any]:
                url = f"{base}/v1/calls/{name}/redaction"
                body = {"actor": "agent-17"} if method == "PUT" else None
                async with session.request(method, url, json=body, headers=headers) as response:
                    return response.status, await response.json(content_type=None)

            for name in ("before", "during"):
                recorder.add_call(name, extension="8856")
            assert (await asked("PUT", "before"))[0] == 200
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            for name in ("during", "before"):
                status, document = await asked("PUT", name)
                assert (status, document["protected"], document["durability"]) == (200, True, "stored")
            assert (await asked("DELETE", "before"))[0] == 200
            assert not _journaled(tmp_path, "during")
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

            async def written() -> bool:
                return _journaled(tmp_path, "during")

            await until(written)
    await recorder.stop()


def _journaled(home: Path, name: str) -> bool:
    """The journal has a step of the call."""
    files = (home / "data" / "journal").glob("*.jsonl")
    return any(f'"call":"{name}"'.encode() in file.read_bytes() for file in files)
