"""The page that Prometheus reads, written a few series at a time: thousands take longer than a mute may wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
AT_ONCE = 16  # label sets that are written without a break: some tenths of a millisecond
_END = b"# EOF\n"


class Page(NamedTuple):
    body: bytes
    content_type: str


Kind = TypeVar("Kind", bound=MetricWrapperBase)


class Family(Generic[Kind]):
    """A metric whose labels have closed sets, and its children. `ValueError` for a label value outside."""

    def __init__(self, metric: Kind, *labels: Iterable[str], zeroed: bool = False) -> None:
        self.metric = metric
        self._names: tuple[str, ...] = metric._labelnames  # noqa: SLF001 -- given to it, and never given back
        self._labels = tuple(frozenset(values) for values in labels)
        self._children: dict[tuple[str, ...], Kind] = {}
        for value in sorted(self._labels[0]) if zeroed else ():
            self.child(value)

    def child(self, *values: str) -> Kind:
        child = self._children.get(values)
        return self._made(values) if child is None else child

    def _made(self, values: tuple[str, ...]) -> Kind:
        if not all(value in known for value, known in zip(values, self._labels, strict=True)):
            raise ValueError("label value outside its closed set")
        self._children[values] = child = self.metric.labels(*values)
        return child

    def slices(self) -> Iterator[Metric]:
        """The metric with a few of its children at a time."""
        children = list(self._children.items())
        for first in range(0, max(1, len(children)), AT_ONCE):
            (metric,) = self.metric.describe()
            metric.samples = [
                sample._replace(labels={**dict(zip(self._names, values, strict=True)), **sample.labels})
                for values, child in children[first : first + AT_ONCE]
                for one in child.collect()
                for sample in one.samples
            ]
            yield metric


class _One(Collector):
    """Only the series that the contract names: without the creation time of each, which the client library would
    switch off for the whole process only."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        self._metric.samples = [one for one in self._metric.samples if not one.name.endswith("_created")]
        yield self._metric


def page(slices: Iterable[Metric], accept: str) -> Page:
    """For who takes what `accept` says."""
    kind, write = _format(accept)
    return _bound([*_parts(slices, write)], kind)


async def paged(slices: Iterable[Metric], accept: str) -> Page:
    """The same, a part in each turn of the loop."""
    kind, write = _format(accept)
    parts: list[bytes] = []
    for part in _parts(slices, write):
        parts.append(part)
        await asyncio.sleep(0)
    return _bound(parts, kind)


def _parts(slices: Iterable[Metric], write: Callable[[Collector], bytes]) -> Iterator[bytes]:
    """What is said of a metric stands before the first of its slices only."""
    before = ""
    for metric in slices:
        lines = write(_One(metric)).splitlines(keepends=True)
        known, before = metric.name == before, metric.name
        yield b"".join(line for line in lines if line != _END and not (known and line.startswith(b"#")))


def _format(accept: str) -> tuple[str, Callable[[Collector], bytes]]:
    if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept:
        return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest
    return CONTENT_TYPE, generate_latest


def _bound(parts: list[bytes], kind: str) -> Page:
    end = _END if kind == openmetrics.CONTENT_TYPE_LATEST else b""
    return Page(body=b"".join([*parts, end]), content_type=kind)
