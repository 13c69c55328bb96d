"""Settings: where they come from, what wins, and that every mistake is named without its value."""

from __future__ import annotations

import base64
import copy
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from pydantic import BaseModel, field_validator

from gateway import inventory, mistakes
from gateway.backends.registry import AnyBackendSettings
from gateway.model import Vendor
from gateway.settings import ConfigurationError, Environment, Settings, load, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHIPPED = Path(__file__).parent.parent / "config" / "gateway.yaml"
CANARY = "canary-Zq7w"


def key(seed: int) -> str:
    return base64.b64encode(bytes(range(seed, seed + 32))).decode()


SECRETS = {
    "GATEWAY_AUDIT__HMAC_KEY": key(1),
    "GATEWAY_AUDIT__SIGNING_KEY": key(2),
    "GATEWAY_AUDIT__PEPPER": key(3),
    "GATEWAY_BACKENDS__VERBA_EU__API_KEY": "verba-key",
    "GATEWAY_BACKENDS__PBX__CLIENT_SECRET": "pbx-secret",
    "GATEWAY_BACKENDS__GENESYS__PASSWORD": "genesys-password",
}


def tree() -> dict[str, Any]:
    """The smallest whole configuration."""
    return {
        "audit": {"hmac_key": key(1), "signing_key": key(2), "pepper": key(3)},
        "backends": {"pbx": {"vendor": "verba", "base_url": "https://pbx.example/verba/api", "api_key": "abcd"}},
        "routes": [{"backends": ["pbx"]}],
        "clients": {
            "crm": {
                "tenant": "acme",
                "scopes": ["redaction:mute"],
                "keys": [{"kid": "abcdefg1", "hash": "0f" * 32}],
            }
        },
    }


def changed(**changes: object) -> dict[str, Any]:
    """`tree` with values at dotted places; ``__`` stands for the dot, ``...`` removes."""
    whole = copy.deepcopy(tree())
    for place, value in changes.items():
        *above, last = place.split("__")
        at: Any = whole
        for step in above:
            at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return whole


