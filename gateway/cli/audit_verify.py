"""`audit verify`: is an export, an archive, a journal, or the trail itself, what was written?"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.audit.archive import ArchiveVerifier
from gateway.audit.entry import EntryType
from gateway.audit.files import verify_file, whole
from gateway.audit.manifest import manifests
from gateway.audit.union import is_journal, journal_in, read_all
from gateway.cli import config, loop, operator
from gateway.cli.audit_export import written_down
from gateway.cli.exits import FINE, USAGE, WRONG
from gateway.cli.progress import Progress
from gateway.cli.witnesses import Witnesses, due_in_archive, due_in_file, due_in_store
from gateway.clock import Clock
from gateway.trail import access
from gateway.trail.floor import floor
from gateway.trail.look import verify_store

if TYPE_CHECKING:
    import argparse

    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.audit.union import Journals
    from gateway.settings import Settings

_PIN = re.compile(r"[0-9a-f]{8,64}")


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("verify", help="check an export, an archive, a journal, or the trail in the store")
    config.add_config(parser)
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an export, an archive or a journal (default: the store)"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="the gateway's log: its seals must agree, too")
    parser.add_argument(
        "--journal",
        type=Path,
        action="append",
        metavar="DIR",
        help="what it says the store took must be there (also store.directory)",
    )
    parser.add_argument("--pin", metavar="HASH", help="an archive must have what audit archive said then")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    file: Path | None = arguments.file
    journals: list[Path] = arguments.journal or []
    for path in (file, arguments.log, *journals):
        if path is not None and not path.exists():
            sys.stderr.write(f"{path}: no such file\n")
            return USAGE
    if (wrong := _usage(file, journals, arguments.pin) or _no_journal(journals)) is not None:
        sys.stderr.write(f"{wrong}\n")
        return USAGE
    keyring = access.keyring(settings.audit)
    if file is not None and _journal(file):
        return _told_journal(read_all([file], keyring))
    witnesses = Witnesses()
    if arguments.log:
        witnesses.read_log(arguments.log)
    witnesses.read_journals([journal_in(path) or path for path in journals], keyring)
    if file is None:
        return told(loop.run(_live(settings, witnesses)))
    return told(_kept(file, keyring, witnesses, arguments.pin or ""))


def _journal(path: Path) -> bool:
    return is_journal(path) and not (path.is_dir() and manifests(path))


def _no_journal(journals: list[Path]) -> str | None:
    """Held against nothing everything agrees, so that nothing must not be taken for a journal."""
    return next((f"{path}: no journal there" for path in journals if journal_in(path) is None), None)


def _usage(file: Path | None, journals: list[Path], pin: str | None) -> str | None:
    if file is not None and not (file.is_file() or file.is_dir()):
        return f"{file}: not a file: an export is read from its end, which a pipe has not"
    if pin is not None and (file is None or not file.is_dir() or _journal(file)):
        return "--pin is for archives"
    if pin is not None and not _PIN.fullmatch(pin):
        return "--pin is the hash of a manifest, or how it begins"
    if journals and file is not None and _journal(file):
        return "--journal is for what a journal is held against"
    if journals and file is not None and file.is_file() and not whole(file):
        return "--journal is for a whole export, and this is a selection"
    return None


def _kept(file: Path, keyring: Keyring, witnesses: Witnesses, pin: str) -> Verdict:
    if file.is_dir():
        with Progress(0) as progress:
            verifier = ArchiveVerifier(
                directory=file,
                keyring=keyring,
                known=witnesses.seals,
                reached=witnesses.reached,
                pin=pin,
                progress=progress.more,
            )
            for line in verifier.lines():
                witnesses.union.saw(line)
        return witnesses.judged(verifier.outcome, due_in_archive(file, keyring))
    good = witnesses.union.saw if witnesses.union.known else None
    with Progress(file.stat().st_size) as progress:
        found = verify_file(file, keyring, known=witnesses.seals, progress=progress.more, good=good)
    return witnesses.judged(found, due_in_file(file))


async def _live(settings: Settings, witnesses: Witnesses) -> Verdict:
    keyring = access.keyring(settings.audit)
    good = witnesses.union.saw if witnesses.union.known else None
    async with access.opened(settings.store, strict=settings.production) as trail:
        await written_down(trail, keyring, EntryType.TRAIL_READ)
        with Progress(0) as progress:
            found = await verify_store(
                trail.store, keyring, known=witnesses.seals, progress=progress.more, good=good, now=Clock().ms()
            )
        return witnesses.judged(found, due_in_store((await floor(trail.store)).heads))


def _told_journal(found: Journals) -> int:
    """Say it, and the exit code."""
    wrong = found.findings.wrong
    sys.stdout.write(
        f"{'WRONG' if wrong else 'whole'}: a journal of {found.lines} lines with {found.entries} entries\n"
    )
    if found.waiting:
        sys.stdout.write(f"note: {found.waiting} of them are not known to be in the store\n")
    sys.stdout.writelines(f"note: {note}\n" for note in found.notes)
    sys.stdout.writelines(f"{finding.text()}\n" for finding in found.findings.kept)
    return WRONG if wrong else FINE


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
