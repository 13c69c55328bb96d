"""`audit prove`: an answer's `audit` member names one entry; is it there, and under which seal?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.entry import EntryType
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
    parser = verbs.add_parser("prove", help="find the entry that an answer speaks of")
    parser.add_argument("answer", type=Path, metavar="ANSWER", help="the JSON document that the gateway answered")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="an export (default: the store)")
    config.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = operator.settings_of(arguments)
    for path in (arguments.answer, arguments.file):
        if path is not None and not path.is_file():
            sys.stderr.write(f"{path}: no such file\n")
            return USAGE
    place = _place(arguments.answer)
    if place is None:
        sys.stderr.write("the answer has no member audit with bucket, seq and hash\n")
        return USAGE
    prover = Prover(place, access.keyring(settings.audit))
    return _told(prover.file(arguments.file) if arguments.file else loop.run(_live(settings, prover)))


def _place(path: Path) -> Place | None:
    try:
        audit = orjson.loads(path.read_bytes())["audit"]
        return Place(bucket=int(audit["bucket"]), seq=int(audit["seq"]), link=str(audit["hash"]))
    except (ValueError, KeyError, TypeError):
        return None


async def _live(settings: Settings, prover: Prover) -> Proof:
    async with access.opened(settings.store, strict=settings.production) as trail:
        await written_down(trail, access.keyring(settings.audit), EntryType.TRAIL_READ)
        export = await Export.begin(trail.store)
        blocks = [block async for block in prover.needed(export.blocks())]
        return prover.judged(blocks, export.seals)


def _told(proof: Proof) -> int:
    if proof.entry is not None:
        sys.stdout.write(f"{orjson.dumps(proof.entry, option=orjson.OPT_INDENT_2).decode()}\n")
    sys.stdout.write(f"{'proven' if proof.proven else 'NOT PROVEN'}: {proof.text}\n")
    return FINE if proof.proven else WRONG
