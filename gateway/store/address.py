"""A store's URL as data: what kind of store, at which places, and how to be let in.

``redis://[user:password@]host[:port][/db]``                          one server
``redis+sentinel://[user:password@]host[:port],…/service[/db]``       a primary that Sentinels know
``redis+cluster://[user:password@]host[:port],…``                     a cluster, by some of its nodes
``unix:///path``                                                      one server, on a socket file

``rediss``, ``rediss+sentinel``, ``rediss+cluster``: the same through TLS, which is always verified. After ``?``:
``ca_file``, ``client_certificate``, ``client_key`` (TLS), ``username``, ``password``, ``db``, and for the Sentinels'
own doors ``sentinel_username``, ``sentinel_password``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from urllib.parse import SplitResult

SERVER_PORT = 6379
SENTINEL_PORT = 26379


class Kind(enum.StrEnum):
    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server listens; without a port `host` is the path of a socket file."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """`ca_file`: authorities to trust besides the system's. The other two prove who we are."""

    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to be let in at a server."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: Tls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`places` are the servers, or the Sentinels, or some nodes of the cluster. `service` is what the Sentinels
    call the primary, `sentinel` how to be let in at them."""

    kind: Kind
    places: tuple[Place, ...]
    access: Access
    service: str = ""
    sentinel: Access = Access()


_KINDS = {"": Kind.SERVER, "sentinel": Kind.SENTINEL, "cluster": Kind.CLUSTER}
_COMMON = frozenset({"username", "password", "db"})
_TLS = frozenset({"ca_file", "client_certificate", "client_key"})
_SENTINEL = frozenset({"sentinel_username", "sentinel_password"})


def parse(url: str) -> Address:
    """The address that `url` words. `ValueError` says what is wrong with it, never what it says."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return Address(kind=Kind.SERVER, places=(Place(host=_socket(parts), port=None),), access=Access())
    secure, kind = _scheme(parts.scheme)
    words = _query(parts.query, _allowed(kind, secure=secure))
    userinfo, _, hosts = parts.netloc.rpartition("@")
    service, db = _path(kind, parts.path)
    tls = Tls(**{name: words[name] for name in _TLS & words.keys()}) if secure else None
    return Address(
        kind=kind,
        places=_places(hosts, SENTINEL_PORT if kind is Kind.SENTINEL else SERVER_PORT, one=kind is Kind.SERVER),
        access=_access(userinfo, words, db=_db(kind, words.get("db", db)), tls=tls),
        service=service,
        sentinel=Access(username=words.get("sentinel_username"), password=words.get("sentinel_password"), tls=tls),
    )


def certificates(url: str) -> dict[str, Path]:
    """The files of certificates that `url` names, by the word for each."""
    tls = None if url == "embedded" else parse(url).access.tls
    files = {} if tls is None else {"ca_file": tls.ca_file, "client_certificate": tls.client_certificate}
    return {word: Path(file) for word, file in files.items() if file is not None}


def _socket(parts: SplitResult) -> str:
    if parts.netloc or not parts.path or parts.query:
        raise ValueError("unix needs a path, and nothing else")
    return unquote(parts.path)


def _scheme(scheme: str) -> tuple[bool, Kind]:
    base, _, word = scheme.partition("+")
    if base not in {"redis", "rediss"} or word not in _KINDS or scheme.endswith("+"):
        raise ValueError("must be embedded, or redis, rediss, redis+sentinel or redis+cluster :// with a host")
    return base == "rediss", _KINDS[word]


def _allowed(kind: Kind, *, secure: bool) -> frozenset[str]:
    return _COMMON | (_TLS if secure else frozenset()) | (_SENTINEL if kind is Kind.SENTINEL else frozenset())


def _query(text: str, allowed: frozenset[str]) -> Mapping[str, str]:
    words = dict(parse_qsl(text, keep_blank_values=True))
    if words.keys() - allowed:
        raise ValueError(f"takes after the ? only {', '.join(sorted(allowed))}")
    return words


def _path(kind: Kind, path: str) -> tuple[str, str]:
    """The service's name and the database."""
    names = [unquote(name) for name in path.split("/") if name]
    service = names.pop(0) if kind is Kind.SENTINEL and names else ""
    if kind is Kind.SENTINEL and not service:
        raise ValueError("redis+sentinel needs the name of the service as its path")
    if len(names) > 1:
        raise ValueError("has too long a path")
    return service, names[0] if names else "0"


def _db(kind: Kind, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("names a database that is not a number")
    if kind is Kind.CLUSTER and int(text):
        raise ValueError("names a database: a cluster has only 0")
    return int(text)


def _access(userinfo: str, words: Mapping[str, str], *, db: int, tls: Tls | None) -> Access:
    username, _, password = userinfo.partition(":")
    return Access(
        username=words.get("username") or unquote(username) or None,
        password=words.get("password") or unquote(password) or None,
        db=db,
        tls=tls,
    )


def _places(hosts: str, default: int, *, one: bool) -> tuple[Place, ...]:
    places = tuple(_each(hosts, default))
    if not places or (one and len(places) > 1):
        raise ValueError("must name one host" if one else "must name hosts")
    return places


def _each(hosts: str, default: int) -> Iterator[Place]:
    for text in hosts.split(","):
        parts = urlsplit(f"//{text}")  # knows [::1]:6379
        if not parts.hostname:
            raise ValueError("has an empty host")
        yield Place(host=parts.hostname, port=_port(parts) or default)


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # its text quotes what was written
        raise ValueError("has a port that is none") from None
