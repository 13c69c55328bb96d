"""Certificates as a test needs them: an authority, what it signs, and the files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


class Pair:
    """A certificate and its key, as PEM files when they are asked for."""

    def __init__(self, certificate: x509.Certificate, key: EllipticCurvePrivateKey | RSAPrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def written(self, directory: Path, name: str) -> tuple[Path, Path]:
        """The files of certificate and key; the key is its owner's alone."""
        files = directory / f"{name}.crt", directory / f"{name}.key"
        for file, content in zip(files, (self.certificate_pem, self.key_pem), strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files


class Authority(Pair):
    def __init__(self, name: str = "authority") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        super().__init__(
            _built(_named(name), _named(name), key, timedelta(days=30), ca=True).sign(key, hashes.SHA256()), key
        )

    def signs(self, *names: str, lasts: timedelta = timedelta(days=9), bits: int | None = None) -> Pair:
        """A pair for 127.0.0.1 whose subject has these common names; with `bits` its key is RSA."""
        weak = rsa.generate_private_key(65_537, bits) if bits else None
        key = weak or ec.generate_private_key(ec.SECP256R1())
        made = _built(_named(*names), self.certificate.subject, key, lasts, ca=False)
        return Pair(made.sign(self.key, hashes.SHA256()), key)


def _named(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def _built(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey | RSAPrivateKey,
    lasts: timedelta,
    *,
    ca: bool,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=20))
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USES), critical=False)
    )
