"""`audit`: export the trail, verify it, prove one answer, archive it, trim what is archived, report on it, rebuild
what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli import (
    audit_archive,
    audit_export,
    audit_keys,
    audit_prove,
    audit_rebuild,
    audit_report,
    audit_verify,
)

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:  # noqa: ANN401 -- argparse has no public name for it
    parser: argparse.ArgumentParser = commands.add_parser("audit", help="the trail: export, verify, archive")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb in (audit_export, audit_verify, audit_prove, audit_archive, audit_report, audit_rebuild, audit_keys):
        verb.add(verbs)
