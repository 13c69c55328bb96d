"""The metrics of several workers as those of one gateway.

Counters and histograms are added up. Of each gauge it is laid down what the whole is: a sum where each worker has its
own part, otherwise the value of the worker that is worst off, so that no alarm is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


# Each open redaction is looked after by one worker, each entry is missed by the one that wrote it.
SUMS = frozenset(
    {
        "redaction_open", "redaction_forgotten", "audit_gap_entries", "process_virtual_memory_bytes",
        "process_resident_memory_bytes", "process_open_fds", "process_max_fds",
    }
)  # fmt: skip
HIGHEST = frozenset(
    {
        "redaction_oldest_unprotected_seconds", "redaction_oldest_open_seconds", "backend_circuit_open",
        "backend_plaintext", "audit_last_seal_timestamp_seconds", "audit_verification_failed", "store_plaintext",
        "build_info",
    }
)  # fmt: skip
LOWEST = frozenset(
    {
        "audit_device_up", "configuration_valid", "token_keys_fresh", "certificates_fresh", "store_up",
        "certificate_expires_timestamp_seconds", "keys_expire_timestamp_seconds", "process_start_time_seconds",
    }
)  # fmt: skip
FARTHEST = frozenset({"store_clock_skew_seconds"})  # from zero, either way
_ADDED = frozenset({"counter", "histogram", "summary"})


class Counted:
    """What one worker has counted, or several together; frozen by whoever holds it."""

    def __init__(self, families: Mapping[str, Metric], series: Mapping[Series, float]) -> None:
        self.families = families
        self.series = series

    def lasting(self) -> Counted:
        """What stays true of a worker that is gone: what it has counted, not how it stood."""
        families = {name: family for name, family in self.families.items() if family.type in _ADDED}
        kept = {one: value for one, value in self.series.items() if _family(one[0], families) in families}
        return Counted(families, kept)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(_Rows(self))


NOTHING = Counted({}, {})


def read(text: str) -> Counted:
    """What the text format says. `KeyError` for a gauge of which nobody has laid down how several are one."""
    families: dict[str, Metric] = {}
    series: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        families[family.name] = family
        for sample in family.samples:
            series[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return Counted(families, series)


def merged(all_of_them: Iterable[Counted]) -> Counted:
    families: dict[str, Metric] = {}
    series: dict[Series, float] = {}
    for counted in all_of_them:
        families |= counted.families
        ways = {name: _way(family) for name, family in counted.families.items()}
        for one, value in counted.series.items():
            way = ways[_family(one[0], counted.families)]
            series[one] = way(series[one], value) if one in series else value
    return Counted(families, series)


def _way(family: Metric) -> Callable[[float, float], float]:
    if family.type in _ADDED or family.name in SUMS:
        return float.__add__
    if family.name in HIGHEST:
        return max
    if family.name in LOWEST:
        return min
    if family.name in FARTHEST:
        return _farther
    raise KeyError(family.name)


def _farther(one: float, other: float) -> float:
    return max(one, other, key=abs)


def _family(sample: str, families: Mapping[str, Metric]) -> str:
    """The family that a sample's name belongs to; the name itself where there is none."""
    for end in ("", "_total", "_bucket", "_count", "_sum", "_info"):
        name = sample.removesuffix(end)
        if sample.endswith(end) and name in families:
            return name
    return sample


class _Rows(Collector):
    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        rows: dict[str, list[Sample]] = {name: [] for name in self._counted.families}
        for (name, labels), value in self._counted.series.items():
            rows[_family(name, self._counted.families)].append(Sample(name, dict(labels), value))
        for name, family in self._counted.families.items():
            whole = Metric(name, family.documentation, family.type)
            whole.samples = rows[name]
            yield whole
