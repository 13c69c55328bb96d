"""Every setting there is. `load` reads them from file, environment and mounted secrets, `parse` from a mapping.

Settings are frozen once made; what is wrong comes as one `ConfigurationError` with every mistake.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, FilePath, IPvAnyNetwork, SecretStr, StringConstraints
from yarl import URL

from gateway import certificates, mistakes, rules, sources
from gateway.auth.scopes import Scope, TokenRule
from gateway.backends.registry import AnyBackendSettings
from gateway.backends.settings import BaseUrl, is_loopback
from gateway.relations import Related
from gateway.sources import ConfigurationError as ConfigurationError  # noqa: PLC0414 -- part of this module's face
from gateway.unsafe import writable
from gateway.values import BackendName, CertificateName, Glob, Jwks, Key, Name, Port, PublicKey, StoreUrl, Time

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


class Environment(enum.StrEnum):
    PRODUCTION = "production"
    DEVELOPMENT = "development"


class Section(Related, BaseModel):
    """A part of the settings; its attributes are documented where they stand."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


class Tls(Section):
    certificate: FilePath
    """PEM file with the certificate chain that callers see."""

    private_key: FilePath
    """PEM file with the private key of `certificate`."""

    client_ca: FilePath | None = None
    """PEM file with the authorities whose client certificates are demanded. Default none: callers show none."""

    def context(self) -> ssl.SSLContext:
        """What callers are greeted with. `ValueError` names the file that cannot be used."""
        return certificates.server_context(self.certificate, self.private_key, self.client_ca)

    relations = (context,)


class Listen(Section):
    host: str = "0.0.0.0"  # noqa: S104 -- a container's published port; the operator narrows it
    """Address that the API listens on. Default every interface: inside a container nothing else is reachable."""

    port: Port = 8080
    """TCP port of the API; 0 takes a free one. Default 8080."""

    admin_host: str = "0.0.0.0"  # noqa: S104 -- as host
    """Address for health and metrics. Default every interface: probes and scrapers come from elsewhere."""

    admin_port: Port = 9090
    """TCP port for health and metrics, which need no key: never publish it; 0 takes a free one. Default 9090."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the port; one more keeps them and answers on the admin port for all. Default 1: a core is a
    busy contact centre's; more pods also outlive a machine."""

    tls: Tls | None = None
    """Certificate of the API. Default none: TLS ends in front of the gateway."""

    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks whose `X-Forwarded-For` is believed, for the audit trail only. Default none."""

    def has_two_ports(self) -> None:
        """`ValueError` when the API and the probes would be the same."""
        if self.port == self.admin_port != 0:
            raise ValueError("admin_port: must differ from port")

    relations = (has_two_ports,)


class Store(Section):
    url: StoreUrl = SecretStr("embedded")
    """Where state and trail live: `embedded` (a server process of the gateway's own), `redis://`, `rediss://`,
    `redis+sentinel://host,host/service` or `redis+cluster://host,host`. Default embedded. A secret when it has a
    password."""

    directory: Path = Path("./data")
    """Directory of the embedded store's data and of the local audit journal. Default ./data."""

    plaintext: bool = False
    """Allow a store on another machine without TLS. Default false: who asks for what would be readable on the
    way."""

    replicas_to_wait_for: int = Field(default=0, ge=0, le=10)
    """Replicas that must have a write before it counts as durable. Default 0: a single server has none."""

    @property
    def embedded(self) -> bool:
        return self.url.get_secret_value() == "embedded"

    @property
    def has_password(self) -> bool:
        return mistakes.has_password(self.url.get_secret_value())


class Policy(Section):
    deadline_seconds: float = Field(default=2.5, gt=0, le=60)
    """Longest time for one request, all recorders together, in seconds. Default 2.5: an agent waits that long
    before asking for the card number."""

    reassert_seconds: float = Field(default=5.0, gt=0, le=86_400)
    """How often an open redaction is read back, or muted again, in seconds. Default 5: the shortest that every
    vendor allows."""

    alert_after_seconds: float = Field(default=900.0, gt=0, le=2_592_000)
    """Age in seconds at which an open redaction counts as forgotten: `redaction_forgotten` tells, and it stays muted.
    Default 900: no card form takes a quarter of an hour."""

    state_retention_hours: float = Field(default=24.0, gt=0, le=9_600)
    """How long a closed redaction stays readable, in hours. Default 24: a shift and the morning after."""


class Audit(Section):
    hmac_key: Key | None = None
    """Secret. Base64 of 32 bytes that chain the entries of the trail. Optional only in development."""

    signing_key: Key | None = None
    """Secret. Base64 of the 32 byte Ed25519 seed that signs the trail's checkpoints. Optional only in
    development."""

    pepper: Key | None = None
    """Secret. Base64 of the 32 bytes under which API keys are hashed. Optional only in development."""

    old_hmac_keys: tuple[Key, ...] = ()
    """Secrets. Earlier `hmac_key`s, the oldest first: the entries that they chained stay verifiable. Default none."""

    old_public_keys: tuple[PublicKey, ...] = ()
    """Base64 of the public keys of earlier `signing_key`s, the oldest first, as `audit keys` prints them: what they
    signed stays verifiable. Default none."""

    seal_seconds: float = Field(default=1.0, gt=0, le=3_600)
    """How often the trail is sealed under load, in seconds. Default 1: what the last seal does not cover is
    short."""

    retention_days: int = Field(default=400, ge=1, le=36_500)
    """How long entries are kept, in days. Default 400: twelve months that an auditor may ask for, and the
    audit itself."""


class Tokens(Section):
    issuer: str = Field(min_length=1)
    """The `iss` that a person's token must have."""

    audience: str = Field(min_length=1)
    """The `aud` that a person's token must have."""

    jwks: Jwks
    """File or https URL of the issuer's public keys, a JWK set: RS256, ES256 and EdDSA count. A change of the file
    counts within five seconds; a URL is asked again when a token names a new key, and every five minutes."""

    leeway_seconds: float = Field(default=30.0, ge=0, le=120)
    """How far the issuer's clock may be from ours, in seconds. Default 30: more than clocks that are kept differ."""


class Tracing(Section):
    endpoint: BaseUrl
    """Where spans go (OTLP over HTTP), with the whole path, as in `https://collector.example:4318/v1/traces`."""

    sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """Which part of the requests is traced; a caller that sends `traceparent` has decided already. Default 0.01:
    enough to see where time goes, at no cost that a mute would feel."""

    authorization: SecretStr | None = None
    """Secret. The header `Authorization` for the collector, as it has to be sent. Default none."""

    ca_file: FilePath | None = None
    """PEM file with the only authorities to trust for the collector. Default none: the usual public ones."""

    plaintext: bool = False
    """Allow `http://` to a host that is not this machine. Default false: who records which calls where, and how
    well it works, would be readable on the way."""

    def has_sound_transport(self) -> None:
        """`ValueError` when the collector may not be spoken to in the clear."""
        url = URL(self.endpoint)
        if url.scheme == "http" and not self.plaintext and not is_loopback(url.host or ""):
            raise ValueError("endpoint: http is only for this machine; use https, or say plaintext: true")

    relations = (has_sound_transport,)


class Match(Section):
    client: Name | None = None
    """Name of a client, exactly. Default any."""

    extension: Glob | None = None
    """Pattern for the extension that the request names: `*`, `?`, `[...]`. Default any, and none named."""

    call_id: Glob | None = None
    """Pattern for the call's id in the path: `*`, `?`, `[...]`. Default any."""

    tenant: Name | None = None
    """Tenant of the client, exactly. Default any."""


class Route(Section):
    match: Match = Match()
    """What a request must be like, all of it. Default: every request."""

    backends: tuple[BackendName, ...] = Field(min_length=1)
    """Backends that record such a call; every one of them gets the command."""


class ClientKey(Section):
    kid: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{8}$")]
    """The key's public name: the second part of the key itself."""

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]
    """HMAC-SHA256 of the key's secret under `audit.pepper`, in hex."""

    not_before: Time | None = None
    """When the key begins to work (no offset: UTC). Default at once."""

    expires_at: Time | None = None
    """When the key stops working (no offset: UTC). Default never."""

    def works_at_some_time(self) -> None:
        """`ValueError` when the key ends before it begins."""
        if self.not_before and self.expires_at and self.not_before >= self.expires_at:
            raise ValueError("expires_at: must be later than not_before")

    relations = (works_at_some_time,)


