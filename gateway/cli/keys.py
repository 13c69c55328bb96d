"""`keys new` and `keys list`: API keys of clients. A key is shown once; the configuration has only its hash."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.auth.keys import hash_secret, mint
from gateway.cli import config
from gateway.cli.exits import FINE, USAGE
from gateway.cli.table import table
from gateway.settings import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from gateway.settings import ClientKey


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = commands.add_parser("keys", help="API keys of clients")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    new = verbs.add_parser("new", help="make a key; it is shown this once")
    new.add_argument("--client", required=True, metavar="NAME", help="a client of the configuration")
    config.add_config(new)
    new.set_defaults(run=run_new)
    listed = verbs.add_parser("list", help="the keys that the configuration knows")
    config.add_config(listed)
    listed.set_defaults(run=run_list)


def run_new(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments)
    if arguments.client not in settings.clients:
        sys.stderr.write("there is no such client in the configuration\n")
        return USAGE
    if settings.audit.pepper is None:
        raise ConfigurationError((("audit.pepper", "is needed to hash the key"),))
    minted = mint(secrets.token_bytes)
    digest = hash_secret(settings.audit.pepper.get_secret_value(), minted.secret)
    sys.stdout.write(
        f"{minted.text}\n\n"
        f"# under clients.{arguments.client}.keys (the key above is not shown again):\n"
        f"- kid: {minted.kid}\n"
        f"  hash: {digest}\n"
    )
    return FINE


def run_list(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments)
    now = datetime.now(UTC)
    rows = [
        (name, client.tenant, key.kid, _time(key.not_before), _time(key.expires_at), _works(key, now))
        for name, client in settings.clients.items()
        for key in client.keys
    ]
    sys.stdout.write(table(("client", "tenant", "kid", "not before", "expires at", "works"), rows))
    return FINE


def _time(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds") if time else "-"


def _works(key: ClientKey, now: datetime) -> str:
    if key.not_before is not None and now < key.not_before:
        return "not yet"
    return "expired" if key.expires_at is not None and now >= key.expires_at else "yes"
