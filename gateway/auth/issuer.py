"""The issuer's keys, from a file or over https: kept, asked for again when one is missing, never lost.

While the issuer is away the last good keys count. A stranger's tokens cannot make us ask more than once in
`RETRY_SECONDS`; a set that is merely old is renewed behind the caller's back.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp

from gateway import logs
from gateway.addresses import Guard
from gateway.auth import jwks
from gateway.auth.jwks import KeySet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.auth.jwks import VerifyingKey

RETRY_SECONDS = 30.0
URL_MAX_AGE_SECONDS = 300.0
FILE_MAX_AGE_SECONDS = 2.0  # a mounted file costs nothing to read: a change counts within five seconds
FETCH_SECONDS = 2.0  # a mute waits for it when its token's key is a new one

KEYS_TAKEN = "keys.taken"
KEYS_REFUSED = "keys.refused"

_log = logs.get("gateway.auth")


class Source(Protocol):
    max_age_seconds: float
    retry_seconds: float

    async def read(self) -> bytes:
        """The JWK set as it is now; raises `OSError`, `ValueError` or `aiohttp.ClientError`."""
        ...


class FileSource:
    max_age_seconds = FILE_MAX_AGE_SECONDS
    retry_seconds = FILE_MAX_AGE_SECONDS

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        with self._path.open("rb") as stream:
            return stream.read(jwks.MAX_BYTES + 1)


class UrlSource:
    """No redirects, no proxies of the environment, no addresses that hand out credentials."""

    max_age_seconds = URL_MAX_AGE_SECONDS
    retry_seconds = RETRY_SECONDS

    def __init__(self, url: str) -> None:
        self._url = url

    async def read(self) -> bytes:
        connector = aiohttp.TCPConnector(socket_factory=Guard().socket, force_close=True)
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
            session.get(self._url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != 200:  # noqa: PLR2004 -- HTTP's own word for it
                raise ValueError(f"answered {response.status}")
            return await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > jwks.MAX_BYTES:
            raise ValueError("is too large")
    return bytes(data)


def source(jwks: str) -> Source:
    """The source for the setting `tokens.jwks`."""
    return UrlSource(jwks) if "://" in jwks else FileSource(Path(jwks))


class Keys:
    """`now` is a monotonic clock in seconds; `fresh` is told whether the newest answer was of use."""

    def __init__(self, source: Source, *, now: Callable[[], float], fresh: Callable[[bool], None]) -> None:
        self._source = source
        self._now = now
        self._fresh = fresh
        self._set = KeySet()
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._under_way: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Ask once before the first token comes; an issuer that is away does not keep the gateway from starting."""
        await self._renewed()
        try:
            yield
        finally:
            if self._under_way is not None:  # pragma: no branch -- the first question was asked above
                self._under_way.cancel()
                await asyncio.wait({self._under_way})

    async def key(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        found = self._set.find(kid, algorithm)
        if found is None:
            await self._renewed()
            return self._set.find(kid, algorithm)
        if self._read_at is None or self._now() - self._read_at >= self._source.max_age_seconds:
            self._renew()
        return found

    async def _renewed(self) -> None:
        task = self._renew()
        if task is not None:
            await asyncio.shield(task)

    def _renew(self) -> asyncio.Task[None] | None:
        """One question at a time, and not too soon after the last."""
        if self._under_way is not None and not self._under_way.done():
            return self._under_way
        now = self._now()
        if self._tried_at is not None and now - self._tried_at < self._source.retry_seconds:
            return None
        self._tried_at = now
        self._under_way = asyncio.create_task(self._ask(now))
        return self._under_way

    async def _ask(self, now: float) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = jwks.parse(await self._source.read())
        except (OSError, ValueError, aiohttp.ClientError) as error:
            _log.error(KEYS_REFUSED, error=type(error).__name__)
            self._fresh(False)
            return
        self._set, self._read_at = found, now
        self._fresh(True)
        _log.info(KEYS_TAKEN, count=len(found))
