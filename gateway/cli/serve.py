"""`serve`: the gateway. SIGTERM finishes the work under way and exits 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import app, footing, logs
from gateway.cli import config, loop
from gateway.cli.exits import FINE
from gateway.inventory import secrets
from gateway.reload import Configuration
from gateway.settings import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from gateway.settings import Settings


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("serve", help="run the gateway")
    config.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    configuration = Configuration(arguments.config)
    settings = config.load(arguments)
    if settings.listen.workers > 1:
        raise ConfigurationError((("listen.workers", "only one process for now: start more gateways instead"),))
    logs.configure(production=settings.production, secrets=secrets(settings))
    footing.make_room()
    loop.run(_serve(settings, configuration))
    return FINE


async def _serve(settings: Settings, configuration: Configuration) -> None:
    stop = loop.told_to_stop()
    async with app.running(settings, configuration):
        await stop.wait()
