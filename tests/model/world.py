"""One call in a very small world: what the store has, what two recorders truly do, what is on its way.

Time is whole ticks. Everything is frozen, so that a search can keep millions of worlds; `key` forgets what no
decision can tell apart (absolute time, the size of revisions, which pod is which), so that it need not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING

from gateway.evidence import Policy
from gateway.model import BLAME, CallKey, Hold, HoldKey, Parties, Recorder, Redaction, Target, Vendor

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway.model import Observation, Result

POLICY = Policy(reassert_ms=0, deadline_ms=1)
FORGET = POLICY.evidence_ms + 1  # older than this is all the same
LIFE = 2  # ticks until what an operation sends has landed or died

WIDE = HoldKey(client="crm", name="wide")
SLIM = HoldKey(client="crm", name="slim")
PARTIES = {WIDE: Parties.BOTH, SLIM: Parties.CALLER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How far one search goes: how often each thing may happen on the way.

    `late_mutes`: a mute that leaves a party audible may reach a recorder after one that does not.
    """

    name: str
    recorders: int = 2
    holds: tuple[HoldKey, ...] = (WIDE,)
    mutes: int = 2
    unmutes: int = 2
    forces: int = 0
    starts: int = 0
    cares: int = 1
    crashes: int = 1
    losses: int = 2
    drifts: int = 0
    at_once: int = 2
    late_mutes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    mutes: int
    unmutes: int
    forces: int
    starts: int
    cares: int
    crashes: int
    losses: int
    drifts: int

    def key(self) -> tuple[int, ...]:
        return (
            self.mutes,
            self.unmutes,
            self.forces,
            self.starts,
            self.cares,
            self.crashes,
            self.losses,
            self.drifts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A command that lets somebody be recorded, on its way to a recorder; it may land while `now < dies`."""

    recorder: int
    left: Parties
    dies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one pod has in memory of an operation: gone with the pod.

    `asked` is the revision it knew when it began, `loose_before` what it was told to wait for. `overtaken` is
    the search's own knowledge: a mute was written down after this order.
    """

    name: str
    kind: str
    pod: int
    asked: int
    left: Parties
    loose_before: int
    dies: int
    results: tuple[Result | None, ...]
    overtaken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`owed` are the holds that clients have and never gave back; `drifted` when a recorder was last resumed by
    somebody else (None: never, muted since, or written down by now: nobody may call it silent)."""

    redaction: Redaction
    truth: tuple[Parties, ...]
    budget: Budget
    now: int = 0
    messages: tuple[Message, ...] = ()
    works: tuple[Work, ...] = ()
    owed: frozenset[HoldKey] = frozenset()
    drifted: tuple[int | None, ...] = ()
    names: int = field(default=0)


def fresh(scope: Scope) -> World:
    return World(
        redaction=Redaction(key=CallKey(tenant="acme", call_id="c"), loose_before=-FORGET),
        truth=(Parties.NONE,) * scope.recorders,
        drifted=(None,) * scope.recorders,
        budget=Budget(
            mutes=scope.mutes,
            unmutes=scope.unmutes,
            forces=scope.forces,
            starts=scope.starts,
            cares=scope.cares,
            crashes=scope.crashes,
            losses=scope.losses,
            drifts=scope.drifts,
        ),
    )


def hold(key: HoldKey) -> Hold:
    return Hold(key=key, parties=PARTIES[key], actor=None, resume_at=None)


def names(count: int) -> tuple[str, ...]:
    return ("a", "b", "c")[:count]


def recorders(count: int) -> tuple[Recorder, ...]:
    return tuple(Recorder(backend=n, vendor=Vendor.VERBA, target=Target(call_id="c")) for n in names(count))


def key(world: World) -> Hashable:
    """The same for two worlds in which the same can happen: recorders and pods are alike."""
    turned = [_turned(world, turn) for turn in permutations(range(len(world.truth)))]
    return _whole(world), turned[0] if _all_alike(turned) else min(turned, key=repr)


def _all_alike(turned: list[Hashable]) -> bool:
    """As it is for one recorder, and for several of which the same is to be said: nothing is left to choose."""
    return all(other == turned[0] for other in turned[1:])


def _whole(world: World) -> Hashable:
    """What is not of one recorder."""
    redaction = world.redaction
    return (
        tuple((hold.key.name, int(hold.parties)) for hold in redaction.holds),
        _order(world),
        _since(redaction.loose_before, world.now),
        world.budget.key(),
    )


def _turned(world: World, turn: tuple[int, ...]) -> Hashable:
    redaction, now = world.redaction, world.now
    return (
        _recorders(redaction, now, turn),
        tuple([int(world.truth[number]) for number in turn]),
        tuple(sorted([(turn[m.recorder], int(m.left), m.dies - now) for m in world.messages])),
        _works(world, turn),
        tuple([None if (at := world.drifted[number]) is None else _since(at, now) for number in turn]),
    )


def _recorders(redaction: Redaction, now: int, turn: tuple[int, ...]) -> Hashable:
    """What was seen of a closed redaction's recorders is forgotten when it begins anew."""
    if not redaction.open or not redaction.recorders:
        return redaction.open
    return tuple([(_seen(redaction.recorders[n].seen, now), redaction.recorders[n].fault is None) for n in turn])


def _since(at: int, now: int) -> int:
    return max(at - now, -FORGET)


def _seen(seen: Observation | None, now: int) -> Hashable:
    return None if seen is None else (int(seen.muted), _since(seen.at, now))


def _order(world: World) -> Hashable:
    order = world.redaction.order
    if order is None:
        return None
    return order.kind, tuple(k.name for k in order.drops), max(order.lands_before - world.now, -1)


def _works(world: World, turn: tuple[int, ...]) -> Hashable:
    """Pods are numbered anew in the order in which their work is met."""
    shown = [(_work(world, work, turn), work.pod) for work in world.works]
    if len(shown) > 1:
        shown.sort(key=repr)
    pods: dict[int, int] = {}
    return tuple((what, pods.setdefault(pod, len(pods))) for what, pod in shown)


def _work(world: World, work: Work, turn: tuple[int, ...]) -> Hashable:
    """Of work that comes too late only what it may still send matters."""
    order, now = world.redaction.order, world.now
    mine = order is not None and order.op == work.name
    late = not mine if work.kind == "order" else work.asked < world.redaction.loose_revision
    return (
        work.kind,
        late,
        int(work.left),
        max(work.loose_before - now, 0) if work.kind == "mute" else 0,
        max(work.dies - now, 0) if work.kind != "look" else 0,
        tuple([_result(work, number, now, late=late) for number in turn]),
        work.overtaken and not late,
    )


def _result(work: Work, number: int, now: int, *, late: bool) -> Hashable:
    result = work.results[number]
    if result is None:
        return "open"
    early = result.seen is not None and result.seen.at < work.loose_before
    if late:
        return early
    return _seen(result.seen, now), early, None if result.fault is None else BLAME[result.fault]
