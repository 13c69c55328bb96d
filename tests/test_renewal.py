"""Certificates that change while the gateway runs: good ones count, bad ones do not, and both are told."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from papers import Authority, Pair
from structlog.testing import capture_logs

from gateway.audit.entry import EntryType
from gateway.metrics import Metrics
from gateway.model import Vendor
from gateway.renewal import Certificates, named
from gateway.settings import parse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from gateway.auth.notices import Change
    from gateway.settings import Settings

AUTHORITY = Authority()
FIRST, SECOND = AUTHORITY.signs("first"), AUTHORITY.signs("second", lasts=timedelta(days=3))


class Mount:
    """A directory with the files of a listener and of one vendor account."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ca, _ = AUTHORITY.written(home, "ca")
        self.write(FIRST)

    def write(self, pair: Pair) -> None:
        self.certificate, self.key = pair.written(self.home, "server")

    def settings(self, *, tls: bool = True) -> Settings:
        listen = {"certificate": self.certificate, "private_key": self.key, "client_ca": self.ca}
        account: dict[str, Any] = {"vendor": "verba", "base_url": "https://pbx.example", "api_key": "abcd"}
        shown = {"ca_file": self.ca, "client_certificate": self.certificate, "client_key": self.key}
        return parse(
            {
                "environment": "development",
                "listen": {"tls": listen} if tls else {},
                "store": {"url": f"rediss://store.example?ca_file={self.ca}&client_certificate={self.certificate}"},
                "backends": {"pbx": {**account, **shown}, "plain": account},
                "routes": [{"backends": ["pbx"]}],
            }
        )


class Follower:
    """`Certificates` with what they told."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = Metrics({"pbx": Vendor.VERBA}, version="1", certificates=named(settings))
        self.told: list[EntryType] = []
        self.certificates = Certificates(settings, metrics=self.metrics, told=self._hear)

    async def _hear(self, change: Change) -> None:
        self.told.append(change.type)

    async def looks(self) -> None:
        for _ in range(2):
            await self.certificates.look()

    @property
    def context(self) -> ssl.SSLContext:
        ask = self.certificates.context
        assert ask is not None
        return ask()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def expires(self, setting: str) -> float | None:
        return self.metric("certificate_expires_timestamp_seconds", certificate=setting)


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


def ends(pair: Pair) -> float:
    return pair.certificate.not_valid_after_utc.timestamp()


async def test_a_new_pair_counts_once_it_is_whole(mount: Mount) -> None:
    """Not at the first look, when somebody may still be writing; then for good, once; the trail has it."""
    follower = Follower(mount.settings())
    before = follower.context
    await follower.looks()
    assert (follower.context, follower.told) == (before, [])
    mount.write(SECOND)
    await follower.certificates.look()
    assert follower.context is before
    await follower.looks()
    assert follower.context is not before
    assert follower.told == [EntryType.CONFIGURATION_CHANGED]
    assert follower.expires("listen.tls.certificate") == ends(SECOND)


BAD: dict[str, Callable[[Mount], object]] = {
    "another-key": lambda mount: mount.key.write_bytes(SECOND.key_pem),
    "another-certificate": lambda mount: mount.certificate.write_bytes(SECOND.certificate_pem),
    "no-pem": lambda mount: mount.certificate.write_text("nonsense"),
    "gone": lambda mount: mount.certificate.unlink(),
    "no-key": lambda mount: mount.key.write_bytes(b""),
    "weak": lambda mount: mount.write(AUTHORITY.signs("weak", bits=1024)),
    "expired": lambda mount: mount.write(AUTHORITY.signs("old", lasts=timedelta(days=-1))),
    "no-authority": lambda mount: mount.ca.write_bytes(FIRST.certificate_pem),
    "authorities-gone": lambda mount: mount.ca.unlink(),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
async def test_a_bad_pair_changes_nothing_but_the_alarm(mount: Mount, spoil: Callable[[Mount], object]) -> None:
    """The old one goes on being shown; metric, log and trail say so; a good one ends the alarm."""
    follower = Follower(mount.settings())
    before = follower.context
    spoil(mount)
    with capture_logs() as lines:
        await follower.looks()
        await follower.looks()
    assert follower.context is before
    assert follower.metric("certificates_fresh") == 0
    refused = [line for line in lines if line["event"] == "certificates.refused"]
    assert len(refused) == 1
    assert refused[0]["fault"].startswith("listen.tls.")
    assert len(follower.told) == 1
    AUTHORITY.written(mount.home, "ca")
    mount.write(SECOND)
    await follower.looks()
    assert follower.metric("certificates_fresh") == 1
    assert follower.context is not before
    assert len(follower.told) == 2


async def test_what_expires_is_told_for_every_file(mount: Mount) -> None:
    """The listener's, the vendor's, the store's; of authorities the last one, of a chain the first; what cannot be
    read is as good as expired."""
    follower = Follower(mount.settings())
    files = {name: follower.expires(name) for name in named(mount.settings())}
    assert files == {
        "listen.tls.certificate": ends(FIRST),
        "listen.tls.client_ca": ends(AUTHORITY),
        "backends.pbx.client_certificate": ends(FIRST),
        "backends.pbx.ca_file": ends(AUTHORITY),
        "store.url.ca_file": ends(AUTHORITY),
        "store.url.client_certificate": ends(FIRST),
    }
    mount.certificate.write_bytes(FIRST.certificate_pem + SECOND.certificate_pem)
    mount.ca.write_bytes(SECOND.certificate_pem + AUTHORITY.certificate_pem)
    await follower.looks()
    assert follower.expires("backends.pbx.client_certificate") == ends(SECOND)
    assert follower.expires("backends.pbx.ca_file") == ends(AUTHORITY)
    mount.ca.write_text("nonsense")
    with capture_logs() as lines:
        await follower.looks()
    assert follower.expires("store.url.ca_file") == 0
    assert "store.url.ca_file" in {line["setting"] for line in lines if line["event"] == "certificate.expired"}


async def test_without_tls_there_is_nothing_to_renew(mount: Mount) -> None:
    """In the clear nobody is greeted; the other files are watched all the same."""
    follower = Follower(mount.settings(tls=False))
    assert follower.certificates.context is None
    mount.write(SECOND)
    async with follower.certificates.followed():
        await follower.looks()
    assert follower.expires("backends.pbx.client_certificate") == ends(SECOND)
    assert follower.told == []


async def test_a_mount_that_is_swapped_is_followed(tmp_path: Path) -> None:
    """As Kubernetes does it: a link to another directory, all files at once."""
    for name, pair in {"one": FIRST, "two": SECOND}.items():
        (tmp_path / name).mkdir()
        AUTHORITY.written(tmp_path / name, "ca")
        pair.written(tmp_path / name, "server")
    (tmp_path / "..data").symlink_to("one")
    mount = Mount.__new__(Mount)
    mount.home = tmp_path
    mount.ca, mount.certificate, mount.key = (
        tmp_path / "..data" / name for name in ("ca.crt", "server.crt", "server.key")
    )
    follower = Follower(mount.settings())
    before = follower.context
    (tmp_path / "new").symlink_to("two")
    os.replace(tmp_path / "new", tmp_path / "..data")  # noqa: PTH105 -- of a link itself
    await follower.looks()
    assert follower.context is not before
