"""What one configuration says about access that another one did not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit.entry import EntryType
from gateway.auth.notices import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.settings import Client, ClientKey

_Keys = dict[str, tuple[str, str, "ClientKey"]]


def changes(before: Mapping[str, Client], after: Mapping[str, Client]) -> tuple[Change, ...]:
    """Clients first, then keys; a key that another client has now was removed there and added here."""
    return (*_clients(before, after), *_keys(_owned(before), _owned(after)))


def _clients(before: Mapping[str, Client], after: Mapping[str, Client]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if new is None and old is not None:
            yield Change(type=EntryType.CLIENT_REMOVED, tenant=old.tenant, client=name)
        elif new is not None and old is None:
            yield Change(type=EntryType.CLIENT_ADDED, tenant=new.tenant, client=name)
        elif new is not None and old is not None and _without_keys(new) != _without_keys(old):
            yield Change(type=EntryType.CLIENT_CHANGED, tenant=new.tenant, client=name)


def _keys(before: _Keys, after: _Keys) -> Iterator[Change]:
    for kid in sorted({*before, *after}):
        old, new = before.get(kid), after.get(kid)
        if old == new:
            continue
        if old is not None and new is not None and old[:2] == new[:2]:
            yield _change(EntryType.KEY_CHANGED, new)
            continue
        if old is not None:
            yield _change(EntryType.KEY_REMOVED, old)
        if new is not None:
            yield _change(EntryType.KEY_ADDED, new)


def _change(kind: EntryType, owned: tuple[str, str, ClientKey]) -> Change:
    tenant, client, key = owned
    return Change(type=kind, tenant=tenant, client=client, kid=key.kid)


def _owned(clients: Mapping[str, Client]) -> _Keys:
    return {key.kid: (client.tenant, name, key) for name, client in clients.items() for key in client.keys}


def _without_keys(client: Client) -> Client:
    return client.model_copy(update={"keys": ()})
