"""What production must not start with, though each setting by itself could be meant: checked on the raw tree, so that
a fault elsewhere hides none of these."""

from __future__ import annotations

import stat
from ipaddress import IPv6Network, ip_address, ip_network
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from gateway.addresses import allowed
from gateway.backends.settings import is_loopback
from gateway.store import address
from gateway.trees import items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.addresses import Network
    from gateway.sources import Fault, Tree

# No operator's own network is wider: 10.0.0.0/8 and fc00::/7.
_WIDEST, _WIDEST_IPV6 = 8, 7


def unsafe(tree: Tree) -> Iterator[Fault]:
    """Every unsafe setting in `tree`. Parts of the wrong shape are passed over: the model refuses them."""
    return chain(_proxies(tree), _store(tree), _hosts(tree), _networks(tree), _private_keys(tree), _hashes(tree))


def _proxies(tree: Tree) -> Iterator[Fault]:
    """Whoever may write `X-Forwarded-For` chooses what the trail says about where a request came from."""
    for index in _wide(mapping(tree.get("listen")).get("trusted_proxies")):
        yield f"listen.trusted_proxies.{index}", "trusts strangers: name the networks of your own proxies"


def _networks(tree: Tree) -> Iterator[Fault]:
    for name, backend in mapping(tree.get("backends")).items():
        for index in _wide(mapping(backend).get("allowed_networks")):
            yield f"backends.{name}.allowed_networks.{index}", "allows nearly every address: name the vendor's networks"


def _wide(networks: object) -> Iterator[int]:
    for index, written in enumerate(items(networks)):
        network = _network(written)
        if network is not None and network.prefixlen < (_WIDEST_IPV6 if isinstance(network, IPv6Network) else _WIDEST):
            yield index


def _network(written: object) -> Network | None:
    try:
        return ip_network(text(written) or "")
    except ValueError:
        return None


def _store(tree: Tree) -> Iterator[Fault]:
    """State and trail of every call go to the store, and whoever reaches it writes them."""
    store = mapping(tree.get("store"))
    found = _address(text(store.get("url")))
    if found is None or all(place.port is None or is_loopback(place.host) for place in found.places):
        return
    if found.access.tls is None and not _yes(store.get("plaintext")):
        yield "store.url", "plain redis is only for this machine: use rediss, or say plaintext: true"
    if found.access.password is None and (found.access.tls is None or found.access.tls.client_certificate is None):
        yield "store.url", "needs a password or a client_certificate: anybody could write the trail"


def _yes(said: object) -> bool:
    """As the model would take it."""
    try:
        return TypeAdapter(bool).validate_python(said)
    except ValueError:
        return False


def _address(url: str | None) -> address.Address | None:
    if url is None or url == "embedded":
        return None
    try:
        return address.parse(url)
    except ValueError:
        return None


def _hosts(tree: Tree) -> Iterator[Fault]:
    for name, backend in mapping(tree.get("backends")).items():
        for field in ("base_url", "calls_base_url"):
            if _gives_credentials(text(mapping(backend).get(field))):
                yield f"backends.{name}.{field}", "is an address that is never spoken to"
    if _gives_credentials(text(mapping(tree.get("tokens")).get("jwks"))):
        yield "tokens.jwks", "is an address that is never spoken to"


def _gives_credentials(url: str | None) -> bool:
    """The connection would be refused: said at once, not at the first mute."""
    try:
        return not allowed(ip_address(urlsplit(url or "").hostname or ""))
    except ValueError:
        return False


def _private_keys(tree: Tree) -> Iterator[Fault]:
    """A certificate's key that others on the machine can read proves nothing."""
    tls = mapping(mapping(tree.get("listen")).get("tls"))
    yield from _readable({"listen.tls.private_key": tls.get("private_key")})
    for name, backend in mapping(tree.get("backends")).items():
        of = mapping(backend)
        yield from _readable({f"backends.{name}.client_key": of.get("client_key")})
        if of.get("client_key") is None:  # then it is in the certificate's file
            yield from _readable({f"backends.{name}.client_certificate": of.get("client_certificate")})


def _readable(files: Tree) -> Iterator[Fault]:
    for where, file in files.items():
        if _mode(text(file)) & stat.S_IROTH:
            yield where, "can be read by everybody on this machine: take that right away (chmod o-r)"


def writable(files: Iterable[Path]) -> Iterator[Fault]:
    """Files that the configuration is read from and that anybody on this machine may change."""
    for file in files:
        if _mode(str(file)) & stat.S_IWOTH:
            yield str(file), "can be written by everybody on this machine: take that right away (chmod o-w)"


def _mode(file: str | None) -> int:
    try:
        return Path(file).stat().st_mode if file else 0
    except OSError:
        return 0


def _hashes(tree: Tree) -> Iterator[Fault]:
    """One secret under two names: neither can be revoked alone."""
    seen: set[str] = set()
    for name, client in mapping(tree.get("clients")).items():
        for index, key in enumerate(items(mapping(client).get("keys"))):
            said = (text(mapping(key).get("hash")) or "").lower()
            if said and said in seen:
                yield f"clients.{name}.keys.{index}.hash", "is there twice"
            seen.add(said)
