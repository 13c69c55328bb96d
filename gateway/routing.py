"""Which backends record a call, and how each finds it: pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from gateway.frozen import replace
from gateway.model import CallStatus, Parties, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.backends.contract import Capabilities
    from gateway.model import Action, CallKey, PartialTarget, Redaction, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One rule: what is given must match (`extension` and `call_id` are globs); then `backends` have the call."""

    backends: tuple[str, ...]
    client: str | None = None
    tenant: str | None = None
    extension: str | None = None
    call_id: str | None = None


def routed(routes: Sequence[Route], *, key: CallKey, client: str, where: Where) -> tuple[str, ...]:
    """The backends of the first rule that matches, less those that the request leaves out; empty for no rule."""
    rule = next((r for r in routes if _matches(r, key=key, client=client, extension=where.extension)), None)
    if rule is None:
        return ()
    return tuple(name for name in rule.backends if where.backends is None or name in where.backends)


def _matches(rule: Route, *, key: CallKey, client: str, extension: str | None) -> bool:
    return (
        rule.client in {None, client}
        and rule.tenant in {None, key.tenant}
        and (rule.call_id is None or fnmatchcase(key.call_id, rule.call_id))
        and (rule.extension is None or (extension is not None and fnmatchcase(extension, rule.extension)))
    )


def target(key: CallKey, where: Where, backend: str) -> Target:
    """How `backend` finds the call: what the request says of this backend, then of all, then the path's id.

    The id in the path is the recorder's own only when neither an extension nor another id says how to find it.
    """
    own = where.targets.get(backend)
    extension = (own.extension if own else None) or where.extension
    statuses = (own.call_status if own else None) or where.call_status
    return Target(
        call_id=_call_id(key, own, extension),
        extension=extension,
        call_status=statuses if statuses and extension else (CallStatus.ONGOING,),
        user_id=own.user_id if own else None,
        view_id=own.view_id if own else None,
    )


def _call_id(key: CallKey, own: PartialTarget | None, extension: str | None) -> str | None:
    if own is not None and own.call_id is not None:
        return own.call_id
    return None if extension is not None else key.call_id


def says_where(where: Where) -> bool:
    """The request itself tells how to find the call, so what is remembered gives way."""
    return bool(where.targets) or where.extension is not None


def remembered(where: Where, known: Redaction | None) -> Where:
    """What one request said of finding the call holds for the next one, as long as the redaction is open: the
    extension chose the route, also for one that says more of single backends."""
    if known is None or not known.open or where.extension is not None:
        return where
    return replace(where, extension=known.extension)


def able(capabilities: Capabilities, action: Action, target: Target, parties: Parties = Parties.NONE) -> bool:
    """The backend can do this at all: nothing is sent to any recorder when one of them cannot."""
    return (
        action in capabilities.actions
        and (parties is Parties.NONE or parties in capabilities.parties)
        and (_by_id(capabilities, target) or _by_extension(capabilities, target))
    )


def _by_id(capabilities: Capabilities, target: Target) -> bool:
    return target.call_id is not None and capabilities.by_call_id


def _by_extension(capabilities: Capabilities, target: Target) -> bool:
    return (
        target.call_id is None
        and target.extension is not None
        and capabilities.by_extension
        and target.call_status in capabilities.call_status
    )
