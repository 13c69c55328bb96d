"""`audit verify`: is an export, or the trail itself, what was written?"""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.archive import ArchiveVerifier
from gateway.audit.entry import EntryType
from gateway.audit.files import verify_file
from gateway.audit.manifest import manifests
from gateway.cli import config, loop, operator
from gateway.cli.audit_export import written_down
from gateway.cli.exits import FINE, USAGE, WRONG
from gateway.cli.progress import Progress
from gateway.clock import Clock
from gateway.trail import access
from gateway.trail.look import verify_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.settings import Settings


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("verify", help="check an export, or the trail in the store")
    config.add_config(parser)
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an export or an archive (default: the store)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="the gateway's log: its seals must agree, too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    file: Path | None = arguments.file
    for path in (file, arguments.log):
        if path is not None and not path.exists():
            sys.stderr.write(f"{path}: no such file\n")
            return USAGE
    if file is not None and file.is_dir() and not manifests(file) and any(file.glob("*-*.jsonl")):
        sys.stderr.write(f"{file}: a journal, and no archive; audit rebuild reads it and says what is wrong with it\n")
        return USAGE
    known = list(logged(arguments.log)) if arguments.log else []
    if file is None:
        return told(loop.run(_live(settings, known)))
    return told(_kept(file, access.keyring(settings.audit), known))


def _kept(file: Path, keyring: Keyring, known: list[bytes]) -> Verdict:
    if file.is_dir():
        with Progress(0) as progress:
            return ArchiveVerifier(directory=file, keyring=keyring, known=known, progress=progress.more).verdict()
    with Progress(file.stat().st_size) as progress:
        return verify_file(file, keyring, known=known, progress=progress.more)


async def _live(settings: Settings, known: list[bytes]) -> Verdict:
    keyring = access.keyring(settings.audit)
    async with access.opened(settings.store, strict=settings.production) as trail:
        await written_down(trail, keyring, EntryType.TRAIL_READ)
        with Progress(0) as progress:
            return await verify_store(trail.store, keyring, known=known, progress=progress.more, now=Clock().ms())


def logged(path: Path) -> Iterator[bytes]:
    """The checkpoints that the log stream has."""
    with path.open("rb") as file:
        for line in file:
            if b'"seal.made"' in line and (found := _seal(line)) is not None:
                yield found


def _seal(line: bytes) -> bytes | None:
    try:
        return base64.b64decode(orjson.loads(line)["seal"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def told(verdict: Verdict) -> int:
    """Say it, and the exit code."""
    sys.stdout.write(
        f"{'whole' if verdict.whole else 'WRONG'}: {verdict.entries} entries, {verdict.sealed} of them sealed, "
        f"{verdict.checkpoints} checkpoints\n"
    )
    if verdict.unanchored:
        sys.stdout.write(f"{verdict.unanchored} entries follow one that was not selected\n")
    for note in verdict.notes:
        sys.stdout.write(f"note: {note}\n")
    for finding in verdict.findings:
        sys.stdout.write(f"{finding.text()}\n")
    if verdict.wrong > len(verdict.findings):
        sys.stdout.write(f"and {verdict.wrong - len(verdict.findings)} more\n")
    return FINE if verdict.whole else WRONG
