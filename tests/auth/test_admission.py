"""Who may call follows the configuration: whole, soon, or not at all; and what of it is remembered."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from forge import CLAIMS, NOW, RSA, good, public_set

from gateway import settings
from gateway.admission import Admission
from gateway.auth.keys import Denied, MintedKey, hash_secret, mint
from gateway.auth.uses import Uses, is_unused
from gateway.metrics import Metrics
from gateway.model import Principal, Vendor
from gateway.reload import Configuration
from gateway.sources import ConfigurationError
from gateway.store.contract import StoreUnavailable, Use

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.audit.entry import Entry
    from gateway.settings import Settings
    from gateway.store.redis import RedisStore

PEPPER = bytes(range(32))


class Register:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def write(self, entry: Entry) -> bool:
        self.entries.append(entry)
        return True

    @property
    def types(self) -> list[str]:
        return [entry.type.value for entry in self.entries]


class Mount:
    """A configuration file, and secrets beside it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "gateway.yaml"
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        (self.secrets / "audit__pepper").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        self.tree: dict[str, Any] = {
            "environment": "development",
            "backends": {
                "gws": {"vendor": "genesys", "base_url": "https://g.example", "username": "a", "password": "b"}
            },
            "routes": [{"backends": ["gws"]}],
            "clients": {"crm": {"tenant": "acme", "scopes": ["redaction:read"], "keys": []}},
        }
        self.write()

    def write(self, *keys: MintedKey, **client: object) -> None:
        entries = [{"kid": key.kid, "hash": hash_secret(PEPPER, key.secret)} for key in keys]
        self.tree["clients"]["crm"] |= {"keys": entries, **client}
        self.file.write_text(yaml.safe_dump(self.tree))

    def configuration(self) -> Configuration:
        return Configuration(self.file, {"GATEWAY_SECRETS_DIR": str(self.secrets)})


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


async def looked(configuration: Configuration) -> object:
    """The second look, for which the first one saw the change."""
    assert await configuration.changed() is None
    return await configuration.changed()


async def test_a_change_counts_when_it_was_seen_twice(mount: Mount) -> None:
    """Once; what nobody changed is not news, nor is the file of somebody who is writing it."""
    configuration = mount.configuration()
    configuration.load()
    assert await configuration.changed() is None
    mount.write(mint(secrets.token_bytes))
    assert await configuration.changed() is None
    mount.write(mint(secrets.token_bytes))
    assert await looked(configuration) is not None
    assert await configuration.changed() is None


async def test_a_secret_is_part_of_it_and_a_lost_mount_is_a_mistake(mount: Mount) -> None:
    """Told once; the file with what is wrong is named, its content is not."""
    configuration = mount.configuration()
    (mount.secrets / "audit__pepper").write_text("nonsense")
    assert await configuration.changed() is None
    with pytest.raises(ConfigurationError) as caught:
        await configuration.changed()
    assert "nonsense" not in str(caught.value)
    assert await configuration.changed() is None
    mount.file.unlink()
    (mount.secrets / "audit__pepper").unlink()
    mount.secrets.rmdir()
    assert await configuration.changed() is None
    with pytest.raises(ConfigurationError):
        await configuration.changed()


