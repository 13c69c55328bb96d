"""Bytes and names into checked models: every fault found, each named by its place, no value ever repeated."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import TypeAdapter, ValidationError

from gateway.asks import API_KEY, Failure, FieldFault
from gateway.auth.keys import holds_key
from gateway.cards import holds_card
from gateway.web.problems import invalid
from gateway.web.schema import CALL_ID, Known, nobodys
from gateway.wording import real, worded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from multidict import MultiMapping
    from pydantic_core import ErrorDetails

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

BODY = "body"  # the place of a fault of the body as a whole
MAX_DEPTH = 8
_CALL_ID = re.compile(CALL_ID.rstrip("$"))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_KEY_MARK = "[key]"  # how pydantic says that the fault is in the key, not under it
_MESSAGES = {
    "extra_forbidden": "Is not a field of this request",
    "missing": "Is required",
    "string_pattern_mismatch": "Has the wrong form",
    "union_tag_invalid": "Must be mute, unmute, keep, discard, start or stop",
    "union_tag_not_found": "Must be mute, unmute, keep, discard, start or stop",
    "dict_type": "Must be a JSON object",
    "model_type": "Must be a JSON object",
    "model_attributes_type": "Must be a JSON object",
    "json_invalid": "Is not JSON",
}
_ACTION_FAULTS = {"union_tag_invalid", "union_tag_not_found"}
_ONCE = "Must be there once"
_NEEDS_EXTENSION = "Has a meaning with an extension only"


class _Object(dict[str, object]):
    """A JSON object that remembers which of its names were there more than once."""

    repeated: Sequence[str] = ()


def all_of(first: Callable[[], A], second: Callable[[], B], third: Callable[[], C]) -> tuple[A, B, C]:
    """The three results; `Failure` with the faults of all of them when any has some."""
    faults: list[FieldFault] = []
    a, b, c = _tried(first, faults), _tried(second, faults), _tried(third, faults)
    if a and b and c:
        return a[0], b[0], c[0]
    raise invalid(*faults)


def call_id(raw_segment: str, holds_secret: Callable[[str], bool] = nobodys) -> str:
    """The id in a raw path segment, decoded once."""
    text = unquote_to_bytes(raw_segment).decode("ascii", "replace")
    if _CALL_ID.fullmatch(text) is None:
        raise invalid(FieldFault(field="call_id", message="Has the wrong form"))
    if holds_key(text) or holds_secret(text):
        raise invalid(FieldFault(field="call_id", message=API_KEY))
    return text


def body(adapter: TypeAdapter[A], data: bytes, known: Known, *, tagged: bool = False) -> A:
    """The model that the JSON in `data` is; nothing at all is an empty object.

    `tagged`: the adapter is a union by ``action``, whose value pydantic puts before every place.
    """
    content = data if data.strip() else b"{}"
    if _is_plain(content):
        try:
            return adapter.validate_json(content, context=known)
        except ValidationError:
            pass  # looked at once more, to name every fault
    tree = _json(content)
    faults = list(_shape_faults(tree, ""))
    try:
        model = adapter.validate_json(content, context=known)
    except ValidationError as error:
        raise invalid(*_once_each(faults, _faults(error, skip=int(tagged)), _pointless(tree))) from None
    if faults := _once_each(faults, (), _pointless(tree)):
        raise invalid(*faults)
    return model


def query(adapter: TypeAdapter[A], said: MultiMapping[str]) -> A:
    """The model that query parameters are; each may be there once."""
    if not said:
        empty: A = _nothing(adapter)
        return empty
    repeated = [name for name, count in Counter(name for name, _ in said.items()).items() if count > 1]
    faults = [FieldFault(field=safe_name(name), message=_ONCE) for name in repeated]
    try:
        model = adapter.validate_python({name: said[name] for name in said})
    except ValidationError as error:
        raise invalid(*faults, *_faults(error, skip=0)) from None
    if faults:
        raise invalid(*faults)
    return model


@cache
def _nothing(adapter: TypeAdapter[A]) -> A:
    """What no parameters at all are: models are frozen, so that one is enough."""
    return adapter.validate_python({})


def safe_name(name: str | int) -> str:
    """A place that a client named, fit to be said back: a name, and no card number."""
    text = str(name)
    known = isinstance(name, int) or (_NAME.fullmatch(text) is not None and not holds_card(text))
    return text if known else "?"


def _tried(part: Callable[[], A], faults: list[FieldFault]) -> tuple[A] | tuple[()]:
    try:
        return (part(),)
    except Failure as failure:
        faults.extend(failure.faults)
        return ()


def _json(data: bytes) -> object:
    try:
        text = data.decode()
        _check_depth(text)
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except ValueError:  # not UTF-8, not JSON, or a number of thousands of digits
        raise invalid(FieldFault(field=BODY, message=_MESSAGES["json_invalid"])) from None


def _is_plain(data: bytes) -> bool:
    """There is nothing in it that models do not see, as can be told without looking at every part: each name once, no
    null, no depth, and no `call_status`."""
    if b"null" in data or b"call_status" in data:
        return False
    try:
        names = _names(orjson.loads(data))
    except ValueError:
        return False
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH and data.count(b":") == names:  # in no string, either
        return True
    bare = _STRING.sub("", data.decode())
    return bare.count("{") + bare.count("[") <= MAX_DEPTH and bare.count(":") == names


def _names(tree: object) -> int:
    if isinstance(tree, dict):
        return len(tree) + sum([_names(item) for item in tree.values() if isinstance(item, dict | list)])
    return sum(map(_names, tree)) if isinstance(tree, list) else 0


def _check_depth(text: str) -> None:
    steps = (_STEPS[mark] for mark in re.findall(r"[\[\]{}]", _STRING.sub("", text)))
    if max(accumulate(steps), default=0) > MAX_DEPTH:
        raise invalid(FieldFault(field=BODY, message="Is nested too deeply"))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = _Object(pairs)
    found.repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    return found


def _no_constant(_: str) -> NoReturn:
    raise invalid(FieldFault(field=BODY, message="Must not hold NaN or an infinity"))


def _shape_faults(value: object, place: str) -> Iterator[FieldFault]:
    """What models do not see: repeated names, and nulls (a field is said or left out, there is no third way)."""
    match value:
        case None:
            yield FieldFault(field=place or BODY, message="Must not be null")
        case _Object():
            for name in value.repeated:
                yield FieldFault(field=_joined(place, name), message=_ONCE)
            for name, item in value.items():
                yield from _shape_faults(item, _joined(place, name))
        case list():
            for index, item in enumerate(value):
                yield from _shape_faults(item, _joined(place, index))
        case _:
            return


def _pointless(tree: object) -> Iterator[FieldFault]:
    """`call_status` chooses among the calls of an extension: where none is named, the caller means something else
    than what would be done. On the raw tree, so that no other fault hides it."""
    said = _mapping(tree)
    targets = {name: _mapping(target) for name, target in _mapping(said.get("targets")).items()}
    everywhere = "extension" in said
    if "call_status" in said and not everywhere and not any("extension" in target for target in targets.values()):
        yield FieldFault(field="call_status", message=_NEEDS_EXTENSION)
    for name, target in targets.items():
        if "call_status" in target and not everywhere and "extension" not in target:
            yield FieldFault(field=f"targets.{safe_name(name)}.call_status", message=_NEEDS_EXTENSION)


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _once_each(
    shape: Iterable[FieldFault], wrong: Iterable[FieldFault], pointless: Iterable[FieldFault]
) -> list[FieldFault]:
    """Of several faults of one place the first; of a value that is wrong not that it has no meaning."""
    said = [*shape, *wrong]
    said += [fault for fault in pointless if not any(other.field.startswith(f"{fault.field}.") for other in said)]
    return list({fault.field: fault for fault in reversed(said)}.values())[::-1]


def _joined(place: str, name: str | int) -> str:
    return f"{place}.{safe_name(name)}" if place else safe_name(name)


def _faults(error: ValidationError, *, skip: int) -> list[FieldFault]:
    return [_fault(detail, skip) for detail in real(error.errors(include_url=False, include_input=False))]


def _fault(detail: ErrorDetails, skip: int) -> FieldFault:
    kind = detail["type"]
    if kind in _ACTION_FAULTS:
        return FieldFault(field="action", message=_MESSAGES[kind])
    names = [safe_name(name) for name in detail["loc"][skip:] if name != _KEY_MARK]
    return FieldFault(field=".".join(names) or BODY, message=_message(detail))


def _message(detail: ErrorDetails) -> str:
    kind = detail["type"]
    words = _MESSAGES.get(kind) or worded(kind, detail.get("ctx", {})) or detail["msg"]
    return words[0].upper() + words[1:]
