"""A real Prometheus watches a real gateway to which everything happens that somebody is to see: no panel of the
dashboards stays empty, and the alerts see it too."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from house import House, housed
from joserfc.jwk import OKPKey
from papers import Authority
from processes import PATIENCE_SECONDS
from scraper import RULES, Prometheus, scraping

from gateway.auth.issuer import KEYS_REFUSED
from gateway.auth.keys import mint
from gateway.model import Vendor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DASHBOARDS = RULES.parent / "dashboards"
CHOSEN = {"namespace": "desk", "job": "redaction-gateway", "backend": ".*", "__rate_interval": "5s"}
# What is raised just before the gateway stops; of some it only has to last.
NOW = (
    "RedactionUnprotected",
    "RedactionForgotten",
    "RedactionVendorCircuitOpen",
    "RedactionTrailDeviceDown",
    "RedactionKeysExpire",
    "RedactionCertificateExpires",
    "RedactionConfigurationInvalid",
    "RedactionTokenKeysStale",
    "RedactionPlaintext",
)
# What is not brought about here, each with where it is.
ELSEWHERE = {
    "RedactionVerificationFailed": "it is looked for once a minute; tests/ledger/test_verified.py",
    "RedactionSealStale": "two minutes",
    "RedactionLongExposure": "a mute of more than five seconds; what it reckons with is asked for here",
    "RedactionClockSkew": "two machines; tests/store/test_skew.py",
    "RedactionStoreSlow": "a hundred slow commands; how long they take is a panel",
    "RedactionPodsMissing": "Kubernetes tells it",
    "RedactionCertificatesStale": "tests/test_renewal.py",
}


@pytest.fixture
async def house(short_dir: Path) -> AsyncIterator[House]:
    async with housed(short_dir) as house:
        _configure(house)
        yield house


def _configure(house: House) -> None:
    """As in production, with a key and a certificate that soon expire, and one vendor spoken to in the clear."""
    soon = timedelta(days=1)
    authority, _ = Authority().signs("authority", lasts=soon).written(house.home, "authority")
    (house.home / "jwks.json").write_text(
        json.dumps({"keys": [OKPKey.generate_key("Ed25519", {"kid": "one"}).as_dict(private=False)]})
    )
    tree = orjson.loads((house.home / "gateway.yaml").read_bytes())
    tree["backends"]["genesys"] |= {"plaintext": True}
    tree["backends"]["verba"] |= {"ca_file": str(authority)}
    tree["clients"]["crm"]["token"] = "optional"
    tree["clients"]["crm"]["keys"][0]["expires_at"] = (datetime.now(UTC) + soon).isoformat()
    tree["policy"] = {"alert_after_seconds": 5}
    tree["tokens"] = {"issuer": "https://idp.example", "audience": "gateway", "jwks": str(house.home / "jwks.json")}
    (house.home / "gateway.yaml").write_bytes(orjson.dumps(tree))


async def test_everything_is_seen(house: House) -> None:
    """Of every panel each query has values, and every alert that can be brought about here finds what it looks for;
    none of its texts is left unfinished."""
    await house.start()
    async with scraping(house.home / "prometheus", house.session, port=house.admin_port) as prometheus:
        await _happens(house, prometheus)
        await _there_is_a_choice(prometheus)
        await _no_panel_is_empty(prometheus)
        await _alerts_see_it(prometheus)


# ── what happens ──


async def _happens(house: House, prometheus: Prometheus) -> None:
    await _calls(house)
    await _strangers(house)
    await _drift(house, prometheus)
    with _outage(house):
        await _vendor_away(house, prometheus)
        await _devices_away(house, prometheus)
        await _files_broken(house, prometheus)
        await prometheus.until("redaction_forgotten > 0")
        await prometheus.until("redaction_oldest_unprotected_seconds > 5")
        await _texts_are_whole(prometheus, *NOW)
    await house.stop()
    await prometheus.until('up{job="redaction-gateway"} == 0')
    await _texts_are_whole(prometheus, "RedactionGatewayAbsent", "RedactionPodDown")


async def _calls(house: House) -> None:
    """At every vendor, muted, shown, unmuted; and commands."""
    for vendor, fake in house.fakes.items():
        for number in range(4):
            fake.add_call(f"{vendor}-{number}", extension=f"88{number}")
            assert (await house.mute(f"{vendor}-{number}"))[0] == 200
            assert (await house.ask("GET", f"{vendor}-{number}"))[0] == 200
            assert (await house.ask("DELETE", f"{vendor}-{number}"))[0] == 200
    assert (await house.ask("POST", "verba-0", data=b'{"action": "keep"}'))[0] == 200


async def _strangers(house: House) -> None:
    stranger = mint(os.urandom).text
    for _ in range(12):
        assert (await house.ask("PUT", "verba-0", headers={"X-API-Key": stranger}))[0] in {401, 429}
    assert (await house.mute("verba-0", actor="4111-1111-1111-1111"))[0] == 400


async def _drift(house: House, prometheus: Prometheus) -> None:
    assert (await house.mute("genesys-0"))[0] == 200
    house.fakes["genesys"].resume("genesys-0")
    await prometheus.until("redaction_drift_total > 0")


async def _vendor_away(house: House, prometheus: Prometheus) -> None:
    """Several calls are not muted in time, until nobody waits any more."""
    await house.fakes["voipnow"].stop()
    for number in range(4):
        assert (await house.mute(f"voipnow-{number}"))[0] in {503, 504}
    await prometheus.until("backend_circuit_open == 1")


@contextmanager
def _outage(house: House) -> Iterator[None]:
    """The journal's directory is in somebody's way."""
    journal = house.home / "data" / "journal"
    journal.rename(house.home / "data" / "aside")
    journal.write_text("in the way")
    yield
    journal.unlink()


async def _devices_away(house: House, prometheus: Prometheus) -> None:
    """Entries then stand at the store alone; and then the store hangs."""
    await house.until(lambda: house.logged("journal.lost"))
    await house.mute("verba-1")
    await prometheus.until('audit_device_up{device="journal"} == 0 and on () audit_gap_entries > 0')
    os.kill(_store(house), signal.SIGSTOP)
    await house.until(lambda: house.logged("store.lost"))
    await prometheus.until("store_up == 0")
    os.kill(_store(house), signal.SIGCONT)


def _store(house: House) -> int:
    assert house.popen is not None
    pid = house.popen.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def _files_broken(house: House, prometheus: Prometheus) -> None:
    (house.home / "jwks.json").write_text("{")
    (house.home / "gateway.yaml").write_text("{")
    token = b".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"EdDSA","kid":"one"}', b"{}", b"s")
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not house.logged(KEYS_REFUSED):  # they are read again for whoever brings a token
            await house.ask("GET", "verba-0", headers={"Authorization": f"Bearer {token.decode()}"})
            await asyncio.sleep(0.2)
    await prometheus.until("configuration_valid == 0 and token_keys_fresh == 0")


# ── what is seen ──


async def _there_is_a_choice(prometheus: Prometheus) -> None:
    """Every variable finds what there is to choose from."""
    expected = {"namespace": {"desk"}, "job": {"redaction-gateway"}, "backend": {vendor.value for vendor in Vendor}}
    for board in _boards():
        variables = [one for one in board["templating"]["list"] if one["type"] == "query"]
        assert {one["name"] for one in variables} == expected.keys()
        for one in variables:
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"])
            assert asked is not None
            found = await prometheus.get(f"label/{asked[2]}/values", **{"match[]": _chosen(asked[1])})
            assert {*found} == expected[one["name"]]


async def _no_panel_is_empty(prometheus: Prometheus) -> None:
    empty = [
        f"{panel['title']}: {target['expr']}"
        for panel in _panels()
        for target in panel["targets"]
        if not await prometheus.values(_chosen(target["expr"]))
    ]
    assert empty == []


def _boards() -> list[dict[str, Any]]:
    return [orjson.loads(file.read_bytes()) for file in sorted(DASHBOARDS.glob("*.json"))]


def _panels() -> Iterator[dict[str, Any]]:
    for board in _boards():
        yield from (panel for panel in board["panels"] if panel["type"] != "row")


def _chosen(expr: str) -> str:
    """With the variables as somebody has chosen them."""
    return re.sub(r"\$(\w+)", lambda name: CHOSEN[name[1]], expr)


async def _alerts_see_it(prometheus: Prometheus) -> None:
    groups = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule for rule in rules if rule["health"] != "ok"] == []
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    blind = {rule["name"] for rule in alerts if not await prometheus.values(rule["query"])}
    assert await prometheus.values(
        'redaction_exposure_seconds_count - ignoring(le) redaction_exposure_seconds_bucket{le="5.0"}'
    )
    assert blind <= ELSEWHERE.keys() <= {rule["name"] for rule in alerts}


async def _texts_are_whole(prometheus: Prometheus, *names: str) -> None:
    """Alerts of these names are raised, and the texts of all are filled in."""
    for name in names:
        await prometheus.until(f'ALERTS{{alertname="{name}"}}')
    raised = (await prometheus.get("alerts"))["alerts"]
    texts = [text for alert in raised for text in alert["annotations"].values()]
    assert [text for text in texts if re.search("<no value>|<error|[{}]", text)] == []
