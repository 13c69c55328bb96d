"""Certificates and keys in PEM files: judged as a whole before they count, and how long they will."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

# Every key exchange is ephemeral: who gets hold of the private key cannot read what was recorded before.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(certificate: Path, private_key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """What callers are greeted with: TLS 1.2 or later, and with `client_ca` only those who show a certificate of it.

    `ValueError` (``field: message``) names the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _show(context, certificate, private_key)
    if client_ca is not None:
        _demand(context, client_ca)
    return context


def _show(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    chain(certificate)
    try:
        context.load_cert_chain(certificate, private_key, password="")  # else an encrypted key would ask at a terminal
    except OSError:
        raise ValueError("private_key: must be an unencrypted PEM key, strong enough, that fits certificate") from None


def _demand(context: ssl.SSLContext, client_ca: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(client_ca)
    except OSError:
        raise ValueError("client_ca: cannot be read as PEM") from None
    if not context.cert_store_stats()["x509_ca"]:
        raise ValueError("client_ca: holds no certificate of an authority")


def chain(file: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file, at least one; `ValueError` (``field: message``) when there is none."""
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        raise ValueError("certificate: cannot be read as PEM") from None


def chain_ends(file: Path) -> datetime:
    """When the first certificate of a chain expires, and the chain with it. `ValueError` as for `chain`."""
    return min(one.not_valid_after_utc for one in chain(file))


def authorities_end(file: Path) -> datetime:
    """When the last of several authorities expires: while one replaces another, the old one may. `ValueError` as for
    `chain`."""
    return max(one.not_valid_after_utc for one in chain(file))
