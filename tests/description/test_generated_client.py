"""A client that a generator made of the description talks to the running service."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import app
from gateway.sandbox import demo

if TYPE_CHECKING:
    from types import SimpleNamespace

ROOT = Path(__file__).parents[2]
GENERATOR = Path(sys.executable).with_name("openapi-python-client")
PACKAGE = "generated_crm_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the package is in. The generator leaves out what it cannot make, and says so: nothing is."""
    directory = tmp_path_factory.mktemp("generated")
    (directory / "config.yaml").write_text("post_hooks: []\n")
    ran = subprocess.run(
        [
            *(GENERATOR, "generate", "--path", ROOT / "openapi.json", "--config", "config.yaml"),
            *("--meta", "none", "--fail-on-warning", "--output-path", PACKAGE),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return directory


def module(name: str) -> Any:  # noqa: ANN401 -- made a moment ago
    return importlib.import_module(f"{PACKAGE}.{name}")


async def test_it_mutes_reads_unmutes_and_understands_a_problem(
    generated: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation by the generated function, each answer in the generated type."""
    monkeypatch.syspath_prepend(generated)
    models = module("models")
    async with demo.desk(short_dir, port=0) as desk, app.running(desk.settings) as state:
        client = module("client").AuthenticatedClient(
            base_url=f"http://127.0.0.1:{state.port}", token=desk.key, prefix="", auth_header_name="X-API-Key"
        )

        async def do(operation: str, call_id: str = demo.CALL, **said: object) -> SimpleNamespace:
            function = module(f"api.default.{operation}").asyncio_detailed
            reply: SimpleNamespace = await function(call_id, client=client, **said)
            return reply

        async with client:
            body = models.MuteBody(hold="card-form", call_status=[models.CallStatus.ONGOING], extension=demo.EXTENSION)
            held = await do("mute", body=body, idempotency_key="k1")
            bare = await do("mute")
            seen = await do("read")
            asked = await do("read", refresh=models.ReadRefresh.TRUE)
            wrong = await do("mute", body=models.MuteBody(hold="NOT A NAME"))
            unknown = await do("read", "no-such-call")
            early = await do("unmute", if_match='"999"')
            dropped = await do("unmute", hold="card-form")
            posted = await do("command", body=models.UnmuteCommand(action=models.UnmuteCommandAction.UNMUTE))

    good = (held, bare, seen, asked, dropped, posted)
    assert [reply.status_code for reply in good] == [200] * len(good)
    for reply in good:
        assert type(reply.parsed) is models.Document
        assert models.Document.from_dict(reply.parsed.to_dict()) == reply.parsed
    assert [reply.parsed.protected for reply in (held, bare, seen, posted)] == [True, True, True, False]
    assert [reply.parsed.state.value for reply in good] == ["muted"] * (len(good) - 1) + ["unmuted"]
    assert {recorder.vendor for recorder in seen.parsed.recorders} == set(desk.fakes)
    assert {hold.hold for hold in bare.parsed.holds} == {"default", "card-form"}
    for reply, status, code in (
        (wrong, 400, models.Code.INVALID_REQUEST),
        (unknown, 404, models.Code.CALL_NOT_FOUND),
        (early, 412, models.Code.VERSION_CONFLICT),
    ):
        assert (reply.status_code, type(reply.parsed), reply.parsed.code) == (status, models.Problem, code)
    assert [fault.field for fault in wrong.parsed.errors] == ["hold"]