def faults(configuration: Mapping[str, object], *, file: Mapping[str, object] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(configuration, file=file)
    return dict(caught.value.faults)


def written(directory: Path, text: str) -> Path:
    file = directory / "gateway.yaml"
    file.write_text(text)
    return file


def load_faults(path: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ)
    return dict(caught.value.faults)


def test_the_shipped_file_loads_with_its_secrets_from_the_environment() -> None:
    """config/gateway.yaml is valid in itself: only the secrets are missing."""
    settings = load(SHIPPED, SECRETS)
    assert settings.production
    assert settings.store.embedded
    assert set(settings.backends) == {"verba_eu", "voicenter_il", "pbx", "genesys"}
    assert [route.backends for route in settings.routes] == [("verba_eu", "genesys"), ("verba_eu",)]


def test_the_shipped_file_has_every_setting_and_no_other() -> None:
    """Its keys, those behind a comment sign included, are exactly the documented ones."""
    text = re.sub(r"^(\s*)#(?=[a-z_]+:|- )", r"\1", SHIPPED.read_text(), flags=re.MULTILINE)
    text = text.replace("    keys: []\n", "")
    vendors = {name: backend["vendor"] for name, backend in yaml.safe_load(text)["backends"].items()}
    assert set(places(yaml.safe_load(text), "", vendors)) == {entry.path for entry in inventory.documented()}


def places(value: object, path: str, vendors: Mapping[str, str]) -> list[str]:
    match value:
        case dict() if path in {"backends", "clients"}:
            names = {name: f"{path}.<{vendors.get(name, 'name')}>" for name in value}
            return [place for name, item in value.items() for place in places(item, names[name], vendors)]
        case dict():
            start = f"{path}." if path else ""
            return [place for name, item in value.items() for place in places(item, start + name, vendors)]
        case [dict(), *_]:
            return [place for item in value for place in places(item, f"{path}[]", vendors)]
        case _:
            return [path]


def test_every_setting_is_documented() -> None:
    """Each has a text, and a default that is shown as the file would have it."""
    entries = {entry.path: entry for entry in inventory.documented()}
    assert all(entry.doc and entry.type and entry.default for entry in entries.values())
    assert entries["policy.deadline_seconds"][1:3] == ("number", "2.5")
    assert entries["environment"][1:3] == ("production | development", "production")
    assert entries["store.url"][1:3] == ("secret text", "embedded")
    assert entries["audit.pepper"][1:3] == ("secret key", "none")
    assert entries["listen.trusted_proxies"][1:3] == ("list of network", "none")
    assert entries["clients.<name>.token"].default == "none"
    assert entries["clients.<name>.require_actor"][1:3] == ("true | false", "false")
    assert entries["backends.<verba>.vendor"][1:3] == ("verba", "required")
    assert entries["clients.<name>.keys[].not_before"].type == "time"
    assert entries["routes[].match.client"].default == "none"


def test_every_vendor_is_in_the_union() -> None:
    """A vendor that cannot be configured does not exist."""
    union = get_args(get_args(AnyBackendSettings)[0])
    assert {get_args(member.model_fields["vendor"].annotation)[0] for member in union} == set(Vendor)


def test_defaults_are_those_of_the_contract() -> None:
    """What the smallest configuration leaves out."""
    settings = parse(tree())
    assert settings.environment is Environment.PRODUCTION
    assert (settings.listen.host, settings.listen.port) == ("0.0.0.0", 8080)  # noqa: S104 -- the documented default
    assert (settings.listen.admin_host, settings.listen.admin_port) == ("0.0.0.0", 9090)  # noqa: S104 -- as above
    assert (settings.listen.workers, settings.listen.tls, settings.listen.trusted_proxies) == (1, None, ())
    assert settings.store.directory == Path("./data")
    assert settings.store.replicas_to_wait_for == 0
    assert settings.policy.model_dump() == {
        "deadline_seconds": 2.5,
        "reassert_seconds": 5.0,
        "alert_after_seconds": 900.0,
        "state_retention_hours": 24.0,
    }
    assert (settings.audit.seal_seconds, settings.audit.retention_days) == (1.0, 400)
    client = settings.clients["crm"]
    assert (client.token, client.requests_per_second, client.require_actor) == ("none", 50.0, False)


def test_environment_goes_over_file_and_mounted_secrets_over_both(tmp_path: Path) -> None:
    """One value in all three places; and in each pair."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development", audit__seal_seconds=7)))
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "backends__pbx__api_key").write_text("mounted\n")
    environ = {
        "GATEWAY_BACKENDS__PBX__API_KEY": "environ",
        "GATEWAY_AUDIT__SEAL_SECONDS": "3",
        "GATEWAY_POLICY__DEADLINE_SECONDS": "1.5",
        "UNRELATED": "x",
    }
    assert api_key(load(file, {})) == "abcd"
    assert api_key(load(file, environ)) == "environ"
    settings = load(file, {**environ, "GATEWAY_SECRETS_DIR": str(mount)})
    assert api_key(settings) == "mounted"
    assert (settings.audit.seal_seconds, settings.policy.deadline_seconds) == (3.0, 1.5)


def api_key(settings: Settings) -> str:
    backend = settings.backends["pbx"]
    assert backend.vendor == "verba"
    return backend.api_key.get_secret_value()


def test_the_environment_can_add_lists_and_mappings_as_json(tmp_path: Path) -> None:
    """What is not text is JSON; a secret that merely looks like JSON stays text."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development")))
    environ = {
        "GATEWAY_CLIENTS__CRM__SCOPES": '["audit:read"]',
        "GATEWAY_LISTEN__TRUSTED_PROXIES": '["10.0.0.0/8"]',
        "GATEWAY_STORE": '{"replicas_to_wait_for": 2}',
        "GATEWAY_BACKENDS__PBX__API_KEY": '["not", "json"]',
        "gateway_store__directory": "/elsewhere",
    }
    settings = load(file, environ)
    assert settings.clients["crm"].scopes == {"audit:read"}
    assert [str(network) for network in settings.listen.trusted_proxies] == ["10.0.0.0/8"]
    assert (settings.store.replicas_to_wait_for, settings.store.directory) == (2, Path("/elsewhere"))
    assert api_key(settings) == '["not", "json"]'


