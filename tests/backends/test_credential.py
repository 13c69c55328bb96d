from __future__ import annotations

import asyncio
import math

import pytest

from gateway.backends.contract import NotSent, Refused, Unconfirmed
from gateway.backends.credential import Credential, Lease
from gateway.model import Fault


class Server:
    """Hands out 1, 2, 3 … as leases, when `gate` is open; `error` instead when there is one."""

    def __init__(self, *, renew_after: float = math.inf, expires_after: float = math.inf) -> None:
        self.asked = 0
        self.arrivals: asyncio.Queue[int] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.renew_after = renew_after
        self.expires_after = expires_after

    async def fetch(self, deadline: float) -> Lease[int]:
        self.asked += 1
        value = self.asked
        self.arrivals.put_nowait(value)
        now = asyncio.get_running_loop().time()
        assert deadline > now
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Lease(value=value, renew_at=now + self.renew_after, expires_at=now + self.expires_after)

    async def arrival(self, value: int) -> None:
        """Wait until it is asked for `value`."""
        async with asyncio.timeout(5):
            while await self.arrivals.get() != value:
                pass


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


async def test_many_callers_one_fetch() -> None:
    """However many need a credential at once, the server is asked once, and all get that one."""
    server = Server()
    server.gate.clear()
    credential = Credential(server.fetch, patience_seconds=5)
    callers = [asyncio.create_task(credential.current(deadline=soon())) for _ in range(20)]
    await server.arrival(1)
    server.gate.set()
    assert await asyncio.gather(*callers) == [1] * 20
    assert server.asked == 1
    assert await credential.current(deadline=soon()) == 1


async def test_an_impatient_caller_does_not_cost_the_others_theirs() -> None:
    """A caller whose deadline comes first, or who is cancelled, is told that nothing was sent; the fetch goes on."""
    server = Server()
    server.gate.clear()
    credential = Credential(server.fetch, patience_seconds=5)
    patient = asyncio.create_task(credential.current(deadline=soon()))
    gone = asyncio.create_task(credential.current(deadline=soon()))
    await server.arrival(1)
    gone.cancel()
    with pytest.raises(NotSent) as caught:
        await credential.current(deadline=asyncio.get_running_loop().time() - 1)
    assert caught.value.fault is Fault.CONNECTION_FAILED
    server.gate.set()
    assert await patient == 1
    assert gone.cancelled()


async def test_a_refused_value_is_fetched_anew_once() -> None:
    """Two callers whose shared value is refused cause one renewal: the second refusal is of an old value."""
    server = Server()
    credential = Credential(server.fetch, patience_seconds=5)
    credential.refuse(0)
    first = await credential.current(deadline=soon())
    credential.refuse(first)
    second = await credential.current(deadline=soon())
    credential.refuse(first)
    assert await credential.current(deadline=soon()) == second == 2


async def test_renewal_is_in_the_background_while_the_old_one_serves() -> None:
    """From `renew_at` on callers get the old value at once, one renewal runs, and then the new one serves."""
    server = Server(renew_after=-1)
    credential = Credential(server.fetch, patience_seconds=5)
    assert await credential.current(deadline=soon()) == 1
    server.gate.clear()
    assert await credential.current(deadline=soon()) == 1
    assert await credential.current(deadline=soon()) == 1
    await server.arrival(2)
    server.renew_after = math.inf
    server.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await credential.current(deadline=soon()) == 2


async def test_a_failed_renewal_leaves_the_old_one_in_use_until_it_expires() -> None:
    """A token server that is down costs nothing while the old token is good; after that nothing can be sent."""
    server = Server(renew_after=-1)
    credential = Credential(server.fetch, patience_seconds=5)
    assert await credential.current(deadline=soon()) == 1
    server.error = Unconfirmed(Fault.SERVER_ERROR)
    assert await credential.current(deadline=soon()) == 1
    await server.arrival(2)
    await asyncio.sleep(0)
    assert await credential.current(deadline=soon()) == 1
    await credential.close()


async def test_an_expired_one_is_never_used() -> None:
    """From `expires_at` on every caller waits for a new one."""
    server = Server(renew_after=-2, expires_after=-1)
    credential = Credential(server.fetch, patience_seconds=5)
    assert await credential.current(deadline=soon()) == 1
    assert await credential.current(deadline=soon()) == 2


@pytest.mark.parametrize(
    ("error", "kind", "fault"),
    [
        (Unconfirmed(Fault.TIMEOUT), NotSent, Fault.CONNECTION_FAILED),
        (Unconfirmed(Fault.BAD_ANSWER), NotSent, Fault.CONNECTION_FAILED),
        (Unconfirmed(Fault.RATE_LIMITED), NotSent, Fault.BUSY),
        (NotSent(Fault.BUSY), NotSent, Fault.BUSY),
        (Refused(Fault.UNAUTHENTICATED), Refused, Fault.UNAUTHENTICATED),
    ],
)
async def test_what_goes_wrong_with_a_credential_was_no_command(
    error: Exception, kind: type[NotSent | Refused], fault: Fault
) -> None:
    """A lost answer of the token server is "nothing was sent"; a readable no of it stays a no."""
    server = Server()
    server.error = error
    credential = Credential(server.fetch, patience_seconds=5)
    with pytest.raises(kind) as caught:
        await credential.current(deadline=soon())
    assert caught.value.fault is fault


async def test_close_ends_a_fetch_under_way() -> None:
    """Closing leaves no task behind, and who waits learns that nothing was sent; closing unused is fine."""
    server = Server()
    server.gate.clear()
    credential = Credential(server.fetch, patience_seconds=5)
    await credential.close()
    waiting = asyncio.create_task(credential.current(deadline=soon()))
    await server.arrival(1)
    await credential.close()
    with pytest.raises(NotSent):
        await waiting
