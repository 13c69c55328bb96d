"""For whoever repairs it: requests, vendors, the store, the trail, access, the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards import upkeep
from dashboards.parts import (
    BAD,
    WARY,
    WELL,
    Query,
    backend_variable,
    backends,
    board,
    lines,
    number,
    ours,
    quantile,
    rate,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

REQUESTS = ours("redaction_requests_total")
OPERATIONS = backends("backend_requests_total")
NO_YES = {"0": ("no", WELL), "1": ("yes", BAD)}


def dashboard() -> Dashboard:
    made = board(
        uid="redaction-engineer",
        title="Redaction: the gateway inside",
        text="Rate, errors and duration of requests and of every vendor; store, trail, access, process.",
        other=("redaction-floor", "Are we protected now?"),
    ).with_variable(backend_variable())
    _requests(made)
    _vendors(made)
    _store(made)
    _trail(made)
    upkeep.access(made)
    upkeep.process(made)
    return made


def _requests(made: Dashboard) -> None:
    made.with_row(Row("Requests of clients"))
    made.with_panel(
        lines(
            "Requests by method",
            "PUT mutes, DELETE unmutes, GET shows, POST is a command.",
            Query(expr=rate(REQUESTS, "method"), legend="{{method}}"),
            unit="reqps",
        )
    )
    made.with_panel(
        lines(
            "Problems by method and code",
            "Everything but ok and pending; the codes are in the README.",
            Query(
                expr=rate(ours("redaction_requests_total", 'outcome!~"ok|pending"'), "method, outcome"),
                legend="{{method}} {{outcome}}",
            ),
            unit="reqps",
        )
    )
    made.with_panel(
        lines(
            "Duration by method, 99 of a hundred",
            "A request has policy.deadline_seconds (2.5 s unless configured otherwise).",
            Query(expr=quantile(0.99, ours("redaction_request_seconds_bucket"), "method"), legend="{{method}}"),
            unit="s",
            steps=((None, WELL), (1.5, WARY), (2.5, BAD)),
        )
    )


def _vendors(made: Dashboard) -> None:
    made.with_row(Row("Vendors"))
    made.with_panel(
        lines(
            "Operations by recorder and action",
            "Commands, and looks (observe) while redactions are open.",
            Query(expr=rate(OPERATIONS, "backend, vendor, action"), legend="{{backend}} ({{vendor}}) {{action}}"),
            unit="ops",
        )
    )
    made.with_panel(
        lines(
            "Operations that went wrong",
            "By what went wrong, as in the recorder's error of an answer.",
            Query(
                expr=rate(backends("backend_requests_total", 'outcome!="ok"'), "backend, action, outcome"),
                legend="{{backend}} {{action}} {{outcome}}",
            ),
            unit="ops",
        )
    )
    made.with_panel(
        lines(
            "Duration by recorder and action, 99 of a hundred",
            "What a mute takes at a vendor is most of what a client waits for.",
            Query(
                expr=quantile(0.99, backends("backend_request_seconds_bucket"), "backend, action"),
                legend="{{backend}} {{action}}",
            ),
            unit="s",
            steps=((None, WELL), (1.0, WARY), (2.5, BAD)),
        )
    )
    made.with_panel(
        lines(
            "Circuits",
            "1 while nobody waits for the recorder: it did not answer five times in a row.",
            Query(expr=f"max by (backend) ({backends('backend_circuit_open')})", legend="{{backend}}"),
            unit="none",
            steps=((None, WELL), (1, BAD)),
            most=1,
            span=12,
        )
    )
    made.with_panel(
        number(
            "Without TLS",
            "Recorders and a store that plaintext: true was configured for.",
            Query(expr=f"max by (backend) ({backends('backend_plaintext')})", legend="{{backend}}"),
            Query(expr=f"max({ours('store_plaintext')})", legend="store"),
            unit="none",
            words=NO_YES,
            span=12,
            height=8,
        )
    )


def _store(made: Dashboard) -> None:
    made.with_row(Row("Store"))
    made.with_panel(
        lines(
            "Store answers",
            "By gateway. 0: mutes go by the journal, unmutes are refused.",
            Query(expr=ours("store_up"), legend="{{instance}}"),
            unit="none",
            steps=((None, BAD), (1, WELL)),
            most=1,
            span=6,
        )
    )
    made.with_panel(
        lines(
            "Store commands",
            "How many a second.",
            Query(expr=f"sum(rate({ours('store_request_seconds_count')}[$__rate_interval]))", legend="commands"),
            unit="ops",
            span=6,
        )
    )
    made.with_panel(
        lines(
            "Duration of store commands",
            "A mute waits for 150 ms at most, then goes on without.",
            *(
                Query(expr=quantile(share, ours("store_request_seconds_bucket")), legend=f"{share:.0%}")
                for share in (0.5, 0.95, 0.99)
            ),
            unit="s",
            steps=((None, WELL), (0.1, WARY), (0.15, BAD)),
            span=6,
        )
    )
    made.with_panel(
        lines(
            "Clock apart from the store's",
            "Whichever is ahead. Over a second the times of entries contradict each other.",
            Query(expr=f"abs({ours('store_clock_skew_seconds')})", legend="{{instance}}"),
            unit="s",
            steps=((None, WELL), (1, BAD)),
            span=6,
        )
    )


def _trail(made: Dashboard) -> None:
    made.with_row(Row("Trail"))
    made.with_panel(
        lines(
            "Devices up",
            "Both the store and each gateway's journal have to take entries.",
            Query(expr=ours("audit_device_up"), legend="{{instance}} {{device}}"),
            unit="none",
            steps=((None, BAD), (1, WELL)),
            most=1,
        )
    )
    made.with_panel(
        lines(
            "Entries",
            "Written, healed (late, after an outage) and failed, by device.",
            Query(expr=rate(ours("audit_entries_total"), "device, outcome"), legend="{{device}} {{outcome}}"),
            unit="ops",
        )
    )
    made.with_panel(
        lines(
            "Entries that one device lacks",
            "It goes back to 0 when both are up again.",
            Query(expr=ours("audit_gap_entries"), legend="{{instance}}"),
            unit="short",
            steps=((None, WELL), (1, WARY)),
        )
    )
    made.with_panel(
        number(
            "Age of the newest seal",
            "One a minute at least.",
            Query(expr=f"time() - max({ours('audit_last_seal_timestamp_seconds')})", legend="age"),
            unit="s",
            steps=((None, WELL), (75, WARY), (100, BAD)),
            decimals=0,
            span=12,
        )
    )
    made.with_panel(
        number(
            "Found to be not whole",
            "Yes: preserve what is there before anything is repaired, see the runbook.",
            Query(expr=f"max({ours('audit_verification_failed')})", legend="failed"),
            unit="none",
            words=NO_YES,
            span=12,
        )
    )
