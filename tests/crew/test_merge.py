"""Several workers' metrics as those of one gateway."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.auth.keys import Reason
from gateway.crew import merge
from gateway.crew.merge import Counted, merged, read
from gateway.metrics import Metrics
from gateway.model import RecorderState, Vendor


def metrics() -> Metrics:
    return Metrics({"pbx": Vendor.VOIPNOW}, version="1", plaintext=["pbx"], certificates=["listen.tls.certificate"])


def counted(one: Metrics) -> Counted:
    return read(one.render().body.decode())


def value(whole: Counted, name: str, **labels: str) -> float:
    return whole.series[name, tuple(sorted(labels.items()))]


def test_every_gauge_has_a_rule_and_no_rule_is_left_over() -> None:
    """A gauge of which nobody said how several are one would break the scrape of a gateway with workers."""
    families = text_string_to_metric_families(metrics().render().body.decode())
    gauges = {family.name for family in families if family.type == "gauge"}
    rules = (merge.SUMS, merge.HIGHEST, merge.LOWEST, merge.FARTHEST)
    assert gauges == frozenset.union(*rules)
    assert sum(map(len, rules)) == len(gauges)


def test_one_worker_alone_is_shown_as_it_is() -> None:
    """Merging neither loses nor renames a series: text in, the same text out."""
    one = metrics()
    one.request_served(method="PUT", outcome="ok", seconds=0.02)
    with one.backend_request("pbx", "voipnow", "mute") as outcome:
        outcome.set("ok")
    text = one.render().body
    assert read(text.decode()).render() == text
    assert merged([read(text.decode())]).render() == text


def test_what_was_counted_is_added_up() -> None:
    """Requests, their times and buckets are those of all workers."""
    one, other = metrics(), metrics()
    one.request_served(method="PUT", outcome="ok", seconds=0.02)
    other.request_served(method="PUT", outcome="ok", seconds=0.4)
    other.request_served(method="GET", outcome="ok", seconds=0.4)
    other.auth_denied(reason=next(iter(Reason)))
    whole = merged([counted(one), counted(other)])
    assert value(whole, "redaction_requests_total", method="PUT", outcome="ok") == 2
    assert value(whole, "redaction_requests_total", method="GET", outcome="ok") == 1
    assert value(whole, "redaction_request_seconds_sum", method="PUT") == pytest.approx(0.42)
    assert value(whole, "redaction_request_seconds_bucket", method="PUT", le="0.025") == 1
    assert value(whole, "redaction_request_seconds_bucket", method="PUT", le="+Inf") == 2


def test_of_each_gauge_it_is_the_sum_or_the_worst() -> None:
    """Open redactions are each worker's own; a store that one cannot reach, or a circuit that is open at one, is an
    alarm."""
    one, other = metrics(), metrics()
    for each, age, up in ((one, 5.0, True), (other, 70.0, False)):
        each.open_redactions(
            {RecorderState.MUTED: 3}, oldest_open_seconds=age, oldest_unprotected_seconds=0.0, forgotten=1
        )
        each.store(is_up=up)
        each.circuit("pbx", is_open=not up)
        each.sealed(age)
    whole = merged([counted(one), counted(other)])
    assert value(whole, "redaction_open", state="muted") == 6
    assert value(whole, "redaction_forgotten") == 2
    assert value(whole, "redaction_oldest_open_seconds") == 70
    assert value(whole, "store_up") == 0
    assert value(whole, "backend_circuit_open", backend="pbx") == 1
    assert value(whole, "audit_last_seal_timestamp_seconds") == 70
    assert value(whole, "build_info", version="1") == 1


def test_of_a_worker_that_is_gone_only_what_it_counted_stays() -> None:
    """A counter never goes back, or Prometheus would count what the others have once more; a state dies with its
    worker."""
    gone = metrics()
    gone.request_served(method="PUT", outcome="ok", seconds=0.02)
    gone.store(is_up=False)
    lasting = counted(gone).lasting()
    assert value(lasting, "redaction_requests_total", method="PUT", outcome="ok") == 1
    assert value(lasting, "redaction_request_seconds_count", method="PUT") == 1
    assert not any(name in {"store_up", "redaction_open"} for name, _ in lasting.series)
    now = metrics()
    now.store(is_up=True)
    now.request_served(method="PUT", outcome="ok", seconds=0.02)
    whole = merged([lasting, counted(now)])
    assert value(whole, "redaction_requests_total", method="PUT", outcome="ok") == 2
    assert value(whole, "store_up") == 1


def test_an_unknown_gauge_is_not_guessed_at() -> None:
    """Added up or not, it could hide an alarm."""
    with pytest.raises(KeyError, match="odd"):
        merged([read("# TYPE odd gauge\nodd 1.0\n")])
