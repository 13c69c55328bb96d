"""The certificates that the configuration names, while the gateway runs: new ones of the API count for whoever
connects from then on, bad ones do not, and when each expires is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway import certificates, logs
from gateway.audit.entry import EntryType
from gateway.auth.notices import Change
from gateway.reload import LOOK_SECONDS, Watched, read
from gateway.store import address

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from gateway.metrics import Metrics
    from gateway.settings import Settings, Tls

CERTIFICATES_TAKEN = "certificates.taken"
CERTIFICATES_REFUSED = "certificates.refused"
CERTIFICATE_EXPIRED = "certificate.expired"

_CERTIFICATE = "listen.tls.certificate"
_log = logs.get("gateway.renewal")


def named(settings: Settings) -> dict[str, Path]:
    """Every file of certificates, by the setting that names it."""
    return dict(_named(settings))


def _named(settings: Settings) -> Iterator[tuple[str, Path]]:
    tls = settings.listen.tls
    if tls is not None:
        yield _CERTIFICATE, tls.certificate
    if tls is not None and tls.client_ca is not None:
        yield "listen.tls.client_ca", tls.client_ca
    for name, backend in settings.backends.items():
        if backend.client_certificate is not None:
            yield f"backends.{name}.client_certificate", backend.client_certificate
        if backend.ca_file is not None:
            yield f"backends.{name}.ca_file", backend.ca_file
    for word, path in address.certificates(settings.store.url.get_secret_value()).items():
        yield f"store.url.{word}", path


class Certificates:
    """`told` is where the trail hears of a change."""

    def __init__(self, settings: Settings, *, metrics: Metrics, told: Callable[[Change], Awaitable[None]]) -> None:
        self._tls = settings.listen.tls
        self._files = named(settings)
        self._metrics = metrics
        self._told = told
        self._others = Watched(self._contents, lambda: self._files)
        self._served = None if self._tls is None else Watched(_contents(self._tls), self._tls.context)
        self._context = None if self._tls is None else self._tls.context()
        self._tell(self._files)

    @property
    def context(self) -> Callable[[], ssl.SSLContext] | None:
        """What whoever connects now is greeted with; None where it is in the clear."""
        context = self._context
        return None if context is None else lambda: self._context or context

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look every second while the block runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.shield(self.look())

    async def look(self) -> None:
        """Take what has changed, unless it cannot be used."""
        if await self._others.changed() is not None:
            await asyncio.to_thread(self._tell, self._files)
        if self._served is None:
            return
        try:
            found = await self._served.changed()
            if found is not None:
                await asyncio.to_thread(self._check)
        except ValueError as error:
            await self._refuse(str(error))
        else:
            if found is not None:
                await self._take(found)

    def _check(self) -> None:
        """`ValueError` when nobody could use what was found."""
        if certificates.chain_ends(self._files[_CERTIFICATE]) <= datetime.now(UTC):
            raise ValueError("certificate: has expired")

    async def _take(self, found: ssl.SSLContext) -> None:
        self._context = found
        self._metrics.certificates(are_fresh=True)
        _log.info(CERTIFICATES_TAKEN)
        await self._told(Change(type=EntryType.CONFIGURATION_CHANGED, sections=("listen",)))

    async def _refuse(self, fault: str) -> None:
        self._metrics.certificates(are_fresh=False)
        _log.error(CERTIFICATES_REFUSED, fault=f"listen.tls.{fault}")
        await self._told(Change(type=EntryType.CONFIGURATION_REFUSED))

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        return ((name, read(path)) for name, path in self._files.items())

    def _tell(self, files: Mapping[str, Path]) -> None:
        """When each expires; one that cannot be read at all is as good as expired."""
        for name, path in files.items():
            ends = _ends(name, path)
            self._metrics.certificate_expires(name, ends)
            if ends <= datetime.now(UTC).timestamp():
                _log.error(CERTIFICATE_EXPIRED, setting=name)


def _ends(name: str, path: Path) -> float:
    try:
        is_chain = name.endswith("certificate")
        return (certificates.chain_ends(path) if is_chain else certificates.authorities_end(path)).timestamp()
    except ValueError:
        return 0.0


def _contents(tls: Tls) -> Callable[[], Iterator[tuple[str, bytes]]]:
    paths = {"certificate": tls.certificate, "private_key": tls.private_key, "client_ca": tls.client_ca}
    return lambda: ((name, read(path)) for name, path in paths.items() if path is not None)
