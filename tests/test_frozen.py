"""What is copied with changes is what the standard library makes of it, and as locked."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Generic, TypeVar

import pytest

from gateway.frozen import replace
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
