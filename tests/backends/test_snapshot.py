"""One answer for many questions: how often the vendor is asked, who shares what, and how old it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.backends import snapshot
from gateway.backends.contract import NotSent, Unconfirmed
from gateway.backends.snapshot import Snapshot, Snapshots
from gateway.model import Fault

INTERVAL = 5.0


@dataclass(kw_only=True)
class Vendor:
    """A vendor that answers with how often it was asked; `now` is the time for the sharing only."""

    now: float = 100.0
    reads: list[float] = field(default_factory=list)
    failing: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    takes: float = 0.0
    shared: Snapshots[int] = field(init=False)

    def __post_init__(self) -> None:
        self.gate.set()
        self.shared = Snapshots(self._read, interval_seconds=INTERVAL, patience_seconds=60.0)

    async def _read(self, deadline: float) -> int:
        self.reads.append(deadline)
        answer = len(self.reads)
        await self.gate.wait()
        self.now += self.takes
        if self.failing:
            raise Unconfirmed(Fault.TIMEOUT)
        return answer

    async def newest(self, seconds: float = 1.0) -> Snapshot[int]:
        return await self.shared.newest(deadline=self.now + seconds)

    async def own(self) -> Snapshot[int]:
        return await self.shared.now(deadline=self.now + 1)


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Vendor:
    vendor = Vendor()
    monkeypatch.setattr(snapshot, "_now", lambda: vendor.now)
    return vendor


async def test_one_question_in_an_interval(vendor: Vendor) -> None:
    """Within the interval everybody gets the first one's answer with its time; after it the vendor is asked anew."""
    first = await vendor.newest()
    vendor.now += INTERVAL - 0.1
    assert await vendor.newest() == first == Snapshot(value=1, asked_at=100.0)
    vendor.now += 0.1
    assert await vendor.newest() == Snapshot(value=2, asked_at=100.0 + INTERVAL)


async def test_the_interval_counts_from_the_answer(vendor: Vendor) -> None:
    """A question may have been long on its way, so the distance at the vendor is kept from its end on."""
    vendor.takes = 3.0
    assert (await vendor.newest()).asked_at == 100.0
    vendor.now += INTERVAL - 0.1
    assert (await vendor.newest()).value == 1


async def test_who_comes_meanwhile_joins(vendor: Vendor) -> None:
    """One question is on its way, however many wait for it; a caller that gives up does not cost the others it."""
    vendor.gate.clear()
    impatient, patient = asyncio.create_task(vendor.newest(0.01)), asyncio.create_task(vendor.newest())
    with pytest.raises(NotSent) as caught:
        await impatient
    assert caught.value.fault is Fault.BUSY
    vendor.gate.set()
    assert (await patient).value == 1
    assert vendor.reads == [160.0]


async def test_a_failure_is_shared_for_an_interval_too(vendor: Vendor) -> None:
    """Nobody asks again to hear the same; after the interval somebody does."""
    vendor.failing = True
    faults = []
    for _ in range(3):
        with pytest.raises(Unconfirmed) as caught:
            await vendor.newest()
        faults.append(caught.value)
    assert len(vendor.reads) == 1
    assert faults[0] is faults[1] is faults[2]
    vendor.failing = False
    vendor.now += INTERVAL
    assert (await vendor.newest()).value == 2


async def test_a_request_asks_at_once_and_shares(vendor: Vendor) -> None:
    """Its own read does not wait, its answer is shared, and the background keeps its distance from it."""
    await vendor.newest()
    vendor.now += 1
    assert await vendor.own() == Snapshot(value=2, asked_at=101.0)
    vendor.now += INTERVAL - 1
    assert (await vendor.newest()).value == 2
    vendor.now += 1
    assert (await vendor.newest()).value == 3


async def test_a_requests_failure_is_its_own(vendor: Vendor) -> None:
    """It may have had little time; what is shared stays as it was."""
    await vendor.newest()
    vendor.failing = True
    with pytest.raises(Unconfirmed):
        await vendor.own()
    assert (await vendor.newest()).value == 1


async def test_an_older_answer_does_not_replace_a_younger(vendor: Vendor) -> None:
    """Asked first and answered last, it is not the newest."""
    vendor.gate.clear()
    slow = asyncio.create_task(vendor.newest())
    while not vendor.reads:  # noqa: ASYNC110 -- nobody is told when a task has run
        await asyncio.sleep(0)
    held, vendor.gate = vendor.gate, asyncio.Event()
    vendor.gate.set()
    vendor.now += 1
    assert (await vendor.own()).asked_at == 101.0
    held.set()
    assert (await slow).asked_at == 100.0
    assert (await vendor.newest()).asked_at == 101.0


async def test_the_background_is_served_when_it_is_overdue(vendor: Vendor) -> None:
    """Reads of another kind put the background off; once it has missed a turn, that is said, until somebody has
    asked for all, be it in vain."""
    overdue = []
    await vendor.newest()
    vendor.now += INTERVAL - 1
    await vendor.shared.spaced(asyncio.sleep(0))
    overdue.append(vendor.shared.overdue)
    vendor.now += 2
    assert (await vendor.newest()).value == 1
    overdue.append(vendor.shared.overdue)
    vendor.failing = True
    with pytest.raises(Unconfirmed):
        await vendor.own()
    overdue.append(vendor.shared.overdue)
    vendor.now += INTERVAL / 2
    assert (await vendor.newest()).value == 1
    overdue.append(vendor.shared.overdue)
    assert overdue == [False, True, False, False]


@pytest.mark.parametrize("failing", [False, True])
async def test_what_is_too_old_is_not_shared(vendor: Vendor, *, failing: bool) -> None:
    """Nor is an old failure: then there is no news."""
    vendor.failing = failing
    await asyncio.gather(vendor.newest(), return_exceptions=True)
    vendor.now += 2 * INTERVAL
    await vendor.shared.spaced(asyncio.sleep(0))
    with pytest.raises(NotSent) as caught:
        await vendor.newest()
    assert caught.value.fault is Fault.BUSY


async def test_before_the_first_answer_there_is_nothing_to_share(vendor: Vendor) -> None:
    """A request has just read something else: the background has to wait, and is overdue."""
    await vendor.shared.spaced(asyncio.sleep(0))
    with pytest.raises(NotSent):
        await vendor.newest()
    assert vendor.shared.overdue


async def test_closing_ends_the_question_under_way(vendor: Vendor) -> None:
    """And who waits for it is told that there is no news; with none under way there is nothing to end."""
    await vendor.shared.close()
    vendor.gate.clear()
    waiting = asyncio.create_task(vendor.newest(60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await vendor.shared.close()
    with pytest.raises(NotSent):
        await waiting
