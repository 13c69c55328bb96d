"""Every fault on every kind of request at every vendor: no yes without the tape, and the documented no.

One test is one fault on one kind of request; all vendors, by id and by extension, meet it at the same time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from lines import MATRIX, MODES, Line, Mode
from workbench import Bench, Placed, Reply, muted_now, recorded, silent, until

from gateway.model import Evidence
from gateway.sandbox.desk import FaultKind, Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATIONS: tuple[Operation, ...] = ("command", "read", "auth")
REFUSALS = frozenset({FaultKind.UNAUTHORIZED, FaultKind.LEAK, FaultKind.REFUSE})
HARMLESS = frozenset({FaultKind.LIE, FaultKind.LATE})  # of a request that changes nothing
CODES = {
    404: {"call-not-found"},
    502: {"recorder-refused"},
    503: {"recorder-unavailable"},
    504: {"recorder-unconfirmed"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    line: Line
    mode: Mode
    kind: FaultKind
    on: Operation

    @property
    def met(self) -> bool:
        """The vendor has such a request at all."""
        return {"command": True, "read": self.line.proves, "auth": self.line.logs_in()}[self.on]

    @property
    def statuses(self) -> frozenset[int]:
        """What a command answers when it meets the fault, by the contract's table."""
        if not self.met:
            return frozenset({200})
        match self.on:
            case "command":
                return self._on_command()
            case "read":
                return self._on_read()
            case "auth":
                return self._on_auth()

    def _on_command(self) -> frozenset[int]:
        if self.kind in REFUSALS:
            return frozenset({502})
        if self.kind in HARMLESS and not self.line.proves:
            return frozenset({200})  # a bare yes, by the operator's word
        if self.kind is FaultKind.LATE:
            return frozenset({200, 504})
        if self.kind is FaultKind.DROP_AFTER and self.line.proves:
            return frozenset({200})
        return frozenset({504})

    def _on_read(self) -> frozenset[int]:
        """A no to the question that finds the call is a no; once a command is out, nothing but proof is proof."""
        if self.kind in HARMLESS:
            return frozenset({200})
        told = {200} if Evidence.EVENT in self.line.capabilities.evidence else set()
        return frozenset({502 if self.kind in REFUSALS and self._finds_first else 504, *told})

    @property
    def _finds_first(self) -> bool:
        return self.line.name == "voipnow" or (self.line.name == "genesys" and self.mode == "extension")

    def _on_auth(self) -> frozenset[int]:
        if self.kind in HARMLESS:
            return frozenset({200})
        return frozenset({502}) if self.kind in REFUSALS else frozenset({503})


def cases(bench: Bench, kind: FaultKind, on: Operation) -> list[Case]:
    return [Case(line=bench.lines[name], mode=mode, kind=kind, on=on) for name in MATRIX for mode in MODES]


def misbehave(bench: Bench, kind: FaultKind, on: Operation) -> None:
    for name in MATRIX:
        line = bench.lines[name]
        if on == "auth":
            line.forget_logins()
        line.fake.plan(kind, on=[on])


async def at_once(asked: list[tuple[Case, Placed]], ask: Callable[[Placed], Awaitable[Reply]]) -> list[Reply]:
    return await asyncio.gather(*(ask(placed) for _, placed in asked))


async def leaks(bench: Bench, placed: Placed, reply: Reply, log: str) -> list[str]:
    """Secrets of all parties in whatever came out of the gateway."""
    trail = await bench.get(placed, "?include=audit")
    said = [f"{reply.headers} {reply.body!r}", f"{trail.headers} {trail.body!r}", await bench.metrics(), log]
    return bench.leaks(*said)


def expect_problem(reply: Reply) -> None:
    """The shape of a no: RFC 9457, the code that belongs to the status, the recorders as they are."""
    body = reply.json
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert body["status"] == reply.status
    assert body["code"] in CODES[reply.status]
    assert body["request_id"] == reply.headers["X-Request-Id"]
    assert all(recorder["error"] or recorder["state"] == "muted" for recorder in body["recorders"])
    assert body["recorders"]
    assert body["detail"]


@pytest.mark.parametrize("on", OPERATIONS)
@pytest.mark.parametrize("kind", FaultKind)
async def test_a_faulty_vendor_never_yields_a_mute_that_is_none(
    bench: Bench, subtests: pytest.Subtests, kind: FaultKind, on: Operation
) -> None:
    """PUT under a fault: a 2xx or `protected` only when the tape is silent by then, else the documented status;
    no secret and no card number in the answer, the trail, the metrics or the log."""
    asked = [(case, bench.place(case.line.name, case.mode)) for case in cases(bench, kind, on)]
    misbehave(bench, kind, on)
    begin = bench.log.tell()
    replies = await at_once(asked, bench.put)
    log = bench.log.getvalue()[begin:]
    for (case, placed), reply in zip(asked, replies, strict=True):
        with subtests.test(vendor=case.line.name, mode=case.mode):
            assert reply.status in case.statuses
            if reply.ok and case.line.proves:
                assert silent(placed.call, since=reply.received_at, until=reply.received_at)
            if not reply.ok:
                expect_problem(reply)
                assert not reply.protected
            assert not await leaks(bench, placed, reply, log)


@pytest.mark.parametrize("on", OPERATIONS)
@pytest.mark.parametrize("kind", FaultKind)
async def test_a_faulty_vendor_never_yields_an_unmute_that_is_none(
    bench: Bench, subtests: pytest.Subtests, kind: FaultKind, on: Operation
) -> None:
    """DELETE under a fault: a 2xx only when the tape is on by then; else the documented status, the redaction
    stands and the tape is silent again, proven or not. The command to resume is on the wire once, or, with 502 and
    503, never."""
    asked = [(case, bench.place(case.line.name, case.mode)) for case in cases(bench, kind, on)]
    assert [reply.status for reply in await at_once(asked, bench.hold)] == [200] * len(asked)
    misbehave(bench, kind, on)
    begin = bench.log.tell()
    replies = await at_once(asked, bench.delete)
    log = bench.log.getvalue()[begin:]
    for (case, placed), reply in zip(asked, replies, strict=True):
        with subtests.test(vendor=case.line.name, mode=case.mode):
            resumes = bench.resumes(case.line.name, placed)
            assert reply.status in case.statuses or (reply.status in {502, 503} and resumes == 0)
            assert resumes <= most_resumes(case)
            if reply.ok:
                assert recorded(placed.call, at=reply.received_at) or not case.line.proves
            else:
                expect_problem(reply)
                assert reply.document["desired"] == "muted"
                assert not reply.protected or silent(placed.call, since=reply.received_at, until=reply.received_at)
                await until(lambda call=placed.call: muted_now(call))  # type: ignore[misc]  # bound at once
            assert not await leaks(bench, placed, reply, log)


def most_resumes(case: Case) -> int:
    """Once; a login that was readably refused, and so has not acted, is renewed and the command said again."""
    renewed = case.line.logs_in() and (case.on == "auth" or (case.on == "command" and case.kind in REFUSALS))
    return 2 if renewed else 1