async def test_what_changes_while_it_is_read_is_read_again(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and mounted secrets are of one time, or not taken."""
    configuration = mount.configuration()
    key = mint(secrets.token_bytes)
    mount.write(key)
    load = settings.load

    def loading(path: Path | None, environ: Mapping[str, str]) -> Settings:
        found = load(path, environ)
        mount.write(key, require_actor=True)
        return found

    monkeypatch.setattr(settings, "load", loading)
    assert await looked(configuration) is None
    monkeypatch.undo()
    assert await looked(configuration) is not None


async def test_it_follows_whole_or_not_at_all(mount: Mount, store: RedisStore) -> None:
    """Keys, tokens, actors and limits together; an alarm for what is wrong or waits for a restart; each change in
    the trail."""
    first, second = mint(secrets.token_bytes), mint(secrets.token_bytes)
    mount.write(first)
    configuration, register = mount.configuration(), Register()
    metrics = Metrics({"gws": Vendor.GENESYS}, version="1")
    admission = Admission(configuration.load(), register=register, metrics=metrics, node="pod", ms=lambda: 7)

    async def look() -> None:
        await admission.look(configuration)
        await admission.look(configuration)

    def valid() -> float | None:
        return metrics.registry.get_sample_value("configuration_valid")

    async with admission.working(store, None):
        assert metrics.registry.get_sample_value("token_keys_fresh") == 1  # without an issuer nothing is stale
        assert isinstance(await admission.authenticator.authenticate(first.text, None, NOW), Principal)
        assert "crm" not in admission
        jwks = mount.file.with_name("jwks.json")
        jwks.write_bytes(public_set(RSA))
        mount.tree["tokens"] = {"issuer": CLAIMS["iss"], "audience": CLAIMS["aud"], "jwks": str(jwks)}
        mount.write(second, token="required", require_actor=True)
        await look()
        assert isinstance(await admission.authenticator.authenticate(first.text, None, NOW), Denied)
        found = await admission.authenticator.authenticate(second.text, f"Bearer {good()}", NOW)
        assert isinstance(found, Principal)
        assert found.subject == "agent-17"
        assert "crm" in admission
        assert sorted(register.types) == ["client.changed", "configuration.changed", "key.added", "key.removed"]
        assert [one.names for one in register.entries if one.names] == [("tokens", "clients")]
        mount.write(first, scopes=["everything"])
        await look()
        assert valid() == 0
        assert register.types[-1] == "configuration.refused"
        assert isinstance(await admission.authenticator.authenticate(first.text, None, NOW), Denied)
        del mount.tree["tokens"]
        mount.tree["policy"] = {"reassert_seconds": 9}
        mount.write(first, scopes=["redaction:read"], token="none")
        await look()
        assert isinstance(await admission.authenticator.authenticate(first.text, None, NOW), Principal)
        assert valid() == 0
        del mount.tree["policy"]
        mount.write(first)
        await look()
        assert valid() == 1
    assert (await store.uses(within=1))[first.kid].used_at is not None


async def test_it_looks_by_itself(mount: Mount, store: RedisStore) -> None:
    """Every second, for as long as the block runs."""
    configuration, register = mount.configuration(), Register()
    metrics = Metrics({"gws": Vendor.GENESYS}, version="1")
    admission = Admission(configuration.load(), register=register, metrics=metrics, node="pod", ms=lambda: 7)
    async with admission.working(store, configuration), asyncio.timeout(30):
        mount.write(mint(secrets.token_bytes))
        while "key.added" not in register.types:  # noqa: ASYNC110 -- what is waited for is an entry
            await asyncio.sleep(0.01)


class Away:
    async def note_uses(self, uses: Mapping[str, int], *, within: float) -> None:
        raise StoreUnavailable(f"{uses} {within}")


async def test_the_newest_use_at_any_pod_stands(store: RedisStore) -> None:
    """A key that was never used is known since it was first heard of; without the store nothing breaks."""
    early, late = NOW, NOW + timedelta(hours=1)
    for noted in ({"a": late}, {"a": early}):
        async with Uses(store, noted, lambda: ["a", "b"]).telling():
            pass
    found = await store.uses(within=1)
    assert found["a"].used_at == int(late.timestamp() * 1000)
    assert found["b"].used_at is None
    await Uses(Away(), {}, lambda: ["a"]).tell()
    await Uses(Away(), {}, list).tell()


@pytest.mark.parametrize(
    ("seen_days", "used_days", "unused"),
    [(100, 1, False), (100, 90, True), (100, 89, False), (90, None, True), (89, None, False)],
)
def test_a_key_is_unused_after_ninety_days(seen_days: int, used_days: int | None, unused: bool) -> None:  # noqa: FBT001 -- an example's one word
    """Since it was last used, or since it was first there."""
    ago = [
        None if days is None else int((NOW - timedelta(days=days)).timestamp() * 1000)
        for days in (seen_days, used_days)
    ]
    use = Use(seen_at=ago[0] or 0, used_at=ago[1])
    assert is_unused(use, NOW) is unused
    assert datetime.fromtimestamp(use.seen_at / 1000, UTC) <= NOW
