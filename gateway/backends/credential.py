"""A credential that a server hands out for a while, shared by everybody who needs it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.backends.contract import NotSent, Unconfirmed
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Generic[T]):
    """What the server gave. From `renew_at` on a new one is fetched while this one still serves; from
    `expires_at` on it is not used. Both are seconds of the running loop's clock, infinite for no end."""

    value: T
    renew_at: float
    expires_at: float


class Credential(Generic[T]):
    """The newest lease; one fetch is in flight however many callers wait for it.

    `fetch` gets an absolute deadline and raises `BackendError`; it may take `patience_seconds` and outlives
    the caller that caused it, so that an impatient one does not cost the others their token.
    """

    def __init__(self, fetch: Callable[[float], Awaitable[Lease[T]]], *, patience_seconds: float) -> None:
        self._fetch = fetch
        self._patience_seconds = patience_seconds
        self._lease: Lease[T] | None = None
        self._fetching: asyncio.Task[Lease[T]] | None = None

    async def current(self, *, deadline: float) -> T:
        """A value that is still good.

        Raises `Refused` when the server said no, otherwise `NotSent`: whatever went wrong with a credential,
        no command has gone out.
        """
        now = asyncio.get_running_loop().time()
        lease = self._lease
        if lease is None or now >= lease.expires_at:
            return (await self._arrival(self._start(), deadline - now)).value
        if now >= lease.renew_at:
            self._start()
        return lease.value

    def refuse(self, value: T) -> None:
        """The server does not take `value`: fetch anew, unless somebody else's refusal already led to that."""
        if self._lease is not None and self._lease.value == value:
            self._lease = None

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _start(self) -> asyncio.Task[Lease[T]]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._renewed())
            self._fetching.add_done_callback(_noticed)
        return self._fetching

    async def _renewed(self) -> Lease[T]:
        deadline = asyncio.get_running_loop().time() + self._patience_seconds
        self._lease = await self._fetch(deadline)
        return self._lease

    async def _arrival(self, fetching: asyncio.Task[Lease[T]], patience_seconds: float) -> Lease[T]:
        await asyncio.wait({fetching}, timeout=max(patience_seconds, 0.0))
        if not fetching.done() or fetching.cancelled():
            raise NotSent(Fault.CONNECTION_FAILED)
        match fetching.exception():
            case None:
                return fetching.result()
            case Unconfirmed() as error:
                raise NotSent(_UNSENT.get(error.fault, Fault.CONNECTION_FAILED)) from error
            case error:
                raise error


# A server that is asked too much for credentials is busy; any other trouble with it is a connection's.
_UNSENT = {Fault.RATE_LIMITED: Fault.BUSY}


def _noticed(fetching: asyncio.Task[Lease[T]]) -> None:
    """A renewal in the background may fail unseen: the lease in use still serves, and the next one tries."""
    if not fetching.cancelled():
        fetching.exception()
