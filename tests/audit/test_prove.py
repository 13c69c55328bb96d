"""The place that an answer names, in an export: there, whole and sealed, or not proven."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from books import Book, some_book
from trails import KEYRING

from gateway.audit.prove import Place, Proof, Prover

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.store.contract import TrailEntry


def proof(book: Book, one: TrailEntry, path: Path) -> Proof:
    path.write_bytes(book.export())
    return Prover(Place(bucket=one.bucket, seq=one.seq, link=one.link), KEYRING).file(path)


def test_what_is_not_sealed_is_not_proven(tmp_path: Path) -> None:
    """It stands there, and could be written anew by whoever has the key of the chain; the next checkpoint proves it."""
    book = some_book(Random(3), entries=20)  # noqa: S311 -- the same every time
    book.seal()
    number, rows = next((number, rows) for number, rows in book.rows.items() if number and rows)
    sealed = rows[-1]
    assert proof(book, sealed, tmp_path / "t").proven
    for call in range(2_000):
        book.write(f"late-{call}")
        if (late := book.rows[number][-1]) != sealed:
            break
    found = proof(book, late, tmp_path / "t")
    assert (found.proven, found.text.rpartition(", ")[2]) == (False, "and not sealed yet")
    assert proof(book, sealed, tmp_path / "t").proven
    book.seal()
    assert proof(book, late, tmp_path / "t").proven
