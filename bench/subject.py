"""The gateway as it is shipped: `redaction-gateway serve`, with its secrets mounted, its log written, its journal."""

from __future__ import annotations

import base64
import json
import secrets
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import servers
from bench.accounting import children
from bench.asks import BACKENDS, TENANT, Scene
from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

SCRIPT = Path(sys.executable).parent / "redaction-gateway"
REASSERT_SECONDS = 3600.0  # what is looked at again would be counted with what is asked; it is measured by itself
CONNECTIONS = 100
_AUDIT_KEYS = ("hmac_key", "signing_key", "pepper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a gateway is to run. `launcher` starts it instead of the console script."""

    store: int
    vendors: Sequence[int]
    production: bool = True
    workers: int = 1
    reassert_seconds: float = REASSERT_SECONDS
    launcher: tuple[str, ...] = (str(SCRIPT),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A gateway that serves, and the key to ask it with."""

    popen: subprocess.Popen[bytes]
    port: int
    admin_port: int
    key: str
    home: Path

    @property
    def pids(self) -> list[int]:
        """It and its workers."""
        return [self.popen.pid, *children(self.popen.pid)]


@contextmanager
def gateway(home: Path, wish: Wish, *, core: int | None) -> Iterator[Subject]:
    """Serving while the block runs, its data in `home`."""
    home.mkdir(parents=True)
    key = _configured(home, wish)
    environ = {"GATEWAY_SECRETS_DIR": str(home / "mount"), "GATEWAY_CONFIG": str(home / "gateway.yaml")}
    log = home / "log.jsonl"
    log.write_bytes(b"")
    with servers.launched([*wish.launcher, "serve"], core=core, log=log, environ=environ) as popen:
        said = servers.await_line(popen, log, b"admin_port")
        port, admin_port = _ports(said)
        yield Subject(popen=popen, port=port, admin_port=admin_port, key=key, home=home)


def _ports(said: bytes) -> tuple[int, int]:
    """In production a line is JSON; otherwise it is for people to read."""
    if said.startswith(b"{"):
        line = json.loads(said)
        return int(line["port"]), int(line["admin_port"])
    words = dict(word.split("=", 1) for word in said.decode().split() if "=" in word)
    return int(words["port"]), int(words["admin_port"])


def _configured(home: Path, wish: Wish) -> str:
    """Write the configuration and mount its secrets; gives the client's key."""
    mount, minted = home / "mount", mint(secrets.token_bytes)
    mount.mkdir()
    keys = {name: secrets.token_bytes(32) for name in _AUDIT_KEYS}
    mounted = {f"audit__{name}": base64.b64encode(value).decode() for name, value in keys.items()}
    mounted |= {f"backends__{BACKENDS[scene]}__{_SECRET[scene.readback]}": "bench-only" for scene in Scene}
    for name, value in mounted.items():
        (mount / name).write_text(value)
    key = {"kid": minted.kid, "hash": hash_secret(keys["pepper"], minted.secret)}
    tree = {
        "environment": "production" if wish.production else "development",
        "listen": {
            "host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0, "workers": wish.workers,
        },
        "store": {"url": f"redis://127.0.0.1:{wish.store}", "directory": str(home / "data")},
        "policy": {"reassert_seconds": wish.reassert_seconds},
        "backends": {BACKENDS[scene]: _backend(scene, wish.vendors[scene.slow]) for scene in Scene},
        "routes": [{"match": {"call_id": f"{scene.value}-*"}, "backends": [BACKENDS[scene]]} for scene in Scene],
        "clients": {
            "crm": {"tenant": TENANT, "scopes": list(Scope), "keys": [key], "requests_per_second": 100_000},
        },
    }  # fmt: skip
    (home / "gateway.yaml").write_text(json.dumps(tree))
    return minted.text


_SECRET = {False: "client_secret", True: "api_key"}


def _backend(scene: Scene, port: int) -> dict[str, object]:
    common = {"max_connections": CONNECTIONS}
    if scene.readback:
        return {"vendor": "verba", "base_url": f"http://127.0.0.1:{port}/verba/api", **common}
    return {"vendor": "voipnow", "base_url": f"http://127.0.0.1:{port}", "client_id": "bench", **common}
