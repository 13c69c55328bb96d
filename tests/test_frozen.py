"""What is copied with changes is what the standard library makes of it, and as locked."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Generic, TypeVar

import pytest

from gateway.frozen import quick, replace
from gateway.model import CallKey, Hold, HoldKey, Parties, Redaction

_T = TypeVar("_T")
KNOWN = Redaction(
    key=CallKey(tenant="acme", call_id="c1"),
    revision=3,
    holds=(Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None),),
)


def test_it_is_what_the_standard_library_makes() -> None:
    """Equal, of the same type, with the same hash; what it was made of is as before."""
    made = replace(KNOWN, revision=4, holds=())
    assert made == dataclasses.replace(KNOWN, revision=4, holds=())
    assert type(made) is Redaction
    assert hash(made) == hash(dataclasses.replace(KNOWN, revision=4, holds=()))
    assert repr(replace(KNOWN)) == repr(KNOWN)
    assert not made.open
    assert (KNOWN.revision, KNOWN.open) == (3, True)


def test_it_is_frozen() -> None:
    """Nobody changes it once it is made, and it is pickled like any other."""
    made = replace(KNOWN, revision=4)
    with pytest.raises(FrozenInstanceError):
        made.revision = 5  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 -- our own


def test_a_member_that_is_not_there_is_refused() -> None:
    """A misspelt name is no change."""
    with pytest.raises(TypeError, match="revisoin"):
        replace(KNOWN, revisoin=4)  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generous(Generic[_T]):
    given: _T
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    size: int
    halves: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "halves", 2 * self.size)


@dataclass(frozen=True)
class Loose:
    size: int


@pytest.mark.parametrize(
    ("known", "changes"),
    [(Generous(given="a"), {"taken": 1}), (Checked(2), {"size": 3}), (Loose(2), {"size": 3})],
    ids=["generic", "checked", "without-slots"],
)
def test_others_are_left_to_the_standard_library(known: Loose, changes: dict[str, int]) -> None:
    """What has a base, a check of its own or no slots."""
    made = replace(known, **changes)
    assert made == dataclasses.replace(known, **changes)
    assert type(made) is type(known)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    one: int
    two: tuple[int, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Many:
    one: int
    five: int = field(default=5, kw_only=True)
    two: str = "two"
    three: list[int] = field(default_factory=list)
    kind: int | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Heir(Few):
    three: int = 3


@dataclass(slots=True)
class Open:
    size: int


@dataclass(frozen=True, slots=True)
class SlowMany:
    one: int
    five: int = field(default=5, kw_only=True)
    two: str = "two"
    three: list[int] = field(default_factory=list)
    kind: int | None = None


def test_what_is_made_quickly_is_what_the_standard_library_makes() -> None:
    """With the same defaults, each its own list; equal, hashed, shown, copied and pickled as such."""
    made, slow = Many(1, kind=4), SlowMany(1, kind=4)
    assert dataclasses.asdict(made) == dataclasses.asdict(slow)
    assert (repr(made), Many.__match_args__) == (repr(slow).replace("Slow", ""), SlowMany.__match_args__)
    assert made == Many(1, "two", [], 4, five=5) != Many(2)
    assert Many(1).three is not Many(1).three
    assert _parameters(Many) == _parameters(SlowMany)
    assert hash(Few(one=1)) == hash((1, ()))
    assert (Few(one=1, two=(2,)).two, Heir(one=1).three) == ((2,), 3)
    for one in (made, Few(one=1), Heir(one=1, two=(2,))):
        assert pickle.loads(pickle.dumps(one)) == dataclasses.replace(one) == replace(one) == one  # noqa: S301 -- our own


@pytest.mark.parametrize(
    ("members", "word"),
    [({}, "missing"), ({"one": 1, "six": 6}, "six"), ({"one": 1, "five": 5, "eno": 1}, "eno")],
)
def test_what_is_made_quickly_refuses_what_the_standard_library_refuses(members: dict[str, int], word: str) -> None:
    """A member that is missing, and one that there is not."""
    for kind in (Many, SlowMany):
        with pytest.raises(TypeError, match=word):
            kind(**members)  # type: ignore[arg-type]


def test_what_is_made_quickly_is_frozen() -> None:
    """From when it is there on."""
    for made, name in ((Few(one=1), "one"), (Many(1), "two"), (Heir(one=1), "three")):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, 2)
        assert type(made).__name__ in {"Few", "Many", "Heir"}


@pytest.mark.parametrize("kind", [Checked, Loose, Open])
def test_only_a_frozen_dataclass_is_made_quickly(kind: type[object]) -> None:
    """One that has more to do when it is made, one with members that are set by name, one that anybody may change."""
    with pytest.raises(TypeError, match=kind.__name__):
        quick(kind)


def _parameters(kind: type[object]) -> list[tuple[str, object]]:
    return [(name, parameter.kind) for name, parameter in inspect.signature(kind).parameters.items()]
