"""What one setting says about another: checked on the raw tree, so that a fault elsewhere hides none of these."""

from __future__ import annotations

import base64
import binascii
from itertools import chain
from typing import TYPE_CHECKING

from gateway.trees import items, mapping, text
from gateway.unsafe import unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.sources import Fault, Tree

_FEWEST_DISTINCT_BYTES = 8  # 32 random bytes with fewer: once in 10^39
_AUDIT_KEYS = ("hmac_key", "signing_key", "pepper")


def broken(tree: Tree) -> Iterator[Fault]:
    """Every rule that `tree` breaks. Parts of the wrong shape are passed over: the model refuses them."""
    always = (_routes(tree), _tokens(tree), _kids(tree), _certificates(tree))
    return chain(*always, *(() if development(tree) else (_audit(tree), unsafe(tree))))


def development(tree: Tree) -> bool:
    return tree.get("environment") == "development"


def _routes(tree: Tree) -> Iterator[Fault]:
    clients = mapping(tree.get("clients"))
    tenants = {text(mapping(client).get("tenant")) for client in clients.values()}
    for index, route in enumerate(items(tree.get("routes"))):
        where, match = f"routes.{index}", mapping(mapping(route).get("match"))
        yield from _routed(f"{where}.backends", mapping(route).get("backends"), mapping(tree.get("backends")))
        if text(match.get("client")) not in {None, *clients}:
            yield f"{where}.match.client", "is not a configured client"
        if text(match.get("tenant")) not in {None, *tenants}:
            yield f"{where}.match.tenant", "is no configured client's tenant"


def _routed(where: str, names: object, backends: Tree) -> Iterator[Fault]:
    seen = set()
    for index, name in enumerate(map(text, items(names))):
        if backends and name not in {None, *backends}:
            yield f"{where}.{index}", "is not a configured backend"
        elif name in seen:
            yield f"{where}.{index}", "is there twice"
        seen.add(name)
        seen.discard(None)


def _tokens(tree: Tree) -> Iterator[Fault]:
    for name, client in mapping(tree.get("clients")).items():
        if mapping(client).get("token") == "required" and not tree.get("tokens"):
            yield f"clients.{name}.token", "needs the section tokens"


def _certificates(tree: Tree) -> Iterator[Fault]:
    demanded = mapping(mapping(tree.get("listen")).get("tls")).get("client_ca")
    for name, client in mapping(tree.get("clients")).items():
        if mapping(client).get("certificates") and not demanded:
            yield f"clients.{name}.certificates", "needs listen.tls.client_ca: nobody shows a certificate otherwise"


def _kids(tree: Tree) -> Iterator[Fault]:
    seen = set()
    for name, client in mapping(tree.get("clients")).items():
        for index, key in enumerate(items(mapping(client).get("keys"))):
            kid = text(mapping(key).get("kid"))
            if kid in seen:
                yield f"clients.{name}.keys.{index}.kid", "is there twice"
            seen.add(kid)
            seen.discard(None)


def _audit(tree: Tree) -> Iterator[Fault]:
    seen = set()
    for name in _AUDIT_KEYS:
        value = mapping(tree.get("audit")).get(name)
        key = text(value)
        if value is None:
            yield f"audit.{name}", "is required in production"
        elif key is not None and _is_guessable(key):
            yield f"audit.{name}", "must be random"
        elif key in seen:
            yield f"audit.{name}", "must differ from the other keys"
        seen.add(key)
        seen.discard(None)


def _is_guessable(key: str) -> bool:
    """Zeroes, a repeated letter, a keyboard pattern. Not base64 at all is the model's to say."""
    try:
        return len(set(base64.b64decode(key, validate=True))) < _FEWEST_DISTINCT_BYTES
    except (binascii.Error, ValueError):
        return False
