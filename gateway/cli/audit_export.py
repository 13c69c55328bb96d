"""`audit export`: the trail as lines, the last one signed."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gateway.audit.entry import EntryType
from gateway.audit.export import Selection
from gateway.audit.formats import Format, rendered
from gateway.cli import config, loop, operator
from gateway.cli.exits import FINE, USAGE, writing
from gateway.clock import Clock
from gateway.trail import access
from gateway.trail.export import Export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.audit.keyring import Keyring
    from gateway.settings import Settings
    from gateway.trail.access import Opened

_DAY_CHARACTERS = 10


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("export", help="write the trail as JSON Lines, the last line signed")
    config.add_config(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    parser.add_argument("--since", type=since, metavar="TIME", help="ISO 8601, in UTC unless it says otherwise")
    parser.add_argument("--until", type=until, metavar="TIME", help="as --since; a day is meant to its end")
    parser.add_argument("--tenant", metavar="NAME")
    parser.add_argument("--call", metavar="ID")
    parser.add_argument("--format", type=Format, choices=list(Format), default=Format.JSONL, help="default jsonl")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if None not in {arguments.since, arguments.until} and arguments.since >= arguments.until:
        sys.stderr.write("--since must be before --until\n")
        return USAGE
    settings = operator.settings_of(arguments)
    selection = Selection(since=arguments.since, until=arguments.until, tenant=arguments.tenant, call_id=arguments.call)
    with output(arguments.output) as file:
        loop.run(_export(settings, selection, arguments.format, file))
    return FINE


def since(text: str) -> int:
    """Milliseconds since the epoch."""
    return _ms(text, to_its_end=False)


def until(text: str) -> int:
    """As `since`; a day alone is meant to its end."""
    return _ms(text, to_its_end=True)


def _ms(text: str, *, to_its_end: bool) -> int:
    try:
        time = datetime.fromisoformat(text)
        if len(text) <= _DAY_CHARACTERS and to_its_end:
            time = datetime.fromisoformat((date.fromisoformat(text) + timedelta(days=1)).isoformat())
    except ValueError:
        raise argparse.ArgumentTypeError("not a time of ISO 8601") from None
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return int(1000 * aware.timestamp())


@contextmanager
def output(path: Path | None) -> Iterator[IO[bytes]]:
    """The file under its name only when it is whole; nobody else may read it. `Unwritable` before anything is done."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _export(settings: Settings, selection: Selection, form: Format, file: IO[bytes]) -> None:
    keyring = access.keyring(settings.audit)
    async with access.opened(settings.store, strict=settings.production) as trail:
        await written_down(trail, keyring, EntryType.TRAIL_EXPORTED)
        export = await Export.begin(trail.store, selection)
        if form is Format.JSONL:
            async for block in export.signed(keyring, Clock().ms):
                file.write(block)
            return
        async for block in export.blocks():
            for line in block.splitlines(keepends=True):
                file.write(rendered(line, form))


async def written_down(trail: Opened, keyring: Keyring, kind: EntryType) -> None:
    """That the trail is read is an entry itself, wherever one can be written."""
    if trail.writable:
        await operator.register(trail.store, keyring).write(operator.entry(kind))