def test_what_is_not_json_where_it_must_be_is_a_fault_beside_the_others(tmp_path: Path) -> None:
    """It neither hides the other mistakes nor shows itself."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development")))
    environ = {"GATEWAY_CLIENTS__CRM__SCOPES": CANARY, "GATEWAY_LISTEN__PORT": "70000"}
    found = load_faults(file, environ)
    assert set(found) == {"clients.crm.scopes", "listen.port"}
    assert CANARY not in str(found)


def test_unknown_variables_are_refused_and_service_links_are_not(tmp_path: Path) -> None:
    """A misspelt variable must not be silently without effect; Kubernetes' own of a like name are not settings."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development")))
    links = {
        "GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT_HTTP": "8080",
        "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "GATEWAY_STORE_SERVICE_HOST": "10.0.0.2",
    }
    load(file, links)
    stray = {"GATEWAY_ENVIROMENT": CANARY, "GATEWAY_STOER__URL": CANARY, "GATEWAY_STORE__ULR": CANARY}
    found = load_faults(file, {**links, **stray})
    assert found == {
        "enviroment": "is not a setting",
        "stoer": "is not a setting",
        "store.ulr": "is not a setting",
    }


def test_the_file_is_the_argument_else_the_variable_else_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, told apart by a harmless setting."""
    monkeypatch.chdir(tmp_path)
    files = {name: tmp_path / name / "gateway.yaml" for name in ("argument", "variable", "config")}
    for days, file in enumerate(files.values(), start=1):
        file.parent.mkdir()
        file.write_text(yaml.safe_dump(changed(environment="development", audit__retention_days=days)))
    environ = {"GATEWAY_CONFIG": str(files["variable"])}
    assert load(files["argument"], environ).audit.retention_days == 1
    assert load(None, environ).audit.retention_days == 2
    assert load(None, {}).audit.retention_days == 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"clear\n", "clear"),
        (b"clear\r\n", "clear"),
        (b" spaced \n\n", " spaced \n"),
        (b"none", "none"),
    ],
)
def test_one_trailing_newline_of_a_mounted_secret_is_not_part_of_it(tmp_path: Path, content: bytes, text: str) -> None:
    """An editor's newline goes; everything else, blanks too, is the secret's own."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development")))
    (tmp_path / "backends__pbx__api_key").write_bytes(content)
    assert api_key(load(file, {"GATEWAY_SECRETS_DIR": str(tmp_path)})) == text


def test_mounted_files_that_cannot_be_read_are_faults_and_foreign_ones_are_not(tmp_path: Path) -> None:
    """All bad ones are named; certificates and a mount's own hidden links lie there too."""
    file = written(tmp_path, yaml.safe_dump(changed(environment="development")))
    mount = tmp_path / "mount"
    mount.mkdir()
    for name, content in {
        "tls.crt": b"\xff",
        "..data__x": b"\xff",
        "audit__pepper": b"\xff\xfe",
        "audit__hmac_key": b"x" * 65_537,
        "stray__name": b"x",
    }.items():
        (mount / name).write_bytes(content)
    (mount / "audit__signing_key").mkdir()
    found = load_faults(file, {"GATEWAY_SECRETS_DIR": str(mount)})
    unreadable = "mounted secret cannot be read as text"
    assert found == {
        "audit__pepper": unreadable,
        "audit__hmac_key": unreadable,
        "audit__signing_key": unreadable,
        "stray": "is not a setting",
    }
    missing = load_faults(file, {"GATEWAY_SECRETS_DIR": str(mount / "nowhere")})
    assert missing == {"GATEWAY_SECRETS_DIR": unreadable}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"backends: {{pbx: {{api_key: '{CANARY}}}}}\n", "is not YAML at line 2, column 1"),
        (f"a: 1\n{CANARY}: 1\n{CANARY}: 2\n", "has a key twice at line 3, column 1"),
        (f"a: &x {{b: 1}}\nc: {{<<: *x, <<: *{CANARY}}}\n", "is not YAML at line 2, column 17"),
        (f"- {CANARY}\n", "must hold a mapping"),
        (f"a: !!python/object:{CANARY} 1\n", "is not YAML at line 1, column 4"),
    ],
)
def test_a_broken_file_is_named_by_place_and_never_quoted(tmp_path: Path, text: str, message: str) -> None:
    """The line that is broken may be the one with a password."""
    file = written(tmp_path, text)
    assert load_faults(file, {}) == {str(file): message}


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    """A file in another encoding, or not a text at all."""
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"a: \xff\xfe")
    assert load_faults(file, {}) == {str(file): "is not YAML"}


