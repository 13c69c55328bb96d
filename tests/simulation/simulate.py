"""One run by its seed, or many. By hand: `.venv/bin/python tests/simulation/simulate.py SEED` tells the whole story."""

from __future__ import annotations

import logging
import random
import sys
import traceback
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

import structlog
from cast import BUCKETS, LITTLE
from story import Story
from virtual import play

from gateway import clock, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from judge import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run came to: the promises that it broke, its story, and how much there was to judge."""

    seed: int
    breaches: tuple[str, ...]
    log: tuple[str, ...]
    answers: int
    unmutes: int

    @property
    def replay(self) -> str:
        return f".venv/bin/python tests/simulation/simulate.py {self.seed}"


@contextmanager
def stage() -> Iterator[None]:
    """The product is quiet, walks through few buckets, and takes its chances and names from the seed."""
    with (
        mock.patch.object(walk, "BUCKETS", BUCKETS),
        mock.patch.object(walk, "LITTLE", LITTLE),
        mock.patch.object(clock, "uuid", _Names()),
        _quiet(),
    ):
        yield


class _Names:
    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=random.getrandbits(128))


@contextmanager
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    level = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=level, processors=[_overheard])
    try:
        yield
    finally:
        structlog.configure(**before)


def _overheard(_: object, method: str, event: MutableMapping[str, Any]) -> NoReturn:
    """What the product stumbles over and goes on from is a broken promise here."""
    if method == "exception" or event.get("exc_info"):
        STUMBLES.append("".join(traceback.format_exc().splitlines(keepends=True)[-6:]))
    raise structlog.DropEvent


STUMBLES: list[str] = []


def run(seed: int) -> Outcome:
    """Play the story of this seed to its end."""
    before = random.getstate()
    random.seed(seed)
    STUMBLES.clear()
    try:
        judge: Judge = play(Story(seed).play)
    finally:
        random.setstate(before)
    return Outcome(
        seed=seed,
        breaches=(*judge.breaches, *STUMBLES),
        log=tuple(judge.log),
        answers=judge.answers,
        unmutes=judge.unmutes,
    )


def main() -> int:
    with stage():
        outcome = run(int(sys.argv[1]))
    print("\n".join(outcome.log))  # noqa: T201 -- the story is what was asked for
    print(f"{outcome.answers} answers, {outcome.unmutes} unmutes, broken: {list(outcome.breaches)}")  # noqa: T201 -- as above
    return 1 if outcome.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
