"""The commands of an operator: check, keys, serve, openapi, and what their exit codes say."""

from __future__ import annotations

import base64
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from processes import ask, run, sandbox, script, started, until

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("serve", "check", "keys", "audit", "sandbox", "openapi")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tree(directory: Path) -> dict[str, Any]:
    """A development configuration with one client and nothing behind it."""
    return {
        "environment": "development",
        "listen": {"host": "127.0.0.1", "port": free_port(), "admin_host": "127.0.0.1", "admin_port": 0},
        "store": {"url": "embedded", "directory": str(directory / "data")},
        "audit": {"pepper": base64.b64encode(secrets.token_bytes(32)).decode()},
        "backends": {"pbx": {"vendor": "voicenter", "base_url": "http://127.0.0.1:9/api", "evidence": "accepted"}},
        "routes": [{"backends": ["pbx"]}],
        "clients": {"crm": {"tenant": "acme", "scopes": ["redaction:mute", "redaction:read"], "keys": []}},
    }


def written(directory: Path, content: object) -> str:
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def test_a_new_key_works_once_its_lines_are_pasted(directory: Path) -> None:
    """`keys new` prints a key and the YAML for it; with these lines in the file, `serve` takes the key and no
    other, and SIGTERM ends it with 0."""
    configured = tree(directory)
    made = run("keys", "new", "--client", "crm", "--config", written(directory, configured), cwd=directory)
    assert made.returncode == 0
    key, _, lines = made.stdout.partition("\n")
    configured["clients"]["crm"]["keys"] = yaml.safe_load(lines)
    file = written(directory, configured)
    url = f"http://127.0.0.1:{configured['listen']['port']}/v1/calls/c1/redaction"
    with started("serve", "--config", file, cwd=directory, errors=directory / "stderr") as popen:
        until(lambda: _listens(configured["listen"]["port"]))
        assert ask("GET", url, key=key).status in {404, 503}  # a machine that stands still is slow to ask the store
        assert ask("GET", url, key=key[:-1] + ("0" if key[-1] != "0" else "1")).status == 401
        assert ask("DELETE", url, key=key).status == 403
        popen.terminate()
        assert popen.wait(60) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_listed_keys_show_no_secret(directory: Path) -> None:
    """`keys list` names client, kid and times; neither the hash nor anything of the key is in it."""
    configured = tree(directory)
    made = run("keys", "new", "--client", "crm", "--config", written(directory, configured), cwd=directory)
    key, _, lines = made.stdout.partition("\n")
    (entry,) = yaml.safe_load(lines)
    configured["clients"]["crm"]["keys"] = [{**entry, "expires_at": "2020-01-01T00:00:00Z"}]
    listed = run("keys", "list", "--config", written(directory, configured), cwd=directory)
    assert listed.returncode == 0
    assert entry["kid"] in listed.stdout
    assert "expired" in listed.stdout
    assert key.split("_")[2] not in listed.stdout
    assert entry["hash"] not in listed.stdout


def test_check_shows_what_is_configured_and_ping_whether_it_is_there(directory: Path) -> None:
    """`check` is 0 and asks nobody; `check --ping` is 1 while a backend is away and 0 once all are there."""
    configured = tree(directory)
    file = written(directory, configured)
    checked = run("check", "--config", file, cwd=directory)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "http://127.0.0.1:9" in checked.stdout
    assert "not asked" in checked.stdout
    away = run("check", "--ping", "--config", file, cwd=directory)
    assert (away.returncode, "connection-failed" in away.stdout) == (1, True)
    with sandbox(directory / "sandbox") as process:
        configured["backends"]["pbx"]["base_url"] = process.said["fakes"]["voicenter"] + "/Comet/API"
        there = run("check", "--ping", "--config", written(directory, configured), cwd=directory)
    assert there.returncode == 0
    assert there.stdout.splitlines()[-1].split()[-1] == "yes"


@pytest.mark.parametrize("command", [("check",), ("serve",), ("keys", "list"), ("keys", "new", "--client", "crm")])
def test_a_bad_configuration_is_78_with_every_fault_and_no_value(directory: Path, command: tuple[str, ...]) -> None:
    """Every command that needs the file names every mistake at once, by its path, without what was written."""
    bad = tree(directory)
    bad |= {"environment": "production", "sotre": {"url": "embedded"}}
    bad["listen"]["port"] = "eighty-eighty"
    bad["backends"]["pbx"]["base_url"] = "http://user:hunter2@recorder.example/api"
    bad["backends"]["genesys"] = {"vendor": "genesys", "username": "agent", "password": "correct-horse"}
    bad["routes"] = [{"backends": ["pbx", "nowhere"]}]
    refused = run(*command, "--config", written(directory, bad), cwd=directory)
    assert (refused.returncode, refused.stdout) == (78, "")
    paths = {line.partition(": ")[0] for line in refused.stderr.splitlines()}
    expected = {"sotre", "listen.port", "backends.pbx.base_url", "backends.genesys.base_url", "audit.pepper"}
    assert expected <= paths
    assert any(path.startswith("routes.0") for path in paths)
    for value in ("hunter2", "correct-horse", "eighty-eighty", bad["audit"]["pepper"]):
        assert value not in refused.stderr


def test_a_file_that_is_not_there_or_not_yaml_is_78(directory: Path) -> None:
    """No file, and a file that cannot be read: 78 and a line, never a traceback."""
    (directory / "broken.yaml").write_text("backends: [\n")
    for name in ("nowhere.yaml", "broken.yaml"):
        refused = run("check", "--config", str(directory / name), cwd=directory)
        assert (refused.returncode, refused.stdout) == (78, "")
        assert "Traceback" not in refused.stderr
        assert refused.stderr


@pytest.mark.parametrize("arguments", [(), ("mute",), ("keys",), ("keys", "new"), ("check", "--pong"), ("audit", "x")])
def test_wrong_usage_is_2(directory: Path, arguments: tuple[str, ...]) -> None:
    """What is no command, or lacks a part: 2 and the usage."""
    refused = run(*arguments, cwd=directory)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "usage:" in refused.stderr


def test_a_key_for_nobody_is_2(directory: Path) -> None:
    """`keys new` for a client that the configuration does not have prints no key."""
    file = written(directory, tree(directory))
    refused = run("keys", "new", "--client", "nobody", "--config", file, cwd=directory)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr


def test_the_document_that_is_printed_is_the_one_that_is_shipped(directory: Path) -> None:
    """`openapi` prints the very document in the repository."""
    printed = run("openapi", cwd=directory)
    assert printed.returncode == 0
    assert orjson.loads(printed.stdout) == orjson.loads((REPOSITORY / "openapi.json").read_bytes())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(directory: Path, command: str) -> None:
    """`--help` of each is 0, typed as it is documented, with nothing imported before; `serve` and `sandbox` are started
    so elsewhere."""
    helped = (run if command in {"serve", "sandbox"} else script)(command, "--help", cwd=directory)
    assert (helped.returncode, "usage:" in helped.stdout) == (0, True)
