"""The description is valid, is what the code does, and the copy in the repository is the one that is served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from front import Front, fronted
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator
from openapi_spec_validator import OpenAPIV30SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from gateway.asks import Code, Failure
from gateway.web import examples, openapi, parse, schema
from gateway.web.dialect import converted
from gateway.web.problems import KINDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

COPY = Path(__file__).parents[2] / "openapi.json"
DOCUMENT = openapi.document()
ENDPOINT = DOCUMENT["paths"]["/v1/calls/{call_id}/redaction"]
METHODS = ("put", "get", "delete", "post")


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


def walked(part: object) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(part, dict):
        yield part
        for item in part.values():
            yield from walked(item)
    elif isinstance(part, list):
        for item in part:
            yield from walked(item)


def errors(model: str, value: object, *, written: bool = False) -> list[str]:
    registry: Registry[Any] = Registry().with_resource("doc", DRAFT4.create_resource(DOCUMENT))
    checked = (OAS30WriteValidator if written else OAS30ReadValidator)(
        {"$ref": f"doc#/components/schemas/{model}"}, registry=registry
    )
    return [error.message for error in checked.iter_errors(value)]


def test_the_copy_is_the_document() -> None:
    """Whoever reads the repository reads what is served."""
    assert COPY.read_text() == openapi.text()


async def test_it_is_served_without_a_key(front: Front) -> None:
    """The same bytes to everybody."""
    reply = await front.ask("GET", "/openapi.json", client="")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.body.decode() == openapi.text()


def test_it_is_valid() -> None:
    """By the rules of OpenAPI 3.0, examples of parameters and schemas included."""
    assert DOCUMENT["openapi"] == "3.0.3"
    assert list(OpenAPIV30SpecValidator(DOCUMENT).iter_errors()) == []


def test_it_has_no_words_of_the_newer_dialect() -> None:
    """Generators for 3.0 do not know them; `null` is said by nullable."""
    newer = {"$defs", "const", "prefixItems", "propertyNames", "patternProperties", "examples_", "$schema"}
    for part in walked(DOCUMENT["components"]["schemas"]):
        assert not newer & set(part)
        assert part.get("type") != "null"
        assert not isinstance(part.get("type"), list)


def test_every_reference_leads_somewhere() -> None:
    """And everything that can be referred to is."""
    used = {part["$ref"] for part in walked(DOCUMENT) if isinstance(part.get("$ref"), str)}
    for reference in used:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    named = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "parameters", "headers", "responses")
        for name in DOCUMENT["components"][kind]
    }
    assert named - used == {"#/components/responses/Problem405"}


def test_every_status_of_the_table_is_described_with_an_example() -> None:
    """Each code under its status, and the example is a problem of that code."""
    seen = set()
    for name, response in DOCUMENT["components"]["responses"].items():
        status = int(name.removeprefix("Problem"))
        for code, example in response["content"]["application/problem+json"]["examples"].items():
            assert status in {KINDS[Code(code)].status, KINDS[Code(code)].also}
            assert (example["value"]["code"], example["value"]["status"]) == (code, status)
            assert errors("Problem", example["value"]) == []
            seen.add(code)
    assert seen == {code.value for code in Code}


def test_methods_name_the_statuses_they_can_have() -> None:
    """The contract's table, by method."""
    common = {"200", "400", "401", "403", "404", "412", "413", "415", "417", "429", "500", "503", "504"}
    changes = common | {"409", "422", "502"}
    statuses = {method: set(ENDPOINT[method]["responses"]) for method in METHODS}
    assert statuses == {"get": common, "delete": changes, "put": changes | {"202"}, "post": changes | {"202"}}


def test_the_examples_of_answers_are_answers() -> None:
    """As the schema has it."""
    assert errors("Document", examples.MUTED) == []
    assert errors("Document", examples.WAITING) == []
    assert errors("Document", {**examples.MUTED, "state": "silent"}) != []


@pytest.mark.parametrize(("name", "said"), [*examples.MUTES.items(), *examples.COMMANDS.items()])
def test_the_examples_of_bodies_are_taken(name: str, said: dict[str, Any]) -> None:
    """By the parser as well as by the schema."""
    known = schema.Known(backends=frozenset({"pbx"}))
    if name in examples.COMMANDS:
        parse.body(schema.COMMAND, orjson.dumps(said), known, tagged=True)
    else:
        parse.body(schema.MUTE, orjson.dumps(said), known)
    assert errors("Command" if name in examples.COMMANDS else "MuteBody", said, written=True) == []


@pytest.mark.parametrize(
    "said",
    [
        {"hold": "A"}, {"parties": None}, {"resume_after_seconds": 0}, {"resume_after_seconds": 1.5}, {"unknown": 1},
        {"call_status": []}, {"targets": {"pbx": {"extension": ""}}}, {"backends": []}, {"actor": "a b"},
        {"extension": None}, {"targets": {"pbx": {"color": 1}}},
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_parser_refuses(said: dict[str, Any]) -> None:
    """A client that checks by the description learns nothing new from the gateway."""
    assert errors("MuteBody", said, written=True) != []
    with pytest.raises(Failure):
        parse.body(schema.MUTE, orjson.dumps(said), schema.Known(backends=frozenset({"pbx"})))


async def test_a_real_answer_is_an_answer_of_the_description(front: Front) -> None:
    """The document and a problem, as they come over the wire."""
    good, bad = await front.ask("GET"), await front.ask("PUT", json={"hold": "A"})
    assert errors("Document", good.json) == []
    assert errors("Problem", bad.json) == []


def test_parameters_are_those_of_the_contract() -> None:
    """By method, with their patterns."""
    named = {
        method: [parameter["name"] for parameter in ENDPOINT[method].get("parameters", []) if "name" in parameter]
        for method in METHODS
    }
    assert named == {"put": [], "post": [], "get": ["refresh", "include"], "delete": ["hold", "force"]}
    pattern = DOCUMENT["components"]["parameters"]["CallId"]["schema"]["pattern"]
    assert re.fullmatch(pattern, examples.CALL_ID)


def test_a_choice_with_null_is_nullable() -> None:
    """In each of the shapes that pydantic writes."""
    null = {"type": "null"}
    assert converted({"anyOf": [{"type": "string"}, null]}) == {"type": "string", "nullable": True}
    assert converted({"anyOf": [{"enum": ["a"]}, null]}) == {"enum": ["a", None], "nullable": True}
    assert converted({"anyOf": [{"$ref": "#/x"}, null]}) == {"allOf": [{"$ref": "#/x"}], "nullable": True}
    assert converted({"anyOf": [{"type": "string"}, null], "default": None}) == {"type": "string"}
    assert converted({"anyOf": [{"type": "string"}, {"type": "integer"}]}) == {
        "anyOf": [{"type": "string"}, {"type": "integer"}]
    }
    assert converted({"properties": {"title": {"title": "Title", "const": "a"}}}) == {
        "properties": {"title": {"enum": ["a"]}}
    }
