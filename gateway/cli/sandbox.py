"""`sandbox`: a gateway with the embedded store in front of a fake of every vendor, on loopback."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import app, footing, logs
from gateway.cli import loop
from gateway.cli.exits import FINE
from gateway.inventory import secrets
from gateway.sandbox import demo

if TYPE_CHECKING:
    import argparse

    from gateway.sandbox.demo import Desk

USUAL_PORT = 8080


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("sandbox", help="run against fake vendors, to try and to integrate")
    parser.add_argument("--json", action="store_true", help="print one line for programs; take a free port")
    parser.add_argument("--directory", type=Path, default=Path("data"), help="where the data goes (default: data)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    port = 0 if arguments.json else _port()
    footing.make_room()
    loop.run(_sandbox(arguments.directory, port, as_json=arguments.json))
    return FINE


def _port() -> int:
    """The usual port when it is free, any other when it is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return 0
    return USUAL_PORT


async def _sandbox(directory: Path, port: int, *, as_json: bool) -> None:
    stop = loop.told_to_stop()
    async with demo.desk(directory, port=port) as desk:
        # The lines for programs and people go to standard output alone, so the log takes the other one.
        logs.configure(production=False, secrets=secrets(desk.settings), stream=sys.stderr)
        async with app.running(desk.settings) as state:
            said = _for_programs(desk, state) if as_json else _for_people(desk, state)
            sys.stdout.write(said)
            sys.stdout.flush()
            await stop.wait()


def _for_programs(desk: Desk, state: app.Running) -> str:
    return (
        json.dumps(
            {
                "base_url": f"http://127.0.0.1:{state.port}",
                "admin_url": f"http://127.0.0.1:{state.admin_port}",
                "key": desk.key,
                "client": demo.CLIENT,
                "call_id": demo.CALL,
                "extension": demo.EXTENSION,
                "fakes": {name: fake.origin for name, fake in desk.fakes.items()},
            }
        )
        + "\n"
    )


def _for_people(desk: Desk, state: app.Running) -> str:
    url = f"http://127.0.0.1:{state.port}/v1/calls/{demo.CALL}/redaction"
    key = f"-H 'X-API-Key: {desk.key}'"
    tapes = "\n".join(f"  {name:<10} {fake.origin}/_sandbox/calls" for name, fake in desk.fakes.items())
    return f"""
redaction-gateway sandbox: one call, recorded by four fake vendors.

Mute it, and see it proven:
  curl -sS -X PUT {key} {url}

Unmute it, and see that it is:
  curl -sS -X DELETE {key} {url}
  curl -sS {key} {url}

What the recorders' tapes say:
{tapes}

Metrics and health: http://127.0.0.1:{state.admin_port}/metrics
Ctrl-C stops everything.
"""
