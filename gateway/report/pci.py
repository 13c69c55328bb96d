"""The rows of PCI DSS v4.0.1 that bear on the gateway, each with what this report has to say about it.

In our own words; whoever assesses has the standard at hand. A row says what was seen, never that a duty is met.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.report.words import brief, number, share, time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.report.paper import Paper

_SKEW_MS = 1_000


class Sign(enum.StrEnum):
    """How to read the evidence."""

    SHOWN = "shown"  # and nothing in it that asks for a second look
    LOOK = "look"  # something that an assessor will ask about
    ELSEWHERE = "elsewhere"  # the trail cannot show it


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`places` are the sections of the page that have the evidence, as (anchor, heading)."""

    number: str
    duty: str
    evidence: str
    sign: Sign
    places: tuple[tuple[str, str], ...] = ()


def rows(paper: Paper) -> list[Row]:
    makers = (_mute, _stored, _encrypted, _set_up, _allowed, _identified, _guessing, _written, _kept_whole)
    return [make(paper) for make in (*makers, _retained, _clocks, _controls, _software, _found)]


def _sign(*, look: bool) -> Sign:
    return Sign.LOOK if look else Sign.SHOWN


def _mute(paper: Paper) -> Row:
    automated = next(one.whole for one in paper.triggers if one.name == "automated")
    return Row(
        number="3.3.1",
        duty="The card verification code is not kept: recording is silent before it is spoken, and “protected” is "
        "said only when every recorder is proven silent.",
        evidence=f"{number(paper.proven)} of {number(paper.mutes)} mutes were proven "
        f"({share(paper.proven, paper.mutes)}), {number(paper.late)} of them late; {number(paper.unproven)} were not. "
        f"{number(automated)} were automated. "
        f"Silence was proven for {_proven_time(paper)} of the time for which it was wanted. "
        f"{number(paper.figures.drifts.count)} recordings were resumed by others.",
        sign=_sign(look=bool(paper.late or paper.unproven or paper.figures.drifts.count)),
        places=(
            ("mutes", "Mutes"),
            ("exposure", "Exposure"),
            ("troubles", "Failed and late mutes"),
            ("drift", "Drift"),
        ),
    )


def _proven_time(paper: Paper) -> str:
    figures = paper.figures
    return share(figures.wanted_ms - figures.unproven_ms, figures.wanted_ms)


def _stored(paper: Paper) -> Row:
    return Row(
        number="3.2.1, 3.4.1",
        duty="No card data is kept: there is no field for it, and numbers that look like one are masked.",
        evidence=f"All {number(paper.source.counted)} entries that were read have the closed set of fields, none of "
        "which takes free text. Whatever looks like a card number is masked in this file.",
        sign=Sign.SHOWN,
        places=(("method", "How this was made"),),
    )


def _encrypted(paper: Paper) -> Row:
    facts = paper.facts
    ends = "ends in the gateway" if facts.tls else "is left to what stands in front of the gateway"
    return Row(
        number="4.2.1",
        duty="TLS 1.2 or later both ways; plain http to a vendor only where the configuration says so.",
        evidence=f"Configuration: TLS of callers {ends}. Without TLS to the vendor: {_listed(facts.plaintext)}.",
        sign=_sign(look=bool(facts.plaintext)),
    )


def _set_up(paper: Paper) -> Row:
    facts = paper.facts
    words = (
        "production: unsafe settings are refused at start" if facts.production else "development: NOT for real calls"
    )
    trusted = f" Backends whose bare yes is trusted: {_listed(facts.accepted)}."
    return Row(
        number="2.2, 6.5",
        duty="Nothing unsafe by default: an administrative port apart, no built-in keys, unsafe settings refused.",
        evidence=f"Configuration: {words}.{trusted}",
        sign=_sign(look=not facts.production or bool(facts.accepted)),
    )


def _allowed(paper: Paper) -> Row:
    refused = paper.figures.access.denied["forbidden"]
    return Row(
        number="7.2, 7.3",
        duty="Access by need: each application has scopes and a tenant, everything else is denied.",
        evidence=f"{number(paper.facts.clients)} applications are configured, each with its scopes; "
        f"{number(refused)} requests were refused for lack of a scope.",
        sign=Sign.SHOWN,
        places=(("keys", "Keys"), ("denied", "Denied access")),
    )


