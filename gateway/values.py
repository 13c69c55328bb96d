"""What the value of a setting may be: types that check and convert, none of which repeats what was written."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretBytes, SecretStr, StringConstraints

from gateway.auth.shown import checked_name
from gateway.backends.settings import is_loopback
from gateway.store import address

KEY_BYTES = 32
_NO_KEY = bytes(KEY_BYTES)  # development without audit keys: the settings refuse it in production


def _decoded_key(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64 of {KEY_BYTES} bytes") from None


def _sized_key(key: SecretBytes) -> SecretBytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"must be base64 of {KEY_BYTES} bytes")
    return key


def _public_key(value: object) -> object:
    key = _decoded_key(value)
    if isinstance(key, bytes) and len(key) != KEY_BYTES:
        raise ValueError(f"must be base64 of {KEY_BYTES} bytes")
    return key


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _checked_store(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if text.startswith("unix:"):
        raise ValueError("must be embedded, or redis, rediss, redis+sentinel or redis+cluster :// with a host")
    if text != "embedded":
        address.parse(text)
    return url


def _checked_jwks(text: str) -> str:
    parts = urlsplit(text)
    if "://" not in text:
        return text
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not encrypted or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be a file, or an https URL without user name and password")
    return text


def key_bytes(key: SecretBytes | None) -> bytes:
    """The key; zeroes where development has none."""
    return key.get_secret_value() if key else _NO_KEY


Key = Annotated[SecretBytes, BeforeValidator(_decoded_key), AfterValidator(_sized_key)]
PublicKey = Annotated[bytes, BeforeValidator(_public_key)]
Time = Annotated[datetime, AfterValidator(_in_utc)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
BackendName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Port = Annotated[int, Field(ge=0, le=65_535)]
StoreUrl = Annotated[SecretStr, AfterValidator(_checked_store)]
Jwks = Annotated[str, Field(min_length=1), AfterValidator(_checked_jwks)]
CertificateName = Annotated[str, AfterValidator(checked_name)]
