"""Who sits at the command line, as an entry of the trail names them, and where the log goes meanwhile."""

from __future__ import annotations

import os
import pwd
import re
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import logs
from gateway.audit.notice import notice
from gateway.cli import config
from gateway.clock import Clock
from gateway.inventory import secrets
from gateway.metrics import Metrics
from gateway.trail.register import Register

if TYPE_CHECKING:
    import argparse

    from gateway.audit.entry import Entry, EntryType
    from gateway.audit.keyring import Keyring
    from gateway.settings import Settings
    from gateway.store.seals import SealStore

CLIENT = "operator"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """As `config.load`; standard output is the command's own, the log goes to the other one."""
    settings = config.load(arguments)
    logs.configure(production=settings.production, secrets=secrets(settings), stream=sys.stderr)
    return settings


def register(store: SealStore, keyring: Keyring) -> Register:
    """Where the operator's own entries go."""
    return Register(store, hmac_key=keyring.chain.key, metrics=Metrics({}, version=""))


def entry(kind: EntryType, *, count: int | None = None, checkpoint: int | None = None) -> Entry:
    said = notice(kind, node=f"{socket.gethostname()}-{os.getpid()}", ms=Clock().ms())
    return replace(said, client=CLIENT, actor=_user(), count=count, checkpoint=checkpoint)


def _user() -> str:
    """The name of the account; its number, when it has none that an entry can hold."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = ""
    return name if _NAME.fullmatch(name) else f"uid-{os.getuid()}"
