"""Faults to put into the rendered objects of the value set `full`, each with the judge who has to find it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from looks import component, containers, gateway, pods

if TYPE_CHECKING:
    from collections.abc import Callable

    from charts import Object

ADMIN = {"name": "admin", "port": 9090, "targetPort": "admin"}
INTERNET = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
OTHERS = {"matchLabels": {"app": "other"}}
DEPLOYMENT = {"kind": "Deployment"}


def _pod(found: list[Object]) -> Object:
    return pods([gateway(found)])[0]


def _container(found: list[Object]) -> Object:
    first: Object = _pod(found)["containers"][0]
    return first


def kind(found: list[Object], kind: str, part: str = "gateway") -> Object:
    return component(found, part, kind)[0]


def _mount(found: list[Object], name: str) -> Object:
    return next(mount for mount in _container(found)["volumeMounts"] if mount["name"] == name)


def _volume(found: list[Object], name: str) -> Object:
    return next(volume for volume in _pod(found)["volumes"] if volume["name"] == name)


def _alert(found: list[Object]) -> Object:
    groups = kind(found, "PrometheusRule")["spec"]["groups"]
    return next(rule for group in groups for rule in group["rules"] if "alert" in rule)


def _route(found: list[Object]) -> Object:
    first: Object = kind(found, "HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]
    return first


def _more(found: list[Object]) -> Object:
    return {"gateway.yaml": kind(found, "ConfigMap")["data"]["gateway.yaml"] + "# more\n"}


def _secret(found: list[Object]) -> Object:
    metadata = copy.deepcopy(gateway(found)["metadata"])
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"audit__pepper": "x"}}


FAULTS: dict[str, tuple[str, Callable[[list[Object]], object]]] = {
    "privileged": ("security", lambda f: _container(f)["securityContext"].update(privileged=True)),
    "root": ("security", lambda f: _pod(f)["securityContext"].update(runAsUser=0)),
    "may be root": ("security", lambda f: [_pod(f)["securityContext"].pop(k) for k in ("runAsNonRoot", "runAsUser")]),
    "gains rights": ("security", lambda f: _container(f)["securityContext"].pop("allowPrivilegeEscalation")),
    "keeps capabilities": ("security", lambda f: _container(f)["securityContext"].pop("capabilities")),
    "adds a capability": (
        "security",
        lambda f: _container(f)["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    ),
    "any system call": ("security", lambda f: _pod(f)["securityContext"].pop("seccompProfile")),
    "writable root": ("security", lambda f: _container(f)["securityContext"].pop("readOnlyRootFilesystem")),
    "network of the host": ("security", lambda f: _pod(f).update(hostNetwork=True)),
    "processes of the host": ("security", lambda f: _pod(f).update(hostPID=True)),
    "disk of the host": ("security", lambda f: _pod(f)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    "port of the host": ("security", lambda f: _container(f)["ports"][0].update(hostPort=8080)),
    "unsafe test pod": ("security", lambda f: kind(f, "Pod", "test")["spec"].pop("securityContext")),
    "unsafe archive": ("security", lambda f: pods([kind(f, "CronJob", "archive")])[0].pop("securityContext")),
    "archive in the pod": (
        "promise",
        lambda f: pods([kind(f, "CronJob", "archive")])[0]["volumes"][-1].pop("persistentVolumeClaim"),
    ),
    "two archives at once": (
        "promise",
        lambda f: kind(f, "CronJob", "archive")["spec"].update(concurrencyPolicy="Allow"),
    ),
    "archive without secrets": ("promise", lambda f: containers(kind(f, "CronJob", "archive"))[0]["env"].pop()),
    "archive without a policy": ("promise", lambda f: f.remove(kind(f, "NetworkPolicy", "archive"))),
    "misspelt field": ("schema", lambda f: _container(f).update(livenessprobe={})),
    "text for a number": ("schema", lambda f: gateway(f)["spec"].update(replicas="three")),
    "port without number": ("schema", lambda f: kind(f, "Service")["spec"]["ports"][0].pop("port")),
    "unnamed container": ("schema", lambda f: _container(f).pop("name")),
    "no target": ("schema", lambda f: kind(f, "HorizontalPodAutoscaler")["spec"].pop("scaleTargetRef")),
    "journal dies": ("promise", lambda f: _mount(f, "journal").update(mountPath="/elsewhere")),
    "volumes deleted": ("promise", lambda f: gateway(f)["spec"].pop("persistentVolumeClaimRetentionPolicy")),
    "no checksum": ("promise", lambda f: gateway(f)["spec"]["template"]["metadata"].pop("annotations")),
    "stale checksum": ("promise", lambda f: kind(f, "ConfigMap")["data"].update(_more(f))),
    "one after another": ("promise", lambda f: gateway(f)["spec"].update(podManagementPolicy="OrderedReady")),
    "no readiness": ("promise", lambda f: _container(f).pop("readinessProbe")),
    "ready when alive": ("promise", lambda f: _container(f)["readinessProbe"]["httpGet"].update(path="/livez")),
    "no time to leave": ("promise", lambda f: _container(f).pop("lifecycle")),
    "killed early": ("promise", lambda f: _pod(f).update(terminationGracePeriodSeconds=10)),
    "no memory limit": ("promise", lambda f: _container(f)["resources"].pop("limits")),
    "latest image": ("promise", lambda f: _container(f).update(image="registry.example/gateway:latest")),
    "needs a shell": ("promise", lambda f: _container(f).update(command=["/bin/sh", "-c"])),
    "on one node": ("promise", lambda f: _pod(f).pop("topologySpreadConstraints")),
    "token mounted": ("promise", lambda f: _pod(f).pop("automountServiceAccountToken")),
    "token given": ("promise", lambda f: kind(f, "ServiceAccount").pop("automountServiceAccountToken")),
    "readable secrets": ("promise", lambda f: _volume(f, "secrets")["projected"].pop("defaultMode")),
    "unreadable secrets": ("promise", lambda f: _pod(f)["securityContext"].pop("fsGroup")),
    "another user": ("promise", lambda f: _pod(f)["securityContext"].update(runAsUser=1000)),
    "runbook nowhere": ("promise", lambda f: _alert(f)["annotations"].update(runbook_url="docs/runbooks/X.md")),
    "empty group": (
        "promise",
        lambda f: kind(f, "PrometheusRule")["spec"]["groups"].append({"name": "x", "rules": []}),
    ),
    "empty dashboard": ("promise", lambda f: kind(f, "ConfigMap", "dashboard")["data"].update({"x.json": "{}"})),
    "frozen file": ("promise", lambda f: _mount(f, "config").update(subPath="gateway.yaml")),
    "writable configuration": ("promise", lambda f: _mount(f, "config").pop("readOnly")),
    "secrets elsewhere": ("promise", lambda f: _mount(f, "secrets").update(mountPath="/run/secrets")),
    "a Secret": ("promise", lambda f: f.append(_secret(f))),
    "test pod takes calls": ("promise", lambda f: kind(f, "Service")["spec"]["selector"].popitem()),
    "admin port published": ("promise", lambda f: kind(f, "Service")["spec"]["ports"].append(ADMIN)),
    "one way open": ("promise", lambda f: kind(f, "NetworkPolicy")["spec"].update(policyTypes=["Ingress"])),
    "everybody may call": ("promise", lambda f: kind(f, "NetworkPolicy")["spec"]["ingress"][0].pop("from")),
    "every port": ("promise", lambda f: kind(f, "NetworkPolicy")["spec"]["egress"][1].pop("ports")),
    "whole internet": ("promise", lambda f: kind(f, "NetworkPolicy")["spec"]["egress"].append(INTERNET)),
    "other pods' policy": ("promise", lambda f: kind(f, "NetworkPolicy")["spec"]["podSelector"].update(OTHERS)),
    "clear text": ("promise", lambda f: kind(f, "Ingress")["spec"]["tls"][0]["hosts"].pop()),
    "route elsewhere": ("promise", lambda f: _route(f).update(port=9090)),
    "budget of others": ("promise", lambda f: kind(f, "PodDisruptionBudget")["spec"]["selector"].update(OTHERS)),
    "two say how many": ("promise", lambda f: gateway(f)["spec"].update(replicas=3)),
    "scales another": (
        "promise",
        lambda f: kind(f, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(DEPLOYMENT),
    ),
    "unknown job": ("promise", lambda f: kind(f, "ServiceMonitor")["spec"]["endpoints"][0].pop("relabelings")),
    "no metrics": ("promise", lambda f: kind(f, "ServiceMonitor")["spec"]["endpoints"][0].update(port="api")),
    "nowhere mounted": ("promise", lambda f: kind(f, "ExternalSecret")["spec"]["target"].update(name="other")),
    "unlabelled": (
        "promise",
        lambda f: kind(f, "NetworkPolicy")["metadata"]["labels"].pop("app.kubernetes.io/version"),
    ),
}
