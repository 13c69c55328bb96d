"""`audit report`: what the trail says of a time, as one HTML file for an assessor."""

from __future__ import annotations

import importlib.util
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gateway
from gateway.audit.archive import ArchiveVerifier
from gateway.audit.entry import EntryType
from gateway.audit.files import verify_file
from gateway.cli import config, loop, operator
from gateway.cli.audit_export import output, since, until, written_down
from gateway.cli.exits import CONFIGURATION, FINE, USAGE, WRONG
from gateway.cli.progress import Progress
from gateway.cli.witnesses import Witnesses
from gateway.clock import Clock
from gateway.report.facts import facts
from gateway.report.figures import Figures, Limits
from gateway.report.once import Once, told_again
from gateway.report.window import Window
from gateway.store.contract import StoreError
from gateway.trail import access
from gateway.trail.look import verify_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.report.facts import Facts
    from gateway.settings import Settings
    from gateway.trail.access import Opened

EXTRA = ("jinja2", "matplotlib")
_USES_SECONDS = 3.0


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("report", help="what the trail says of a time, as one HTML file")
    config.add_config(parser)
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an export or an archive (default: the store)"
    )
    parser.add_argument("--from", dest="since", type=since, metavar="TIME", help="ISO 8601 (default: the first entry)")
    parser.add_argument("--to", dest="until", type=until, metavar="TIME", help="a day is meant to its end")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="the gateway's log: its seals must agree, too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if missing := [name for name in EXTRA if importlib.util.find_spec(name) is None]:
        sys.stderr.write(f"{' and '.join(missing)} missing: install redaction-gateway[report]\n")
        return CONFIGURATION
    settings = operator.settings_of(arguments)
    file: Path | None = arguments.file
    for path in (file, arguments.log):
        if path is not None and not path.exists():
            sys.stderr.write(f"{path}: no such file\n")
            return USAGE
    witnesses = Witnesses()
    if arguments.log:
        witnesses.read_log(arguments.log)
    window = Window(since=arguments.since, until=arguments.until)
    return _Report(settings, window, witnesses).write(file, arguments.output)


class _Report:
    def __init__(self, settings: Settings, window: Window, witnesses: Witnesses) -> None:
        self._settings = settings
        self._known, self._reached = witnesses.seals, witnesses.reached
        self._keyring: Keyring = access.keyring(settings.audit)
        self._figures = Figures(
            window=window,
            limits=Limits(
                late_ms=int(1000 * settings.policy.deadline_seconds),
                forgotten_ms=int(1000 * settings.policy.alert_after_seconds),
            ),
        )
        self._counted = 0

    def write(self, file: Path | None, path: Path | None) -> int:
        """The exit code: the report is written even when the trail is not whole, and says so."""
        used: Mapping[str, int] = {}
        with output(path) as stream:
            if file is None:
                verdict, used = loop.run(self._live())
            else:
                verdict = self._kept(file)
            self._figures.finish()
            page = self._page(verdict, self._facts(used), file.name if file else "the store")
            stream.write(page.encode())
        sys.stderr.write(f"{'whole' if verdict.whole else 'WRONG'}: {verdict.entries} entries verified\n")
        return FINE if verdict.whole else WRONG

    def _good(self, line: bytes) -> None:
        self._counted += 1
        self._figures.line(line)

    # ── where it is read from ──

    def _kept(self, file: Path) -> Verdict:
        if not file.is_dir():
            with Progress(file.stat().st_size) as progress:
                return verify_file(file, self._keyring, known=self._known, progress=progress.more, good=self._good)
        once = Once(told_again(file))
        with Progress(0) as progress:
            verifier = ArchiveVerifier(
                directory=file,
                keyring=self._keyring,
                known=self._known,
                reached=self._reached,
                progress=progress.more,
            )
            for line in verifier.lines():
                if once.new(line):
                    self._good(line)
            return verifier.outcome

    async def _live(self) -> tuple[Verdict, Mapping[str, int]]:
        settings = self._settings
        async with access.opened(settings.store, strict=settings.production) as trail:
            await written_down(trail, self._keyring, EntryType.TRAIL_EXPORTED)
            with Progress(0) as progress:
                verdict = await verify_store(
                    trail.store,
                    self._keyring,
                    known=self._known,
                    progress=progress.more,
                    good=self._good,
                    now=Clock().ms(),
                )
            return verdict, await _used(trail)

    # ── what it becomes ──

    def _facts(self, used: Mapping[str, int]) -> Facts:
        return facts(self._settings, self._keyring, now=datetime.now(UTC), used=used)

    def _page(self, verdict: Verdict, found: Facts, name: str) -> str:
        from gateway.report.page import render  # noqa: PLC0415 -- needs what only a report needs
        from gateway.report.paper import Source, paper  # noqa: PLC0415 -- as above

        source = Source(
            name=name,
            at=int(1000 * datetime.now(UTC).timestamp()),
            verdict=verdict,
            counted=self._counted,
            version=gateway.__version__,
        )
        return render(paper(self._figures, found, source))


async def _used(trail: Opened) -> Mapping[str, int]:
    """When keys were last used, ms by kid, as far as the store can say."""
    try:
        uses = await trail.store.uses(within=_USES_SECONDS)
    except StoreError:
        return {}
    return {kid: use.used_at for kid, use in uses.items() if use.used_at is not None}