def test_a_merge_key_is_no_duplicate(tmp_path: Path) -> None:
    """YAML anchors may be used to say the same of several backends."""
    text = yaml.safe_dump(changed(environment="development", backends=...))
    text += (
        "backends:\n  pbx: &pbx {vendor: verba, base_url: 'https://a.example', api_key: abcd}\n"
        "  second: {<<: *pbx, optional: true}\n"
    )
    assert load(written(tmp_path, text), {}).backends["second"].optional


def test_an_empty_file_leaves_everything_to_the_environment(tmp_path: Path) -> None:
    """No file at all is a mistake; an empty one is a choice."""
    assert "backends" in load_faults(written(tmp_path, ""), {})
    assert load_faults(tmp_path / "none.yaml", {}) == {str(tmp_path / "none.yaml"): "cannot be read"}


def test_every_mistake_is_named_at_once_and_none_with_its_value() -> None:
    """Shapes, unknown keys, names, references and rules, in one go; no canary in any text."""
    broken = {
        "environment": CANARY,
        "listen": {"port": 65_536, "workers": CANARY, "trusted_proxies": [CANARY], CANARY[:6]: 1},
        "store": {"url": f"http://{CANARY}"},
        "policy": {"deadline_seconds": 0, "reassert_seconds": float("nan"), "alert_after_seconds": -1},
        "audit": {"hmac_key": CANARY, "signing_key": base64.b64encode(b"short").decode(), "pepper": 5},
        "tokens": {"issuer": "", "audience": "x", "jwks": f"http://{CANARY}"},
        "backends": {
            "Bad-Name": {"vendor": "verba", "base_url": "https://x.example", "api_key": "abcd"},
            "one": {"vendor": CANARY},
            "two": {"base_url": "https://x.example"},
            "three": {"vendor": "verba", "base_url": f"https://user:{CANARY}@x.example:{CANARY}", "api_key": 7},
            "four": {"vendor": "voicenter", "base_url": "https://x.example"},
        },
        "routes": [
            {"backends": ["one", CANARY]},
            {"backends": []},
            {"match": {"client": CANARY, "tenant": CANARY}, "backends": ["one", "one"]},
            CANARY,
            {"backends": [7]},
        ],
        "clients": {
            "crm": {"tenant": "a b", "scopes": [CANARY], "token": CANARY, "requests_per_second": 0},
            "ivr": {"tenant": "acme", "scopes": [], "keys": [{"kid": CANARY, "hash": CANARY}, {"kid": "x"}]},
        },
        "surplus": CANARY,
    }
    found = faults(broken)
    assert set(found) == {
        "environment",
        "listen.port",
        "listen.workers",
        "listen.trusted_proxies.0",
        "listen.canary",
        "store.url",
        "policy.deadline_seconds",
        "policy.reassert_seconds",
        "policy.alert_after_seconds",
        "audit.hmac_key",
        "audit.signing_key",
        "audit.pepper",
        "tokens.issuer",
        "tokens.jwks",
        "backends.Bad-Name",
        "backends.one.vendor",
        "backends.two.vendor",
        "backends.three.base_url",
        "backends.three.api_key",
        "backends.four.evidence",
        "routes.0.backends.1",
        "routes.1.backends",
        "routes.2.match.client",
        "routes.2.match.tenant",
        "routes.2.backends.1",
        "routes.3",
        "routes.4.backends.0",
        "clients.crm.tenant",
        "clients.crm.scopes.0",
        "clients.crm.token",
        "clients.crm.requests_per_second",
        "clients.ivr.keys.0.kid",
        "clients.ivr.keys.0.hash",
        "clients.ivr.keys.1.kid",
        "clients.ivr.keys.1.hash",
        "surplus",
    }
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"vendor": "verba", "base_url": "http://x.example", "api_key": 7, "username": "u", "client_key": "k",
             "timeout_seconds": CANARY, "ca_file": "/nowhere", "color": "red"},
            {"base_url", "api_key", "", "client_key", "timeout_seconds", "ca_file", "color"},
        ),
        (
            {"vendor": "voicenter", "calls_base_url": "http://x.example", "method": CANARY},
            {"base_url", "calls_base_url", "method", "evidence"},
        ),
        ({"vendor": "voicenter", "base_url": "http://x.example", "plaintext": CANARY, "evidence": "accepted"},
         {"plaintext"}),
        ({"vendor": "voicenter", "base_url": "http://x.example", "plaintext": "true", "evidence": CANARY},
         {"evidence"}),
        ({"vendor": "verba", "base_url": "https://x.example", "api_key": "k", "username": 7, "password": "p"},
         {"username"}),
    ],
    ids=["verba", "voicenter", "plaintext", "text", "login"],
)  # fmt: skip
def test_every_mistake_of_one_account_is_named_at_once(said: dict[str, object], expected: set[str]) -> None:
    """Single settings and what they say of each other; nothing is said of what is wrong by itself."""
    found = faults(changed(backends__pbx=said))
    assert set(found) == {f"backends.pbx.{name}".rstrip(".") for name in expected}
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("place", "said", "expected"),
    [
        ("listen", {"port": 1, "admin_port": 1, "workers": CANARY}, {"listen.admin_port", "listen.workers"}),
        ("listen", {"port": CANARY, "admin_port": 8080}, {"listen.port"}),
        ("listen", CANARY, {"listen"}),
    ],
    ids=range(3),
)
def test_every_mistake_of_one_section_is_named_at_once(place: str, said: object, expected: set[str]) -> None:
    """As for accounts."""
    assert set(faults(changed(**{place: said}))) == expected


