"""What the chart can be told: the gateway's settings as they are, explained, and nothing that makes no sense."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from charts import CHART, ROOT, SETS, changed, configuration, from_tree, objects, one, rendered, run, values
from config_schema import FROM_SECRET, renewed, text, written
from looks import chosen, containers, gateway, of_kind
from verdicts import JUDGES

from gateway import mistakes
from gateway.cli.main import _parser
from gateway.settings import Audit, Listen, Policy, Section, Settings, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SECTIONS: dict[str, type[Section]] = {"listen": Listen, "store": Store, "policy": Policy, "audit": Audit}
SAMPLE = yaml.safe_load((ROOT / "config" / "gateway.yaml").read_text())


# ── the gateway's settings ──


def test_the_schema_is_made_from_the_models() -> None:
    """The part about settings is what `python tests/chart/config_schema.py` writes."""
    assert (CHART / "values.schema.json").read_text() == text(renewed(written()))


def test_values_mirror_the_settings() -> None:
    """Every section with its defaults, as the models have them; what differs in a cluster is named here."""
    differs = {"store": {"url": FROM_SECRET, "directory": "/data"}}
    secret = mistakes.secret_names(Settings) - {"url"}
    assert VALUES["config"].keys() == Settings.model_fields.keys() == SAMPLE.keys() | {"tokens", "tracing"}
    for name, section in SECTIONS.items():
        told = VALUES["config"][name]
        assert told.keys() == section.model_fields.keys() - secret, name
        own = differs.get(name, {})
        plain = {key: value for key, value in told.items() if key not in own and value not in ({}, [])}
        made = section.model_validate(plain).model_dump(mode="json")
        defaults = section().model_dump(mode="json")
        assert {key: made[key] for key in plain} == {key: defaults[key] for key in plain}, name
        assert own.items() <= told.items()
        assert all(defaults[key] in (None, []) for key in told.keys() - plain.keys() - own.keys()), name


def test_the_sample_configuration_is_a_set_of_values(tmp_path: Path) -> None:
    """config/gateway.yaml can be pasted below `config` as it stands, and is what the pods read."""
    sample = changed(SAMPLE, store__url=FROM_SECRET, store__directory="/data")
    tree = changed(values("small"), networkPolicy__vendors=[VENDOR], config=sample)
    ran = from_tree(tree, tmp_path)
    assert ran.code == 0, ran.err
    assert yaml.safe_load(configuration(objects(ran.out))) == sample


NASTY = [
    "12345678",
    "1234e567",
    "0123",
    "1:30",
    "yes",
    "null",
    "~",
    "@me",
    "a: b # c",
    "{{ x }}",
    "2026-01-01",
    "é",
    "a\nb ",
]


@pytest.mark.parametrize("word", NASTY)
def test_text_stays_text(word: str, tmp_path: Path) -> None:
    """What YAML could take for something else, or helm for a template, reaches the gateway as it was written."""
    tokens = {"issuer": "https://idp.example", "audience": word, "jwks": "/run/gateway/issuer/jwks.json"}
    tree = changed(values("single"), config__tokens=tokens)
    ran = from_tree(tree, tmp_path)
    assert ran.code == 0, ran.err
    assert yaml.safe_load(configuration(objects(ran.out)))["tokens"]["audience"] == word


VENDOR = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}


def test_large_numbers_stay_numbers(tmp_path: Path) -> None:
    """Helm writes a million as 1e+06 where it is not watched."""
    ran = from_tree(changed(values("single"), config__policy__alert_after_seconds=2_592_000), tmp_path)
    assert "alert_after_seconds: 2592000\n" in configuration(objects(ran.out))


@pytest.mark.parametrize(
    ("change", "rolls"),
    [
        ({"config__policy__deadline_seconds": 2.0}, True),
        ({"config__clients__crm__tenant": "other"}, True),
        ({"secrets__revision": "3"}, True),
        ({"files": {"store": {"secret": "another"}}}, True),
        ({"service__port": 8443}, False),
        ({"networkPolicy__callers": [{"podSelector": {}}]}, False),
    ],
)
def test_pods_roll_on_change(change: dict[str, Any], *, rolls: bool, tmp_path: Path) -> None:
    """What a pod reads at its start rolls it, and nothing else does."""
    ran = from_tree(changed(values("small"), **change), tmp_path)
    assert ran.code == 0, ran.err
    before, after = (gateway(objects(made))["spec"]["template"] for made in (rendered("small"), ran.out))
    assert (before != after) is rolls


def test_nothing_is_said_by_a_null(tmp_path: Path) -> None:
    """Which takes a default away: as nothing that was written there, and not a fault of a template."""
    nothing = {"config__tokens": None, "config__tracing": None, "config__listen__tls": None}
    nothing |= {f"networkPolicy__{name}": None for name in ("callers", "scrapers", "vendors", "others")}
    ran = from_tree(changed(values("small"), **nothing), tmp_path)
    assert ran.code == 0, ran.err
    assert {"tokens", "tracing"}.isdisjoint(yaml.safe_load(configuration(objects(ran.out))))
    ran = from_tree(changed(values("small"), networkPolicy__store=None), tmp_path)
    assert "networkPolicy.store: where the store is" in ran.err


def test_a_store_for_one_pod_is_left_to_one(tmp_path: Path) -> None:
    """Three pods with an embedded store each would know nothing of each other."""
    for change in ({"replicas": 2}, {"autoscaling__enabled": True}):
        ran = from_tree(changed(values("single"), **change), tmp_path)
        assert "config.store.url: embedded is a store for one pod alone" in ran.err


def test_the_archive_is_made_by_the_program_and_reaches_the_store(tmp_path: Path) -> None:
    """What the CronJob says is a command of ours, which trims when it is told to; the trial's store lets it in. Without
    being asked for it is not there."""
    assert of_kind(objects(rendered("trial")), "CronJob") == []
    for trim in (True, False):
        ran = from_tree(changed(values("trial"), archive={"enabled": True, "claim": "a", "trim": trim}), tmp_path)
        found = objects(ran.out)
        assert {judge: list(sees(found)) for judge, sees in JUDGES.items()} == {judge: [] for judge in JUDGES}
        (container,) = containers(one(found, "CronJob"))
        taken = _parser().parse_args(container["args"])
        assert (str(taken.directory), taken.trim) == ("/archive", trim)
        peers = one(found, "NetworkPolicy", "valkey")["spec"]["ingress"][0]["from"]
        assert {name for peer in peers for name in chosen(peer["podSelector"], found)} == {"gateway", "archive"}
        (_, egress) = one(found, "NetworkPolicy", "archive")["spec"]["egress"]
        assert chosen(egress["to"][0]["podSelector"], found) == {"valkey"}


def test_pods_ask_for_what_the_sizing_guide_counts() -> None:
    """A gateway with the newest 10,000 calls at their largest, and as much again below the limit."""
    row = re.search(
        r"\| gateway \| (\d+) MB, and \d+ to (\d+) KB for each of the newest 10,000",
        (ROOT / "docs/sizing.md").read_text(),
    )
    assert row is not None
    asked, most = VALUES["resources"]["requests"]["memory"], VALUES["resources"]["limits"]["memory"]
    needed = int(row[1]) * 1e6 + int(row[2]) * 1e3 * 10_000
    assert int(asked.removesuffix("Mi")) * 2**20 >= needed
    assert int(most.removesuffix("Gi")) * 2**30 >= 2 * needed


def test_vendors_ports_are_opened_as_configured() -> None:
    """`allowed_networks` and the URLs of a backend become its rule: hosts as /32 and /128, every port of its URLs."""
    rules = one(objects(rendered("full")), "NetworkPolicy", "gateway")["spec"]["egress"]
    opened = {
        (peer["ipBlock"]["cidr"], port["port"])
        for rule in rules
        for peer in rule["to"]
        if "ipBlock" in peer
        for port in rule["ports"]
    }
    assert opened >= {
        ("192.0.2.0/24", 443),
        ("198.51.100.7/32", 443),
        ("2001:db8::/32", 8443),
        ("2001:db8::/32", 443),
    }


# ── what makes no sense ──


def test_what_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """Without any value nothing is rendered, and everything that has to be said is."""
    ran = from_tree({}, tmp_path)
    assert ran.code != 0
    assert set(re.findall(r"^([a-z][\w.]+): ", ran.err, re.MULTILINE)) == {
        "image.repository",
        "config.backends",
        "config.routes",
        "secrets.existing",
        "networkPolicy.store",
    }


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("small", {"config__routes": [{"backends": ["other"]}]}, "config.routes[0].backends: other"),
    ("small", {"config__listen__port": 9090}, "config.listen.admin_port:"),
    ("small", {"config__store__url": "from-secret", "networkPolicy__store": []}, "networkPolicy.store:"),
    ("small", {"config__backends__verba_eu__allowed_networks": []}, "networkPolicy.vendors: where verba_eu"),
    (
        "small",
        {"config__tokens": {"issuer": "a", "audience": "b", "jwks": "https://idp.example/keys"}},
        "networkPolicy.others:",
    ),
    ("small", {"config__tracing": {"endpoint": "https://collector.example/v1/traces"}}, "networkPolicy.others:"),
    ("small", {"ingress__enabled": True}, "ingress.tlsSecret:"),
    ("small", {"ingress__enabled": True}, "networkPolicy.callers:"),
    ("small", {"httpRoute__enabled": True}, "httpRoute.parentRefs:"),
    ("small", {"autoscaling__minReplicas": 11}, "autoscaling.maxReplicas:"),
    ("small", {"preStopSeconds": 13}, "terminationGracePeriodSeconds:"),
    ("small", {"secrets__external__enabled": True}, "secrets.external.keys:"),
    ("small", {"secrets__external__enabled": True}, "secrets.external.store:"),
    ("trial", {"valkey__passwordSecret": ""}, "valkey.passwordSecret:"),
    ("small", {"archive__enabled": True}, "archive.claim:"),
    ("single", {"archive__enabled": True, "archive__claim": "a"}, "archive.enabled: not with the embedded store"),
    ("trial", {"config__store__url": "embedded"}, "config.store.url: from-secret"),
    ("full", {"metrics__podMonitor__enabled": True}, "metrics.podMonitor.enabled:"),
]


@pytest.mark.parametrize(("name", "change", "said"), MISTAKES)
def test_what_does_not_fit_together_is_refused(name: str, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Each value alone would be fine."""
    ran = from_tree(changed(values(name), **change), tmp_path)
    assert ran.code != 0
    assert said in ran.err


