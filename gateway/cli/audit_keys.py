"""`audit keys`: the ids of the trail's keys, and the public halves of those that sign."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any

from gateway.audit.signed import key_id
from gateway.cli import config
from gateway.cli.exits import FINE
from gateway.cli.table import table
from gateway.trail import access

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("keys", help="ids of the trail's keys, and public keys")
    config.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments)
    keyring = access.keyring(settings.audit)
    current, *older = keyring.chains
    rows = [("hmac_key", current.id, "-")]
    rows += [("old_hmac_keys", key.id, "-") for key in reversed(older)]
    rows += [("signing_key", keyring.signer.id, base64.b64encode(keyring.signer.public).decode())]
    rows += [("old_public_keys", key_id(key), base64.b64encode(key).decode()) for key in settings.audit.old_public_keys]
    sys.stdout.write(table(("setting", "id", "public key"), rows))
    return FINE
