"""What the chart renders, run: the gateway itself reads the mounted configuration, the trial store takes its
arguments, and the test pod asks what it asks."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from charts import SETS, changed, from_tree, objects, rendered, values
from kubelet import laid_out
from looks import component, containers, gateway
from papers import Authority

from gateway import settings
from gateway.auth.keys import hash_secret, mint
from gateway.cli import exits
from gateway.sandbox.fakes import FAKES
from gateway.sources import ConfigurationError
from gateway.store.embedded import binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from charts import Object

    from gateway.sandbox.desk import Fake

PROGRAM = Path(sys.executable).with_name("redaction-gateway")
PATIENCE_SECONDS = 60.0
PEPPER = secrets.token_bytes(32)


def _key(raw: bytes | None = None) -> str:
    return base64.b64encode(raw or secrets.token_bytes(32)).decode()


AUDIT = {"audit__hmac_key": _key(), "audit__signing_key": _key(), "audit__pepper": _key(PEPPER) + "\n"}


def kept(name: str) -> dict[str, dict[str, str]]:
    """What an operator has put into the cluster for a value set."""
    authority = Authority()
    pair = authority.signs("store")
    files = {
        "tls.crt": pair.certificate_pem.decode(),
        "tls.key": pair.key_pem.decode(),
        "ca.crt": authority.certificate_pem.decode(),
    }
    match name:
        case "full":
            vendors = {
                "store__url": "rediss+sentinel://:word@store.example/calls",
                "backends__verba_eu__api_key": "a",
                "backends__voicenter_il__active_calls_code": "b",
                "backends__pbx__client_secret": "c",
                "backends__genesys__password": "d",
            }
            return {
                "gateway-audit": AUDIT,
                "rgw-redaction-gateway-external": vendors,
                "gateway-tls": files,
                "issuer-keys": {"jwks.json": json.dumps({"keys": [JWK]})},
                "vendor-authorities": {"verba.pem": files["ca.crt"]},
            }
        case "small":
            return {"gateway": {**AUDIT, "backends__verba_eu__api_key": "a"}, "gateway-store": files}
        case "single":
            return {"gateway": {**AUDIT, "backends__genesys__password": "d"}}
        case _:
            return {"gateway": AUDIT, "gateway-vendors": {}, "valkey": {"VALKEY_PASSWORD": "letters9"}}


JWK = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "1",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


@pytest.mark.parametrize("name", SETS)
def test_the_gateway_takes_what_the_pods_see(name: str, tmp_path: Path) -> None:
    """The mounted configuration with the mounted secrets is whole, in production, and is what the values said."""
    found = objects(rendered(name))
    environ = laid_out(found, gateway(found), kept(name), tmp_path)
    read = settings.load(None, environ)
    assert read.production
    told = values(name)["config"]
    assert read.backends.keys() == told["backends"].keys()
    assert [list(route.backends) for route in read.routes] == [route["backends"] for route in told["routes"]]
    assert read.clients.keys() == told.get("clients", {}).keys()
    assert read.store.embedded is (name == "single")


def test_check_says_so_too(tmp_path: Path) -> None:
    """The program itself, as the test pod runs it."""
    found = objects(rendered("full"))
    environ = laid_out(found, gateway(found), kept("full"), tmp_path)
    ran = ended([PROGRAM, "check"], environ)
    assert ran.returncode == exits.FINE, ran.stdout
    assert "voicenter_il" in ran.stdout


@pytest.mark.parametrize("lost", ["store__url", "audit__pepper", "backends__genesys__password"])
def test_a_secret_that_is_not_there_is_named(lost: str, tmp_path: Path) -> None:
    """Above all the store's address: without it each pod would not quietly begin a store of its own."""
    found = objects(rendered("full"))
    there = {name: {key: text for key, text in of.items() if key != lost} for name, of in kept("full").items()}
    environ = laid_out(found, gateway(found), there, tmp_path)
    with pytest.raises(ConfigurationError, match=lost.replace("__", r"\.")):
        settings.load(None, environ)


# ── the trial, with real processes ──


