"""What Prometheus is told. Every label comes from a closed set: never a call, a number or a person.

Nothing is registered when this module is imported: a `Metrics` has a registry of its own.
"""

from __future__ import annotations

import enum
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)

from gateway import scrape
from gateway.asks import Code
from gateway.auth.keys import Reason
from gateway.model import Action, Device, Fault, RecorderState, Vendor
from gateway.scrape import CONTENT_TYPE, Family, Kind, Page
from gateway.tracing import UNTRACED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from multidict import CIMultiDictProxy
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

    from gateway.tracing import Asked, Tracer

__all__ = ["CONTENT_TYPE", "Metrics", "Page"]

OK = "ok"
METHODS = frozenset({"PUT", "DELETE", "GET", "POST", "HEAD", "OPTIONS", "other"})
OUTCOMES = frozenset({OK, "pending", *(code.value for code in Code)})
ACTIONS = frozenset({"observe", "ping", *(action.value for action in Action)})
BACKEND_OUTCOMES = frozenset({OK, "abandoned", *(fault.value for fault in Fault)})

# A request's own deadline is 2.5 s unless configured otherwise; most vendors answer within 0.3 s.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0)
# A mute that only the background work brought about took longer; past a minute the card has been spoken.
_EXPOSURE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.5, 1.0)


class Written(enum.StrEnum):
    WRITTEN = "written"
    FAILED = "failed"
    HEALED = "healed"


class Outcome:
    """How one request to a backend ended; `abandoned` until somebody says."""

    def __init__(self) -> None:
        self.word = "abandoned"

    def set(self, word: str) -> None:
        self.word = word


