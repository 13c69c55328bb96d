"""Who takes part in a run, and how calls are named."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import CallKey, Origin, PartialTarget, Principal, Where
from gateway.store.contract import bucket

BUCKETS = 2  # the reconciler walks through these only
LITTLE = 2  # so that it walks both ways
SKEW_MS = 90  # how far a pod's clock may be from the store's


def _names(word: str, count: int) -> list[str]:
    """Call ids that fall into the few buckets that are walked through."""
    found = (f"{word}{n}" for n in range(10_000))
    fit = (n for n in found if all(bucket(CallKey(tenant=t, call_id=n)) < BUCKETS for t in ("acme", "umbrella")))
    return [name for name, _ in zip(fit, range(count), strict=False)]


CALLS = _names("call", 2)
ALIASES = _names("alias", 2)  # other names of the first call: one by its id at the recorders, one by its extension


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    tenant: str
    name: str

    def origin(self) -> Origin:
        return Origin(principal=Principal(client=self.name, tenant=self.tenant, kid="k0000000"), request_id="request-1")


CLIENTS = (Client(tenant="acme", name="crm"), Client(tenant="acme", name="ivr"), Client(tenant="umbrella", name="crm"))

THE_CALL = CallKey(tenant=CLIENTS[0].tenant, call_id=CALLS[0])


def where(name: str, call: str, decks: tuple[str, ...]) -> Where:
    """How a request with this name in its path says which call it means."""
    if name not in ALIASES:
        return Where()
    if name == ALIASES[1]:
        return Where(extension=f"ext-{call}")
    return Where(targets={deck: PartialTarget(call_id=call) for deck in decks})