class Client(Section):
    tenant: Name
    """Whose calls the client sees; other tenants' calls do not exist for it."""

    scopes: frozenset[Scope]
    """What it may do: redaction:mute, redaction:unmute, redaction:read, recording:control, audit:read,
    redaction:force."""

    token: TokenRule = TokenRule.NONE
    """Whether a person's token must come with the key: none, optional (checked when it comes) or required.
    Default none."""

    keys: tuple[ClientKey, ...] = ()
    """Its API keys; several at once while one replaces another. Default none yet."""

    certificates: tuple[CertificateName, ...] = ()
    """The certificates of which it must show one, beside its key: by SHA-256 fingerprint (hex), or by subject, as in
    `CN=crm,O=Acme`. Needs `listen.tls.client_ca`. Default none: its key is enough."""

    requests_per_second: float = Field(default=50.0, gt=0, le=100_000)
    """Requests a second before it is told to slow down; a mute never is. Default 50: a contact centre of
    thousands."""

    require_actor: bool = False
    """Whether every change must name the person, in `actor` or with a token; a DELETE has no body, so it needs the
    token, and without one POST does it. Default false: an IVR has none."""


class Settings(Section):
    environment: Environment = Environment.PRODUCTION
    """production or development. Development takes secrets from the file and does without audit keys. Default
    production: the strict one."""

    listen: Listen = Listen()
    """Where the gateway listens."""

    store: Store = Store()
    """Where state and trail live."""

    policy: Policy = Policy()
    """Times that decide."""

    audit: Audit = Audit()
    """The trail and its keys."""

    tokens: Tokens | None = None
    """Who vouches for persons. Default nobody: then no client may need a token."""

    tracing: Tracing | None = None
    """Where spans go. Default nowhere: none are made."""

    backends: dict[BackendName, AnyBackendSettings] = Field(min_length=1)
    """The accounts at vendors, by the operator's name for them."""

    routes: tuple[Route, ...] = Field(min_length=1)
    """Which calls are recorded where; the first that matches wins."""

    clients: dict[Name, Client] = {}
    """The applications that may call, by name. Default none: then nobody may."""

    @property
    def production(self) -> bool:
        return self.environment is Environment.PRODUCTION


def parse(tree: Mapping[str, object], *, file: Mapping[str, object] | None = None) -> Settings:
    """Settings from a mapping; `file` is the part of it that stands in a file, where secrets must not be.

    `ConfigurationError` names every mistake at once.
    """
    return mistakes.checked(Settings, tree, file=file or {})


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Settings from the file (`path`, else ``GATEWAY_CONFIG``, else config/gateway.yaml), ``GATEWAY_*`` over it,
    the files in ``GATEWAY_SECRETS_DIR`` over both. `ConfigurationError` names every mistake at once."""
    found = sources.collect(Settings, path, environ)
    changeable = () if rules.development(found.tree) else writable(found.files)
    return mistakes.checked(Settings, found.tree, file=found.file, unread=(*found.faults, *changeable))
