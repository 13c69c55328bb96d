"""What a node does before it starts a container: volumes laid out as files, variables filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from looks import env, of_kind, pods

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from charts import Object

    Contents = Mapping[str, Mapping[str, str]]

CONFIG_MODE = 0o644


def laid_out(found: Sequence[Object], workload: Object, kept: Contents, root: Path) -> dict[str, str]:
    """The environment of the first container of `workload`, whose volumes are below `root` afterwards.

    `kept` has what is in the cluster and not in the chart: Secrets and ConfigMaps by name. Paths in the mounted files
    and in the environment are made to point below `root`.
    """
    (pod,) = pods([workload])
    container = pod["containers"][0]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        _written(_files(volume, {**kept, **_maps(found)}), root, mounted[volume["name"]], _mode(volume))
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        (root / mounted[claim["metadata"]["name"]].lstrip("/")).mkdir(parents=True)
    return {name: _below(value, root) for name, value in _variables(container, kept)}


def _maps(found: Sequence[Object]) -> dict[str, Mapping[str, str]]:
    return {item["metadata"]["name"]: item["data"] for item in of_kind(found, "ConfigMap")}


def _files(volume: Object, there: Contents) -> dict[str, str]:
    """`KeyError` for what is not in the cluster: the pod would wait for it."""
    match volume:
        case {"configMap": {"name": name}} | {"secret": {"secretName": name}}:
            return dict(there[name])
        case {"projected": {"sources": sources}}:
            return {file: text for source in sources for file, text in there[source["secret"]["name"]].items()}
        case _:
            raise AssertionError(volume)


def _mode(volume: Object) -> int:
    return int((volume.get("secret") or volume.get("projected") or {}).get("defaultMode", CONFIG_MODE))


def _written(files: Mapping[str, str], root: Path, place: str, mode: int) -> None:
    """As a node does it: the files in a directory of their own, which a link points at, and a link for each."""
    directory = root / place.lstrip("/")
    real = directory / "..2026_11_21"
    real.mkdir(parents=True)
    (directory / "..data").symlink_to(real.name)
    for name, text in files.items():
        (real / name).write_text(_below(text, root))
        (real / name).chmod(mode)
        (directory / name).symlink_to(f"..data/{name}")


def _below(text: str, root: Path) -> str:
    return re.sub(r"(?<![\w:/.])/(?=(etc|run|var/lib)/gateway\b|data$)", f"{root}/", text, flags=re.MULTILINE)


def _variables(container: Object, kept: Contents) -> Iterator[tuple[str, str]]:
    """`$(NAME)` is a variable that stands before."""
    known: dict[str, str] = {}
    for variable in env(container):
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            text = kept[reference["name"]][reference["key"]]
        else:
            text = re.sub(r"\$\((\w+)\)", lambda found: known.get(found[1], found[0]), variable.get("value", ""))
        known[variable["name"]] = text
        yield variable["name"], text