@asynccontextmanager
async def valkey(found: list[Object], password: str, directory: Path) -> AsyncIterator[int]:
    """The chart's store with the arguments of its container, on a port of this machine."""
    (workload,) = component(found, "valkey", "StatefulSet")
    (container,) = containers(workload)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    arguments = [word.replace("$(VALKEY_PASSWORD)", password) for word in container["args"]]
    arguments[arguments.index("--dir") + 1] = str(directory)
    process = await asyncio.create_subprocess_exec(
        binary(), *arguments, "--port", str(port), "--bind", "127.0.0.1", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        await process.wait()


def trial(fake: Fake, hashed: str, directory: Path, kid: str) -> list[Object]:
    """The trial set, with a vendor that runs here."""
    told = fake.settings()
    backend = {key: value for key, value in told.items() if key != "active_calls_code"}
    client = {"tenant": "acme", "scopes": ["redaction:mute", "redaction:read"], "keys": [{"kid": kid, "hash": hashed}]}
    tree = changed(values("trial"), config__backends__voicenter_il=backend, config__clients={"crm": client})
    ran = from_tree(tree, directory)
    assert ran.code == 0, ran.err
    return objects(ran.out)


# Not beyond this machine, at ports that the kernel gives.
HERE = {"GATEWAY_LISTEN__HOST": "127.0.0.1", "GATEWAY_LISTEN__ADMIN_HOST": "127.0.0.1"}
HERE |= {"GATEWAY_LISTEN__PORT": "0", "GATEWAY_LISTEN__ADMIN_PORT": "0"}


async def test_the_trial_runs(short_dir: Path) -> None:
    """The chart's Valkey is one that production accepts, the gateway mutes a call through it, the test pod is
    content, and SIGTERM ends it with 0."""
    (fake,) = (fake for fake in (make() for make in FAKES) if fake.vendor == "voicenter")
    await fake.start()
    fake.add_call("call-1", extension="100")
    key = mint(secrets.token_bytes).text
    _, kid, secret, _ = key.split("_")
    found = trial(fake, hash_secret(PEPPER, secret), short_dir, kid)
    there = kept("trial") | {"gateway-vendors": {"backends__voicenter_il__active_calls_code": code(fake)}}
    environ = laid_out(found, gateway(found), there, short_dir) | HERE
    (store := short_dir / "store").mkdir()
    async with valkey(found, "letters9", store) as port:
        environ["GATEWAY_STORE__URL"] = environ["GATEWAY_STORE__URL"].replace(
            "rgw-redaction-gateway-valkey:6379", f"127.0.0.1:{port}"
        )
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "serve", env=environment(environ), stdout=asyncio.subprocess.PIPE, cwd=short_dir
        )
        try:
            said = await started(process)
            assert await muted(said["port"], key) == (200, True, "stored")
            (pod,) = component(found, "test", "Pod")
            for container in containers(pod):
                ran = await asyncio.to_thread(ended, words(container), {**environ, **asked(container, said)})
                assert ran.returncode == 0, ran.stdout + ran.stderr
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await fake.stop()


def code(fake: Fake) -> str:
    return str(fake.settings()["active_calls_code"])


async def started(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The line of the log that says where it listens."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while line := await process.stdout.readline():
            said: dict[str, Any] = json.loads(line)
            if said["event"] == "gateway.started":
                return said
    raise AssertionError("it did not start")


async def muted(port: int, key: str) -> tuple[int, bool, str]:
    url = f"http://127.0.0.1:{port}/v1/calls/call-1/redaction"
    async with aiohttp.ClientSession() as session, session.put(url, headers={"X-API-Key": key}) as response:
        said = await response.json()
        return response.status, said.get("protected"), said.get("durability")


def words(container: Object) -> list[str | Path]:
    """The command line: of the image's entry point, or of the Python that it is run by."""
    command = container.get("command", [])
    assert command[:1] in ([], ["python"])
    return [sys.executable, *command[1:], *container["args"]] if command else [PROGRAM, *container["args"]]


def asked(container: Object, said: Mapping[str, Any]) -> dict[str, str]:
    """The Services' names and ports, as this machine has them."""
    here = {"API_HOST": "127.0.0.1", "ADMIN_HOST": "127.0.0.1"}
    here |= {"API_PORT": str(said["port"]), "ADMIN_PORT": str(said["admin_port"])}
    named = {variable["name"] for variable in container["env"]}
    return {name: value for name, value in here.items() if name in named}


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}, **extra}


def ended(line: list[str | Path], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, env=environment(environ), capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
