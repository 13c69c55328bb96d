"""`serve`: the gateway, in one process or in several. SIGTERM finishes the work under way and exits 0."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gateway import app, footing, logs, tracing
from gateway.cli import config, loop
from gateway.cli.exits import FINE
from gateway.inventory import secrets
from gateway.reload import Configuration

if TYPE_CHECKING:
    import argparse

    from gateway.crew.keeper import Keeper
    from gateway.settings import Settings


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("serve", help="run the gateway")
    config.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    configuration = Configuration(arguments.config)
    settings = config.load(arguments)
    tracing.checked(settings.tracing)
    footing.make_room()
    if settings.listen.workers > 1:
        return _several(settings, arguments)
    logs.configure(production=settings.production, secrets=secrets(settings))
    footing.settle()
    loop.run(_serve(settings, configuration))
    return FINE


def _several(settings: Settings, arguments: argparse.Namespace) -> int:
    """Here and not above: what a gateway alone does not need starts it later."""
    from gateway.crew import lines  # noqa: PLC0415 -- as the docstring says
    from gateway.crew.keeper import Keeper  # noqa: PLC0415 -- as above

    turn = lines.turn()
    stream = lines.shared(sys.stdout.fileno(), turn)
    logs.configure(production=settings.production, secrets=secrets(settings), stream=stream)
    config = ["--config", str(arguments.config)] if arguments.config else []
    keeper = Keeper(settings, [sys.executable, "-m", "gateway.cli.worker", *config], turn=turn)
    return loop.run(_kept(keeper))


async def _kept(keeper: Keeper) -> int:
    return await keeper.run(loop.told_to_stop())


async def _serve(settings: Settings, configuration: Configuration) -> None:
    stop = loop.told_to_stop()
    async with app.running(settings, configuration):
        await stop.wait()