def _identified(paper: Paper) -> Row:
    access = paper.figures.access
    return Row(
        number="8.2, 8.6",
        duty="Every action has its application and, where there is one, its person; keys expire and are replaced.",
        evidence=f"{number(len(paper.holders))} keys; {number(access.named)} entries name one of "
        f"{number(len(access.persons))} persons, {number(access.nameless)} name an application only. "
        f"{number(paper.facts.persons_required)} applications must name a person. "
        f"{number(_endless(paper))} working keys never expire.",
        sign=_sign(look=bool(_endless(paper))),
        places=(("keys", "Keys"),),
    )


def _endless(paper: Paper) -> int:
    return sum(one.works == "yes" and one.expires_at is None for one in paper.holders)


def _guessing(paper: Paper) -> Row:
    throttled = paper.figures.access.denied["throttled"]
    return Row(
        number="8.3.4",
        duty="Guessing is throttled by its source; a good key is never locked out.",
        evidence=f"{number(paper.denied)} requests were denied, {number(throttled)} of them by the throttle. "
        f"{number(paper.figures.access.refused.total())} more were no requests.",
        sign=_sign(look=bool(throttled)),
        places=(("denied", "Denied access"),),
    )


def _written(paper: Paper) -> Row:
    kinds = len(paper.figures.types)
    return Row(
        number="10.2.1, 10.2.2",
        duty="Every action, denial, change of keys and configuration, reading of the trail, start and stop is written "
        "down: who, what, when, from where, on what, and whether it succeeded.",
        evidence=f"{number(paper.figures.entries)} entries of {number(kinds)} kinds, "
        f"{number(paper.figures.access.changes.count)} of them about keys, configuration and the trail itself.",
        sign=Sign.SHOWN,
        places=(("entries", "Entries"), ("changes", "Changes")),
    )


def _kept_whole(paper: Paper) -> Row:
    verdict = paper.source.verdict
    said = "nothing was found wrong" if verdict.whole else f"{number(verdict.wrong)} findings"
    return Row(
        number="10.3",
        duty="The trail cannot be changed unnoticed, not even by whoever administers the store.",
        evidence=f"{number(verdict.entries)} entries and {number(verdict.checkpoints)} checkpoints were verified for "
        f"this report: {said}.",
        sign=_sign(look=not verdict.whole),
        places=(("verification", "Verification"),),
    )


def _retained(paper: Paper) -> Row:
    return Row(
        number="10.5.1",
        duty="The trail is kept for twelve months, the newest three at hand.",
        evidence=f"Entries in this report: {time(paper.figures.first)} to {time(paper.figures.last)}. "
        f"Configured to be kept: {paper.facts.retention_days} days.",
        sign=_sign(look=paper.facts.retention_days < 365),  # noqa: PLR2004 -- twelve months
    )


def _clocks(paper: Paper) -> Row:
    skew = paper.figures.controls.skew_ms
    return Row(
        number="10.6",
        duty="Clocks agree: each entry has the store's time and the node's.",
        evidence=f"The clocks of node and store were at most {brief(skew)} apart, the way between them included.",
        sign=_sign(look=skew > _SKEW_MS),
        places=(("controls", "Control failures"),),
    )


def _controls(paper: Paper) -> Row:
    failures = paper.figures.controls.failures
    still = sum(one.span.end is None for one in failures)
    return Row(
        number="10.7",
        duty="A control that fails is detected, alerted, and written down with start, end and cause.",
        evidence=f"{number(len(failures))} failures, {number(still)} of them without a known end.",
        sign=_sign(look=bool(failures)),
        places=(("controls", "Control failures"),),
    )


def _software(paper: Paper) -> Row:
    return Row(
        number="6.2, 6.3",
        duty="Known software: locked dependencies with hashes, a component list, a threat model.",
        evidence=f"Written by redaction-gateway {paper.source.version}. The rest stands in the release itself.",
        sign=Sign.ELSEWHERE,
    )


def _found(paper: Paper) -> Row:
    cards, where = paper.figures.access.cards, sorted(paper.figures.access.card_fields)
    fields = f"; in: {_listed(where)}" if where else ""
    return Row(
        number="12.10.7",
        duty="A card number found where none belongs is masked, counted and written down.",
        evidence=f"Found {number(cards.total())} times in requests; sent by: {_listed([*cards])}{fields}.",
        sign=_sign(look=bool(cards)),
        places=(("entries", "Entries"),),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
