"""`check`: is the configuration valid, what can its backends do, and are they there?"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from yarl import URL

from gateway import tracing
from gateway.backends.contract import BackendError
from gateway.cli import config, loop
from gateway.cli.exits import FINE, WRONG
from gateway.cli.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from gateway.backends.contract import Backend, Capabilities
    from gateway.settings import Settings

PING_SECONDS = 5.0


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("check", help="validate the configuration")
    config.add_config(parser)
    parser.add_argument("--ping", action="store_true", help="also ask every backend whether it is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments)
    tracing.checked(settings.tracing)
    rows, fine = loop.run(_rows(settings, ping=arguments.ping))
    sys.stdout.write(table(("backend", "vendor", "host", "can", "proves by", "reached"), rows))
    return FINE if fine else WRONG


async def _rows(settings: Settings, *, ping: bool) -> tuple[list[tuple[str, ...]], bool]:
    backends = [configured.build(name) for name, configured in settings.backends.items()]
    reached = (
        await asyncio.gather(*(_reached(backend) for backend in backends)) if ping else ["not asked"] * len(backends)
    )
    rows: list[tuple[str, ...]] = [
        (backend.name, backend.vendor.value, _host(settings, backend.name), *_can(backend.capabilities), word)
        for backend, word in zip(backends, reached, strict=True)
    ]
    await asyncio.gather(*(backend.close() for backend in backends))
    return rows, all(word in {"yes", "not asked"} for word in reached)


async def _reached(backend: Backend) -> str:
    try:
        await backend.ping(deadline=asyncio.get_running_loop().time() + PING_SECONDS)
    except BackendError as error:
        return error.fault.value
    return "yes"


def _host(settings: Settings, name: str) -> str:
    url = URL(settings.backends[name].base_url)
    return f"{url.scheme}://{url.host}:{url.port}"


def _can(capabilities: Capabilities) -> tuple[str, str]:
    return _listed(action.value for action in capabilities.actions), _listed(e.value for e in capabilities.evidence)


def _listed(words: Iterable[str]) -> str:
    return " ".join(sorted(words))
