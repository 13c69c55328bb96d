"""Spans: one a request, one an operation at a vendor. Off unless configured, and then nothing of OpenTelemetry is even
imported.

A span says what kind of thing was done, where and how it ended. No call, extension, person, client or key is in it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, Self

from gateway.sources import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from multidict import CIMultiDictProxy

    from gateway.settings import Tracing

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

OUTGOING: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("outgoing", default=())
"""The headers by which what is sent to a vendor now belongs to the trace."""


class Said(Protocol):
    """How an operation at a vendor ended: read when it has."""

    word: str


class Asked(Protocol):
    """The span of a request under way."""

    def answered(self, *, route: str | None, status: int, outcome: str) -> None: ...


class Tracer(Protocol):
    def request(self, method: str, headers: CIMultiDictProxy[str]) -> AbstractContextManager[Asked]:
        """What runs inside is one request; of its `headers` only a well-formed `traceparent` counts."""
        ...

    def operation(self, backend: str, vendor: str, action: str, said: Said) -> AbstractContextManager[object]:
        """What runs inside is one operation at a vendor."""
        ...

    def exemplar(self) -> dict[str, str] | None:
        """The labels by which an observation made now leads to its trace; None where that is not kept."""
        ...


class Untraced:
    """Nobody wants spans: it is each span itself, so that nothing is made where a mute passes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What is raised inside goes on."""

    def request(self, method: str, headers: CIMultiDictProxy[str]) -> Self:  # noqa: ARG002 -- as the protocol has it
        return self

    def answered(self, *, route: str | None, status: int, outcome: str) -> None:
        """Nobody asked."""

    def operation(self, backend: str, vendor: str, action: str, said: Said) -> Self:  # noqa: ARG002 -- as the protocol has it
        return self

    def exemplar(self) -> dict[str, str] | None:
        return None


UNTRACED = Untraced()


def checked(settings: Tracing | None) -> None:
    """`ConfigurationError` when spans are wanted and what makes them is not installed."""
    if settings is not None and not all(_installed(name) for name in _NEEDED):
        raise ConfigurationError((("tracing", "needs the optional extra: pip install 'redaction-gateway[tracing]'"),))


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package that it would be in
        return False


@asynccontextmanager
async def traced(settings: Tracing | None, *, node: str) -> AsyncIterator[Tracer]:
    """What makes spans while the block runs. Raises as `checked`."""
    if settings is None:
        yield UNTRACED
        return
    checked(settings)
    from gateway import otel  # noqa: PLC0415 -- takes a tenth of a second and is not there without the extra

    async with otel.collected(settings, node=node) as tracer:
        yield tracer
