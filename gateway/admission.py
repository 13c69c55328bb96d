"""Everything about who may call, as it is now: taken from the configuration at the start and whenever it changes."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from gateway import logs
from gateway.audit.entry import EntryType
from gateway.auth import Authenticator
from gateway.auth.changes import changes
from gateway.auth.issuer import Keys, source
from gateway.auth.limits import Limits
from gateway.auth.notices import Change, Notices
from gateway.auth.person import NoTokens
from gateway.auth.throttle import Throttle
from gateway.auth.tokens import Terms, TokenVerifier
from gateway.auth.uses import Uses
from gateway.beside import beside
from gateway.reload import LOOK_SECONDS
from gateway.sources import ConfigurationError
from gateway.values import key_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from gateway.auth.notices import Register
    from gateway.auth.person import BearerVerifier
    from gateway.metrics import Metrics
    from gateway.reload import Configuration
    from gateway.settings import Client, Settings, Tokens
    from gateway.store.redis import RedisStore

CONFIGURATION_TAKEN = "configuration.taken"
CONFIGURATION_REFUSED = "configuration.refused"
RESTART_NEEDED = "configuration.unapplied"

_log = logs.get("gateway.admission")


class Admission:
    """`settings` are those at the start; `register` is where the trail's entries about no call go."""

    def __init__(
        self, settings: Settings, *, register: Register, metrics: Metrics, node: str, ms: Callable[[], int]
    ) -> None:
        self._started = self._settings = settings
        self._metrics = metrics
        self._verifier: BearerVerifier = NoTokens()
        self._issuers = AsyncExitStack()
        self.authenticator = Authenticator(settings.clients, key_bytes(settings.audit.pepper), self._verifier)
        self.limits = Limits(_rates(settings.clients), now=time.monotonic)
        self.throttle = Throttle(now=time.monotonic)
        self.notices = Notices(register, node=node, ms=ms)

    def __contains__(self, client: object) -> bool:
        """Whether the client must name a person with each of its changes."""
        return isinstance(client, str) and self.authenticator.needs_actor(client)

    @asynccontextmanager
    async def working(self, store: RedisStore, configuration: Configuration | None) -> AsyncIterator[None]:
        """Ready when the block begins; follows `configuration`, where there is one, while it runs."""
        uses = Uses(store, self.authenticator.uses, self._kids)
        async with (
            self._issuers_closed(),
            self.notices.writing(),
            self.limits.sharing(store),
            uses.telling(),
        ):
            self._verifier = await self._vouching(self._settings.tokens)
            self._replace(self._settings)
            async with self._following(configuration):
                yield

    @asynccontextmanager
    async def _issuers_closed(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._issuers.aclose()

    @asynccontextmanager
    async def _following(self, configuration: Configuration | None) -> AsyncIterator[None]:
        if configuration is None:
            yield
            return
        async with beside(self._follow(configuration)):
            yield

    async def _follow(self, configuration: Configuration) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.shield(self.look(configuration))

    async def look(self, configuration: Configuration) -> None:
        """Take what has changed, all of it, or nothing when anything in it is wrong."""
        try:
            found = await configuration.changed()
        except ConfigurationError as error:
            await self._refuse(error)
            return
        if found is not None:
            await self._take(found)

    async def _refuse(self, error: ConfigurationError) -> None:
        self._metrics.configuration(is_valid=False)
        _log.error(CONFIGURATION_REFUSED, faults=[f"{path}: {message}" for path, message in error.faults])
        await self.notices.changed(Change(type=EntryType.CONFIGURATION_REFUSED))

    async def _take(self, found: Settings) -> None:
        before, self._settings = self._settings, found
        if found.tokens != before.tokens:
            self._verifier = await self._vouching(found.tokens)
        self._replace(found)
        left = _left(self._started, found)
        self._metrics.configuration(is_valid=not left)
        _log.info(CONFIGURATION_TAKEN, clients=len(found.clients))
        if left:
            _log.warning(RESTART_NEEDED, sections=left)
        await self.notices.changed(
            Change(type=EntryType.CONFIGURATION_CHANGED, sections=tuple(_changed(before, found))),
            *changes(before.clients, found.clients),
        )

    def _replace(self, settings: Settings) -> None:
        self.limits.replace(_rates(settings.clients))
        self._metrics.keys_expire(min(map(_keyless, settings.clients.values()), default=math.inf))
        self.authenticator.replace(settings.clients, key_bytes(settings.audit.pepper), self._verifier)

    async def _vouching(self, tokens: Tokens | None) -> BearerVerifier:
        """Who vouches for persons; its keys were asked for once when this returns."""
        if tokens is None:
            self._fresh(True)  # there is nothing that could be stale
            return NoTokens()
        keys = Keys(source(tokens.jwks), now=time.monotonic, fresh=self._fresh)
        await self._issuers.enter_async_context(keys.kept())
        terms = Terms(issuer=tokens.issuer, audience=tokens.audience, leeway_seconds=tokens.leeway_seconds)
        return TokenVerifier(terms, keys)

    def _fresh(self, fresh: bool) -> None:  # noqa: FBT001 -- the event's one word
        self._metrics.token_keys(are_fresh=fresh)

    def _kids(self) -> Iterable[str]:
        return [key.kid for client in self._settings.clients.values() for key in client.keys]


def _rates(clients: Mapping[str, Client]) -> dict[str, float]:
    return {name: client.requests_per_second for name, client in clients.items()}


def _keyless(client: Client) -> float:
    """When the last of its keys expires; one that never had a key is not waiting for that."""
    ends = [key.expires_at.timestamp() if key.expires_at else math.inf for key in client.keys]
    return max(ends, default=math.inf)


def _left(before: Settings, found: Settings) -> list[str]:
    """The sections that changed and count only after a restart."""
    audit = {"pepper": found.audit.pepper}
    applied = before.model_copy(
        update={
            "clients": found.clients,
            "tokens": found.tokens,
            "audit": before.audit.model_copy(update=audit),
        }
    )
    return _changed(applied, found)


def _changed(before: Settings, found: Settings) -> list[str]:
    return [name for name in type(found).model_fields if getattr(before, name) != getattr(found, name)]
