"""Where things are in rendered objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from charts import Object

COMPONENT = "app.kubernetes.io/component"


def of_kind(found: Iterable[Object], *kinds: str) -> list[Object]:
    return [item for item in found if item["kind"] in kinds]


def component(found: Iterable[Object], name: str, *kinds: str) -> list[Object]:
    return [item for item in of_kind(found, *kinds) if item["metadata"]["labels"].get(COMPONENT) == name]


def gateway(found: Sequence[Object]) -> Object:
    """The workload that serves; the only one of its component."""
    (workload,) = component(found, "gateway", "StatefulSet", "Deployment", "DaemonSet")
    return workload


def _templates(found: Iterable[Object]) -> list[Object]:
    """What pods are made from, and pods."""
    found = list(found)
    made = [item["spec"]["template"] for item in of_kind(found, "StatefulSet", "Deployment", "DaemonSet")]
    timed = [item["spec"]["jobTemplate"]["spec"]["template"] for item in of_kind(found, "CronJob")]
    return [*made, *timed, *of_kind(found, "Pod")]


def pods(found: Iterable[Object]) -> list[Object]:
    """The pods' specifications."""
    return [item["spec"] for item in _templates(found)]


def pod_labels(found: Iterable[Object]) -> dict[str, Mapping[str, str]]:
    """The labels of every pod there will be, by its component."""
    every = [item["metadata"]["labels"] for item in _templates(found)]
    return {labels[COMPONENT]: labels for labels in every}


def containers(workload: Object) -> list[Object]:
    return [one for pod in pods([workload]) for one in (*pod.get("initContainers", []), *pod["containers"])]


def mounts(workload: Object) -> list[Object]:
    return [mount for container in containers(workload) for mount in container.get("volumeMounts", [])]


def named_ports(container: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def env(container: Object) -> list[Object]:
    found: list[Object] = container.get("env", [])
    return found


def selects(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Something is asked for, and the labels have all of it."""
    return bool(wanted) and wanted.items() <= labels.items()


def chosen(selector: Mapping[str, Any], found: Iterable[Object]) -> set[str]:
    """The components whose pods a selector (`matchLabels` and `In`) takes."""
    return {
        name
        for name, labels in pod_labels(found).items()
        if selector.get("matchLabels", {}).items() <= labels.items()
        and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    }
