"""Everything that can happen next in a world. What a pod decides is decided by the product's own functions.

A move gives the worlds after it; a broken promise that only shows in the move itself raises `Broken`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from world import LIFE, POLICY, Budget, Message, Scope, Work, World, hold, names, recorders

from gateway import decide
from gateway.decide import MuteAsked, OrderReported, Reported, Settled, Step, UnmuteAsked
from gateway.model import Evidence, Fault, Observation, OrderKind, Parties, Redaction, Result, union

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.model import HoldKey

PODS = (0, 1)


class Broken(Exception):  # noqa: N818 -- a promise is broken
    """A promise of the design does not hold."""


def moves(world: World, scope: Scope) -> Iterator[tuple[str, World]]:
    """Every next world, each with what happened."""
    yield from _clients(world, scope)
    yield from _works(world, scope)
    yield from _landings(world)
    yield from _care(world, scope)
    yield from _troubles(world, scope)
    if _time_matters(world):
        yield "tick", _ticked(world)


# ── clients ──


def _clients(world: World, scope: Scope) -> Iterator[tuple[str, World]]:
    if len(world.works) >= scope.at_once:
        return
    for pod in PODS if world.works else PODS[:1]:
        for key in scope.holds:
            yield from _mute(world, scope, pod, key)
            yield from _unmute(world, pod, key, force=False)
        yield from _unmute(world, pod, scope.holds[0], force=True)
        yield from _start(world, scope, pod)


def _mute(world: World, scope: Scope, pod: int, key: HoldKey) -> Iterator[tuple[str, World]]:
    if not world.budget.mutes:
        return
    event = MuteAsked(at=world.now, received_at=world.now, hold=hold(key), recorders=recorders(scope.recorders))
    after = decide.mute(world.redaction, event)
    works = tuple(replace(work, overtaken=True) if work.kind == "order" else work for work in world.works)
    world = replace(world, redaction=after, works=works, owed=world.owed | {key})
    yield f"pod {pod}: mute {key.name}", _begun(_spent(world, "mutes"), "mute", pod, after.wanted)


def _unmute(world: World, pod: int, key: HoldKey, *, force: bool) -> Iterator[tuple[str, World]]:
    budget = "forces" if force else "unmutes"
    if not getattr(world.budget, budget) or not world.redaction.open:
        return
    name = f"o{world.names}"
    event = UnmuteAsked(at=world.now, op=name, hold=key, lands_before=world.now + LIFE, force=force)
    after, step = decide.unmute(world.redaction, event)
    world = _spent(replace(world, redaction=after), budget)
    match step:
        case Step.UNCHANGED:
            return
        case Step.DROPPED:
            yield f"pod {pod}: drop {key.name}", replace(world, owed=world.owed - {key})
        case Step.ORDERED:
            order = after.order
            if order is None or order.op != name:
                raise Broken("I2: sent without an order that was written down")
            yield (
                f"pod {pod}: {order.kind} {key.name}",
                _begun(world, "order", pod, decide.left_after(after, order)),
            )


def _start(world: World, scope: Scope, pod: int) -> Iterator[tuple[str, World]]:
    """A one-shot start, refused (as the service does) while the call must be silent."""
    if not world.budget.starts or world.redaction.open:
        return
    redaction = world.redaction if world.redaction.recorders else replace(world.redaction, recorders=())
    after = decide.start(redaction, op=f"o{world.names}", at=world.now, lands_before=world.now + LIFE)
    world = _spent(replace(world, redaction=after), "starts")
    yield f"pod {pod}: start", _begun(world, "order", pod, Parties.NONE, scope.recorders)


def _begun(world: World, kind: str, pod: int, left: Parties, count: int | None = None) -> World:
    work = Work(
        name=f"o{world.names}",
        kind=kind,
        pod=pod,
        asked=world.redaction.revision,
        left=left,
        loose_before=world.redaction.loose_before,
        dies=world.now + LIFE,
        results=(None,) * (count or len(world.redaction.recorders)),
    )
    return replace(world, works=(*world.works, work), names=world.names + 1)


# ── what is under way in a pod ──


def _works(world: World, scope: Scope) -> Iterator[tuple[str, World]]:
    for place, work in enumerate(world.works):
        if _asks(work, world.now):
            yield from _asked(world, scope, place)
        if None not in work.results:
            yield _finished(world, place, scope)


def _asks(work: Work, now: int) -> bool:
    """Nothing was asked yet, or what was seen is from before the time that a mute was told to wait for."""
    return None in work.results or (work.kind == "mute" and any(_early(work, n, now) for n in range(len(work.results))))


def _early(work: Work, recorder: int, now: int) -> bool:
    result = work.results[recorder]
    return result is not None and result.seen is not None and result.seen.at < work.loose_before <= now


def _asked(world: World, scope: Scope, place: int) -> Iterator[tuple[str, World]]:
    """All recorders are asked at once, and each answers as it likes."""
    asked = [(world.works[place].name, world)]
    for recorder in range(len(world.works[place].results)):
        asked = [
            (f"{label}, {word} at {recorder}", _result(after, place, recorder, result))
            for label, before in asked
            for word, after, result in _answers(before, scope, place, recorder)
        ]
    yield from asked


def _answers(world: World, scope: Scope, place: int, recorder: int) -> Iterator[tuple[str, World, Result]]:
    match world.works[place].kind:
        case "order":
            yield from _order_at(world, place, recorder)
        case "mute":
            yield from _mute_at(world, scope, place, recorder)
        case _:
            yield "looked", world, _seen(world, recorder)


def _order_at(world: World, place: int, recorder: int) -> Iterator[tuple[str, World, Result]]:
    """Sent once: it did it, said no, was lost (and may land yet), or said yes and has not done it (yet)."""
    work = world.works[place]
    if world.now >= work.dies:
        yield "too late", world, Result(fault=Fault.BUSY)
        return
    done = _true(world, recorder, work.left)
    yield "done", done, _seen(done, recorder)
    if not world.budget.losses:
        return
    world = _spent(world, "losses")
    yield "refused", world, Result(fault=Fault.REFUSED)
    message = Message(recorder=recorder, left=work.left, dies=work.dies)
    flying = replace(world, messages=(*world.messages, message))
    yield "lost", flying, Result(fault=Fault.TIMEOUT, lost=True)
    if world.truth[recorder] == work.left:
        yield "lost, and it was so before", flying, replace(_seen(world, recorder), lost=True)
    yield "yes and nothing", flying, replace(_seen(world, recorder), fault=Fault.NOT_PROVEN)


def _mute_at(world: World, scope: Scope, place: int, recorder: int) -> Iterator[tuple[str, World, Result]]:
    """Sent, proven; sent and proven again once what it was told to wait for is over."""
    work = world.works[place]
    result, early = work.results[recorder], _early(work, recorder, world.now)
    if result is not None and not early:
        yield "known", world, result
        return
    narrower = bool(world.redaction.wanted & ~work.left) and not scope.late_mutes
    if (world.now < work.dies or early) and not narrower:
        done = _true(world, recorder, work.left)
        yield "muted", done, _seen(done, recorder)
    else:
        yield "gave up", world, Result(fault=Fault.BUSY)
    if world.budget.losses:
        yield "lost", _spent(world, "losses"), Result(fault=Fault.TIMEOUT)


def _true(world: World, recorder: int, muted: Parties) -> World:
    truth = tuple(muted if place == recorder else old for place, old in enumerate(world.truth))
    drifted = tuple(None if place == recorder else old for place, old in enumerate(world.drifted))
    return replace(world, truth=truth, drifted=drifted)


def _seen(world: World, recorder: int) -> Result:
    seen = Observation(muted=world.truth[recorder], evidence=Evidence.READBACK, at=world.now)
    return Result(seen=seen)


def _result(world: World, place: int, recorder: int, result: Result) -> World:
    work = world.works[place]
    results = tuple(result if number == recorder else old for number, old in enumerate(work.results))
    return _with(world, place, replace(work, results=results))


def _with(world: World, place: int, work: Work | None) -> World:
    new = () if work is None else (work,)
    return replace(world, works=(*world.works[:place], *new, *world.works[place + 1 :]))


def _finished(world: World, place: int, scope: Scope) -> tuple[str, World]:
    work = world.works[place]
    told = dict(zip(names(scope.recorders), (r or Result() for r in work.results), strict=False))
    if work.kind == "order":
        return _settled(world, place, told)
    report = Reported(at=world.now, asked_at_revision=work.asked, results=told)
    after = decide.learn(world.redaction, report, policy=POLICY)
    world = replace(world, drifted=tuple(map(_known, world.drifted, told.values())))
    return f"{work.name}: learned", replace(_with(world, place, None), redaction=after)


def _known(drifted: int | None, result: Result) -> int | None:
    """Once it is written down that a recorder was resumed, nobody may go by what was seen before."""
    seen = result.seen
    found = drifted is not None and seen is not None and seen.at > drifted and not seen.muted
    return None if found else drifted


def _settled(world: World, place: int, told: dict[str, Result]) -> tuple[str, World]:
    work = world.works[place]
    before = world.redaction
    seen = {recorder.backend: recorder.seen for recorder in before.recorders if recorder.seen is not None}
    after, word = decide.settle(before, OrderReported(at=world.now, op=work.name, results=told, before=seen))
    world = replace(_with(world, place, None), redaction=after)
    match word:
        case Settled.OVERTAKEN:
            return f"{work.name}: overtaken", world
        case Settled.DONE:
            _check_done(before, after, work, told)
            dropped = world.owed - {hold.key for hold in after.holds}
            return f"{work.name}: settled", replace(world, owed=world.owed - dropped)
        case Settled.FAILED if after.open:
            world = _begun(world, "mute", work.pod, after.wanted)
            return f"{work.name}: failed, muting again", world
        case Settled.FAILED:
            return f"{work.name}: failed", world


def _check_done(before: Redaction, after: Redaction, work: Work, told: dict[str, Result]) -> None:
    """A DELETE that is answered by 200 has happened, and to its own holds alone."""
    order = before.order
    if order is None or work.overtaken:
        raise Broken("an order that a mute has overtaken dropped a hold")
    if set(before.holds) - set(after.holds) - {h for h in before.holds if h.key in order.drops}:
        raise Broken("an order dropped a hold that is not its own")
    if order.kind in {OrderKind.FORCE, OrderKind.START}:
        return
    left = union(after.holds)
    if any(result.seen is None or result.seen.muted != left for result in told.values()):
        raise Broken("an order was settled that not every recorder has carried out")


# ── the network, the reconciler, and trouble ──


def _landings(world: World) -> Iterator[tuple[str, World]]:
    for message in set(world.messages):
        rest = list(world.messages)
        rest.remove(message)
        landed = _true(replace(world, messages=tuple(rest)), message.recorder, message.left)
        yield f"unmute lands at {message.recorder}", landed


def _care(world: World, scope: Scope) -> Iterator[tuple[str, World]]:
    redaction = world.redaction
    order = redaction.order
    if order is not None and world.now > order.lands_before:
        yield "abandoned", replace(world, redaction=decide.abandon(redaction, at=world.now))
    if not redaction.open or order is not None or not world.budget.cares or len(world.works) >= scope.at_once:
        return
    for pod in PODS if world.works else PODS[:1]:
        for kind in ("look", "mute"):
            yield f"pod {pod}: care {kind}", _begun(_spent(world, "cares"), kind, pod, redaction.wanted)


def _troubles(world: World, scope: Scope) -> Iterator[tuple[str, World]]:
    if world.budget.crashes:
        for pod in {work.pod for work in world.works}:
            left = tuple(work for work in world.works if work.pod != pod)
            yield f"pod {pod} dies", _spent(replace(world, works=left), "crashes")
    if world.budget.drifts:
        for recorder in range(scope.recorders):
            if world.truth[recorder]:
                drifted = _true(world, recorder, Parties.NONE)
                when = tuple(world.now if place == recorder else at for place, at in enumerate(drifted.drifted))
                yield f"recorder {recorder} resumed by others", _spent(replace(drifted, drifted=when), "drifts")


def _spent(world: World, what: str) -> World:
    budget: Budget = world.budget
    return replace(world, budget=replace(budget, **{what: getattr(budget, what) - 1}))


def _time_matters(world: World) -> bool:
    return world.redaction.open or world.redaction.order is not None or bool(world.works or world.messages)


def _ticked(world: World) -> World:
    now = world.now + 1
    return replace(world, now=now, messages=tuple(message for message in world.messages if message.dies > now))