# Words of the language that the checks are made in.
FOREIGN = re.compile(r"(?i)\b(input|tuple|dict|dictionary|frozenset|instance|validation|class)\b|<")


@pytest.mark.parametrize(
    ("place", "said", "expected"),
    [
        ("routes", [], {"routes": "must not be empty"}),
        ("routes__0__backends", [], {"routes.0.backends": "must not be empty"}),
        ("routes__0__backends", ["Bad!"], {"routes.0.backends.0": "must have the form ^[a-z][a-z0-9_]{0,31}$"}),
        ("routes", ["x"], {"routes.0": "must be a section (name: value)"}),
        ("routes__0__match", {"extension": ""}, {"routes.0.match.extension": "must not be empty"}),
        ("backends", {}, {"backends": "must not be empty"}),
        ("backends", ..., {"backends": "is required"}),
        ("audit__hmac_key", "AAAA", {"audit.hmac_key": "must be base64 of 32 bytes"}),
        ("audit__pepper", 5, {"audit.pepper": "must be text (in quotes, where it could be read as a number)"}),
        ("clients__crm__token", "maybe", {"clients.crm.token": "must be none, optional or required"}),
        ("policy__deadline_seconds", 0, {"policy.deadline_seconds": "must be more than 0"}),
        ("listen__port", 70_000, {"listen.port": "must be at most 65535"}),
    ],
)
def test_one_mistake_is_one_fault(place: str, said: object, expected: dict[str, str]) -> None:
    """Nothing is said twice of a place, nor of what follows from it."""
    with pytest.raises(ConfigurationError) as caught:
        parse(changed(**{place: said}))
    assert list(caught.value.faults) == list(expected.items())


@pytest.mark.parametrize("wrong", [[], {}, [[]], [5], "x y", 5, -1.5, True, None, {"x": "y"}, ""], ids=repr)
def test_every_mistake_is_told_in_words_of_the_file(wrong: object) -> None:
    """Whatever stands at any place: no message speaks of the language that the gateway is written in."""
    whole = yaml.safe_load(SHIPPED.read_text())
    for place in _places(whole):
        broken = copy.deepcopy(whole)
        at: Any = broken
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = wrong
        assert not [message for message in _told(broken) if FOREIGN.search(message)]


