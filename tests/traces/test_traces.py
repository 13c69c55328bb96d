"""Spans of a whole gateway, as a collector gets them: what belongs together, what is in them, and what is not."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import INVALID_SPAN_CONTEXT, get_current_span
from papers import Authority
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import ValidationError
from receiver import CLIENT, SERVER, attributes, receiving
from structlog.testing import capture_logs
from traced import place

from gateway import otel, tracing
from gateway.certificates import server_context
from gateway.cli import exits
from gateway.metrics import CONTENT_TYPE
from gateway.sandbox import demo
from gateway.sandbox.faults import FaultKind
from gateway.settings import ConfigurationError, Tracing

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
CARD = "4111111111111111"
VENDORS = {"verba", "voicenter", "voipnow", "genesys"}
# Each would change what is sent, or that anything is.
ENVIRONMENT = {
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20word",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1",
}


async def test_a_mute_is_one_span_and_one_for_each_operation_below_it(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the caller's trace; with these attributes and no other; whatever proxy, sampler and headers the environment
    has."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with receiving() as receiver:
        async with place(short_dir, endpoint=receiver.url) as gateway:
            status, _ = await gateway.ask("PUT", headers=[("traceparent", TRACEPARENT)])
            assert status == 200
        spans = receiver.of_trace(TRACE)
    assert not any("Authorization" in headers for headers in receiver.headers)
    assert os.environ.items() >= ENVIRONMENT.items()
    (request,) = [span for span in spans if span.kind == SERVER]
    operations = [span for span in spans if span.kind == CLIENT]
    assert request.parent_span_id.hex() == PARENT
    assert request.name == "PUT /v1/calls/{call_id}/redaction"
    assert attributes(request) == {
        "http.request.method": "PUT",
        "http.route": "/v1/calls/{call_id}/redaction",
        "http.response.status_code": 200,
        "gateway.outcome": "ok",
    }
    assert len(spans) == 1 + len(operations)
    assert {span.parent_span_id for span in operations} == {request.span_id}
    for span in operations:
        said = attributes(span)
        assert span.name == f"{said['gateway.action']} {said['gateway.vendor']}"
        assert set(said) == {"gateway.backend", "gateway.vendor", "gateway.action", "gateway.outcome"}
    assert {attributes(span)["gateway.vendor"] for span in operations if span.name.startswith("mute ")} == VENDORS


async def test_vendors_are_told_the_trace(short_dir: Path) -> None:
    """Each request that a mute leads to names the operation it belongs to, and says nothing else."""
    async with receiving() as receiver:
        async with place(short_dir, endpoint=receiver.url) as gateway:
            await gateway.ask("PUT", headers=[("traceparent", TRACEPARENT), ("tracestate", "a=b"), ("baggage", "c=d")])
            told = {
                name: [wire.headers for wire in fake.requests if wire.operation == "command"]
                for name, fake in gateway.desk.fakes.items()
            }
        mine = {(attributes(span).get("gateway.vendor"), span.span_id.hex()) for span in receiver.of_trace(TRACE)}
    assert set(told) == VENDORS
    for vendor, requests in told.items():
        assert requests
        for headers in requests:
            found = re.fullmatch(f"00-{TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"])
            assert found
            assert (vendor, found[1]) in mine
            assert not {"tracestate", "baggage"} & {name.lower() for name in headers}


@pytest.mark.parametrize(
    "said",
    [
        [f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"],
        [f"00-{TRACE}-{PARENT}-01-more"],
        [f"ff-{TRACE}-{PARENT}-01"],
        [f"00-{TRACE.upper()}-{PARENT}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-abcdef{CARD}abcdefabcd-{PARENT}-01"],
        [f"00-{TRACE}-{CARD}-01"],
        ["x" * 5000],
    ],
)
def test_a_traceparent_of_another_form_is_none(said: list[str]) -> None:
    """Then a trace of our own begins: nothing of it goes on, a card number neither."""
    (parent,) = [otel._parent(said)]
    assert get_current_span(parent).get_span_context() == INVALID_SPAN_CONTEXT


async def test_a_caller_that_does_not_sample_is_heard(short_dir: Path) -> None:
    """No span of it is sent, and no exemplar kept."""
    async with receiving() as receiver:
        async with place(short_dir, endpoint=receiver.url) as gateway:
            await gateway.ask("PUT", headers=[("traceparent", TRACEPARENT[:-1] + "0")])
            _, page = await gateway.metrics("application/openmetrics-text")
        assert receiver.of_trace(TRACE) == []
    assert TRACE not in page


async def test_no_id_no_person_no_secret_and_no_card_number_is_exported(short_dir: Path) -> None:
    """Whatever is sent along, refused or not: searched in all bytes that the collector gets and in the metrics."""
    call, words = "call-id-canary", ["ext.canary", "actor-canary", "hold-canary", "reason-canary", "idem-canary"]
    extension, actor, hold, reason, idempotency = words
    context = [("traceparent", TRACEPARENT), ("tracestate", f"k={CARD}"), ("baggage", f"card={CARD}")]
    noise = [*context, ("X-Request-Id", "request-canary")]
    async with receiving() as receiver:
        async with place(short_dir, endpoint=receiver.url, authorization="Bearer collector-canary") as gateway:
            for fake in gateway.desk.fakes.values():
                fake.add_call(call, extension=extension)
                fake.plan(FaultKind.LEAK, times=1)
            body = {"extension": extension, "actor": actor, "hold": hold, "reason": reason}
            said = [*noise, ("Idempotency-Key", idempotency)]
            asked = [
                await gateway.ask("PUT", call, headers=said, json=body),
                await gateway.ask("PUT", call, headers=noise, json=body),
                await gateway.ask("PUT", call, headers=noise, json={"hold": CARD}),
                await gateway.ask("PUT", f"%20{CARD}", headers=noise),
                await gateway.ask("FROB" + CARD, call, headers=noise),
                await gateway.ask("PUT", f"{call}/other", headers=noise),
                await gateway.ask("DELETE", call, headers=noise),
            ]
            _, page = await gateway.metrics("application/openmetrics-text")
            secrets = {gateway.desk.key, gateway.desk.key.split("_")[2]}
            for fake in gateway.desk.fakes.values():
                kept = {"vendor", "base_url", "username", "redirect_uri"}
                secrets |= {str(value) for name, value in fake.settings().items() if name not in kept}
        everything = b"".join(receiver.bodies) + page.encode()
        assert {status for status, _ in asked} >= {400, 404}
        assert len([span for span in receiver.spans if span.kind == SERVER]) >= len(asked) - 1
        assert {headers.get("Authorization") for headers in receiver.headers} == {"Bearer collector-canary"}
    needles = {call, CARD, "canary", demo.CALL, demo.CLIENT + '"', *words, *secrets}
    assert [needle for needle in needles if needle.encode() in everything] == []


async def test_what_failed_is_an_error(short_dir: Path) -> None:
    """A recorder that cannot be reached, and the request that it spoiled."""
    async with receiving() as receiver:
        async with place(short_dir, endpoint=receiver.url) as gateway:
            gateway.desk.fakes["verba"].add_call("verba-1", extension="1")
            gateway.desk.fakes["verba"].plan(FaultKind.SERVER_ERROR, on=["command"])
            status, _ = await gateway.ask("PUT", "verba-1", headers=[("traceparent", TRACEPARENT)])
        spans = receiver.of_trace(TRACE)
    assert status == 504
    assert {span.status.code for span in spans if span.kind == SERVER} == {Status.STATUS_CODE_ERROR}
    failed = [span for span in spans if span.name == "mute verba"]
    assert failed
    for span in failed:
        assert (span.status.code, attributes(span)["gateway.outcome"]) == (Status.STATUS_CODE_ERROR, "server-error")
        assert (list(span.events), span.status.message) == ([], "")


async def test_a_collector_that_hangs_stops_nothing(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutes are proven while it does, also when the queue is full; and the gateway ends without it."""
    monkeypatch.setattr(otel, "SEND_SECONDS", 60.0)
    monkeypatch.setattr(otel, "MOST_SPANS", 8)
    monkeypatch.setattr(otel, "BATCH_SPANS", 4)
    monkeypatch.setattr(otel, "LAST_SECONDS", 0.2)
    async with receiving(hangs=True) as receiver, asyncio.timeout(25):  # the library alone waits for thirty
        async with place(short_dir, endpoint=receiver.url) as gateway:
            first, _ = await gateway.ask("PUT")
            await receiver.asked.wait()
            rest = [await gateway.ask("PUT") for _ in range(10)]
        assert receiver.bodies == []
    assert (first, {(status, answer["protected"]) for status, answer in rest}) == (200, {(200, True)})


