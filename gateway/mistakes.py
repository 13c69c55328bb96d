"""From a tree to settings, or to every mistake in it: dotted path and message, never a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from gateway import rules
from gateway.sources import ConfigurationError, Fault, Tree
from gateway.wording import real, worded

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

_TEXT = "must be text (in quotes, where it could be read as a number)"
_MESSAGES = {
    "extra_forbidden": "is not a setting",
    "missing": "is required",
    "union_tag_not_found": "is required",
    "path_not_file": "must be a file that exists",
    "string_type": _TEXT,
    "bytes_type": _TEXT,
}
# A validator over several settings begins its message with the one it means.
_FIELD_FIRST = re.compile(r"([a-z][a-z0-9_]*): (.+)", re.DOTALL)
_WORD = re.compile(r"[^\s/:@?#.,]{4,}")
_HARMLESS = frozenset({"http", "https", "redis", "rediss"})


def checked(model: type[Model], tree: Tree, *, file: Tree, unread: tuple[Fault, ...] = ()) -> Model:
    """`tree` as `model`; `ConfigurationError` with `unread`, the model's refusals, the broken rules and, outside
    development, the secrets that stand in `file`."""
    exposed = () if rules.development(tree) else tuple(_exposed(file, secret_names(model)))
    try:
        settings = model.model_validate(tree)
    except ValidationError as error:
        wrong = [_fault(detail) for detail in real(error.errors(include_url=False))]
        settings = None
    else:
        wrong = []
    faults = [*unread, *_beside(wrong, rules.broken(tree)), *exposed, *_beside(unread, wrong)]
    if settings is None or faults:
        raise ConfigurationError(tuple(dict.fromkeys(faults)))
    return settings


def _beside(known: Iterable[Fault], faults: Iterable[Fault]) -> list[Fault]:
    """Only what is about another place: of a value that cannot be read nothing else is said."""
    places = {path for path, _ in known}
    return [fault for fault in faults if fault[0] not in places]


def _fault(detail: ErrorDetails) -> Fault:
    path, kind, message = _path(detail["loc"]), detail["type"], _message(detail)
    if kind.startswith("union_tag"):
        return f"{path}.vendor", message
    lifted = _FIELD_FIRST.fullmatch(message) if kind == "value_error" else None
    return (f"{path}.{lifted[1]}", lifted[2]) if lifted else (path, message)


def _path(loc: tuple[int | str, ...]) -> str:
    """The place as the file has it: without the tag that the union over vendors puts after a backend's name."""
    parts = [str(part) for part in loc if part != "[key]"]
    if parts[0] == "backends":
        del parts[2:3]
    return ".".join(parts)


def _message(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if detail["loc"][-1] == "[key]":
        return "is not a name that can be used here"
    if kind == "union_tag_invalid":
        return f"must be one of {detail['ctx']['expected_tags']}"
    if own := _MESSAGES.get(kind) or worded(kind, detail.get("ctx", {})):
        return own
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return "is not valid" if _quotes(message, detail["input"]) else message


def _quotes(message: str, value: object) -> bool:
    """A foreign check's message repeats what was written."""
    words = set(_WORD.findall(value)) if isinstance(value, str) else set()
    return any(word in message for word in words - _HARMLESS)


def secret_names(model: type[BaseModel]) -> frozenset[str]:
    """Names of all settings of a secret type, in `model` and in every section below it."""
    return frozenset(
        name for name, annotation in _annotations(model) if {SecretStr, SecretBytes} & set(parts(annotation))
    )


def _annotations(model: type[BaseModel]) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        yield name, field.annotation
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _annotations(part)


def parts(annotation: object) -> Iterator[object]:
    """The types that an annotation is made of: itself, and the arguments of unions and containers."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def _exposed(tree: object, names: frozenset[str], *path: str) -> Iterator[Fault]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            here = (*path, str(key))
            if key in names and value not in {None, ""} and _is_secret(here, value):
                yield ".".join(here), "a secret must not stand in the file: use the environment or a mounted file"
            else:
                yield from _exposed(value, names, *here)


def _is_secret(path: tuple[str, ...], value: object) -> bool:
    """The store's address is one only when it carries a password."""
    if path != ("store", "url"):
        return True
    return has_password(str(value))


def has_password(url: str) -> bool:
    """The URL carries a credential, in its host part or its query."""
    try:
        address = urlsplit(url)
    except ValueError:
        return True
    return "@" in address.netloc or "password" in address.query