def _told(configuration: Mapping[str, object]) -> list[str]:
    try:
        parse(configuration)
    except ConfigurationError as error:
        return [message for _, message in error.faults]
    return []


def _places(at: object, *above: object) -> Iterator[tuple[Any, ...]]:
    steps = at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ()
    for step, inner in steps:
        yield (*above, step)
        yield from _places(inner, *above, step)


def test_the_error_itself_shows_no_value() -> None:
    """Neither its text, its repr nor its chain of causes."""
    with pytest.raises(ConfigurationError) as caught:
        parse(changed(listen__port=CANARY))
    assert caught.value.__cause__ is None
    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.__context__}"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("audit__hmac_key", "AAAA"),
        ("backends__pbx__api_key", "abcd"),
        ("backends__pbx__password", "abcd"),
        ("store__url", "redis://user:pass@host"),
        ("store__url", "redis://host?password=pass"),
        ("store__url", "redis://[broken"),
        ("anywhere__client_secret", "abcd"),
        ("backends__pbx__active_calls_code", "abcd"),
    ],
)
def test_a_secret_in_the_file_is_refused_in_production_only(place: str, value: str) -> None:
    """Even a misplaced one, and even when the environment would replace it."""
    *above, last = place.split("__")
    file: dict[str, Any] = {last: value}
    for step in reversed(above):
        file = {step: file}
    message = "a secret must not stand in the file: use the environment or a mounted file"
    assert faults(tree(), file=file) == {place.replace("__", "."): message}
    assert parse(changed(environment="development"), file=file).environment is Environment.DEVELOPMENT


def test_what_is_no_secret_may_stand_in_the_file() -> None:
    """An address without a password, a key left empty."""
    parse(tree(), file={"store": {"url": "redis://host"}, "audit": {"pepper": None}, "tokens": {"x": [1]}})
    parse(tree(), file={"backends": {"pbx": {"api_key": ""}}})


def test_an_unreadable_environment_counts_as_production() -> None:
    """A typo there must not open what only development may do."""
    found = faults({**tree(), "environment": "developement"}, file={"audit": {"pepper": "x"}})
    assert set(found) == {"environment", "audit.pepper"}


def test_audit_keys_are_needed_in_production_only() -> None:
    """Each is named when missing; development does without."""
    required = "is required in production"
    assert faults(changed(audit=...)) == {
        "audit.hmac_key": required,
        "audit.signing_key": required,
        "audit.pepper": required,
    }
    assert parse(changed(audit=..., environment="development")).audit.pepper is None


def test_guessable_or_shared_audit_keys_are_refused_in_production() -> None:
    """All zero, one letter; one key for two purposes."""
    zero, letter = base64.b64encode(bytes(32)).decode(), base64.b64encode(b"k" * 32).decode()
    assert faults(changed(audit__hmac_key=zero, audit__pepper=letter)) == {
        "audit.hmac_key": "must be random",
        "audit.pepper": "must be random",
    }
    assert faults(changed(audit__pepper=key(1))) == {"audit.pepper": "must differ from the other keys"}
    parse(changed(audit__hmac_key=zero, audit__pepper=zero, environment="development"))


def test_audit_keys_are_decoded_once_and_never_shown() -> None:
    """Code gets bytes; a print of the settings gets nothing."""
    settings = parse(tree())
    assert settings.audit.pepper is not None
    assert settings.audit.pepper.get_secret_value() == bytes(range(3, 35))
    assert key(3) not in repr(settings)
    assert "abcd" not in repr(settings).replace("abcdefg1", "")


@pytest.mark.parametrize(
    "url", ["embedded", "redis://localhost", "redis://u:p@h", "rediss://u:p@h:1/0", "redis+cluster://:p@a,b:2"]
)
def test_store_addresses_of_the_contract_are_taken(url: str) -> None:
    """Every documented form."""
    store = parse(changed(store__url=url, store__plaintext=True)).store
    assert store.embedded is (url == "embedded")
    assert store.has_password is ("@" in url)


