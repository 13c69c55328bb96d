"""What the chart promises about who reaches whom, who counts the pods, and who is told what they count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from looks import chosen, component, containers, env, gateway, named_ports, of_kind, pods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from charts import Object

    Promise = Callable[[Sequence[Object]], Iterator[str]]

JOB = {"targetLabel": "job", "replacement": "redaction-gateway"}


def _services_lead_to_the_gateway(found: Sequence[Object]) -> Iterator[str]:
    (container,) = containers(gateway(found))
    for service in of_kind(found, "Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        wanted = {"valkey"} if component([service], "valkey", "Service") else {"gateway"}
        if chosen({"matchLabels": spec["selector"]}, found) != wanted:
            yield f"service {name} leads elsewhere"
        if wanted == {"valkey"}:
            continue
        targets = {port["targetPort"] for port in spec["ports"]}
        if not targets <= named_ports(container).keys():
            yield f"service {name} leads to no port"
        if "admin" in targets and spec.get("clusterIP") != "None":
            yield f"service {name} publishes the admin port"
    heads = {service["metadata"]["name"] for service in of_kind(found, "Service") if "None" in str(service["spec"])}
    if gateway(found)["spec"]["serviceName"] not in heads:
        yield "the pods have no names"


def _nothing_is_allowed_by_silence(found: Sequence[Object]) -> Iterator[str]:
    policies = of_kind(found, "NetworkPolicy")
    for policy in policies:
        name, spec = policy["metadata"]["name"], policy["spec"]
        if set(spec.get("policyTypes", [])) != {"Ingress", "Egress"}:
            yield f"{name} leaves one direction open"
        for side, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(side) or []:
                if not rule.get(peers) or not rule.get("ports"):
                    yield f"{name} has a rule for everybody"
                if any(peer.get("ipBlock", {}).get("cidr", "").endswith("/0") for peer in rule.get(peers) or []):
                    yield f"{name} opens the whole internet"
    if policies:
        covered = {name for policy in policies for name in chosen(policy["spec"]["podSelector"], found)}
        if covered != chosen({}, found):
            yield "not every pod has a policy"


def _the_archive_grows(found: Sequence[Object]) -> Iterator[str]:
    """One run at a time, on an operator's volume, with the gateway's keys; it speaks to the store alone."""
    for job in of_kind(found, "CronJob"):
        (pod,), (container,) = pods([job]), containers(job)
        claims = {one["name"] for one in pod["volumes"] if one.get("persistentVolumeClaim", {}).get("claimName")}
        if [one["mountPath"] for one in container["volumeMounts"] if one["name"] in claims] != container["args"][2:3]:
            yield "the archive is gone with the pod"
        if job["spec"].get("concurrencyPolicy") != "Forbid":
            yield "two add to one archive at a time"
        (served,) = containers(gateway(found))
        if (container["image"], env(container)) != (served["image"], env(served)):
            yield "it is another version, or has other secrets"
        for policy in of_kind(found, "NetworkPolicy"):
            taken = chosen(policy["spec"]["podSelector"], found)
            if "archive" in taken and (taken != {"archive"} or policy["spec"].get("ingress")):
                yield "the archive's pod may be asked, or may ask as others do"


def _callers_come_through_tls(found: Sequence[Object]) -> Iterator[str]:
    (api,) = (service for service in component(found, "gateway", "Service"))
    port = api["spec"]["ports"][0]
    for ingress in of_kind(found, "Ingress"):
        covered = {host for tls in ingress["spec"].get("tls", []) if tls.get("secretName") for host in tls["hosts"]}
        for rule in ingress["spec"]["rules"]:
            if rule["host"] not in covered:
                yield f"{rule['host']} is served in the clear"
            for path in rule["http"]["paths"]:
                if path["backend"]["service"] != {"name": api["metadata"]["name"], "port": {"name": port["name"]}}:
                    yield "the Ingress leads elsewhere"
    for route in of_kind(found, "HTTPRoute"):
        if not route["spec"]["parentRefs"] or not route["spec"]["hostnames"]:
            yield "the route hangs on nothing"
        for rule in route["spec"]["rules"]:
            if rule["backendRefs"] != [{"name": api["metadata"]["name"], "port": port["port"]}]:
                yield "the route leads elsewhere"


def _drains_and_load_are_answered(found: Sequence[Object]) -> Iterator[str]:
    workload = gateway(found)
    for budget in of_kind(found, "PodDisruptionBudget"):
        if chosen(budget["spec"]["selector"], found) != {"gateway"} or "maxUnavailable" not in budget["spec"]:
            yield "drained nodes do not wait for the gateway"
    scalers = of_kind(found, "HorizontalPodAutoscaler")
    if bool(scalers) == ("replicas" in workload["spec"]):
        yield "nobody, or two, say how many pods there are"
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        if (target["apiVersion"], target["kind"], target["name"]) != (
            workload["apiVersion"],
            workload["kind"],
            workload["metadata"]["name"],
        ):
            yield "something else is scaled"


def _every_pod_is_counted_once(found: Sequence[Object]) -> Iterator[str]:
    monitors = of_kind(found, "ServiceMonitor", "PodMonitor")
    if len(monitors) > 1:
        yield "everything is counted twice"
    for monitor in monitors:
        spec = monitor["spec"]
        if monitor["kind"] == "PodMonitor":
            (container,) = containers(gateway(found))
            ends, ports = spec["podMetricsEndpoints"], set(named_ports(container))
            lead = chosen(spec["selector"], found) == {"gateway"}
        else:
            wanted = spec["selector"]["matchLabels"].items()
            services = [one for one in of_kind(found, "Service") if wanted <= one["metadata"]["labels"].items()]
            ends, ports = spec["endpoints"], {port["name"] for one in services for port in one["spec"]["ports"]}
            lead = len(services) == 1
        if any(JOB not in end.get("relabelings", []) for end in ends):
            yield "alerts do not know the job"
        if not lead or [(end["port"], end["path"]) for end in ends] != [("admin", "/metrics")] or "admin" not in ports:
            yield f"{monitor['kind']} finds no metrics"


def _operators_are_told(found: Sequence[Object]) -> Iterator[str]:
    for rules in of_kind(found, "PrometheusRule"):
        if not rules["spec"]["groups"] or not all(
            group["name"] and group["rules"] for group in rules["spec"]["groups"]
        ):
            yield "a group of rules is empty"
        for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
            for name, link in rule.get("annotations", {}).items():
                if name.endswith("_url") and not link.startswith("https://"):
                    yield f"{rule['alert']}: its {name} leads nowhere"


def _what_comes_from_elsewhere_arrives(found: Sequence[Object]) -> Iterator[str]:
    for board in component(found, "dashboard", "ConfigMap"):
        for name, text in board["data"].items():
            if not name.endswith(".json") or not json.loads(text).get("title"):
                yield f"{name} is no dashboard"
    for external in of_kind(found, "ExternalSecret"):
        spec = external["spec"]
        if not spec["secretStoreRef"]["name"] or any("__" not in one["secretKey"] for one in spec["data"]):
            yield "the external secret names no settings"
        if spec["target"]["name"] not in str(gateway(found)["spec"]["template"]["spec"]["volumes"]):
            yield "the external secret is mounted nowhere"


PROMISES: tuple[Promise, ...] = (
    _services_lead_to_the_gateway,
    _nothing_is_allowed_by_silence,
    _the_archive_grows,
    _callers_come_through_tls,
    _drains_and_load_are_answered,
    _every_pod_is_counted_once,
    _operators_are_told,
    _what_comes_from_elsewhere_arrives,
)
