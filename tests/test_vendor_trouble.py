"""A vendor that wants to be asked seldom, one that is away, one that hangs beside one that works: the gateway as it
runs, on real sockets."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest

from gateway import circuit, settings
from gateway.app import running
from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.backends import voicenter
from gateway.model import Parties
from gateway.sandbox.desk import FaultKind
from gateway.sandbox.verba import VerbaFake
from gateway.sandbox.voicenter import VoicenterFake
from gateway.sandbox.voipnow import VoipNowFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from gateway.sandbox.desk import Fake, FakeCall

PATIENCE_SECONDS = 20.0
INTERVAL_SECONDS = 0.4


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A running gateway, as its client and its operator see it."""

    session: aiohttp.ClientSession
    url: str
    admin_url: str

    async def put(self, call_id: str, **body: object) -> Any:  # noqa: ANN401 -- whatever came over the wire
        return await self._ask("PUT", call_id, body)

    async def get(self, call_id: str) -> Any:  # noqa: ANN401 -- as put
        return await self._ask("GET", call_id)

    async def delete(self, call_id: str) -> Any:  # noqa: ANN401 -- as put
        return await self._ask("DELETE", call_id)

    async def _ask(self, method: str, call_id: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 -- as put
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        async with self.session.request(
            method, f"{self.url}/v1/calls/{call_id}/redaction", data=data, headers=headers
        ) as response:
            return {"status": response.status, **orjson.loads(await response.read())}

    async def metric(self, line: str) -> float:
        """The value of one series, as the text format names it."""
        async with self.session.get(f"{self.admin_url}/metrics") as response:
            found = re.search(rf"^{re.escape(line)} (\S+)$", await response.text(), re.MULTILINE)
        assert found is not None
        return float(found.group(1))


@asynccontextmanager
async def gate(directory: Path, *fakes: Fake, policy: Mapping[str, object], **backend: object) -> AsyncIterator[Gate]:
    """A gateway before these fakes; a call goes to the vendor whose name begins its id."""
    async with AsyncExitStack() as stack:
        for fake in fakes:
            await fake.start()
            stack.push_async_callback(fake.stop)
        pepper, key = secrets.token_bytes(32), mint(secrets.token_bytes)
        tree: dict[str, object] = {
            "environment": "development",
            "listen": {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0},
            "store": {"url": "embedded", "directory": str(directory)},
            "policy": policy,
            "audit": {"pepper": base64.b64encode(pepper).decode()},
            "backends": {fake.vendor.value: {**fake.settings(), **backend} for fake in fakes},
            "routes": [
                {"match": {"call_id": f"{fake.vendor.value}-*"}, "backends": [fake.vendor.value]} for fake in fakes
            ],
            "clients": {
                "crm": {
                    "tenant": "acme",
                    "scopes": list(Scope),
                    "keys": [{"kid": key.kid, "hash": hash_secret(pepper, key.secret)}],
                    "requests_per_second": 10_000,
                }
            },
        }
        state = await stack.enter_async_context(running(settings.parse(tree)))
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={"X-API-Key": key.text}))
        host = "http://127.0.0.1"
        yield Gate(session=session, url=f"{host}:{state.port}", admin_url=f"{host}:{state.admin_port}")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 -- a tape tells nobody when it changes
            await asyncio.sleep(0.02)


async def until_metric(door: Gate, line: str, value: float) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await door.metric(line) != value:  # noqa: ASYNC110 -- it has to be asked for
            await asyncio.sleep(0.05)


async def until_shown(door: Gate, call_id: str, member: str, value: object) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await door.get(call_id))[member] != value:  # noqa: ASYNC110 -- it has to be asked for
            await asyncio.sleep(0.05)


def errors(answer: Any) -> list[str]:  # noqa: ANN401 -- whatever came over the wire
    return [recorder["error"] for recorder in answer["recorders"]]


def silent(calls: Iterable[FakeCall]) -> bool:
    return all(call.muted is Parties.BOTH for call in calls)


# A vendor that wants to be asked seldom


