"""What the process stands on, apart from its settings: libraries as they must be, an environment that gives nothing
away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from aiohttp import http_parser

from gateway.sources import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.sources import Fault

AIOHTTP_FLOOR = (3, 14)  # the oldest whose parser, limits and hooks this was tested with
# Each makes a library write down what only memory should hold.
_TELLTALES = {
    "SSLKEYLOGFILE": "would write the keys of all encrypted connections into a file",
    "PYTHONASYNCIODEBUG": "would write requests, keys included, into the log",
    "PYTHONDEVMODE": "would write requests, keys included, into the log",
}


def checked(environ: Mapping[str, str], *, production: bool) -> None:
    """`ConfigurationError` names what must not be."""
    faults = (*_libraries(), *(_telltales(environ) if production else ()))
    if faults:
        raise ConfigurationError(faults)


def _libraries() -> Iterator[Fault]:
    if _version(aiohttp.__version__) < AIOHTTP_FLOOR:
        yield "aiohttp", f"must be {AIOHTTP_FLOOR[0]}.{AIOHTTP_FLOOR[1]} or later"
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        # The other one is lenient where two readings of a request would let one be smuggled in another.
        yield "AIOHTTP_NO_EXTENSIONS", "must not be set: without its compiled parser aiohttp reads requests differently"


def _version(text: str) -> tuple[int, ...]:
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


def _telltales(environ: Mapping[str, str]) -> Iterator[Fault]:
    return ((name, f"must not be set in production: {why}") for name, why in _TELLTALES.items() if environ.get(name))
