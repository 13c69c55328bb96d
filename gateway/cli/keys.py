"""`keys new` and `keys list`: API keys of clients. A key is shown once; the configuration has only its hash.

When a key was last used is the store's to say; while it cannot be asked, the rest is listed all the same.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.auth.keys import hash_secret, mint, works
from gateway.auth.uses import is_unused
from gateway.cli import config
from gateway.cli.exits import FINE, USAGE
from gateway.cli.table import table
from gateway.settings import ConfigurationError
from gateway.store.contract import StoreError
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.settings import Settings
    from gateway.store.contract import Use

_ASKED_SECONDS = 3.0


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
    uses = asyncio.run(_uses(settings))
    rows = [
        (
            name,
            client.tenant,
            key.kid,
            _time(key.not_before),
            _time(key.expires_at),
            works(key, now),
            *_used(uses, key.kid, now),
        )
        for name, client in settings.clients.items()
        for key in client.keys
    ]
    head = "client", "tenant", "kid", "not before", "expires at", "works", "last used", "note"
    sys.stdout.write(table(head, rows))
    return FINE


async def _uses(settings: Settings) -> Mapping[str, Use] | None:
    """What the store knows; None where it cannot be asked, such as an embedded one whose gateway is stopped."""
    url = settings.store.url.get_secret_value()
    store = RedisStore(EmbeddedServer(settings.store.directory).url if settings.store.embedded else url, strict=False)
    try:
        return await store.uses(within=_ASKED_SECONDS)
    except StoreError:
        return None
    finally:
        await store.close()


def _used(uses: Mapping[str, Use] | None, kid: str, now: datetime) -> tuple[str, str]:
    if uses is None:
        return "unknown", "the store was not reached"
    use = uses.get(kid)
    if use is None:
        return "never", ""
    last = "never" if use.used_at is None else _time(datetime.fromtimestamp(use.used_at / 1000, UTC))
    return last, "unused for 90 days" if is_unused(use, now) else ""


def _time(time: datetime | None) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds") if time else "-"
