"""`audit rebuild`: after the loss of the store, the trail from what the journal and the log have of it."""

from __future__ import annotations

import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gateway.audit.entry import Entry, EntryType
from gateway.audit.leavings import journaled, logged
from gateway.audit.rebuild import Rebuild
from gateway.audit.union import journal_in
from gateway.cli import config, operator
from gateway.cli.audit_export import output, until
from gateway.cli.exits import FINE, USAGE, WRONG
from gateway.clock import Clock
from gateway.trail import access

if TYPE_CHECKING:
    import argparse


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("rebuild", help="make an export from log and journal, when the store is lost")
    parser.add_argument("logs", nargs="*", type=Path, metavar="LOG", help="files of the log stream (JSON)")
    config.add_config(parser)
    parser.add_argument(
        "--journal", type=Path, action="append", metavar="DIR", help="default: journal in store.directory"
    )
    parser.add_argument("--until", type=until, metavar="TIME", help="when the store was lost, where it went on after")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    journals: list[Path] = arguments.journal or [settings.store.directory / "journal"]
    for path in (*arguments.logs, *(arguments.journal or ())):
        if not path.exists():
            sys.stderr.write(f"{path}: no such file\n")
            return USAGE
    keyring = access.keyring(settings.audit)
    with output(arguments.output) as file, tempfile.TemporaryDirectory(prefix="rebuild-") as shelf:
        rebuild = Rebuild(keyring, Path(shelf), until=arguments.until)
        for log in arguments.logs:
            rebuild.take(logged(log))
        for journal in journals:
            rebuild.take(journaled(journal_in(journal) or journal, keyring))
        count = _write(rebuild, file)
    return _told(rebuild, count)


def _write(rebuild: Rebuild, file: IO[bytes]) -> int:
    digest, count, clock = sha256(), 0, Clock()
    for line in rebuild.lines(_entry, clock.ms):
        digest.update(line)
        file.write(line)
        count += 1
    file.write(rebuild.ended(entries=count, digest=digest.hexdigest(), at=clock.ms()))
    return count


def _entry(missing: int) -> Entry:
    return operator.entry(EntryType.TRAIL_REBUILT, count=missing)


def _told(rebuild: Rebuild, count: int) -> int:
    sys.stderr.write(f"{count} entries, {rebuild.missing} are missing\n")
    if rebuild.unvouched:
        sys.stderr.write(f"{rebuild.unvouched} entries stand in the log alone: no key vouches for them\n")
    sys.stderr.writelines(f"{finding.text()}\n" for finding in rebuild.findings)
    return WRONG if rebuild.missing or rebuild.findings else FINE
