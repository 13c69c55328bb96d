"""One of several processes of a gateway: what `serve` starts, and nobody else."""

from __future__ import annotations

import argparse
import socket
import sys
from typing import TYPE_CHECKING

from gateway import footing, logs
from gateway.app import Post
from gateway.cli import config, loop
from gateway.cli.main import guarded
from gateway.crew import lines
from gateway.crew.worker import work
from gateway.inventory import secrets
from gateway.reload import Configuration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of `serve`."""
    parser = argparse.ArgumentParser(prog="redaction-gateway worker")
    config.add_config(parser)
    parser.add_argument("store", help="the store's URL; empty: as configured")
    parser.add_argument("port", type=int, help="the port that all share")
    parser.add_argument("turn", type=int, help="the file that is held while a line is written")
    parser.add_argument("line", type=int, help="the file that is our end of the line to the keeper")
    parsed = parser.parse_args(arguments)
    return guarded(lambda: _run(parsed))


def _run(arguments: argparse.Namespace) -> int:
    configuration = Configuration(arguments.config)
    settings = config.load(arguments)
    logs.configure(
        production=settings.production,
        secrets=secrets(settings),
        stream=lines.shared(sys.stdout.fileno(), arguments.turn),
    )
    footing.settle()
    post = Post(store=arguments.store, port=arguments.port)
    loop.run(_work(settings, configuration, post, socket.socket(fileno=arguments.line)))
    return 0


async def _work(settings: Settings, configuration: Configuration, post: Post, end: socket.socket) -> None:
    await work(settings, configuration, post, end, stop=loop.told_to_stop())


if __name__ == "__main__":
    sys.exit(main())
