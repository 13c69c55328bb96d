"""Breadth first through every world that can come about; each is held against the promises of the design."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moves import Broken, moves
from world import PARTIES, POLICY, World, fresh, key, names

from gateway import decide
from gateway.decide import Reported
from gateway.evidence import protected
from gateway.model import Evidence, Observation, Parties, Result

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from world import Scope

    from gateway.model import Redaction

MOST_STATES = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many different worlds there are, and the first broken promise with the shortest way to it."""

    states: int
    broken: str | None = None
    story: tuple[str, ...] = ()


def search(scope: Scope, *, most: int = MOST_STATES) -> Found:
    """All worlds of `scope`, or those up to the first broken promise."""
    with _uncollected():
        return _search(scope, most)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Worlds are trees: looking for cycles among millions of them, again and again, finds none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _search(scope: Scope, most: int) -> Found:
    start = fresh(scope)
    came: dict[Hashable, tuple[Hashable | None, str]] = {key(start): (None, "begin")}
    layer = [(key(start), start)]
    while layer:
        following: list[tuple[Hashable, World]] = []
        for place, world in layer:
            try:
                for label, after in moves(world, scope):
                    known = key(after)
                    if known not in came:
                        came[known] = (place, label)
                        check(after)
                        following.append((known, after))
            except Broken as broken:
                return Found(states=len(came), broken=str(broken), story=(*_story(came, place), "…"))
        if len(came) > most:
            raise AssertionError("the scope is too wide to be searched to its end")
        layer = following
    return Found(states=len(came))


def _story(came: dict[Hashable, tuple[Hashable | None, str]], place: Hashable | None) -> tuple[str, ...]:
    story: list[str] = []
    while place is not None:
        place, label = came[place]
        story.append(label)
    return tuple(reversed(story))


def check(world: World) -> None:
    """I1, no hold lost, and I6 from every quiet world. Raises `Broken`."""
    if protected(world.redaction, now=world.now, policy=POLICY):
        _check_silent(world)
    held = {hold.key for hold in world.redaction.holds}
    if not world.owed <= held:
        raise Broken("a hold was lost")
    if held - world.owed:
        raise Broken("a hold came from nowhere")
    if not world.works and not world.messages and world.redaction.open:
        _check_healed(world)


def _check_silent(world: World) -> None:
    """Everybody wanted is silent and nothing of ours can change that; only somebody else can, and not for longer
    than evidence lives."""
    wanted = Parties.NONE
    for owed in world.owed:
        wanted |= PARTIES[owed]
    for number, muted in enumerate(world.truth):
        at = world.drifted[number]
        if muted & wanted != wanted and (at is None or world.now - at > POLICY.evidence_ms):
            raise Broken("I1: protected, and a recorder is not silent")
    if any(message.left & wanted != wanted for message in world.messages):
        raise Broken("I1: protected, and an unmute can still land")


def _check_healed(world: World) -> None:
    """I6: when nothing else happens, one round of the reconciler, once the order is dead, mutes and proves."""
    redaction, now = world.redaction, world.now
    if redaction.order is not None:
        now = max(now, redaction.order.lands_before + 1)
        redaction = decide.abandon(redaction, at=now)
    now = max(now, redaction.loose_before)
    redaction = _learned(redaction, world.truth, now)
    if not protected(redaction, now=now, policy=POLICY):
        redaction = _learned(redaction, (redaction.wanted,) * len(world.truth), now)
    if not protected(redaction, now=now, policy=POLICY):
        raise Broken("I6: the reconciler cannot prove a silent recorder")


def _learned(redaction: Redaction, truth: tuple[Parties, ...], now: int) -> Redaction:
    results = {
        name: Result(seen=Observation(muted=muted, evidence=Evidence.READBACK, at=now))
        for name, muted in zip(names(len(truth)), truth, strict=True)
    }
    report = Reported(at=now, asked_at_revision=redaction.revision, results=results)
    return decide.learn(redaction, report, policy=POLICY)
