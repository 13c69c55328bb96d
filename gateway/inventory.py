"""What settings there are, for the documentation's test; and which values of loaded ones are secret."""

from __future__ import annotations

import base64
import enum
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, get_args, get_origin
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, IPvAnyNetwork, SecretBytes, SecretStr
from pydantic_core import PydanticUndefined

from gateway.mistakes import parts
from gateway.settings import Settings


class Documented(NamedTuple):
    """One setting. In `path`, ``<name>`` is the operator's name, ``<verba>`` that of a backend of this vendor,
    and ``[]`` an item of a list."""

    path: str
    type: str
    default: str
    doc: str


_VENDOR_DOC = "Which product this is; decides what else can be set."


def documented() -> list[Documented]:
    """Every setting, sections opened, in the order of the models."""
    return list(_leaves(Settings, ""))


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[Documented]:
    for name, field in model.model_fields.items():
        below = [part for part in parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        for section in below:
            yield from _leaves(section, f"{prefix}{name}{_step(field.annotation, section)}.")
        if not below:
            doc = " ".join((field.description or _VENDOR_DOC).split())
            yield Documented(f"{prefix}{name}", _type(field.annotation), _default(field.get_default()), doc)


def _step(annotation: object, section: type[BaseModel]) -> str:
    container = get_origin(annotation)
    if container is dict:
        vendor = section.model_fields.get("vendor")
        return f".<{get_args(vendor.annotation)[0] if vendor else 'name'}>"
    return "[]" if container is tuple else ""


def _default(value: object) -> str:
    match value:
        case _ if value is PydanticUndefined:
            return "required"
        case SecretStr():
            return value.get_secret_value()
        case enum.Enum() | bool():
            return str(value).lower()
        case None | () | frozenset():
            return "none"
        case _:
            return str(value)


_NAMES = {
    SecretStr: "secret text",
    SecretBytes: "secret key",
    str: "text",
    bytes: "key",
    int: "whole number",
    float: "number",
    bool: "true | false",
    datetime: "time",
    IPvAnyNetwork: "network",
}


def _type(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    match annotation:
        case _ if origin is Literal:
            return " | ".join(str(argument) for argument in arguments)
        case _ if origin in {tuple, frozenset}:
            return f"list of {_type(arguments[0])}"
        case type() if issubclass(annotation, enum.Enum):
            return " | ".join(member.value for member in annotation)
        case type():
            return _NAMES.get(annotation, annotation.__name__.lower())
        case _:
            return _type(next(argument for argument in arguments if argument is not type(None)))


def secrets(settings: BaseModel) -> frozenset[str]:
    """Every secret value in `settings`, in each spelling that could turn up somewhere: for masking."""
    return frozenset(_revealed(settings)) - {""}


def _revealed(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield from _credentials(value.get_secret_value())
        case SecretBytes():
            key = value.get_secret_value()
            yield from (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode(), key.hex())
        case BaseModel():
            for name in type(value).model_fields:
                yield from _revealed(getattr(value, name))
        case Mapping():
            for item in value.values():
                yield from _revealed(item)
        case tuple():
            for item in value:
                yield from _revealed(item)
        case _:
            pass


def _credentials(text: str) -> Iterator[str]:
    """The text; of an address only the password, or every line that names the host would be masked."""
    if text == "embedded":
        return
    if "://" not in text:
        yield text
        return
    address = urlsplit(text)
    password = address.netloc.rpartition("@")[0].partition(":")[2]
    yield from (password, unquote(password))
