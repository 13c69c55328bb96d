"""The older form of the description says what the newer one does, as far as it has words for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS30WriteValidator
from openapi_spec_validator import OpenAPIV2SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from gateway.asks import Code
from gateway.cli.main import main
from gateway.web import examples, openapi
from gateway.web.swagger import swagger

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
NEWER = openapi.document()
OLDER = swagger(NEWER)
METHODS = ("get", "put", "delete", "post")


def walked(part: object) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for item in part.values():
            yield from walked(item)
    elif isinstance(part, list):
        for item in part:
            yield from walked(item)


def nullable(part: object) -> object:
    """With the word for null that the validator knows."""
    if isinstance(part, list):
        return [nullable(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {"nullable" if word == "x-nullable" else word: nullable(item) for word, item in part.items()}


def errors(model: str, value: object) -> list[str]:
    registry: Registry[Any] = Registry().with_resource("doc", DRAFT4.create_resource(nullable(OLDER)))
    checked = OAS30WriteValidator({"$ref": f"doc#/definitions/{model}"}, registry=registry)
    return [error.message for error in checked.iter_errors(value)]


@pytest.mark.parametrize(
    ("form", "name"), [("2.0", "openapi-2.0.json"), ("markdown", "api.md"), ("3.0", "../openapi.json")]
)
def test_the_copy_is_what_the_command_prints(form: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever takes the file takes what is served."""
    assert main(["openapi", "--form", form]) == 0
    assert (DOCS / name).read_text() == capsys.readouterr().out


def test_the_reference_has_everything() -> None:
    """Each operation, schema, field, status and code is on the page to read, under its own heading."""
    page = (DOCS / "api.md").read_text()
    for path, item in NEWER["paths"].items():
        for method in set(METHODS) & set(item):
            part = re.search(rf"^## {method.upper()} {re.escape(path)}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
            assert part
            assert set(re.findall(r"^\| `(\d{3})` \|", part[1], re.MULTILINE)) == set(item[method]["responses"])
    for name, schema in NEWER["components"]["schemas"].items():
        part = re.search(rf"^### {name}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        assert part
        assert set(re.findall(r"^\| `(\w+)` \|", part[1], re.MULTILINE)) == set(schema.get("properties", {}))
    assert {code.value for code in Code} == set(re.findall(r"^- `([a-z-]+)`: ", page, re.MULTILINE))


def test_the_host_is_said_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A connector needs it; the copy in the repository cannot know it."""
    assert main(["openapi", "--form", "2.0", "--host", "gateway.example:8443"]) == 0
    assert json.loads(capsys.readouterr().out) == {**OLDER, "host": "gateway.example:8443"}


def test_it_is_valid() -> None:
    """By the rules of OpenAPI 2.0."""
    assert list(OpenAPIV2SpecValidator(OLDER).iter_errors()) == []


def test_it_has_no_words_of_the_newer_form() -> None:
    """What reads it does not know them."""
    newer = {"oneOf", "anyOf", "not", "nullable", "discriminator", "content", "requestBody", "components", "servers"}
    assert [part for part in walked(OLDER) if newer & set(part)] == []
    assert "#/components" not in json.dumps(OLDER)


def test_every_operation_is_in_it() -> None:
    """With its parameters and every status that it can have."""
    assert set(OLDER["paths"]) == set(NEWER["paths"])
    for path, item in NEWER["paths"].items():
        for method in set(METHODS) & set(item):
            newer, older = item[method], OLDER["paths"][path][method]
            assert older["operationId"] == newer["operationId"]
            assert set(older["responses"]) == set(newer["responses"])
            has_body = [one for one in older["parameters"] if one.get("in") == "body"]
            assert len(has_body) == ("requestBody" in newer)
            assert len(older["parameters"]) == len(newer.get("parameters", [])) + len(has_body)
        assert len(OLDER["paths"][path].get("parameters", [])) == len(item.get("parameters", []))


@pytest.mark.parametrize("said", [*examples.MUTES.values()])
def test_a_mute_is_a_mute(said: dict[str, Any]) -> None:
    """What may be said by the newer form may be said by the older one."""
    assert errors("MuteBody", said) == []


@pytest.mark.parametrize("said", [*examples.COMMANDS.values(), {"action": "keep", "mark": "a", "extension": "1"}])
def test_a_command_is_a_command(said: dict[str, Any]) -> None:
    """Also where the newer form knows six of them, and the older one what they have in common."""
    assert errors("Command", said) == []


@pytest.mark.parametrize(
    "said", [{}, {"action": "sing"}, {"action": "mute", "color": 1}, {"action": "mute", "hold": "A"}]
)
def test_what_no_command_is_stays_none(said: dict[str, Any]) -> None:
    """Merged is not anything goes."""
    assert errors("Command", said) != []


def test_commands_agree_on_what_they_share() -> None:
    """Or the object with the members of all would be wrong for one of them."""
    schemas = NEWER["components"]["schemas"]
    forms: dict[str, set[str]] = {}
    for target in schemas["Command"]["discriminator"]["mapping"].values():
        for name, item in schemas[target.rpartition("/")[2]]["properties"].items():
            form = {word: value for word, value in item.items() if word != "description"}
            forms.setdefault(name, set()).add(json.dumps(form, sort_keys=True))
    assert {name for name, found in forms.items() if len(found) > 1} == {"action"}


@pytest.mark.parametrize("answer", [examples.MUTED, examples.WAITING, {**examples.MUTED, "audit": None}])
def test_an_answer_is_an_answer(answer: dict[str, Any]) -> None:
    """Nulls included."""
    assert errors("Document", answer) == []


def test_the_key_is_asked_for() -> None:
    """In its header, by every operation but the one that describes."""
    assert OLDER["securityDefinitions"] == {"ApiKey": NEWER["components"]["securitySchemes"]["ApiKey"]}
    assert OLDER["security"] == [{"ApiKey": []}]


def test_an_unknown_form_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage, as for every option."""
    with pytest.raises(SystemExit) as ended:
        main(["openapi", "--form", "4.0"])
    assert ended.value.code == 2
    assert "--form" in capsys.readouterr().err
