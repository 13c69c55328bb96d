"""When each alert fires and when it must not: series as `promtool test rules` takes them, a sample every 15 s (the
objective's: every two minutes)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Series = dict[str, str]

HERE = 'job="redaction-gateway",namespace="desk"'
DAY = 86_400
LATE = 'redaction_exposure_seconds_bucket{le="1.5",%s}'
BEGUN = "redaction_begun_total{%s}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """With `fires` the alert is firing `at`, with exactly these labels. `quiet`: near misses, by what they are; with
    each it is not firing `at`, or ever before. `ended`: it fires before, and not `at`."""

    alert: str
    severity: str
    fires: Series
    quiet: Mapping[str, Series]
    at: str = "2m"
    labels: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, Series] = field(default_factory=dict)
    step: str = "15s"


def gauge(name: str, values: str, labels: str = "") -> Series:
    """One series of one pod."""
    return {f'{name}{{{HERE},instance="a"{labels}}}': values}


def burn(late: str, begun: str) -> Series:
    return {LATE % HERE: late, BEGUN % HERE: begun}


def slow(quick: str, every: str) -> Series:
    """Commands within 0.1 s, and all: within 0.15 s."""
    bounds = {"0.1": quick, "0.15": every, "+Inf": every}
    return {f'store_request_seconds_bucket{{{HERE},le="{bound}"}}': values for bound, values in bounds.items()}


def exposed(every: str, quick: str) -> Series:
    """Mutes of one pod, all of them and those within five seconds."""
    return {
        **gauge("redaction_exposure_seconds_count", every),
        **gauge("redaction_exposure_seconds_bucket", quick, ',le="5.0"'),
    }


def pods(available: str) -> Series:
    """Of three."""
    which = 'namespace="desk",statefulset="eu-redaction-gateway"'
    return {
        f"kube_statefulset_status_replicas_available{{{which}}}": available,
        f"kube_statefulset_replicas{{{which}}}": "3x40",
    }


def deployed(available: str) -> Series:
    """The same without the chart."""
    return {
        name.replace("statefulset_replicas", "statefulset_spec_replicas").replace("statefulset", "deployment"): values
        for name, values in pods(available).items()
    }


CASES = (
    Case(
        alert="RedactionBudgetBurn",
        severity="critical",
        step="2m",
        at="6h10m",
        fires=burn("0+200x155 31196+196x29", "0+200x185"),
        quiet={
            "one in a hundred, for an hour after a good day": burn("0+200x155 31198+198x29", "0+200x185"),
            "two late ones in an hour of few": burn("0+2x183 366 368", "0+2x185"),
            "nobody mutes anything": burn("50x185", "60x185"),
        },
        ended={"over for more than five minutes": burn("0+200x155 31196+196x25 36296+200x3", "0+200x185")},
    ),
    Case(
        alert="RedactionBudgetBurn",
        severity="critical",
        step="2m",
        at="6h10m",
        fires=burn("0+1986x185", "0+2000x185"),
        quiet={"five in a thousand": burn("0+1990x185", "0+2000x185")},
        ended={"over for more than half an hour": burn("0+1986x165 329690+2000x19", "0+2000x185")},
    ),
    Case(
        alert="RedactionBudgetBurn",
        severity="warning",
        step="2m",
        at="3h",
        fires=burn("0+1992x90", "0+2000x90"),
        quiet={
            "as the objective allows": burn("0+19990x90", "0+20000x90"),
            "for less than a quarter of an hour": burn("0+2000x83 167920+1920x6", "0+2000x90"),
        },
    ),
    Case(
        alert="RedactionBudgetBurn",
        severity="warning",
        step="2m",
        at="7h",
        fires=burn("0+1996x210", "0+2000x210"),
        quiet={"as the objective allows": burn("0+19990x210", "0+20000x210")},
    ),
    Case(
        alert="RedactionUnprotected",
        severity="critical",
        at="30s",
        fires=gauge("redaction_oldest_unprotected_seconds", "0 2 5.5"),
        quiet={"five seconds": gauge("redaction_oldest_unprotected_seconds", "0 2 5")},
    ),
    Case(
        alert="RedactionLongExposure",
        severity="warning",
        at="7m",
        fires=exposed("0x20 7x20", "0x20 6x20"),
        quiet={
            "quick ones": exposed("0 0 0 7 7x20", "0 0 0 7 7x20"),
            "long ago, and many quick ones now": exposed("1x4 1001x20", "0x4 1000x20"),
            "a start": exposed("_x4 5x20", "_x4 4x20"),
            "a pod that is new": exposed("9x4 0x20", "3x4 0x20"),
        },
        ended={"over for more than five minutes": exposed("0 0 7x40", "0 0 6x40")},
    ),
    Case(
        alert="RedactionDrift",
        severity="warning",
        labels={"backend": "pbx"},
        fires=gauge("redaction_drift_total", "0 0 0 1 1x20", ',backend="pbx"'),
        quiet={"long ago": gauge("redaction_drift_total", "7x20", ',backend="pbx"')},
    ),
    Case(
        alert="RedactionForgotten",
        severity="warning",
        fires=gauge("redaction_forgotten", "0 0 2x20"),
        quiet={
            "none": gauge("redaction_forgotten", "0x20"),
            "ended within a minute": gauge("redaction_forgotten", "0 0 2 2 2 0x20"),
        },
    ),
    Case(
        alert="RedactionVendorCircuitOpen",
        severity="critical",
        labels={"backend": "pbx"},
        fires=gauge("backend_circuit_open", "0 1x20", ',backend="pbx"'),
        quiet={
            "closed": gauge("backend_circuit_open", "0x20", ',backend="pbx"'),
            "open at one look only": gauge("backend_circuit_open", "0 0 1 0x20", ',backend="pbx"'),
        },
    ),
    Case(
        alert="RedactionTrailDeviceDown",
        severity="critical",
        labels={"instance": "a", "device": "journal"},
        fires=gauge("audit_device_up", "1 0x20", ',device="journal"')
        | gauge("audit_device_up", "1x20", ',device="store"'),
        quiet={
            "both up": gauge("audit_device_up", "1x20", ',device="journal"'),
            "a start": gauge("audit_device_up", "0 1x20", ',device="journal"'),
        },
    ),
    Case(
        alert="RedactionVerificationFailed",
        severity="critical",
        at="15s",
        fires=gauge("audit_verification_failed", "0 1"),
        quiet={"whole": gauge("audit_verification_failed", "0 0")},
    ),
    Case(
        alert="RedactionSealStale",
        severity="critical",
        at="4m",
        fires=gauge("audit_last_seal_timestamp_seconds", "30x30"),
        quiet={
            "one a minute, and another pod's that is old": {
                **gauge("audit_last_seal_timestamp_seconds", "0 0 0 0 60x3 120x3 180x3 240x3"),
                f'audit_last_seal_timestamp_seconds{{{HERE},instance="b"}}': "0x30",
            },
            "a start": gauge("audit_last_seal_timestamp_seconds", "0x7 120x3 180x20"),
        },
    ),
    Case(
        alert="RedactionTrailGap",
        severity="warning",
        at="6m",
        labels={"instance": "a"},
        fires=gauge("audit_gap_entries", "0 7x40"),
        quiet={
            "none": gauge("audit_gap_entries", "0x40"),
            "healed in four minutes": gauge("audit_gap_entries", "0 7x16 0x40"),
        },
    ),
    Case(
        alert="RedactionClockSkew",
        severity="warning",
        labels={"instance": "a"},
        fires=gauge("store_clock_skew_seconds", "0 -1.2x20"),
        quiet={
            "a second": gauge("store_clock_skew_seconds", "0 -1x20"),
            "once": gauge("store_clock_skew_seconds", "0 0 3 0x20"),
        },
    ),
    Case(
        alert="RedactionStoreDown",
        severity="critical",
        labels={"instance": "a"},
        fires=gauge("store_up", "1 0x20"),
        quiet={"up": gauge("store_up", "1x20"), "away for a moment": gauge("store_up", "1 0 1x20")},
    ),
    Case(
        alert="RedactionStoreSlow",
        severity="warning",
        at="20m",
        fires=slow("0+97x80", "0+100x80"),
        quiet={
            "one in two hundred": slow("0+199x80", "0+200x80"),
            "idle": slow("5x80", "9x80"),
            "for a moment": slow("0+100x30 3020+100x49", "0+100x80"),
        },
    ),
    Case(
        alert="RedactionGatewayAbsent",
        severity="critical",
        fires={'up{job="redaction-gateway",instance="a"}': "1 1 0x20"},
        quiet={
            "one of two": {
                'up{job="redaction-gateway",instance="a"}': "1x20",
                'up{job="redaction-gateway",instance="b"}': "0x20",
            },
            "gone for one look": {'up{job="redaction-gateway",instance="a"}': "1 1 0 1x20"},
        },
    ),
    Case(
        alert="RedactionPodDown",
        severity="warning",
        labels={"instance": "a"},
        fires=gauge("up", "1 0x20"),
        quiet={"up": gauge("up", "1x20"), "restarted": gauge("up", "1 0 0 0 1x20")},
    ),
    Case(
        alert="RedactionPodsMissing",
        severity="warning",
        at="8m",
        labels={"namespace": "desk", "statefulset": "eu-redaction-gateway"},
        fires=pods("3 2x40"),
        quiet={
            "all there": pods("3x40"),
            "a roll-out of four minutes": pods("3 2x16 3x40"),
        },
    ),
    Case(
        alert="RedactionPodsMissing",
        severity="warning",
        at="8m",
        labels={"namespace": "desk", "deployment": "eu-redaction-gateway"},
        fires=deployed("3 2x40"),
        quiet={
            "all there": deployed("3x40"),
            "a roll-out of four minutes": deployed("3 2x16 3x40"),
        },
    ),
    Case(
        alert="RedactionManyDenied",
        severity="warning",
        at="12m",
        fires=gauge("auth_denied_total", "0x20 4x40", ',reason="unknown-kid"')
        | gauge("auth_denied_total", "0x20 6x40", ',reason="wrong-secret"'),
        quiet={
            "nine": gauge("auth_denied_total", "0x20 9x40", ',reason="wrong-secret"'),
            "known ones, without the scope": gauge("auth_denied_total", "0x20 50x40", ',reason="forbidden"'),
        },
    ),
    Case(
        alert="RedactionCardNumberFound",
        severity="warning",
        fires=gauge("card_numbers_found_total", "0 0 1x20"),
        quiet={"long ago": gauge("card_numbers_found_total", "3x20")},
    ),
    Case(
        alert="RedactionKeysExpire",
        severity="warning",
        fires=gauge("keys_expire_timestamp_seconds", f"{14 * DAY}x20"),
        quiet={
            "in more than a fortnight": gauge("keys_expire_timestamp_seconds", f"{14 * DAY + 200}x20"),
            "never": gauge("keys_expire_timestamp_seconds", "Inf Inf Inf Inf Inf Inf Inf Inf Inf Inf"),
        },
    ),
    Case(
        alert="RedactionKeysExpire",
        severity="critical",
        fires=gauge("keys_expire_timestamp_seconds", f"{2 * DAY}x20"),
        quiet={"in more than two days": gauge("keys_expire_timestamp_seconds", f"{2 * DAY + 200}x20")},
    ),
    Case(
        alert="RedactionCertificateExpires",
        severity="warning",
        labels={"certificate": "listen.tls.certificate"},
        fires=gauge("certificate_expires_timestamp_seconds", f"{14 * DAY}x20", ',certificate="listen.tls.certificate"'),
        quiet={
            "in more than a fortnight": gauge(
                "certificate_expires_timestamp_seconds", f"{14 * DAY + 200}x20", ',certificate="listen.tls.certificate"'
            )
        },
    ),
    Case(
        alert="RedactionCertificateExpires",
        severity="critical",
        labels={"certificate": "backends.pbx.ca_file"},
        fires=gauge("certificate_expires_timestamp_seconds", "0x20", ',certificate="backends.pbx.ca_file"'),
        quiet={
            "in more than two days": gauge(
                "certificate_expires_timestamp_seconds", f"{2 * DAY + 200}x20", ',certificate="backends.pbx.ca_file"'
            )
        },
    ),
    Case(
        alert="RedactionConfigurationInvalid",
        severity="warning",
        labels={"instance": "a"},
        fires=gauge("configuration_valid", "1 0x20"),
        quiet={"valid": gauge("configuration_valid", "1x20"), "half written": gauge("configuration_valid", "1 0 1x20")},
    ),
    Case(
        alert="RedactionCertificatesStale",
        severity="warning",
        labels={"instance": "a"},
        fires=gauge("certificates_fresh", "1 0x20"),
        quiet={"fresh": gauge("certificates_fresh", "1x20"), "half written": gauge("certificates_fresh", "1 0 1x20")},
    ),
    Case(
        alert="RedactionTokenKeysStale",
        severity="warning",
        at="6m",
        labels={"instance": "a"},
        fires=gauge("token_keys_fresh", "1 0x40"),
        quiet={
            "fresh": gauge("token_keys_fresh", "1x40"),
            "away for four minutes": gauge("token_keys_fresh", "1 0x16 1x40"),
        },
    ),
    Case(
        alert="RedactionPlaintext",
        severity="warning",
        labels={"backend": "pbx"},
        fires=gauge("backend_plaintext", "1x20", ',backend="pbx"') | gauge("store_plaintext", "0x20"),
        quiet={"TLS": gauge("backend_plaintext", "0x20", ',backend="pbx"') | gauge("store_plaintext", "0x20")},
    ),
    Case(
        alert="RedactionPlaintext",
        severity="warning",
        fires=gauge("backend_plaintext", "0x20", ',backend="pbx"') | gauge("store_plaintext", "1x20"),
        quiet={"TLS": gauge("store_plaintext", "0x20")},
    ),
)
