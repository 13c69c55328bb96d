"""Looking around in a configuration of which nothing is known yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.sources import Tree


def mapping(value: object) -> Tree:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None