@pytest.mark.parametrize("url", ["", "redis", "redis://", "redis://u:p@", "memory://h", "redis+sentinel://a,b/", "//h"])
def test_other_store_addresses_are_refused(url: str) -> None:
    """No host, another scheme, a sentinel without a service."""
    assert set(faults(changed(store__url=url))) == {"store.url"}


def test_a_sentinel_with_a_service_is_taken() -> None:
    """The counterpart of the refused one."""
    assert not parse(changed(store__url="rediss+sentinel://:p@a:1,b:2/service")).store.embedded


@pytest.mark.parametrize("jwks", ["/etc/keys.json", "keys.json", "https://idp.example/keys"])
def test_jwks_is_a_file_or_an_https_url(jwks: str) -> None:
    """The two documented forms."""
    tokens = {"issuer": "https://idp.example", "audience": "x", "jwks": jwks}
    assert parse(changed(tokens=tokens, clients__crm__token="required")).tokens is not None


@pytest.mark.parametrize("jwks", ["http://idp.example/keys", "https://", "https://u:p@idp.example/k", "ftp://x/y"])
def test_other_places_for_jwks_are_refused(jwks: str) -> None:
    """Public keys over a line anybody can write to are anybody's keys."""
    tokens = {"issuer": "https://idp.example", "audience": "x", "jwks": jwks}
    assert set(faults(changed(tokens=tokens))) == {"tokens.jwks"}


def test_a_client_that_needs_tokens_needs_somebody_to_vouch() -> None:
    """Otherwise nobody could ever call."""
    assert faults(changed(clients__crm__token="required")) == {"clients.crm.token": "needs the section tokens"}


def test_a_key_id_belongs_to_one_client_only() -> None:
    """Within one client and across two."""
    other = {"tenant": "x", "scopes": [], "keys": [{"kid": "abcdefg1", "hash": "0f" * 32}] * 2}
    found = faults(changed(clients__ivr=other))
    twice = [f"clients.ivr.keys.{index}.{name}" for index in (0, 1) for name in ("kid", "hash")]
    assert found == dict.fromkeys(twice, "is there twice")


@pytest.mark.parametrize("kid", ["abcdefg", "abcdefg12", "ABCDEFG1", "abcdefg_", "abcdefg1\n", "١abcdefg", 12_345_678])
def test_a_key_id_is_eight_small_letters_and_digits(kid: object) -> None:
    """Nothing else, a number that YAML made of it included."""
    assert set(faults(changed(clients__crm__keys__0__kid=kid))) == {"clients.crm.keys.0.kid"}


def test_a_hash_is_sixty_four_hex_digits_of_either_case() -> None:
    """Kept in small letters, as it is compared."""
    settings = parse(changed(clients__crm__keys__0__hash="AB" * 32))
    assert settings.clients["crm"].keys[0].hash == "ab" * 32
    for wrong in ("ab" * 31, "zz" * 32, "ab" * 32 + "\n"):
        assert set(faults(changed(clients__crm__keys__0__hash=wrong))) == {"clients.crm.keys.0.hash"}


def test_a_key_must_work_at_some_time() -> None:
    """`expires_at` is after `not_before`; without an offset both are UTC."""
    time = datetime(2026, 1, 1, tzinfo=UTC)
    keys = {"clients__crm__keys__0__not_before": time, "clients__crm__keys__0__expires_at": time}
    assert faults(changed(**keys)) == {"clients.crm.keys.0.expires_at": "must be later than not_before"}
    naive = parse(changed(clients__crm__keys__0__expires_at="2026-01-01T00:00:00")).clients["crm"].keys[0]
    assert naive.expires_at == time
    offset = time.astimezone(timezone(timedelta(hours=2)))
    assert parse(changed(clients__crm__keys__0__expires_at=offset)).clients["crm"].keys[0].expires_at == time
    plain = yaml.safe_load("2026-01-01")
    assert parse(changed(clients__crm__keys__0__expires_at=plain)).clients["crm"].keys[0].expires_at == time


