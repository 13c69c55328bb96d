"""`audit prove`: an answer's `audit` member names one entry; is it there, and under which seal?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.answer import compared
from gateway.audit.entry import EntryType
from gateway.audit.manifest import manifests
from gateway.audit.prove import Place, Prover
from gateway.cli import config, loop, operator
from gateway.cli.audit_export import written_down
from gateway.cli.exits import FINE, USAGE, WRONG
from gateway.trail import access
from gateway.trail.export import Export

if TYPE_CHECKING:
    import argparse

    from gateway.audit.prove import Proof
    from gateway.settings import Settings


def add(verbs: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser = verbs.add_parser("prove", help="find the entry that an answer speaks of, and hold the two together")
    parser.add_argument("answer", type=Path, metavar="ANSWER", help="the JSON document that the gateway answered")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an export or an archive (default: the store)"
    )
    config.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    file: Path | None = arguments.file
    if (wrong := _usage(arguments.answer, file)) is not None:
        sys.stderr.write(f"{wrong}\n")
        return USAGE
    answer = _answer(arguments.answer)
    place = _place(answer)
    if place is None:
        sys.stderr.write("the answer has no member audit with bucket, seq and hash\n")
        return USAGE
    prover = Prover(place, access.keyring(settings.audit))
    return _told(_kept(prover, file) if file else loop.run(_live(settings, prover)), answer)


def _usage(answer: Path, file: Path | None) -> str | None:
    if not answer.is_file():
        return f"{answer}: no such file"
    if file is not None and not (file.is_file() or file.is_dir()):
        return f"{file}: no such file"
    if file is not None and file.is_dir() and not manifests(file):
        return f"{file}: no archive there"
    return None


def _answer(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _place(answer: dict[str, Any]) -> Place | None:
    try:
        audit = answer["audit"]
        return Place(bucket=int(audit["bucket"]), seq=int(audit["seq"]), link=str(audit["hash"]))
    except (ValueError, KeyError, TypeError):
        return None


def _kept(prover: Prover, file: Path) -> Proof:
    return prover.archive(file) if file.is_dir() else prover.file(file)


async def _live(settings: Settings, prover: Prover) -> Proof:
    async with access.opened(settings.store, strict=settings.production) as trail:
        await written_down(trail, access.keyring(settings.audit), EntryType.TRAIL_READ)
        export = await Export.begin(trail.store)
        blocks = [block async for block in prover.needed(export.blocks())]
        return prover.judged(blocks, export.seals)


def _told(proof: Proof, answer: dict[str, Any]) -> int:
    """An answer that contradicts its entry is not proven by it."""
    if proof.entry is not None:
        sys.stdout.write(f"{orjson.dumps(proof.entry, option=orjson.OPT_INDENT_2).decode()}\n")
    if not proof.proven or proof.entry is None:
        sys.stdout.write(f"NOT PROVEN: {proof.text}\n")
        return WRONG
    found = compared(answer, proof.entry)
    if found.wrong:
        sys.stdout.write("NOT PROVEN: the answer is not what the entry says\n")
        sys.stdout.writelines(f"{one}\n" for one in found.wrong)
        return WRONG
    sys.stdout.write(f"proven: {proof.text}\n")
    sys.stdout.write(f"the entry says so, too: {', '.join(('bucket, seq, hash', *found.same))}\n")
    sys.stdout.write(f"the entry does not vouch for: {', '.join(found.unsaid)}\n")
    return FINE
