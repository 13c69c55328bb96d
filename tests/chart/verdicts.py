"""What is wrong with rendered objects, by three judges: the schemas of Kubernetes 1.34, the Pod Security Standards at
level restricted, and what the chart promises beyond both."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # it has no types
from policy_guard.analyzers import pod_security  # type: ignore[import-untyped]  # as above
from policy_guard.models import Resource  # type: ignore[import-untyped]  # as above
from promises import broken
from referencing import Registry
from referencing import Resource as Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from charts import Object

KUBERNETES = "1.34"
# What comes from operators of the cluster has no schema here: `promises` looks at what their documents ask for.
FOREIGN = frozenset({"external-secrets.io/v1", "gateway.networking.k8s.io/v1", "monitoring.coreos.com/v1"})


def schema(found: Sequence[Object]) -> Iterator[str]:
    for item in found:
        if item["apiVersion"] in FOREIGN:
            continue
        for error in _validator(item["kind"], item["apiVersion"]).iter_errors(item):
            yield f"{item['kind']} {error.json_path}: {error.message}"


def security(found: Sequence[Object]) -> Iterator[str]:
    """Only rules of the standards: the tool's own opinions (a digest, a limit of CPU) carry no level."""
    parsed = [
        Resource(kind=item["kind"], name=item["metadata"]["name"], spec=item.get("spec", {}), raw=item)
        for item in found
    ]
    for violation in pod_security.analyze(parsed):
        if violation.policy_level is not None:
            yield f"{violation.resource_kind} {violation.rule_id} {violation.message}"


@cache
def _validator(kind: str, version: str) -> jsonschema.Draft202012Validator:
    """Strict: unknown fields are faults. `KeyError` or `FileNotFoundError` for a kind that Kubernetes does not have."""
    group, _, number = version.rpartition("/")
    name = f"{kind}-{group.split('.')[0]}-{number}" if group else f"{kind}-{number}"
    return jsonschema.Draft202012Validator(_read(f"{name.lower()}.json"), registry=_definitions())


@cache
def _definitions() -> Registry[Any]:
    """Read once: half of the time that a validation would take by itself."""
    return Document.from_contents(_read("_definitions.json")) @ Registry()


def _read(name: str) -> Any:  # noqa: ANN401 -- a JSON document
    place = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict" / name
    return json.loads(place.read_text())


JUDGES: dict[str, Callable[[Sequence[Object]], Iterable[str]]] = {
    "schema": schema,
    "security": security,
    "promise": broken,
}