class Metrics:
    """All metrics of one process. `backends` and their vendors are the configured ones, `certificates` the settings
    that name files of certificates, `tracer` who else is told of requests and operations."""

    def __init__(
        self,
        backends: Mapping[str, Vendor],
        *,
        version: str,
        plaintext: Iterable[str] = (),
        certificates: Iterable[str] = (),
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._tracer = tracer
        self.registry = CollectorRegistry()
        build = Info("build", "The gateway that runs", registry=self.registry)
        build.info({"version": version})
        self._collectors: list[Collector] = [ProcessCollector(registry=self.registry), build]
        self._make_redaction(frozenset(backends))
        self._make_backend(backends, frozenset(plaintext))
        self._make_trail()
        self._make_access(frozenset(certificates))
        self._store_up = self._gauge("store_up", "Whether the store answers")
        self._store_plaintext = self._gauge("store_plaintext", "Whether a store without TLS was allowed")
        self._store_seconds = self._histogram("store_request_seconds", "Time of a store command", _STORE_BUCKETS)
        self._skew = self._gauge("store_clock_skew_seconds", "How far this node's clock is ahead of the store's")

    def _make_access(self, certificates: frozenset[str]) -> None:
        self._configuration = self._gauge(
            "configuration_valid", "Whether the configuration, as its files are now, is the one in use"
        )
        self._configuration.set(1)
        self._token_keys = self._gauge("token_keys_fresh", "Whether the issuer's keys could be read when last tried")
        self._certificates = self._gauge(
            "certificates_fresh", "Whether the certificates of listen.tls, as their files are now, are those in use"
        )
        self._certificates.set(1)
        expires = self._gauge("certificate_expires_timestamp_seconds", "When a certificate expires", "certificate")
        self._expires = Family(expires, certificates)
        self._keys_expire = self._gauge(
            "keys_expire_timestamp_seconds", "When the first client will be left without a key that works"
        )
        self._denied = Family(self._counter("auth_denied", "Callers not let in", "reason"), Reason, zeroed=True)

    def _make_redaction(self, backends: frozenset[str]) -> None:
        requests = self._counter("redaction_requests", "Requests of clients", "method", "outcome")
        seconds = self._histogram("redaction_request_seconds", "Time of a request", _REQUEST_BUCKETS, "method")
        exposure = self._histogram("redaction_exposure_seconds", "From asked to protected", _EXPOSURE_BUCKETS)
        unprotected = self._counter("redaction_unprotected_seconds", "Wanted muted and not proven", "backend")
        drift = self._counter("redaction_drift", "Recordings resumed behind our back", "backend")
        self._begun = self._counter("redaction_begun", "Redactions of calls that are there")
        self._requests = Family(requests, METHODS, OUTCOMES)
        self._request_seconds = Family(seconds, METHODS, zeroed=True)
        self._exposure = exposure
        self._unprotected = Family(unprotected, backends, zeroed=True)
        self._drift = Family(drift, backends, zeroed=True)
        self._open = Family(self._gauge("redaction_open", "Open redactions", "state"), RecorderState, zeroed=True)
        self._oldest_unprotected = self._gauge(
            "redaction_oldest_unprotected_seconds", "Age of the oldest open redaction that is not proven"
        )
        self._oldest_open = self._gauge("redaction_oldest_open_seconds", "Age of the oldest open redaction")
        self._forgotten = self._gauge("redaction_forgotten", "Open redactions that nobody has ended for too long")

    def _make_backend(self, backends: Mapping[str, Vendor], plaintext: frozenset[str]) -> None:
        requests = self._counter(
            "backend_requests", "Operations at a backend", "backend", "vendor", "action", "outcome"
        )
        seconds = self._histogram(
            "backend_request_seconds", "Time of an operation", _REQUEST_BUCKETS, "backend", "action"
        )
        circuit = self._gauge("backend_circuit_open", "Whether nobody waits for the backend any more", "backend")
        plain = self._gauge("backend_plaintext", "Whether http without TLS was allowed", "backend")
        proven = self._histogram(
            "recorder_exposure_seconds", "From asked to proven at one recorder", _EXPOSURE_BUCKETS, "backend", "vendor"
        )
        self._proven = Family(proven, backends, Vendor)
        self._backend_requests = Family(requests, backends, Vendor, ACTIONS, BACKEND_OUTCOMES)
        self._backend_seconds = Family(seconds, backends, ACTIONS)
        self._circuit = Family(circuit, backends, zeroed=True)
        for backend in backends:
            plain.labels(backend).set(backend in plaintext)

    def _make_trail(self) -> None:
        entries = self._counter("audit_entries", "Entries of the trail", "device", "outcome")
        device_up = self._gauge("audit_device_up", "Whether the device takes entries", "device")
        self._entries = Family(entries, Device, Written)
        self._device_up = Family(device_up, Device, zeroed=True)
        self._gap = self._gauge("audit_gap_entries", "Entries that one device has and the other has not")
        self._last_seal = self._gauge("audit_last_seal_timestamp_seconds", "When the trail was last sealed")
        self._cards = self._counter("card_numbers_found", "Requests with a card number where none belongs")
        self._unverified = self._gauge("audit_verification_failed", "Whether the trail was found to be not whole")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._made(Counter(name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._made(Gauge(name, text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return self._made(Histogram(name, text, labels, buckets=buckets, registry=self.registry))

    def _made(self, metric: Kind) -> Kind:
        self._collectors.append(metric)
        return metric

    def request(self, method: str, headers: CIMultiDictProxy[str]) -> AbstractContextManager[Asked]:
        """What runs inside is one request, with a span where somebody wants one."""
        return self._tracer.request(method, headers)

    def request_served(self, *, method: str, outcome: str, seconds: float) -> None:
        """One answered request. `outcome` is ``ok``, ``pending`` or a problem's code; a method not of the
        contract counts as ``other``."""
        known = method if method in METHODS else "other"
        self._requests.child(known, outcome).inc()
        self._request_seconds.child(known).observe(seconds, self._tracer.exemplar())

    def exposed(self, seconds: float) -> None:
        """One redaction became protected, `seconds` after it was first asked for."""
        self._exposure.observe(seconds)

    def begun(self) -> None:
        """Somebody wants a call silent that is there, and nobody did before: of these `exposed` tells which became
        protected, and how soon."""
        self._begun.inc()

    def recorder_exposed(self, backend: str, vendor: str, seconds: float) -> None:
        """One recorder of a redaction was proven silent for the first time, `seconds` after it was asked for."""
        self._proven.child(backend, vendor).observe(seconds)

    def unprotected(self, backend: str, seconds: float) -> None:
        """A recorder at `backend` was wanted muted and not proven so for `seconds` more."""
        self._unprotected.child(backend).inc(seconds)

    def drifted(self, backend: str) -> None:
        self._drift.child(backend).inc()

    def open_redactions(
        self,
        states: Mapping[RecorderState, int],
        *,
        oldest_open_seconds: float,
        oldest_unprotected_seconds: float,
        forgotten: int,
    ) -> None:
        """How many are open, by state (none where a state is missing), the ages of the oldest (0 for none), and how
        many are as old as `policy.alert_after_seconds`."""
        for state in RecorderState:
            self._open.child(state).set(states.get(state, 0))
        self._oldest_open.set(oldest_open_seconds)
        self._oldest_unprotected.set(oldest_unprotected_seconds)
        self._forgotten.set(forgotten)

    @contextmanager
    def backend_request(self, backend: str, vendor: str, action: str) -> Iterator[Outcome]:
        """Count and time what runs inside; it sets the outcome: ``ok`` or a fault's value."""
        outcome, began = Outcome(), time.perf_counter()
        with self._tracer.operation(backend, vendor, action, outcome):
            try:
                yield outcome
            finally:
                seconds = time.perf_counter() - began
                self._backend_seconds.child(backend, action).observe(seconds, self._tracer.exemplar())
                self._backend_requests.child(backend, vendor, action, outcome.word).inc()

    def circuit(self, backend: str, *, is_open: bool) -> None:
        self._circuit.child(backend).set(is_open)

    def entries(self, device: Device, outcome: Written, count: int = 1) -> None:
        self._entries.child(device, outcome).inc(count)

    def device(self, device: Device, *, is_up: bool) -> None:
        self._device_up.child(device).set(is_up)

    def gap(self, entries: int) -> None:
        """How many entries one device has and the other lacks."""
        self._gap.set(entries)

    def card_found(self) -> None:
        """A client put a card number where none belongs."""
        self._cards.inc()

    def sealed(self, at_seconds: float) -> None:
        """The trail was sealed at this time, in seconds since the epoch."""
        self._last_seal.set(at_seconds)

    def verified(self, *, whole: bool) -> None:
        """The trail was looked at."""
        self._unverified.set(not whole)

    def auth_denied(self, *, reason: Reason) -> None:
        self._denied.child(reason).inc()

    def configuration(self, *, is_valid: bool) -> None:
        self._configuration.set(is_valid)

    def token_keys(self, *, are_fresh: bool) -> None:
        self._token_keys.set(are_fresh)

    def certificates(self, *, are_fresh: bool) -> None:
        self._certificates.set(are_fresh)

    def certificate_expires(self, setting: str, at_seconds: float) -> None:
        """What `setting` names expires at this time, in seconds since the epoch; 0: it cannot be read."""
        self._expires.child(setting).set(at_seconds)

    def keys_expire(self, at_seconds: float) -> None:
        """The first client without a key, in seconds since the epoch; infinity: none will be."""
        self._keys_expire.set(at_seconds)

    def store_plaintext(self, *, allowed: bool) -> None:
        self._store_plaintext.set(allowed)

    def store(self, *, is_up: bool) -> None:
        self._store_up.set(is_up)

    def store_clock(self, *, ahead_seconds: float) -> None:
        """By so much this node's clock is ahead of the store's; negative where it is behind."""
        self._skew.set(ahead_seconds)

    def store_request(self, seconds: float) -> None:
        self._store_seconds.observe(seconds)

    def render(self, accept: str = "") -> Page:
        """All that was counted, for who takes what `accept` says. Only OpenMetrics has room for exemplars."""
        return scrape.page(self._slices(), accept)

    async def scraped(self, accept: str = "") -> Page:
        """The same, without keeping the loop: everybody else has a turn after every few series."""
        return await scrape.paged(self._slices(), accept)

    def _slices(self) -> Iterator[Metric]:
        families = {family.metric: family for family in vars(self).values() if isinstance(family, Family)}
        for collector in self._collectors:
            family = families.get(collector)
            yield from collector.collect() if family is None else family.slices()
