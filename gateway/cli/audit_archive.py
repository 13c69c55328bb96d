"""`audit archive`: the trail as files that are kept elsewhere, and retention."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.audit.entry import Entry, EntryType
from gateway.cli import config, loop, operator
from gateway.cli.audit_export import written_down
from gateway.cli.audit_verify import told
from gateway.cli.exits import FINE, USAGE, WRONG, writing
from gateway.clock import Clock, new_id
from gateway.metrics import Metrics
from gateway.trail import access
from gateway.trail.archive import Archive, ArchiveBroken
from gateway.trail.sealer import Refused, Sealer
from gateway.trail.trim import Trimmer, Unverified

if TYPE_CHECKING:
    import argparse

    from gateway.audit.archive import Segments
    from gateway.audit.keyring import Keyring
    from gateway.settings import Settings
    from gateway.trail.access import Opened

_DAY_MS = 24 * 3_600_000


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("archive", help="add what is sealed to an archive")
    parser.add_argument("directory", type=Path, metavar="DIR", help="made by the first run, gone on with by the next")
    config.add_config(parser)
    parser.add_argument(
        "--trim", action="store_true", help="then take away what is older than audit.retention_days, if all is whole"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    try:
        _writable(arguments.directory)
        return loop.run(_archive(settings, arguments.directory, trim=arguments.trim))
    except ArchiveBroken as error:
        sys.stderr.write("the archive cannot be gone on with\n")
        sys.stderr.writelines(f"{finding.text()}\n" for finding in error.findings)
    except Unverified as error:
        sys.stderr.write("nothing was taken away\n")
        return told(error.verdict)
    except Refused as error:
        sys.stderr.write(f"nothing was taken away: {error}\n")
    return WRONG


def _writable(directory: Path) -> None:
    """`Unwritable` before anything is done."""
    with writing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")


async def _archive(settings: Settings, directory: Path, *, trim: bool) -> int:
    keyring = access.keyring(settings.audit)
    async with access.opened(settings.store, strict=settings.production) as trail:
        if trim and not trail.writable:
            sys.stderr.write("--trim needs a gateway that runs\n")
            return USAGE
        await written_down(trail, keyring, EntryType.TRAIL_EXPORTED)
        archive = Archive(directory, trail.store, keyring, ms=Clock().ms)
        count = await archive.extend()
        await _ended(trail, keyring, archive.stands(), count)
        if trim:
            await _trim(trail, keyring, directory, before=Clock().ms() - settings.audit.retention_days * _DAY_MS)
    return FINE


async def _ended(trail: Opened, keyring: Keyring, found: Segments, count: int) -> None:
    """Where the archive ends now is said, and is an entry: later nobody takes its last segment away unseen."""
    sys.stdout.write(f"{count} entries added\n")
    sys.stdout.write(
        f"it ends with segment {len(found.manifests)} and checkpoint {found.ends.number}; --pin {found.hash}\n"
    )
    if count and trail.writable:
        entry = operator.entry(EntryType.TRAIL_ARCHIVED, count=count, checkpoint=found.ends.number)
        await operator.register(trail.store, keyring).write(replace(entry, archive=found.name))


async def _trim(trail: Opened, keyring: Keyring, directory: Path, *, before: int) -> None:
    register, metrics = operator.register(trail.store, keyring), Metrics({}, version="")
    sealer = Sealer(trail.store, keyring, register, node=new_id(), clock=Clock(), metrics=metrics, seal_seconds=1.0)
    done = await Trimmer(trail.store, sealer, register, keyring, _entry).trim(directory, before=before)
    sys.stdout.write(f"{done.entries} entries taken away, up to checkpoint {done.checkpoint}\n")


def _entry(count: int, checkpoint: int) -> Entry:
    return operator.entry(EntryType.TRAIL_TRIMMED, count=count, checkpoint=checkpoint)