@pytest.fixture
def interval(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(voicenter, "READ_INTERVAL_SECONDS", INTERVAL_SECONDS)
    return INTERVAL_SECONDS


async def muted_fifty(door: Gate, fake: VoicenterFake) -> tuple[list[FakeCall], list[str]]:
    """Fifty calls with a redaction each, half of them by extension."""
    calls, names = [], []
    for number in range(50):
        name, extension = f"voicenter-{number}", f"SIP{number}"
        by_id = number % 2
        calls.append(fake.add_call(name if by_id else f"ivr-{number}", extension=extension))
        names.append(name)
        answer = await door.put(name, **({} if by_id else {"extension": extension}))
        assert (answer["status"], answer["protected"]) == (200, True)
    return calls, names


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def test_one_read_for_all_and_not_too_often(short_dir: Path, interval: float) -> None:
    """Fifty open redactions, by id and by extension, are looked at with one request at a time, never sooner than the
    interval after any other read; all stay protected all the time, on the tapes too."""
    fake = VoicenterFake()
    async with gate(short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 2.0}) as door:
        calls, names = await muted_fifty(door, fake)
        muted_at, own = time.time_ns(), len(fake.read_times)
        while len(fake.read_times) < own + 8:
            answers = await asyncio.gather(*(door.get(name) for name in names))
            assert [answer["protected"] for answer in answers] == [True] * 50
        assert min(gaps(fake.read_times[own - 1 :])) >= interval
        assert {request.body.count(b"extension") for request in fake.sent("read")[own:]} == {0}
        now = time.time_ns()
        assert all(call.tape.silent(Parties.BOTH, since=muted_at, until=now) for call in calls)
        assert len(fake.sent("command")) == 50


async def test_requests_do_not_keep_the_background_blind(short_dir: Path, interval: float) -> None:
    """While requests come in faster than the interval, a recording that somebody resumes is found and muted all the
    same: one of the requests' own reads is for everybody. No background read comes in between."""
    fake = VoicenterFake()
    async with gate(short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 0.4}) as door:
        calls, _ = await muted_fifty(door, fake)
        busy = asyncio.create_task(_keep_muting(door, fake, interval / 8))
        await asyncio.sleep(2 * interval)
        fake.resume(calls[0].call_id)
        fake.resume(calls[1].call_id)
        await until(lambda: silent(calls))
        busy.cancel()
        await asyncio.wait({busy})
        whole = [request for request in fake.sent("read") if b"extension" not in request.body]
        assert whole


async def _keep_muting(door: Gate, fake: VoicenterFake, pause: float) -> None:
    for number in itertools.count(100):
        fake.add_call(f"ivr-{number}", extension=f"SIP{number}")
        await door.put(f"voicenter-{number}", extension=f"SIP{number}")
        await asyncio.sleep(pause)


@pytest.mark.usefixtures("interval")
async def test_a_later_call_of_a_held_extension_is_muted(short_dir: Path) -> None:
    """A command by extension covers the calls of that moment; the next look finds the consultation call and mutes
    it, too, and says so."""
    fake = VoicenterFake()
    async with gate(short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 0.4}) as door:
        fake.add_call("ivr-1", extension="SIP1")
        assert (await door.put("voicenter-1", extension="SIP1"))["protected"]
        later = fake.add_call("ivr-2", extension="SIP1")
        await until(lambda: silent([later]))
        await until_metric(door, 'redaction_drift_total{backend="voicenter"}', 1)
        await until_shown(door, "voicenter-1", "protected", value=True)


@pytest.mark.usefixtures("interval")
async def test_a_call_that_is_over_is_closed_but_no_other(short_dir: Path) -> None:
    """That a shared answer does not have a call ends its redaction, unless it is from before the call."""
    fake = VoicenterFake()
    async with gate(short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 0.4}) as door:
        fake.add_call("ivr-0", extension="SIP0")
        await door.put("voicenter-0", extension="SIP0")
        reads = len(fake.read_times)
        for number in range(1, 12):
            await until(lambda: len(fake.read_times) > reads)  # noqa: B023 -- awaited at once
            reads = len(fake.read_times)
            fake.add_call(f"ivr-{number}", extension=f"SIP{number}")
            assert (await door.put(f"voicenter-{number}", extension=f"SIP{number}"))["protected"]
        fake.end_call("ivr-0")
        await until_shown(door, "voicenter-0", "state", value="ended")
        for number in range(1, 12):
            assert (await door.get(f"voicenter-{number}"))["desired"] == "muted"


# A vendor that is away


async def opened_circuit(door: Gate, fake: Fake) -> FakeCall:
    """Mute one call at a vendor that is away until nobody waits for it any more."""
    call = fake.add_call("verba-1", extension="1001")
    for _ in range(3 * circuit.FAILURES):
        answer = await door.put("verba-1")
        assert not answer["redaction"]["protected"]
        if await door.metric('backend_circuit_open{backend="verba"}') == 1:
            break
    assert await door.metric('backend_circuit_open{backend="verba"}') == 1
    return call


