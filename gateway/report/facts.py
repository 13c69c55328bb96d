"""What the configuration says that an assessor asks for: who holds which keys, what is encrypted, what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.audit.signed import key_id
from gateway.auth.keys import works
from gateway.auth.scopes import TokenRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.audit.keyring import Keyring
    from gateway.report.access import KeyUse
    from gateway.settings import Client, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One API key and whose it is. `works`: yes, not yet, expired, or that the configuration does not know it (any
    more). `used_at` is the newest use that anybody knows of, `entries` how many entries of the reported time it
    made."""

    kid: str
    client: str
    tenant: str
    works: str
    scopes: str = ""
    token: str = ""
    not_before: int | None = None
    expires_at: int | None = None
    used_at: int | None = None
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailKey:
    """A key of the trail by its id, and what it is for."""

    setting: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`clients` is how many there are; `plaintext` and `accepted` are backends that are spoken to without TLS, and
    whose bare yes is trusted. `used` is what the store knows of keys (ms by kid)."""

    production: bool
    tls: bool
    retention_days: int
    late_ms: int
    forgotten_ms: int
    backends: tuple[str, ...]
    plaintext: tuple[str, ...]
    accepted: tuple[str, ...]
    clients: int
    persons_required: int
    holders: tuple[Holder, ...]
    trail_keys: tuple[TrailKey, ...]
    used: Mapping[str, int] = field(default_factory=dict)

    def all_holders(self, uses: Mapping[str, KeyUse]) -> list[Holder]:
        """The configured keys and those that only the trail knows, with their last use."""
        known = {holder.kid for holder in self.holders}
        gone = [
            Holder(kid=use.kid, client=use.client, tenant=use.tenant, works="not configured")
            for use in uses.values()
            if use.kid not in known
        ]
        each = [self._with_use(holder, uses.get(holder.kid)) for holder in (*self.holders, *gone)]
        return sorted(each, key=lambda holder: (holder.client, holder.kid))

    def _with_use(self, holder: Holder, use: KeyUse | None) -> Holder:
        times = [time for time in (use.last if use else None, self.used.get(holder.kid)) if time]
        return Holder(
            kid=holder.kid,
            client=holder.client,
            tenant=holder.tenant,
            works=holder.works,
            scopes=holder.scopes,
            token=holder.token,
            not_before=holder.not_before,
            expires_at=holder.expires_at,
            used_at=max(times, default=None),
            entries=use.entries if use else 0,
        )


def facts(settings: Settings, keyring: Keyring, *, now: datetime, used: Mapping[str, int] | None = None) -> Facts:
    backends = settings.backends
    return Facts(
        production=settings.production,
        tls=settings.listen.tls is not None,
        retention_days=settings.audit.retention_days,
        late_ms=int(1000 * settings.policy.deadline_seconds),
        forgotten_ms=int(1000 * settings.policy.alert_after_seconds),
        backends=tuple(backends),
        plaintext=tuple(name for name, one in backends.items() if one.plaintext),
        accepted=tuple(name for name, one in backends.items() if getattr(one, "evidence", None) == "accepted"),
        clients=len(settings.clients),
        persons_required=sum(one.require_actor or one.token is TokenRule.REQUIRED for one in settings.clients.values()),
        holders=tuple(_holders(settings.clients, now)),
        trail_keys=tuple(_trail_keys(settings, keyring)),
        used=used or {},
    )


def _holders(clients: Mapping[str, Client], now: datetime) -> Iterator[Holder]:
    for name, client in clients.items():
        for key in client.keys:
            yield Holder(
                kid=key.kid,
                client=name,
                tenant=client.tenant,
                works=works(key, now),
                scopes=" ".join(sorted(client.scopes)),
                token=client.token.value,
                not_before=_ms(key.not_before),
                expires_at=_ms(key.expires_at),
            )


def _ms(time: datetime | None) -> int | None:
    return None if time is None else int(1000 * time.astimezone(UTC).timestamp())


def _trail_keys(settings: Settings, keyring: Keyring) -> Iterator[TrailKey]:
    current, *older = keyring.chains
    yield TrailKey(setting="audit.hmac_key", id=current.id)
    for key in older:
        yield TrailKey(setting="audit.old_hmac_keys", id=key.id)
    yield TrailKey(setting="audit.signing_key", id=keyring.signer.id)
    for public in settings.audit.old_public_keys:
        yield TrailKey(setting="audit.old_public_keys", id=key_id(public))
