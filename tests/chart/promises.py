"""What the chart promises beyond what schemas and security standards ask for, read off the rendered objects.

Each promise takes all objects and gives its faults; `broken` asks them all.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import promises_net
import yaml
from charts import ROOT
from looks import component, containers, env, gateway, mounts, named_ports, of_kind, pods, selects

from gateway.app import SHUTDOWN_SECONDS
from gateway.audit.journal import CLOSE_SECONDS
from gateway.crew.member import STOP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from charts import Object

    Promise = Callable[[Sequence[Object]], Iterator[str]]


USER = int(re.findall(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1])


def broken(found: Sequence[Object]) -> list[str]:
    return [fault for promise in (*PROMISES, *promises_net.PROMISES) for fault in promise(found)]


def _journal_outlives_the_pod(found: Sequence[Object]) -> Iterator[str]:
    workload = gateway(found)
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    directory = _configured(found)["store"]["directory"]
    if [mount for mount in mounts(workload) if mount["mountPath"] == directory and mount["name"] in claims] == []:
        yield f"no claimed volume is mounted at {directory}"
    for stateful in of_kind(found, "StatefulSet"):
        retention = stateful["spec"].get("persistentVolumeClaimRetentionPolicy", {})
        if retention != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
            yield f"{stateful['metadata']['name']}: its volumes are deleted"


def _pods_roll(found: Sequence[Object]) -> Iterator[str]:
    spec = gateway(found)["spec"]
    if spec.get("updateStrategy", {}).get("type") != "RollingUpdate" or "partition" in str(spec["updateStrategy"]):
        yield "a new version is not rolled out"
    if spec.get("podManagementPolicy") != "Parallel":
        yield "one pod that does not come up keeps the others away"
    if not spec.get("minReadySeconds"):
        yield "the next pod goes as soon as one has answered once"
    annotations = spec["template"]["metadata"].get("annotations", {})
    digest = hashlib.sha256(_text(found).rstrip("\n").encode()).hexdigest()
    if annotations.get("checksum/config") != digest:
        yield "another configuration does not roll the pods"
    if len(annotations.get("checksum/secrets", "")) != len(digest):
        yield "secrets.revision does not roll the pods"


def _health_is_asked_where_it_is_told(found: Sequence[Object]) -> Iterator[str]:
    (container,) = containers(gateway(found))
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        if container.get(probe, {}).get("httpGet") != {"path": path, "port": "admin"}:
            yield f"{probe} does not ask {path} of the admin port"
    listen, ports = _configured(found)["listen"], named_ports(container)
    if ports != {"api": listen["port"], "admin": listen["admin_port"]}:
        yield f"the ports are {ports}, the configuration says otherwise"


def _work_under_way_is_finished(found: Sequence[Object]) -> Iterator[str]:
    (container,) = containers(gateway(found))
    waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if waits < 1:
        yield "callers do not learn that the pod is leaving"
    grace = pods([gateway(found)])[0].get("terminationGracePeriodSeconds", 30)
    if grace < waits + max(SHUTDOWN_SECONDS, STOP_SECONDS) + CLOSE_SECONDS + 1:
        yield f"{grace} s are too few to finish in"


def _containers_are_bounded(found: Sequence[Object]) -> Iterator[str]:
    for workload in found:
        for container in containers(workload):
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get(
                "limits", {}
            ):
                yield f"{container['name']}: its resources are not told"
            image = str(container["image"])
            if "@sha256:" not in image and (":" not in image.rpartition("/")[2] or image.endswith(":latest")):
                yield f"{container['name']}: nobody knows which image runs"
            if "command" in container and "/bin" in str(container["command"]):
                yield f"{container['name']}: needs a shell"


def _pods_are_spread(found: Sequence[Object]) -> Iterator[str]:
    labels = gateway(found)["spec"]["template"]["metadata"]["labels"]
    spread = pods([gateway(found)])[0].get("topologySpreadConstraints", [])
    if {one["topologyKey"] for one in spread} != {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}:
        yield "pods are not spread over nodes and zones"
    if not all(selects(one["labelSelector"]["matchLabels"], labels) for one in spread):
        yield "other pods are counted as the gateway's"


def _no_token_of_the_cluster(found: Sequence[Object]) -> Iterator[str]:
    for pod in pods(found):
        if pod.get("automountServiceAccountToken") is not False:
            yield "a pod gets the token of its account"
        if pod.get("enableServiceLinks") is not False:
            yield "services of the namespace turn up as variables"
    for account in of_kind(found, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield "the account gives its token away"


def _secrets_only_by_reference(found: Sequence[Object]) -> Iterator[str]:
    if of_kind(found, "Secret"):
        yield "a Secret is rendered"
    for workload in found:
        for container in containers(workload):
            for variable in container.get("env", []):
                if "PASSWORD" in variable["name"] and "value" in variable:
                    yield f"{variable['name']} stands in the manifest"
    for pod in pods(found):
        for volume in pod.get("volumes", []):
            mode = volume.get("secret", volume.get("projected", {"defaultMode": 0})).get("defaultMode", 0o644)
            if mode & 0o007:
                yield f"everybody in the pod may read {volume['name']}"


def _the_images_user_may_read_and_write(found: Sequence[Object]) -> Iterator[str]:
    """Secrets and volumes belong to root and the pod's group."""
    for pod in pods([gateway(found), *of_kind(found, "Pod", "CronJob")]):
        context = pod.get("securityContext", {})
        if [context.get(name) for name in ("runAsUser", "runAsGroup", "fsGroup")] != [USER] * 3:
            yield "the user is not the image's, or may not read what is mounted"


