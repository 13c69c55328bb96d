"""A redaction as bytes and back: the library's own JSON of the frozen data, nothing by hand."""

from __future__ import annotations

from pydantic import TypeAdapter

from gateway.model import Redaction

_REDACTION = TypeAdapter(Redaction)
_to_json = _REDACTION.serializer.to_json


def encode(redaction: Redaction) -> bytes:
    return _to_json(redaction)


def decode(data: bytes) -> Redaction:
    """The redaction that `encode` wrote; `pydantic.ValidationError` for anything else."""
    return _REDACTION.validate_json(data)
