"""For whoever watches the floor: are we protected now?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards.parts import (
    BAD,
    NONE_IS_WELL,
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

OPEN = ours("redaction_open")
UNPROTECTED = ours("redaction_oldest_unprotected_seconds")
IN_TIME = ours("redaction_exposure_seconds_bucket", 'le="1.5"')
BEGUN = ours("redaction_begun_total")
ALERTS = 'ALERTS{alertname=~"Redaction.*", alertstate="firing"}'


def dashboard() -> Dashboard:
    made = board(
        uid="redaction-floor",
        title="Redaction: are we protected now?",
        text="Whether calls that must be silent are silent, and how long that took.",
        other=("redaction-engineer", "The gateway inside"),
    ).with_variable(backend_variable())
    _now(made)
    _calls(made)
    _exposure(made)
    _recorders(made)
    return made


def _now(made: Dashboard) -> None:
    made.with_row(Row("Now"))
    made.with_panel(
        number(
            "Protected now?",
            "No: a call that must be silent is not proven so for more than five seconds. Treat it as being recorded.",
            Query(expr=f"max({UNPROTECTED}) > bool 5", legend="protected"),
            unit="none",
            words={"0": ("Yes", WELL), "1": ("No", BAD)},
            empty="No gateway answers",
        )
    )
    made.with_panel(
        number(
            "Oldest unprotected",
            "For how long the oldest open redaction is not proven at every recorder. 0: all are.",
            Query(expr=f"max({UNPROTECTED})", legend="oldest"),
            unit="s",
            steps=((None, WELL), (1.5, WARY), (5, BAD)),
        )
    )
    made.with_panel(
        number(
            "Unprotected, last hour",
            "Seconds that recorders were wanted silent and not proven so. The moments of every mute are in it: "
            "it grows with the calls.",
            Query(expr=f"sum(increase({backends('redaction_unprotected_seconds_total')}[1h]))", legend="seconds"),
            unit="s",
        )
    )
    made.with_panel(
        number(
            "Open redactions",
            "Calls whose recordings must be silent now.",
            Query(expr=f"sum({OPEN})", legend="open"),
            unit="short",
        )
    )
    made.with_panel(
        number(
            "Oldest open",
            "The age of the oldest open redaction; a card is read out in a minute or two.",
            Query(expr=f"max({ours('redaction_oldest_open_seconds')})", legend="oldest"),
            unit="s",
            steps=((None, WELL), (300, WARY), (900, BAD)),
        )
    )
    made.with_panel(
        number(
            "Alerts that fire",
            "Each has a runbook in docs/runbooks.",
            Query(expr=f"sum by (alertname) ({ALERTS})", legend="{{alertname}}"),
            unit="short",
            steps=NONE_IS_WELL,
            empty="None",
        )
    )


def _calls(made: Dashboard) -> None:
    made.with_row(Row("Calls"))
    made.with_panel(
        lines(
            "Open redactions by state",
            "What is not muted is being recorded, or nobody knows.",
            Query(expr=f"sum by (state) ({OPEN})", legend="{{state}}"),
            unit="short",
            stacked=True,
        )
    )
    made.with_panel(
        lines(
            "Calls not proven silent, by recorder",
            "How many calls at a time were wanted silent and not proven so. It goes back to 0 after every mute.",
            Query(expr=rate(backends("redaction_unprotected_seconds_total"), "backend"), legend="{{backend}}"),
            unit="short",
        )
    )
    made.with_panel(
        lines(
            "Redactions begun, and forgotten",
            "Redactions that begin in a minute, and open ones that nobody has ended for too long.",
            Query(expr=f"60 * sum(rate({BEGUN}[$__rate_interval]))", legend="begun in a minute"),
            Query(expr=f"sum({ours('redaction_forgotten')})", legend="forgotten"),
            unit="short",
        )
    )


def _exposure(made: Dashboard) -> None:
    made.with_row(Row("How long until protected"))
    share = f"sum(increase({IN_TIME}[%s])) / sum(increase({BEGUN}[%s]))"
    made.with_panel(
        number(
            "Protected within 1.5 s, 30 days",
            "The objective is 99.9 % of the redactions; what never became protected counts as late.",
            Query(expr=share % ("30d", "30d"), legend="share"),
            unit="percentunit",
            steps=((None, BAD), (0.999, WELL)),
            decimals=3,
            span=6,
        )
    )
    made.with_panel(
        number(
            "Late, last hour",
            "Redactions of the last hour that were not protected within 1.5 s.",
            Query(expr=f"clamp_min(sum(increase({BEGUN}[1h])) - sum(increase({IN_TIME}[1h])), 0)", legend="late"),
            unit="short",
            steps=((None, WELL), (0.5, WARY), (3, BAD)),
            decimals=0,
            span=6,
        )
    )
    made.with_panel(
        number(
            "Half of the calls within, by vendor",
            "From asked to proven at one recorder, the last hour.",
            Query(expr=_by_vendor(0.5, "1h"), legend="{{vendor}}"),
            unit="s",
            steps=((None, WELL), (0.75, WARY), (1.5, BAD)),
            span=12,
        )
    )
    made.with_panel(
        lines(
            "Exposure",
            "From asked to protected at every recorder: half of the calls, 95 and 99 of a hundred.",
            *(
                Query(expr=quantile(share, ours("redaction_exposure_seconds_bucket")), legend=f"{share:.0%}")
                for share in (0.5, 0.95, 0.99)
            ),
            unit="s",
            steps=((None, WELL), (1.5, BAD)),
        )
    )
    made.with_panel(
        lines(
            "Exposure, 95 of a hundred, by vendor",
            "From asked to proven at one recorder. The slowest one decides when a call is protected.",
            Query(expr=_by_vendor(0.95, "$__rate_interval"), legend="{{vendor}}"),
            unit="s",
            steps=((None, WELL), (1.5, BAD)),
        )
    )
    made.with_panel(
        lines(
            "Exposure, 99 of a hundred, by vendor",
            "As beside, for the calls that took longest.",
            Query(expr=_by_vendor(0.99, "$__rate_interval"), legend="{{vendor}}"),
            unit="s",
            steps=((None, WELL), (1.5, BAD)),
        )
    )


def _by_vendor(share: float, window: str) -> str:
    return quantile(share, backends("recorder_exposure_seconds_bucket"), "vendor").replace("$__rate_interval", window)


def _recorders(made: Dashboard) -> None:
    made.with_row(Row("Recorders"))
    made.with_panel(
        number(
            "Reachable",
            "No: mutes are tried, and answered as not protected at once.",
            Query(expr=f"max by (backend) ({backends('backend_circuit_open')})", legend="{{backend}}"),
            unit="none",
            words={"0": ("Yes", WELL), "1": ("No", BAD)},
            span=12,
        )
    )
    made.with_panel(
        number(
            "Resumed by others, last hour",
            "Recordings that somebody else switched on while they had to be silent. Each was muted again.",
            Query(expr=f"sum by (backend) (increase({backends('redaction_drift_total')}[1h]))", legend="{{backend}}"),
            unit="short",
            steps=((None, WELL), (0.5, BAD)),
            decimals=0,
            span=12,
        )
    )