def _what_is_mounted_is_followed(found: Sequence[Object]) -> Iterator[str]:
    for workload in of_kind(found, "StatefulSet", "Pod", "CronJob"):
        made = pods([workload])[0].get("volumes", [])
        volumes = {volume["name"] for volume in made if "persistentVolumeClaim" not in volume}
        claims = {volume["name"] for volume in made} - volumes
        claims |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        used = mounts(workload)
        if {mount["name"] for mount in used} != volumes | claims:
            yield f"{workload['metadata']['name']}: volumes and mounts differ"
        if any("subPath" in mount for mount in used):
            yield "a single file that is mounted never changes again"
        if any(not mount.get("readOnly") for mount in used if mount["name"] in volumes):
            yield "what is mounted can be written"
    (container,) = containers(gateway(found))
    variables = {variable["name"]: variable.get("value") for variable in env(container)}
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    if variables.get("GATEWAY_CONFIG") != f"{places.get('config')}/gateway.yaml":
        yield "the configuration is not where it is looked for"
    if variables.get("GATEWAY_SECRETS_DIR") != places.get("secrets"):
        yield "the secrets are not where they are looked for"


def _valkey_keeps_what_it_took(found: Sequence[Object]) -> Iterator[str]:
    for workload in component(found, "valkey", "StatefulSet"):
        arguments = containers(workload)[0]["args"]
        said = dict(zip(arguments[::2], arguments[1::2], strict=True))
        wanted = {"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction"}
        if {name: said.get(name) for name in wanted} != wanted or "--requirepass" not in said:
            yield "the trial store forgets, or lets anybody in"
        if workload["spec"]["replicas"] != 1:
            yield "several stores that know nothing of each other"
        if not [mount for mount in mounts(workload) if mount["mountPath"] == said.get("--dir")]:
            yield "the trial store writes to no volume"


def _every_object_is_labelled(found: Sequence[Object]) -> Iterator[str]:
    wanted = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")}
    for item in found:
        if not wanted <= item["metadata"].get("labels", {}).keys():
            yield f"{item['kind']} {item['metadata']['name']} lacks labels"


def _text(found: Sequence[Object]) -> str:
    (text,) = (item["data"]["gateway.yaml"] for item in found if "gateway.yaml" in item.get("data", {}))
    return str(text)


def _configured(found: Sequence[Object]) -> Any:  # noqa: ANN401 -- YAML
    return yaml.safe_load(_text(found))


PROMISES: tuple[Promise, ...] = (
    _journal_outlives_the_pod,
    _pods_roll,
    _health_is_asked_where_it_is_told,
    _work_under_way_is_finished,
    _containers_are_bounded,
    _pods_are_spread,
    _no_token_of_the_cluster,
    _secrets_only_by_reference,
    _the_images_user_may_read_and_write,
    _what_is_mounted_is_followed,
    _valkey_keeps_what_it_took,
    _every_object_is_labelled,
)
