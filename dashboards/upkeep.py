"""The engineer's lower rows: who is let in, what is in use and what expires; and the processes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards.parts import BAD, WARY, WELL, Query, lines, number, ours

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

FEW_DAYS = ((None, BAD), (2 * 86_400, WARY), (14 * 86_400, WELL))
YES_NO = {"1": ("yes", WELL), "0": ("no", BAD)}


def access(made: Dashboard) -> None:
    made.with_row(Row("Access and configuration"))
    made.with_panel(
        lines(
            "Callers not let in, in ten minutes",
            "By why. Ten that are strangers raise an alert.",
            Query(expr=f"sum by (reason) (increase({ours('auth_denied_total')}[10m])) > 0", legend="{{reason}}"),
            unit="short",
            steps=((None, WELL), (10, BAD)),
            span=12,
        )
    )
    made.with_panel(
        number(
            "Card numbers, last day",
            "Requests that held one where none belongs. They were refused, and each is an entry.",
            Query(expr=f"sum(increase({ours('card_numbers_found_total')}[1d]))", legend="found"),
            unit="short",
            steps=((None, WELL), (0.5, WARY)),
            decimals=0,
            span=6,
            height=8,
        )
    )
    made.with_panel(
        number(
            "First client without a key in",
            "No data: no key that expires.",
            Query(expr=f"(min({ours('keys_expire_timestamp_seconds')}) < +Inf) - time()", legend="left"),
            unit="s",
            steps=FEW_DAYS,
            empty="never",
            span=6,
            height=8,
        )
    )
    made.with_panel(
        number(
            "Certificates expire in",
            "By the setting that names the file. Below zero: expired, or not readable.",
            Query(
                expr=f"min by (certificate) ({ours('certificate_expires_timestamp_seconds')}) - time()",
                legend="{{certificate}}",
            ),
            unit="s",
            steps=FEW_DAYS,
            empty="none configured",
            span=12,
        )
    )
    made.with_panel(
        number(
            "In use is what is on disk",
            "No: the last good configuration, certificates or issuer's keys go on being used.",
            Query(expr=f"min({ours('configuration_valid')})", legend="configuration"),
            Query(expr=f"min({ours('certificates_fresh')})", legend="certificates"),
            Query(expr=f"min({ours('token_keys_fresh')})", legend="token keys"),
            unit="none",
            words=YES_NO,
            span=12,
        )
    )


def process(made: Dashboard) -> None:
    made.with_row(Row("Processes"))
    made.with_panel(
        number(
            "Gateways that answer",
            "Targets of the job that were scraped, and those that could not be.",
            Query(expr=f"sum({ours('up')})", legend="up"),
            Query(expr=f"count({ours('up')}) - sum({ours('up')})", legend="down"),
            unit="short",
            span=6,
        )
    )
    made.with_panel(
        number(
            "Version",
            "More than one while a roll-out is under way.",
            Query(expr=f"count by (version) ({ours('build_info')})", legend="{{version}}"),
            unit="short",
            span=6,
        )
    )
    made.with_panel(
        number(
            "Youngest process",
            "Since the last start of any gateway.",
            Query(expr=f"time() - max({ours('process_start_time_seconds')})", legend="age"),
            unit="s",
            steps=((None, WARY), (300, WELL)),
            decimals=0,
            span=6,
        )
    )
    made.with_panel(
        number(
            "Files open, of those allowed",
            "Of the gateway nearest to its limit.",
            Query(expr=f"max({ours('process_open_fds')} / {ours('process_max_fds')})", legend="share"),
            unit="percentunit",
            steps=((None, WELL), (0.5, WARY), (0.8, BAD)),
            span=6,
        )
    )
    made.with_panel(
        lines(
            "Processor",
            "Cores used, by gateway. One process uses one at most.",
            Query(expr=f"rate({ours('process_cpu_seconds_total')}[$__rate_interval])", legend="{{instance}}"),
            unit="short",
            steps=((None, WELL), (0.7, WARY), (0.9, BAD)),
            span=12,
        )
    )
    made.with_panel(
        lines(
            "Memory",
            "Resident, by gateway.",
            Query(expr=ours("process_resident_memory_bytes"), legend="{{instance}}"),
            unit="bytes",
            span=12,
        )
    )
