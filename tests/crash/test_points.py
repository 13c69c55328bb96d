"""Kill -9 at every named place of a mute, an unmute, a second crash during the clean-up, with and without a store.

In every run each place once, passages and heirs in turn; with ``SOAK=1`` every passage with both heirs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from crashes import Crash, Heir, NeverPassed, Story, Told, crash
from doom import PLACES
from pods import nursery

if TYPE_CHECKING:
    from pathlib import Path

    from pods import Nursery

SOAK = bool(os.environ.get("SOAK"))
AT_ONCE = 6
ATTEMPTS = 3

# Each place, and the passages at which somebody dies there: with two recorders, the first and the second.
STORIES: dict[Story, dict[str, tuple[int, ...]]] = {
    Story.MUTE: {
        "journal.note.before": (1, 2),
        "journal.written.after": (1, 2),
        "journal.note.after": (1, 2),
        "journal.ack.before": (1,),
        "journal.ack.after": (1,),
        "commit.intended.before": (1,),
        "commit.intended.sent": (1,),
        "commit.intended.after": (1,),
        "claim.before": (1, 2),
        "claim.after": (1, 2),
        "command.mute.before": (1, 2),
        "command.byte": (1, 2),
        "command.sent": (1, 2),
        "command.mute.after": (1, 2),
        "evidence.before": (1, 2),
        "evidence.after": (1, 2),
        "commit.outcome.before": (1,),
        "commit.outcome.sent": (1,),
        "commit.outcome.after": (1,),
        "answer.mute.after": (1,),
        "answer.before": (1,),
        "answer.sent": (1,),
    },
    Story.UNMUTE: {
        "journal.note.before": (1, 2),
        "journal.written.after": (1, 2),
        "journal.note.after": (1, 2),
        "commit.intended.before": (1,),
        "commit.intended.sent": (1,),
        "commit.intended.after": (1,),
        "loosen.before": (1, 2),
        "loosen.after": (1, 2),
        "command.unmute.before": (1, 2),
        "command.byte": (1, 2),
        "command.sent": (1, 2),
        "command.unmute.after": (1, 2),
        "evidence.before": (1, 2),
        "evidence.after": (1, 2),
        "commit.outcome.before": (1,),
        "commit.outcome.sent": (1,),
        "commit.outcome.after": (1,),
        "release.before": (1, 2),
        "release.after": (1, 2),
        "answer.unmute.after": (1,),
        "answer.before": (1,),
        "answer.sent": (1,),
    },
    Story.REVERT: {
        "commit.outcome.after": (1,),
        "command.mute.before": (1, 2),
        "command.mute.after": (1, 2),
        "commit.reverted.before": (1,),
        "commit.reverted.sent": (1,),
        "commit.reverted.after": (1,),
        "answer.sent": (1,),
    },
    Story.RECOVERY: {
        "journal.recall.before": (1,),
        "journal.recall.after": (1,),
        "queues.before": (1, 8),
        "queues.after": (1, 8),
        "load.before": (1,),
        "load.after": (1,),
        "commit.abandoned.before": (1,),
        "commit.abandoned.sent": (1,),
        "commit.abandoned.after": (1,),
        "claim.before": (1,),
        "claim.after": (1, 2),
        "evidence.before": (1, 2),
        "evidence.after": (1, 2),
        "commit.looked.before": (1,),
        "commit.looked.after": (1,),
        "command.mute.before": (1, 2),
        "command.byte": (1, 2),
        "command.sent": (1, 2),
        "command.mute.after": (1, 2),
        "commit.muted.before": (1,),
        "commit.muted.sent": (1,),
        "commit.muted.after": (1,),
    },
    Story.OUTAGE: {
        "journal.note.after": (1, 2),
        "command.mute.before": (1,),
        "command.mute.after": (1, 2),
        "answer.sent": (1,),
    },
    Story.HEALING: {
        "journal.recall.after": (1,),
        "healer.verify.before": (1,),
        "entries.before": (1,),
        "entries.after": (1,),
        "claim.before": (1,),
        "claim.after": (1, 2),
        "commit.healed.before": (1, 2),
        "commit.healed.after": (1, 2),
        "journal.ack.before": (1,),
        "journal.ack.after": (1,),
        "healer.verify.after": (1,),
    },
}
ALONE = frozenset({Story.OUTAGE, Story.HEALING})  # what only the journal knows is with its own pod


def heirs(story: Story, number: int) -> tuple[Heir, ...]:
    if story in ALONE:
        return (Heir.SAME,)
    return tuple(Heir) if SOAK else (tuple(Heir)[number % 2],)


def chosen(story: Story) -> list[Crash]:
    passages = [
        (place, passage)
        for number, (place, times) in enumerate(STORIES[story].items())
        for passage in (times if SOAK else times[number // 2 % len(times) :][:1])
    ]
    return [
        Crash(story=story, place=place, passage=passage, heir=heir)
        for number, (place, passage) in enumerate(passages)
        for heir in heirs(story, number)
    ]


@pytest.mark.parametrize("story", list(Story), ids=str)
async def test_whoever_dies_anywhere_leaves_nothing_behind(tmp_path: Path, story: Story) -> None:
    """Wherever a gateway is killed, whoever comes next finishes the mute, or abandons the unmute and mutes again:
    what was acknowledged holds, `protected` is never said while a tape runs, an unmute goes out once, the trail has
    no holes and its chains hold. A place that nobody passes fails here."""
    turns = asyncio.Semaphore(AT_ONCE)
    crashes = chosen(story)
    async with nursery() as children:
        told = await asyncio.gather(
            *(_in_turn(turns, children, tmp_path / f"{number}", one) for number, one in enumerate(crashes)),
            return_exceptions=True,
        )
    wrong = [f"{one}: {error}" for one, error in zip(crashes, told, strict=True) if isinstance(error, BaseException)]
    assert not wrong, "\n\n".join([f"{len(wrong)} of {len(crashes)}", *wrong])
    seconds = sorted(one.seconds for one in told if not isinstance(one, BaseException))
    sys.stdout.write(f"{story}: {len(crashes)} crashes, finished after {seconds[-1]:.1f} s at the most\n")


async def _in_turn(turns: asyncio.Semaphore, children: Nursery, directory: Path, one: Crash) -> Told:
    """A place that is there is passed in one of a few attempts, however busy the machine."""
    async with turns:
        for attempt in range(1, ATTEMPTS):
            with suppress(NeverPassed):
                return await crash(children, _made(directory / f"{attempt}"), one)
        return await crash(children, _made(directory / f"{ATTEMPTS}"), one)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def test_every_place_is_used() -> None:
    """No place is named for nothing, and none is missing; there are more than the promised number."""
    used = {place for places in STORIES.values() for place in places}
    assert used <= set(PLACES)
    assert len(used) >= 25