NONSENSE: list[tuple[str, dict[str, Any]]] = [
    ("/replica", {"replica": 3}),
    ("/replicas", {"replicas": 0}),
    ("/replicas", {"replicas": "3"}),
    ("/image/tag", {"image__tag": "latest"}),
    ("/image/digest", {"image__digest": "sha256:abc"}),
    ("/image/repository", {"image__repository": "Not A Place"}),
    ("/image/pullPolicy", {"image__pullPolicy": "Sometimes"}),
    ("/config/polcy", {"config__polcy": {}}),
    ("/config/policy/deadline", {"config__policy__deadline": 2}),
    ("/config/policy/deadline_seconds", {"config__policy__deadline_seconds": 0}),
    ("/config/policy/deadline_seconds", {"config__policy__deadline_seconds": "2"}),
    ("/config/audit/pepper", {"config__audit__pepper": "c2VjcmV0"}),
    ("/config/backends/verba_eu", {"config__backends__verba_eu__api_key": "secret"}),
    ("/config/backends/verba_eu", {"config__backends__verba_eu__vendor": "other"}),
    ("/config/backends", {"config__backends__Verba-EU": {"vendor": "verba", "base_url": "https://a.example"}}),
    ("/config/clients/crm/scopes", {"config__clients__crm__scopes": ["redaction:all"]}),
    ("/config/clients/crm/keys/0/kid", {"config__clients__crm__keys": [{"kid": 12345678, "hash": "0" * 64}]}),
    ("/config/store/url", {"config__store__url": "rediss://:password@store.example"}),
    ("/config/store/url", {"config__store__url": "rediss://store.example?password=x"}),
    ("/config/store/directory", {"config__store__directory": "./data"}),
    ("/config/store/directory", {"config__store__directory": "/run/gateway/data"}),
    ("/config/store/directory", {"config__store__directory": "/usr/lib"}),
    ("/config/store/directory", {"config__store__directory": "/venv"}),
    ("/config/store/directory", {"config__store__directory": "/data/../etc"}),
    ("/env/0/name", {"env": [{"name": "GATEWAY_STORE__DIRECTORY", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
    ("/store__directory", {"secrets__external__keys": {"store__directory": {"key": "a"}}}),
    ("/config/listen/port", {"config__listen__port": 0}),
    ("/config/listen/workers", {"config__listen__workers": 65}),
    ("/config/listen/admin_host", {"config__listen__admin_host": "127.0.0.1"}),
    ("/config/tokens", {"config__tokens": {"issuer": "https://idp.example"}}),
    ("/secrets/existing/0", {"secrets__existing": ["Not_A_Name"]}),
    ("/secrets/external/keys", {"secrets__external__keys": {"pepper": {"key": "a"}}}),
    ("/secrets/external/refreshInterval", {"secrets__external__refreshInterval": "often"}),
    ("/secrets", {"files__secrets": {"secret": "a"}}),
    ("/files/tls", {"files__tls": {"secret": "a", "configMap": "b"}}),
    ("/env/0", {"env": [{"value": "x"}]}),
    ("/env/0", {"env": [{"name": "GATEWAY_AUDIT__PEPPER", "value": "c2VjcmV0"}]}),
    ("/env/0", {"env": [{"name": "GATEWAY_BACKENDS__VERBA_EU__API_KEY", "value": "x", "valueFrom": {}}]}),
    ("/config/backends/verba_eu", {"config__backends__verba_eu__base_url": "https://gateway:x@media-repo.example"}),
    ("/config/tracing", {"config__tracing": {"endpoint": "https://gateway:x@collector.example/v1/traces"}}),
    ("/journal/size", {"journal__size": "much"}),
    ("/archive/schedule", {"archive__schedule": "every night"}),
    ("/archive/claim", {"archive__claim": "Not_A_Name"}),
    ("/archive", {"archive__directory": "/archive"}),
    ("/resources/limits", {"resources__limits__memori": "1Gi"}),
    ("/preStopSeconds", {"preStopSeconds": 0}),
    ("/topologySpread/nodes", {"topologySpread__nodes": "Maybe"}),
    ("/app.kubernetes.io", {"podLabels": {"app.kubernetes.io/name": "other"}}),
    ("/service/type", {"service__type": "ExternalName"}),
    ("/service/port", {"service__port": 70_000}),
    ("/ingress/hosts/0", {"ingress__hosts": ["https://redaction.example"]}),
    ("/autoscaling/cpuPercent", {"autoscaling__cpuPercent": 150}),
    ("/podDisruptionBudget/maxUnavailable", {"podDisruptionBudget__maxUnavailable": "some"}),
    ("/podDisruptionBudget/maxUnavailable", {"podDisruptionBudget__maxUnavailable": 0}),
    ("/podDisruptionBudget/maxUnavailable", {"podDisruptionBudget__maxUnavailable": "0%"}),
    ("/podDisruptionBudget/maxUnavailable", {"podDisruptionBudget__maxUnavailable": "100%"}),
    ("/networkPolicy/callers/0", {"networkPolicy__callers": [{}]}),
    ("/networkPolicy/store/0", {"networkPolicy__store": [{"ports": [{"port": 6379}]}]}),
    ("/networkPolicy/vendors/0/to", {"networkPolicy__vendors": [{"to": [], "ports": [{"port": 443}]}]}),
    ("/networkPolicy/vendors/0", {"networkPolicy__vendors": [{"to": [{"podSelector": {}}]}]}),
    ("/metrics/dashboards/labels", {"metrics__dashboards__labels": {"grafana_dashboard": 1}}),
    ("/valkey/image", {"valkey__image": "valkey"}),
    ("/valkey/image", {"valkey__image": "docker.io/valkey/valkey:latest"}),
    ("/valkey/image", {"valkey__image": "registry.example:5000/valkey"}),
    ("/fullnameOverride", {"fullnameOverride": "mute.eu"}),
    ("/nameOverride", {"nameOverride": "mute.eu"}),
    ("/valkey/maxmemory", {"valkey__maxmemory": "256"}),
]


@pytest.mark.parametrize(("place", "change"), NONSENSE, ids=lambda part: part if isinstance(part, str) else "")
def test_nonsense_is_refused(place: str, change: dict[str, Any], tmp_path: Path) -> None:
    """By the schema, which names the place."""
    ran = from_tree(changed(values("small"), **change), tmp_path)
    assert ran.code != 0
    assert "values don't meet the specifications of the schema" in ran.err
    assert place.rpartition("/")[0] in ran.err
    assert place.rpartition("/")[2] in ran.err


def test_a_name_that_no_service_may_have_is_refused() -> None:
    """Helm takes a dot or a digit in front in the name of a release, Kubernetes does not in that of a Service; another
    name for the objects helps."""
    for release in ("mute.eu", "1st"):
        ran = run("template", release, CHART, "--values", SETS["small"])
        assert ran.code != 0
        assert "fullnameOverride: " in ran.err
        ran = run("template", release, CHART, "--values", SETS["small"], "--set", "fullnameOverride=mute")
        assert ran.code == 0, ran.err


def nodes(node: object, *path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield "/".join(path), node
        for key, value in node.items():
            yield from nodes(value, *path, str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from nodes(value, *path, str(index))


def test_no_mapping_takes_anything() -> None:
    """A misspelt value is refused wherever it stands, but in what is Kubernetes' own."""
    free = {
        path.rpartition("properties/")[2]
        for path, node in nodes(written())
        if node.get("type") == "object" and node.get("additionalProperties", True) is True
        if "maxProperties" not in node
    }
    assert free == {"global", "valueFrom", "tolerations/items", "affinity", "podSelector", "namespaceSelector"}


def test_every_value_has_a_schema() -> None:
    """Defaults are what the schema knows, and the schema knows nothing that has no default."""
    schema = written()["properties"]
    assert VALUES.keys() == schema.keys() - {"global"}
    for name in VALUES.keys() - {"config", "files", "resources"}:
        if isinstance(VALUES[name], dict) and "properties" in schema[name]:
            assert VALUES[name].keys() == schema[name]["properties"].keys(), name


def test_every_set_is_used() -> None:
    """The sets that other tests speak of are there."""
    assert SETS.keys() == {"full", "single", "small", "trial"}
