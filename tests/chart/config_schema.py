"""The part of the chart's schema that is the gateway's own settings: made from the models, never written by hand.

Run as a program it writes the file anew. What differs from the models is what a ConfigMap and a cluster ask for:
no secret may stand in it, ports are known beforehand, and paths are absolute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.settings import Settings

SCHEMA = Path(__file__).parents[2] / "helm" / "values.schema.json"
FROM_SECRET = "from-secret"

_TAKEN = r"^/(bin|boot|dev|etc|lib\d*|proc|run|sbin|sys|usr|venv)(/|$)|//|/\.{1,2}(/|$)"

Node = dict[str, Any]


def written() -> Node:
    """The file as it is."""
    found: Node = json.loads(SCHEMA.read_text())
    return found


def renewed(schema: Node) -> Node:
    """`schema` with the settings that the models have now."""
    made = Settings.model_json_schema()
    definitions = {name: _section(part) for name, part in made.pop("$defs").items()}
    settings = _section(made)
    del settings["required"]  # the chart itself tells what is missing: all of it at once
    settings["properties"]["backends"].pop("minProperties")
    settings["properties"]["routes"].pop("minItems")
    _narrow(definitions, settings)
    return {**schema, "properties": {**schema["properties"], "config": settings}, "$defs": definitions}


def text(schema: Node) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _narrow(definitions: Node, settings: Node) -> None:
    listen, store = definitions["Listen"]["properties"], definitions["Store"]["properties"]
    for name in ("port", "admin_port"):
        listen[name]["minimum"] = 1  # the Service has to know it
    for name in ("host", "admin_host"):
        listen[name]["not"] = {"pattern": r"^(127\.|localhost$|::1$)"}  # probes and callers come from elsewhere
    # A password in the address would stand in the ConfigMap.
    store["url"] = {
        "type": "string",
        "pattern": rf"^({FROM_SECRET}|embedded|rediss?(\+sentinel|\+cluster)?://[^@]+)$",
        "not": {"pattern": "password="},
    }
    for section in definitions.values():
        for name in {"base_url", "calls_base_url", "endpoint", "jwks"} & section.get("properties", {}).keys():
            section["properties"][name]["not"] = {"pattern": "^[a-z]+://[^/?#]*@"}
    # The journal's volume is mounted there: not over what the image or the node has, and not beside it.
    store["directory"] = {"type": "string", "pattern": r"^/[^\s:]+$", "not": {"pattern": _TAKEN}}
    for section, name in ((listen, "tls"), (settings["properties"], "tokens"), (settings["properties"], "tracing")):
        section[name]["anyOf"].append({"type": "object", "maxProperties": 0})  # {}: what a null would say


def _section(node: Any) -> Any:  # noqa: ANN401 -- any part of a JSON document
    """Without secrets, titles and defaults; nothing may be added anywhere."""
    if isinstance(node, list):
        return [_section(item) for item in node]
    if not isinstance(node, dict):
        return node
    part = {key: _section(value) for key, value in node.items() if key not in {"title", "default", "discriminator"}}
    if isinstance(node.get("properties"), dict):
        named = {name: of for name, of in node["properties"].items() if name == "url" or not _secret(of)}
        part["properties"] = {name: _section(of) for name, of in named.items()}
        part["required"] = [name for name in node.get("required", []) if name in named]
        part["additionalProperties"] = False
        if not part["required"]:
            del part["required"]
    if "patternProperties" in part:
        part["additionalProperties"] = False
    return part


def _secret(node: Any) -> bool:  # noqa: ANN401 -- as above
    if isinstance(node, list):
        return any(_secret(item) for item in node)
    return isinstance(node, dict) and (node.get("format") == "password" or any(map(_secret, node.values())))


if __name__ == "__main__":
    SCHEMA.write_text(text(renewed(written())))
