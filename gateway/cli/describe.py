"""`openapi`: the machine form of the contract, in each of the forms that somebody takes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from gateway.cli.exits import FINE
from gateway.web import openapi, reference, swagger

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("openapi", help="print the OpenAPI document")
    parser.add_argument("--form", choices=FORMS, default="3.0", help="its form (default: 3.0)")
    parser.add_argument("--host", metavar="NAME", help="where it is served, for the form 2.0")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    sys.stdout.write(FORMS[arguments.form](arguments.host))
    return FINE


def _older(host: str | None) -> str:
    document = swagger.swagger(openapi.document(), host=host)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


FORMS: dict[str, Callable[[str | None], str]] = {
    "3.0": lambda _: openapi.text(),
    "2.0": _older,
    "markdown": lambda _: reference.markdown(openapi.document()),
}
