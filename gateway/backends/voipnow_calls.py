"""VoipNow's phone calls: how they are read, and which of their views a target means.

A phone call has a view for each extension in it, and each view can be recorded. What is acted on:

- the view that the target names, and only that;
- otherwise the views of the target's extension; where it names none, or the call has none of it (the server
  found the call by it all the same), every view that has an extension;
- silence also concerns every other view that is being recorded: it holds the same voices. Putting recording on
  again does not start those: nobody but their own owner knows whether they should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.backends.contract import NoSuchCall, Unconfirmed
from gateway.backends.http import MOST_DIGITS, as_list, as_object
from gateway.frozen import quick
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model import Target

_HIGHEST_STATUS = 5


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One extension's side of a phone call."""

    id: str
    extension: str | None
    recorded: bool


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneCall:
    """A call with at least one view."""

    id: str
    views: tuple[View, ...]


def parse_calls(value: object) -> tuple[PhoneCall, ...]:
    """A call, a list of them, or either in `entry`. `Unconfirmed` for anything else."""
    if isinstance(value, list):
        return tuple(_phone_call(as_object(item)) for item in value)
    members = as_object(value)
    return parse_calls(members["entry"]) if "entry" in members else (_phone_call(members),)


def _phone_call(members: Mapping[str, object]) -> PhoneCall:
    views = as_list(members.get("phoneCallView"))
    if not views:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return PhoneCall(id=_identifier(members.get("id")), views=tuple(_view(as_object(view)) for view in views))


def _view(members: Mapping[str, object]) -> View:
    extension = members.get("extension")
    status = whole_number(members.get("status", 0))
    if not isinstance(extension, str | None) or status is None or status > _HIGHEST_STATUS:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return View(id=_identifier(members.get("id")), extension=extension or None, recorded=_recorded(members))


def _recorded(members: Mapping[str, object]) -> bool:
    """Only a member that is not there says "not recorded"; only a date says "recorded"."""
    match members:
        case {"recording": str(date)} if date:
            return True
        case {"recording": _}:
            raise Unconfirmed(Fault.BAD_ANSWER)
        case _:
            return False


def _identifier(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise Unconfirmed(Fault.BAD_ANSWER)
    return str(value)


def whole_number(value: object) -> int | None:
    """A whole number, as such or in a string; None for anything else, and for one of more than MOST_DIGITS."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MOST_DIGITS else None


def matching(calls: tuple[PhoneCall, ...], target: Target) -> tuple[PhoneCall, ...]:
    """The calls without those that are not meant. `NoSuchCall` where none is left of some."""
    found = tuple(call for call in calls if call.id not in target.excluded)
    if calls and not found:
        raise NoSuchCall
    return found


def addressed(call: PhoneCall, target: Target) -> tuple[View, ...]:
    """The views of `call` that the target means; never none."""
    named = tuple(view for view in call.views if target.view_id is not None and same_id(view.id, target.view_id))
    ours = tuple(view for view in call.views if _same_extension(view.extension, target.extension))
    return named or ours or tuple(view for view in call.views if view.extension is not None) or call.views


def concerned(call: PhoneCall, target: Target) -> tuple[View, ...]:
    """The views that have to be silent: those addressed and, unless the target names one, all that are recorded."""
    meant = addressed(call, target)
    if target.view_id is not None:
        return meant
    return tuple(view for view in call.views if view in meant or view.recorded)


def same_id(one: str, other: str) -> bool:
    """A view `01` that came as a number has lost its zero."""
    return (one.lstrip("0") or "0") == (other.lstrip("0") or "0")


def _same_extension(theirs: str | None, ours: str | None) -> bool:
    """`210` is short for `0003*210`."""
    if theirs is None or ours is None:
        return False
    return theirs == ours or theirs.rpartition("*")[2] == ours