async def test_nobody_waits_for_a_vendor_that_is_away(short_dir: Path) -> None:
    """After some failures a mute is answered at once with 504, since it is on its way all the same; an unmute is
    refused with 503: nothing is sent for it. When the vendor is back, everything is muted without another request."""
    fake = VerbaFake()
    async with gate(
        short_dir, fake, policy={"deadline_seconds": 2.0, "reassert_seconds": 1.0}, timeout_seconds=0.4
    ) as door:
        fake.plan(FaultKind.HANG)
        first = await opened_circuit(door, fake)
        others = [fake.add_call(f"verba-{number}", extension=str(1000 + number)) for number in range(2, 6)]
        answers = await asyncio.gather(*(door.put(call.call_id) for call in others))
        assert [(answer["status"], errors(answer)) for answer in answers] == [(504, ["not-awaited"])] * 4
        answer = await door.delete("verba-1")
        assert (answer["status"], errors(answer)) == (503, ["circuit-open"])
        fake.heal()
        await until(lambda: silent([first, *others]))
        await until_metric(door, 'backend_circuit_open{backend="verba"}', 0)
        assert [cut.muted for cut in first.tape.cuts] == [Parties.NONE, Parties.BOTH]
        for call in (first, *others):
            await until_shown(door, call.call_id, "protected", value=True)
        assert (await door.delete("verba-1"))["status"] == 200
        assert first.muted is Parties.NONE


async def test_a_mute_nobody_waits_for_is_sent_at_once(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the background in its time, which is switched off here, but by the request itself; when the vendor answers
    within a moment, the request waits for the proof, too."""
    fake = VerbaFake(login=False)
    monkeypatch.setattr(circuit, "PROBE_SECONDS", 10_000)
    monkeypatch.setattr(circuit, "STALE_SECONDS", 10_000)
    async with gate(
        short_dir, fake, policy={"deadline_seconds": 2.0, "reassert_seconds": 1.0}, timeout_seconds=0.4
    ) as door:
        fake.plan(FaultKind.HANG)
        await opened_circuit(door, fake)
        await asyncio.sleep(3)  # until the background has had its one try
        fake.heal()
        call = fake.add_call("verba-2", extension="1002")
        assert (await door.put("verba-2"))["protected"]
        assert silent([call])


async def test_a_vendor_that_refuses_connections_comes_back(short_dir: Path) -> None:
    """The port is closed: 503, for nothing was sent. When it is opened again the mute gets there by itself."""
    fake = VerbaFake()
    async with gate(short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 0.5}) as door:
        await fake.stop()
        call = await opened_circuit(door, fake)
        answer = await door.put("verba-1")
        assert (answer["status"], errors(answer)) == (503, ["circuit-open"])
        await fake.start()
        await until(lambda: silent([call]))
        await until_metric(door, 'backend_circuit_open{backend="verba"}', 0)


async def test_an_unmute_is_not_tried_again(short_dir: Path) -> None:
    """A vendor that hangs at the unmute gets it once; what stands is the redaction, and the recorder is silent."""
    fake = VerbaFake(login=False)
    async with gate(
        short_dir, fake, policy={"deadline_seconds": 1.0, "reassert_seconds": 0.5}, timeout_seconds=0.3
    ) as door:
        call = fake.add_call("verba-1", extension="1001")
        assert (await door.put("verba-1"))["protected"]
        fake.plan(FaultKind.HANG, on=["command"], times=1)
        answer = await door.delete("verba-1")
        assert (answer["status"], answer["redaction"]["desired"]) == (504, "muted")
        looked = len(fake.read_times)
        await until(lambda: len(fake.read_times) > looked + 4)
        commands = [dict([*request.query, *request.form]).get("mute") for request in fake.sent("command")]
        assert commands.count("0") == 1
        assert silent([call])


# One that hangs beside one that works


async def test_a_hanging_vendor_does_not_slow_another(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While hundreds of calls hang at one vendor, those of the other are looked after: what somebody resumes there
    is muted again before the first of the hanging ones is through. Even without the circuit, which is shut off."""
    monkeypatch.setattr(circuit, "FAILURES", 10**9)
    hanging, well = VerbaFake(login=False), VoipNowFake()
    policy = {"deadline_seconds": 10.0, "reassert_seconds": 1.0}
    async with gate(short_dir, hanging, well, policy=policy, timeout_seconds=10.0) as door:
        for number in range(200):
            hanging.add_call(f"verba-{number}", extension=str(1000 + number))
        calls = [well.add_call(f"voipnow-{number}", extension=f"0003*{number}") for number in range(5)]
        names = [*hanging.calls, *well.calls]
        for some in (names[start : start + 20] for start in range(0, len(names), 20)):
            await asyncio.gather(*(door.put(name) for name in some))
        hanging.plan(FaultKind.HANG)
        hung_at = time.time_ns()
        await until(lambda: any(request.at > hung_at for request in hanging.requests))
        await asyncio.sleep(1.5)  # every one of the hanging calls has come due
        for _ in range(3):
            for call in calls:
                well.resume(call.call_id)
            await until(lambda: silent(calls))
        answers = await asyncio.gather(*(door.get(f"verba-{number}") for number in range(200)))
        assert not any(error for answer in answers for error in errors(answer))
        hanging.heal()
        await hanging.stop()
