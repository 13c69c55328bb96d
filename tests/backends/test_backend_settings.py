from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gateway.backends.http import HttpClient
from gateway.backends.settings import BackendSettings, is_loopback

if TYPE_CHECKING:
    from pathlib import Path


def faults(**given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        BackendSettings.model_validate(given)
    return str(caught.value)


def test_a_base_url_is_kept_without_its_slash() -> None:
    """The URL is the operator's, a slash at its end does not count."""
    settings = BackendSettings.model_validate({"base_url": "https://h.example:8443/verba/api/"})
    assert settings.base_url == "https://h.example:8443/verba/api"


@pytest.mark.parametrize(
    "base_url",
    [
        "h.example/api",
        "ftp://h.example",
        "https://",
        "https://user:s3cret@h.example",
        "https://h.example/?apiKey=s3cret",
        "https://h.example/#s3cret",
    ],
)
def test_a_base_url_that_is_none(base_url: str) -> None:
    """Anything but a plain http URL is refused under its field, without its value."""
    text = faults(base_url=base_url)
    assert "base_url" in text
    assert "s3cret" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_plain_http_to_this_machine(host: str) -> None:
    """Loopback needs no TLS."""
    assert BackendSettings.model_validate({"base_url": f"http://{host}:1"}).plaintext is False


def test_plain_http_elsewhere_is_the_operators_decision() -> None:
    """Http to another host is refused unless the operator says so, and names that look like loopback are not."""
    assert "plaintext: true" in faults(base_url="http://h.example")
    assert "plaintext: true" in faults(base_url="http://127.0.0.1.h.example")
    assert BackendSettings.model_validate({"base_url": "http://h.example", "plaintext": True}).plaintext
    assert not is_loopback("localhost.example")


def test_unknown_and_senseless_settings() -> None:
    """A misspelt name, no time, no connections: refused, each under its name."""
    text = faults(base_url="https://h.example", timeout_second=1, timeout_seconds=0, max_connections=0)
    assert all(name in text for name in ("timeout_second\n", "timeout_seconds\n", "max_connections\n"))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """TLS files are looked at when the configuration is read; the fault names the setting."""
    nonsense = tmp_path / "x.pem"
    nonsense.write_text("nonsense")
    missing = tmp_path / "missing.pem"
    assert "ca_file" in faults(base_url="https://h.example", ca_file=nonsense)
    assert "ca_file" in faults(base_url="https://h.example", ca_file=missing)
    assert "client_certificate" in faults(base_url="https://h.example", client_certificate=nonsense)
    assert "needs client_certificate" in faults(base_url="https://h.example", client_key=nonsense)


def test_every_setting_says_what_it_is_for() -> None:
    """Each setting has a description, which the settings' documentation is made of."""
    own = BackendSettings.model_fields.items()
    assert [name for name, field in own if name != "vendor" and not field.description] == []


def test_the_systems_authorities_are_read_for_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are many and slow to read: not to check settings that name no file, and not for plain http."""
    read: list[ssl.SSLContext] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda context, *_: read.append(context))
    settings = [BackendSettings.model_validate({"base_url": url}) for url in ("http://127.0.0.1", "https://h.example")]
    assert read == []
    clients = [HttpClient(one) for one in settings]
    assert [client._tls for client in clients] == [True, *read]
