"""What the process stands on, apart from its settings: libraries as they must be, an environment that gives nothing
away, files enough for everybody's connection, little to look through for garbage."""

from __future__ import annotations

import gc
import resource
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import http_parser

from gateway.sources import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.sources import Fault

AIOHTTP_FLOOR = (3, 14)  # the oldest whose parser, limits and hooks this was tested with
MOST_FILES = 16_384  # twice what connections of clients may take, and as many again for vendors and store
_COLLECTED_AFTER = (5_000, 20, 10)  # objects more than before, and how many runs of one generation make one of the next
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


def make_room() -> None:
    """Take as many files as this process is let have. The usual limit, 1,024, is for programs that cannot deal with
    more; half of it would be all the connections that clients get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def settle() -> None:
    """Let the garbage collector leave alone what is there now, which stays, and look at the rest less often. Of what a
    request makes next to nothing is garbage that only the collector finds; with Python's own thresholds it takes a
    tenth of all processor time to look for it. What is there now is not looked through before: of 100,000 objects
    2,000 are garbage, 1 MiB, and finding them takes 50 ms of the start."""
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


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
