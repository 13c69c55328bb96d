"""`openapi`: the machine form of the contract."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from gateway.cli.exits import FINE
from gateway.web import openapi

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("openapi", help="print the OpenAPI document")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    sys.stdout.write(orjson.dumps(openapi.document(), option=orjson.OPT_INDENT_2).decode() + "\n")
    return FINE