def test_the_two_listeners_need_two_ports() -> None:
    """Two free ones may be asked for."""
    assert faults(changed(listen={"port": 9090})) == {"listen.admin_port": "must differ from port"}
    assert parse(changed(listen={"port": 0, "admin_port": 0})).listen.port == 0


def test_tls_files_must_be_there(tmp_path: Path) -> None:
    """Found out before the first call, not at it."""
    missing = {"tls": {"certificate": tmp_path / "none", "private_key": tmp_path}}
    assert faults(changed(listen=missing)) == {
        "listen.tls.certificate": "must be a file that exists",
        "listen.tls.private_key": "must be a file that exists",
    }


def test_a_client_may_have_no_keys_yet() -> None:
    """That is how the first one is made."""
    assert parse(changed(clients__crm__keys=[])).clients["crm"].keys == ()
    assert parse(changed(clients=...)).clients == {}


def test_plain_http_needs_the_operators_word() -> None:
    """The vendor's own check surfaces with its place."""
    found = faults(changed(backends__pbx__base_url="http://pbx.example"))
    assert list(found) == ["backends.pbx.base_url"]
    parse(changed(backends__pbx__base_url="http://pbx.example", backends__pbx__plaintext=True))
    parse(changed(backends__pbx__base_url="http://127.0.0.1:1"))


def test_settings_are_frozen() -> None:
    """Nobody changes them while the gateway runs."""
    settings = parse(tree())
    for section in (settings, settings.listen, settings.clients["crm"]):
        with pytest.raises(ValueError, match="frozen"):
            section.__setattr__(next(iter(type(section).model_fields)), 1)


def test_making_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `load` does, and only the mapping it is given."""
    monkeypatch.setenv("GATEWAY_POLICY__DEADLINE_SECONDS", "1")
    assert parse(tree()).policy.deadline_seconds == 2.5


def test_secret_names_are_found_by_type() -> None:
    """A new vendor's secret is refused in the file without anybody listing it."""
    names = mistakes.secret_names(Settings)
    assert {"api_key", "password", "client_secret", "active_calls_code"} <= names
    assert {"hmac_key", "signing_key", "pepper", "url"} <= names
    assert not {"hash", "kid", "base_url", "username", "client_id"} & names


def test_every_secret_value_is_known_for_masking() -> None:
    """In each spelling; of an address only the password; nothing of what is no secret."""
    settings = parse(changed(store__url="rediss://user:p%40ss@host/0"))
    pepper = bytes(range(3, 35))
    found = inventory.secrets(settings)
    assert {"abcd", "p%40ss", "p@ss", key(3), pepper.hex()} <= found
    assert not {"embedded", "user", "host", "rediss://user:p%40ss@host/0", "0f" * 32, ""} & found
    assert "embedded" not in inventory.secrets(parse(tree()))


class Loud(BaseModel):
    """What a foreign validator may do: say the value."""

    address: str

    @field_validator("address")
    @classmethod
    def _says_it(cls, value: str) -> str:
        raise ValueError(value if "quiet" not in value else "must be an https URL")


def test_a_foreign_message_that_repeats_the_value_is_replaced() -> None:
    """Also one that repeats only a part of it; the scheme of an address is no secret."""

    def said(address: str) -> tuple[tuple[str, str], ...]:
        with pytest.raises(ConfigurationError) as caught:
            mistakes.checked(Loud, {"address": address}, file={})
        return tuple(fault for fault in caught.value.faults if fault[0] == "address")

    assert said(f"https://host:{CANARY}") == (("address", "is not valid"),)
    assert said("https://quiet") == (("address", "must be an https URL"),)


def test_a_route_names_configured_backends_only() -> None:
    """A name of the right form that nobody configured."""
    found = faults(changed(routes=[{"backends": ["pbx", "pbx2"]}]))
    assert found == {"routes.0.backends.1": "is not a configured backend"}


@pytest.mark.parametrize("size", [0, 31, 33])
def test_audit_keys_are_of_one_size(size: int) -> None:
    """In development too: a short key is a weak one, a long one a mistake."""
    text = base64.b64encode(bytes(range(size))).decode()
    found = faults(changed(environment="development", audit__pepper=text))
    assert found == {"audit.pepper": "must be base64 of 32 bytes"}
