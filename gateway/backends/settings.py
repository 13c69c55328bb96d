"""What every backend can be configured with, whatever its vendor."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork
from yarl import URL

from gateway.relations import Related, Relation


def is_loopback(host: str) -> bool:
    """`host` is this machine by its very name: no resolver is asked."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(text: str) -> str:
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("must be an absolute http or https URL")
    if url.user is not None or url.password is not None:
        raise ValueError("must not hold a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("must not have a query or fragment")
    return str(url).rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_checked_url)]
"""An absolute http or https URL without credentials, query and fragment; a slash at the end does not count."""


class BackendSettings(Related, BaseModel):
    """One configured account at one vendor; a vendor's own settings extend it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    base_url: BaseUrl
    """Where the vendor's API is, without query; the vendor's chapter says which part of the path belongs to it."""

    optional: bool = False
    """Whether "no such call" from this backend is fine as long as another one has the call. Default false: a
    recorder that ought to have the call and does not is a failure."""

    plaintext: bool = False
    """Allow `http://` to a host that is not this machine. Default false: credentials and call ids would be
    readable on the way."""

    timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """Longest time for one exchange with the vendor, in seconds. Default 2: below the deadline of a request,
    so that one hanging answer leaves time to say so."""

    max_connections: int = Field(default=20, ge=1, le=1000)
    """Connections to the vendor at once. Default 20: enough for a burst of mutes, few enough for a small
    recorder."""

    allowed_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks that the vendor's addresses must be in, whatever its name turns out to mean. Default none: any but
    those where clouds hand out credentials (169.254.0.0/16 and the like), which are always refused."""

    ca_file: Path | None = None
    """PEM file with the only authorities to trust for this vendor. Default none: the system's."""

    client_certificate: Path | None = None
    """PEM file with the certificate to show to the vendor. Default none."""

    client_key: Path | None = None
    """PEM file with the private key of `client_certificate`. Default none: it is in the same file."""

    def has_sound_transport(self) -> None:
        """`ValueError` when `base_url` may not be spoken to in the clear."""
        self.check_transport("base_url", self.base_url)

    def has_whole_certificate(self) -> None:
        """`ValueError` for a key without its certificate."""
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key: needs client_certificate")

    def has_usable_files(self) -> None:
        """`ValueError` for a file that TLS cannot use; the system's authorities, which are many, are not read."""
        if self.ca_file is not None or self.client_certificate is not None:
            self.tls()

    def check_transport(self, field: str, base_url: str) -> None:
        """`ValueError` when `base_url`, configured as `field`, may not be spoken to in the clear."""
        url = URL(base_url)
        if url.scheme == "http" and not self.plaintext and not is_loopback(url.host or ""):
            raise ValueError(f"{field}: http is only for this machine; use https, or say plaintext: true")

    def tls(self) -> ssl.SSLContext:
        """Peers are verified, by `ca_file` where given; TLS 1.2 or later. `ValueError` names an unusable file."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError:
            raise ValueError("ca_file: cannot be read as PEM") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.client_certificate is not None:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(str(self.client_certificate), self.client_key, password="")
        except OSError:
            raise ValueError("client_certificate, client_key: cannot be read as a PEM pair") from None

    relations: ClassVar[tuple[Relation, ...]] = (has_sound_transport, has_whole_certificate, has_usable_files)
