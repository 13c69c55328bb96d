"""A whole production configuration, and every way to make it unsafe that a start must refuse."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from papers import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEYS = {
    f"GATEWAY_AUDIT__{name}": base64.b64encode(bytes(range(seed, seed + 32))).decode()
    for seed, name in enumerate(("HMAC_KEY", "SIGNING_KEY", "PEPPER"), start=1)
}
HASH = "0f" * 32
METADATA = "https://169.254.169.254"


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


class House:
    """The files of one configuration, and the environment it is started in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.authority = Authority()
        self.ca, _ = self.authority.written(home, "ca")
        self.certificate, self.key = self.authority.signs("gateway").written(home, "server")
        self.vendor_certificate, self.vendor_key = self.authority.signs("us").written(home, "vendor")
        self.file = home / "gateway.yaml"
        self.mount = home / "mount"
        self.mount.mkdir()
        (self.mount / "backends__pbx__api_key").write_text("vendor-secret")
        self.environ = {**KEYS, "GATEWAY_SECRETS_DIR": str(self.mount)}
        self.tree = self._whole()

    def _whole(self) -> dict[str, Any]:
        tls = {"certificate": str(self.certificate), "private_key": str(self.key), "client_ca": str(self.ca)}
        vendor = {"vendor": "verba", "base_url": "https://pbx.example/verba/api", "allowed_networks": ["192.0.2.0/24"]}
        shown = {"client_certificate": str(self.vendor_certificate), "client_key": str(self.vendor_key)}
        key = {"kid": "abcdefg1", "hash": HASH}
        crm = {"tenant": "acme", "scopes": ["redaction:mute"], "keys": [key], "certificates": ["CN=crm"]}
        return {
            "listen": {"host": "127.0.0.1", "admin_host": "127.0.0.1", "trusted_proxies": ["10.0.0.0/8"], "tls": tls},
            "store": {"url": "embedded", "directory": str(self.home / "data")},
            "tokens": {"issuer": "https://idp.example", "audience": "x", "jwks": "https://idp.example/keys"},
            "backends": {"pbx": {**vendor, **shown}},
            "routes": [{"backends": ["pbx"]}],
            "clients": {"crm": {**crm, "token": "required"}},
        }

    def set(self, place: str, value: object) -> None:
        """The value at a dotted place; ``...`` takes away what is there."""
        *above, last = place.split(".")
        at: Any = self.tree
        for step in above:
            at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
        if value is ...:
            del at[last]
        else:
            at[last] = copy.deepcopy(value)

    def written(self) -> str:
        if not self.file.exists():
            self.file.write_text(yaml.safe_dump(self.tree))
        return str(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsafe:
    """One unsafe start, and the name by which it must be refused. `environ` None takes a variable away; `spoil` does
    what no setting can."""

    name: str
    places: Mapping[str, object] = field(default_factory=dict)
    environ: Mapping[str, str | None] = field(default_factory=dict)
    spoil: Callable[[House], object] | None = None

    def arrange(self, house: House) -> None:
        for place, value in self.places.items():
            house.set(place, value)
        for name, value in self.environ.items():
            house.environ.pop(name, None)
            house.environ.update({name: value} if value is not None else {})
        if self.spoil is not None:
            self.spoil(house)


def at(place: str, value: object, *, name: str | None = None) -> Unsafe:
    return Unsafe(name=name or place, places={place: value})


def variable(name: str, value: str | None, *, setting: str) -> Unsafe:
    return Unsafe(name=setting, environ={name: value})


def spoilt(name: str, spoil: Callable[[House], object]) -> Unsafe:
    return Unsafe(name=name, spoil=spoil)


def _encrypted(house: House) -> None:
    pair = house.authority.signs("gateway")
    secret = BestAvailableEncryption(b"word")
    house.certificate.write_bytes(pair.certificate_pem)
    house.key.write_bytes(pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def _others_may_write_the_file(house: House) -> None:
    house.written()
    house.file.chmod(0o666)


def _second_key(key: Mapping[str, str]) -> Mapping[str, object]:
    return {"tenant": "globex", "scopes": [], "keys": [dict(key)]}


AUDIT = {name.rpartition("__")[2].lower(): name for name in KEYS}
UNSAFE: dict[str, Unsafe] = {
    **{f"no-{name}": variable(said, None, setting=f"audit.{name}") for name, said in AUDIT.items()},
    **{f"zero-{name}": variable(said, encoded(bytes(32)), setting=f"audit.{name}") for name, said in AUDIT.items()},
    "short-hmac-key": variable(AUDIT["hmac_key"], encoded(bytes(range(16))), setting="audit.hmac_key"),
    "typed-pepper": variable(AUDIT["pepper"], encoded(b"qwerty" * 5 + b"qw"), setting="audit.pepper"),
    "one-key-for-two": variable(AUDIT["pepper"], KEYS[AUDIT["hmac_key"]], setting="audit.pepper"),
    "hmac-key-in-file": at("audit.hmac_key", encoded(bytes(range(32)))),
    "vendor-secret-in-file": at("backends.pbx.api_key", "vendor-secret"),
    "store-password-in-file": at("store.url", "rediss://:word@store.example"),
    "vendor-in-the-clear": at("backends.pbx.base_url", "http://pbx.example"),
    "vendor-password-in-url": at("backends.pbx.base_url", "https://me:word@pbx.example"),
    "vendor-is-metadata": at("backends.pbx.base_url", METADATA),
    "vendor-unverified": at("backends.pbx.verify", value=False),
    "vendor-anywhere": at("backends.pbx.allowed_networks", ["0.0.0.0/0"], name="backends.pbx.allowed_networks.0"),
    "vendor-key-readable": spoilt("backends.pbx.client_key", lambda house: house.vendor_key.chmod(0o644)),
    "vendor-authority-gone": at("backends.pbx.ca_file", "/nowhere.pem"),
    "no-evidence": at(
        "backends.il", {"vendor": "voicenter", "base_url": "https://il.example"}, name="backends.il.evidence"
    ),
    "issuer-keys-in-the-clear": at("tokens.jwks", "http://idp.example/keys"),
    "issuer-keys-with-password": at("tokens.jwks", "https://me:word@idp.example/keys"),
    "issuer-is-metadata": at("tokens.jwks", f"{METADATA}/keys"),
    "unsigned-tokens": at("tokens.algorithms", ["none"]),
    "shared-secret-tokens": at("tokens.algorithms", ["HS256"]),
    "tokens-of-yesterday": at("tokens.leeway_seconds", 86_400),
    "tokens-of-nobody": at("tokens", ..., name="clients.crm.token"),
    "token-rule-unknown": at("clients.crm.token", "off"),
    "no-authentication": at("clients.crm.authentication", "none"),
    "plaintext-key": at("clients.crm.keys.0.hash", "my secret"),
    "every-scope": at("clients.crm.scopes", ["*"], name="clients.crm.scopes.0"),
    "key-id-twice": at(
        "clients.ivr", _second_key({"kid": "abcdefg1", "hash": "1e" * 32}), name="clients.ivr.keys.0.kid"
    ),
    "secret-twice": at("clients.ivr", _second_key({"kid": "abcdefg2", "hash": HASH}), name="clients.ivr.keys.0.hash"),
    "certificate-of-nobody": at("listen.tls.client_ca", ..., name="clients.crm.certificates"),
    "certificate-unreadable": at("clients.crm.certificates", ["crm"], name="clients.crm.certificates.0"),
    "one-port": at("listen.admin_port", 8080),
    "proxies-everybody": at("listen.trusted_proxies", ["0.0.0.0/0"], name="listen.trusted_proxies.0"),
    "proxies-everybody-ipv6": at("listen.trusted_proxies", ["::/0"], name="listen.trusted_proxies.0"),
    "proxies-half-of-all": at("listen.trusted_proxies", ["10.0.0.0/8", "0.0.0.0/1"], name="listen.trusted_proxies.1"),
    "old-tls": at("listen.tls.minimum_version", "TLSv1"),
    "tls-key-readable": spoilt("listen.tls.private_key", lambda house: house.key.chmod(0o644)),
    "tls-key-of-another": spoilt(
        "listen.tls.private_key", lambda house: house.key.write_bytes(house.authority.signs("x").key_pem)
    ),
    "tls-key-encrypted": spoilt("listen.tls.private_key", _encrypted),
    "tls-key-weak": spoilt(
        "listen.tls.private_key",
        lambda house: house.authority.signs("gateway", bits=1024).written(house.home, "server"),
    ),
    "tls-no-certificate": spoilt("listen.tls.certificate", lambda house: house.certificate.write_text("nonsense")),
    "tls-no-authority": spoilt(
        "listen.tls.client_ca", lambda house: house.ca.write_bytes(house.certificate.read_bytes())
    ),
    "store-in-the-clear": variable("GATEWAY_STORE__URL", "redis://:word@store.example", setting="store.url"),
    "store-open-to-all": variable("GATEWAY_STORE__URL", "rediss+cluster://a.example,b.example", setting="store.url"),
    "store-unverified": variable(
        "GATEWAY_STORE__URL", "rediss://:word@store.example?ssl_cert_reqs=none", setting="store.url"
    ),
    "configuration-writable": spoilt("gateway.yaml", _others_may_write_the_file),
    "secret-writable": spoilt(
        "backends__pbx__api_key", lambda house: (house.mount / "backends__pbx__api_key").chmod(0o666)
    ),
    "environment-unknown": at("environment", "prod"),
    "debug": at("debug", value=True),
    "debug-of-the-loop": variable("PYTHONASYNCIODEBUG", "1", setting="PYTHONASYNCIODEBUG"),
    "keys-of-tls-written-down": variable("SSLKEYLOGFILE", "/dev/null", setting="SSLKEYLOGFILE"),
    "never-sealed": at("audit.seal_seconds", float("inf")),
}
# Only a process of its own can be started so.
PROCESS: dict[str, Unsafe] = {
    "lenient-parser": variable("AIOHTTP_NO_EXTENSIONS", "1", setting="AIOHTTP_NO_EXTENSIONS"),
}