async def test_a_collector_that_is_not_there_stops_nothing(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that hangs; that it is lost is said once."""
    monkeypatch.setattr(otel, "LAST_SECONDS", 0.2)
    monkeypatch.setattr(otel, "SEND_SECONDS", 0.1)
    monkeypatch.setattr(otel, "BATCH_SPANS", 4)
    async with receiving() as receiver:
        url = receiver.url
    with capture_logs() as lines:
        async with place(short_dir, endpoint=url) as gateway:
            assert {(await gateway.ask("PUT"))[0] for _ in range(10)} == {200}
            async with asyncio.timeout(30):
                while not said(lines):  # noqa: ASYNC110 -- a thread of the library's says it
                    await asyncio.sleep(0.02)
    assert said(lines) == ["collector.lost"]


def said(lines: Sequence[MutableMapping[str, Any]]) -> list[str]:
    return [line["event"] for line in lines if line["event"].startswith("collector.")]


async def test_exemplars_lead_from_the_latencies_to_the_trace(short_dir: Path) -> None:
    """On the two histograms, for who takes OpenMetrics; in the older format there is no room for them."""
    async with receiving() as receiver, place(short_dir, endpoint=receiver.url) as gateway:
        await gateway.ask("PUT", headers=[("traceparent", TRACEPARENT)])
        kind, page = await gateway.metrics("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3")
        plain_kind, plain = await gateway.metrics("text/plain;version=0.0.4")
    assert (kind, plain_kind) == (CONTENT_TYPE_LATEST, CONTENT_TYPE)
    assert " # {" not in plain
    found = {
        sample.name: sample.exemplar.labels
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]  # as the library has it
        for sample in family.samples
        if sample.exemplar
    }
    assert set(found) == {"redaction_request_seconds_bucket", "backend_request_seconds_bucket"}
    for labels in found.values():
        assert set(labels) == {"trace_id", "span_id"}
    assert found["redaction_request_seconds_bucket"]["trace_id"] == TRACE


async def test_without_the_setting_nothing_is_told(short_dir: Path) -> None:
    """A caller's traceparent ends here, vendors get none, the metrics have no exemplar."""
    async with place(short_dir) as gateway:
        assert (await gateway.ask("PUT", headers=[("traceparent", TRACEPARENT)]))[0] == 200
        requests = [wire for fake in gateway.desk.fakes.values() for wire in fake.requests]
        _, page = await gateway.metrics("application/openmetrics-text")
    assert requests
    assert [wire for wire in requests if "traceparent" in {name.lower() for name in wire.headers}] == []
    assert " # {" not in page


def test_without_the_setting_nothing_is_imported() -> None:
    """A gateway that runs has neither the library nor the module that knows it; the store's client looks by itself
    for what is installed of it."""
    probe = (
        "import asyncio, sys, tempfile, pathlib\n"
        "import redis.asyncio.cluster, redis.asyncio.sentinel\n"
        "before = {*sys.modules}\n"
        "from gateway import app\n"
        "from gateway.cli import serve, check\n"
        "from gateway.sandbox import demo\n"
        "async def main():\n"
        "    directory = pathlib.Path(tempfile.mkdtemp(prefix='rgw-'))\n"
        "    async with demo.desk(directory, port=0) as desk, app.running(desk.settings):\n"
        "        names = ('opentelemetry', 'requests', 'gateway.otel')\n"
        "        print([name for name in {*sys.modules} - before if name.startswith(names)], file=sys.stderr)\n"
        "asyncio.run(main())\n"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stderr == "[]\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_without_the_extra_the_setting_is_a_mistake(tmp_path: Path, command: str) -> None:
    """Exit status 78, and what to install."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "environment: development\n"
        f"store: {{directory: {tmp_path}}}\n"
        "tracing: {endpoint: 'http://127.0.0.1:4318/v1/traces'}\n"
        "backends: {gws: {vendor: genesys, base_url: 'https://gws.example', username: a, password: b}}\n"
        "routes: [{backends: [gws]}]\n"
    )
    without = "import sys; sys.modules['opentelemetry'] = None; from gateway.cli.main import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", without, command, "--config", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
    )
    assert ran.returncode == exits.CONFIGURATION
    assert ran.stderr == "tracing: needs the optional extra: pip install 'redaction-gateway[tracing]'\n"


def test_with_the_extra_the_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a part of it that is missing is noticed, too."""
    wanted = Tracing(endpoint="http://127.0.0.1:4318/v1/traces")
    tracing.checked(wanted)
    monkeypatch.setattr(tracing, "_NEEDED", ("opentelemetry.sdk", "opentelemetry.exporter.nothing"))
    with pytest.raises(ConfigurationError):
        tracing.checked(wanted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "http://collector.example/v1/traces"},
        {"endpoint": "https://user:hunter2@collector.example/v1/traces"},
        {"endpoint": "https://collector.example/v1/traces?key=hunter2"},
        {"endpoint": "https://collector.example/v1/traces", "sample_ratio": 1.5},
        {"endpoint": "https://collector.example/v1/traces", "ca_file": "/nowhere"},
        {},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """In the clear to another machine, credentials in the address, shares above all, files that are not there."""
    with pytest.raises(ValidationError) as refused:
        Tracing.model_validate(wrong)
    assert "hunter2" not in str(refused.value)


def test_plain_http_goes_elsewhere_only_by_name() -> None:
    """The operator's own decision."""
    assert Tracing(endpoint="http://collector.example/v1/traces", plaintext=True).sample_ratio == 0.01


async def test_a_collector_is_known_by_its_authority(short_dir: Path, tmp_path: Path) -> None:
    """The one that `ca_file` names gets spans, another one gets nothing, and the mute is proven all the same."""
    authority, (stranger, _) = Authority(), Authority("stranger").written(tmp_path, "stranger")
    known, _ = authority.written(tmp_path, "authority")
    async with receiving(
        tls=server_context(*authority.signs("collector").written(tmp_path, "collector"), None)
    ) as receiver:
        async with place(short_dir, endpoint=receiver.url, ca_file=known) as gateway:
            assert (await gateway.ask("PUT"))[0] == 200
        assert receiver.spans
        receiver.bodies.clear()
        async with place(short_dir / "b", endpoint=receiver.url, ca_file=stranger) as gateway:
            assert (await gateway.ask("PUT"))[0] == 200
        assert receiver.bodies == []
