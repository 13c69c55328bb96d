"""The trail for whoever comes from outside: the store of a gateway that runs, or the data of one that does not."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.keyring import Keyring
from gateway.store.contract import StoreUnavailable, StoreUnfit
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore
from gateway.store.seals import SealStore
from gateway.values import key_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.settings import Audit, Store

OPEN_SECONDS = 30.0
_READ_ONLY = ("CONFIG", "SET", "min-replicas-to-write", "1")  # there are none, so every write is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`writable`: the gateway runs, or the store is not the embedded one."""

    store: SealStore
    writable: bool


@asynccontextmanager
async def opened(settings: Store, *, strict: bool) -> AsyncIterator[Opened]:
    """The embedded store of a gateway that is stopped is started for the block, and takes no writes.

    Raises `StoreUnavailable` when there is no trail to be reached.
    """
    async with AsyncExitStack() as stack:
        url, writable = settings.url.get_secret_value(), True
        if settings.embedded:
            url, writable = await _embedded(settings, stack)
        store = RedisStore(url, strict=strict, replicas=0)
        stack.push_async_callback(store.close)
        await store.open()
        if not writable:
            await store.ask(OPEN_SECONDS, 0, _READ_ONLY)
        yield Opened(store=SealStore(store), writable=writable)


async def _embedded(settings: Store, stack: AsyncExitStack) -> tuple[str, bool]:
    server = EmbeddedServer(settings.directory)
    if not (server.directory / "appendonlydir").exists():
        raise StoreUnavailable("there is no trail in store.directory")
    try:
        await server.start()
    except StoreUnfit:  # its gateway runs
        return server.url, True
    stack.push_async_callback(server.stop)
    return server.url, False


def keyring(audit: Audit) -> Keyring:
    """The configured keys; zeroes where development has none."""
    return Keyring.of(
        hmac_key=key_bytes(audit.hmac_key),
        signing_key=key_bytes(audit.signing_key),
        old_hmac_keys=[key.get_secret_value() for key in audit.old_hmac_keys],
        old_public_keys=audit.old_public_keys,
    )
