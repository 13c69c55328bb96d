"""The person behind an application, as somebody vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.auth.keys import Denied, Reason

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """`scopes` are those that the person was given, where the token speaks of any: they only ever narrow what the
    application may do. None: the token does not speak of them."""

    subject: str
    scopes: frozenset[str] | None = None


class BearerVerifier(Protocol):
    async def verify(self, token: str, now: datetime) -> Person | Denied:
        """Who the token names, if it holds at `now`."""
        ...


class NoTokens:
    """The verifier where nobody vouches for persons: no token holds."""

    async def verify(self, token: str, now: datetime) -> Person | Denied:  # noqa: ARG002 -- as BearerVerifier has it
        return Denied(reason=Reason.TOKEN_INVALID)
