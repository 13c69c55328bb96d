"""The demo desk: every fake vendor with one call on it, and the settings of a gateway in front of them.

Keys and pepper are made at the first start and kept beside the data, so that a key shown once goes on working and
the trail of yesterday can be verified today.
"""

from __future__ import annotations

import base64
import json
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import settings
from gateway.auth.keys import hash_secret, mint, parse
from gateway.auth.scopes import Scope
from gateway.sandbox.fakes import FAKES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from gateway.sandbox.desk import Fake

CALL = "demo-call"
EXTENSION = "8856"
CLIENT = "demo"
_AUDIT_KEYS = ("hmac_key", "signing_key", "pepper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The fakes that run, by the name of their backend, and what a gateway in front of them needs."""

    fakes: Mapping[str, Fake]
    settings: settings.Settings
    key: str


@asynccontextmanager
async def desk(directory: Path, *, port: int) -> AsyncIterator[Desk]:
    """Run the fakes; the settings put the gateway on loopback `port` (0: a free one), its data in `directory`."""
    async with AsyncExitStack() as stack:
        fakes = {fake.vendor.value: fake for fake in (make() for make in FAKES)}
        for fake in fakes.values():
            await fake.start()
            stack.push_async_callback(fake.stop)
            fake.add_call(CALL, extension=EXTENSION)
        own = _own_secrets(directory)
        yield Desk(fakes=fakes, settings=settings.parse(_tree(fakes, own, directory, port)), key=own["key"])


def _own_secrets(directory: Path) -> dict[str, str]:
    """What this sandbox made up for itself, now or the first time."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "sandbox.json"
    if file.exists():
        kept: dict[str, str] = json.loads(file.read_text())
        return kept
    own = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in _AUDIT_KEYS}
    own["key"] = mint(secrets.token_bytes).text
    file.touch(mode=0o600)
    file.write_text(json.dumps(own))
    return own


def _tree(fakes: Mapping[str, Fake], own: Mapping[str, str], directory: Path, port: int) -> dict[str, object]:
    return {
        "environment": "development",
        "listen": {"host": "127.0.0.1", "port": port, "admin_host": "127.0.0.1", "admin_port": 0},
        "store": {"url": "embedded", "directory": str(directory)},
        "audit": {name: own[name] for name in _AUDIT_KEYS},
        "backends": {name: {**fake.settings(), "optional": True} for name, fake in fakes.items()},
        "routes": [
            *({"match": {"call_id": f"{name}-*"}, "backends": [name]} for name in fakes),
            {"backends": list(fakes)},
        ],
        "clients": {CLIENT: {"tenant": CLIENT, "scopes": list(Scope), "keys": [_client_key(own)]}},
    }


def _client_key(own: Mapping[str, str]) -> dict[str, str]:
    key = parse(own["key"])
    if key is None:
        raise ValueError("sandbox.json holds no API key; delete it")
    return {"kid": key.kid, "hash": hash_secret(base64.b64decode(own["pepper"]), key.secret)}
