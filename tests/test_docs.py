"""What is written down is true: README and CHANGELOG against the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest
from prometheus_client.metrics import MetricWrapperBase
from pydantic import TypeAdapter

import gateway
from gateway import inventory
from gateway.asks import Code
from gateway.auth.scopes import Scope
from gateway.backends.registry import AnyBackendSettings
from gateway.backends.settings import BackendSettings
from gateway.cli import exits
from gateway.cli.main import _parser
from gateway.metrics import Metrics
from gateway.model import Action, Parties, Vendor
from gateway.sandbox.fakes import FAKES
from gateway.web.problems import KINDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GATEWAY = ROOT / "gateway"
PROGRAM = Path(sys.executable).with_name("redaction-gateway")
# An event and a read-back race: which of them was the proof is not the same every time.
VOLATILE = {"observed_at", "requested_at", "updated_at", "exposure_ms", "hash", "evidence"}


def section(heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no section {heading!r}"
    return found[1]


def table(heading: str) -> list[tuple[str, ...]]:
    """The rows of the first table under a heading, without its head."""
    text = section(heading)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(re.split(r"\s*(?<!\\)\|\s*", line.strip("| "))) for line in lines[2:]]


def words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command line that a reader is told to type."""
    typed = "\n".join([*blocks("console"), *blocks("sh")]).replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in typed.splitlines() if line.strip()]


def modules(*without: str) -> Iterator[tuple[str, str]]:
    for file in sorted(GATEWAY.rglob("*.py")):
        name = file.relative_to(GATEWAY).as_posix()
        if name not in without:
            yield name, file.read_text()


# ── commands ──


def test_the_first_screen_is_the_example() -> None:
    """The commands and the answer stand before any heading but the name itself."""
    before = README.split("\n## ", 1)[0]
    assert before.count("\n# ") == 0
    assert all(word in before for word in ("make run", "make test", "curl", '"protected": true'))


def test_make_targets_exist() -> None:
    """Every `make …` that is written down is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^\$? ?make ([a-z]+)", "\n".join(commands()), re.MULTILINE))
    named |= {word.removeprefix("make ") for word in words(README) if re.fullmatch(r"make [a-z]+", word)}
    assert {"run", "test"} <= named
    assert named <= targets


def test_command_lines_parse() -> None:
    """Every command line of the program that is written down is one that it takes."""
    lines = [shlex.split(line, comments=True) for line in commands()]
    ours = [line[1:] for line in lines if line and line[0].endswith("redaction-gateway")]
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    ours += [
        shlex.split(re.sub(r"[][]", "", word))[1:] for word in words(prose) if word.startswith("redaction-gateway ")
    ]
    for arguments in ours:
        _parser().parse_args(arguments)
    assert {line[0] for line in ours} >= {"keys", "check", "serve", "sandbox"}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = parser._subparsers
    choices = groups._group_actions[0].choices if groups else None
    return dict(cast("dict[str, argparse.ArgumentParser]", choices)) if choices else {}


def test_command_table_is_complete() -> None:
    """The table of the command line has every command with every option, and no other."""
    told = {}
    for row in table("Command line"):
        name, *options = re.sub(r"[][]", "", words(row[0])[0]).removeprefix("redaction-gateway ").split(" --")
        told[name] = {option.split()[0] for option in options}
    real = {}
    for name, parser in subcommands(_parser()).items():
        for verb, leaf in (subcommands(parser) or {"": parser}).items():
            long = (word for action in leaf._actions for word in action.option_strings if word.startswith("--"))
            real[f"{name} {verb}".strip()] = {word[2:] for word in long} - {"help"}
    assert told == real


def test_exit_codes_are_told() -> None:
    """The exit codes that are written down are those that there are."""
    told = {int(word) for word in re.findall(r"\b\d+\b", section("Command line").rsplit("Exit status", 1)[1])}
    assert told == {exits.FINE, exits.WRONG, exits.USAGE, exits.CONFIGURATION}


class Sandbox(NamedTuple):
    base_url: str
    key: str


@pytest.fixture
def sandbox(short_dir: Path) -> Iterator[Sandbox]:
    """The gateway in its sandbox as a process of its own, as `make run` starts it."""
    log = short_dir / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [PROGRAM, "sandbox", "--json", "--directory", short_dir / "data"], stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, log.read_text()
            said = json.loads(line)
            yield Sandbox(base_url=said["base_url"], key=said["key"])
        finally:
            process.send_signal(signal.SIGTERM)


def steady(value: object) -> object:
    """An answer without what is different every time."""
    match value:
        case dict():
            return {name: steady(item) for name, item in value.items() if name not in VOLATILE}
        case list():
            return [steady(item) for item in value]
        case _:
            return value


def test_the_curls_do_what_they_say(sandbox: Sandbox) -> None:
    """The curls against the running service: the answer of the first is the one that is shown, and after the
    others the call is recorded again."""
    shell, curl = shutil.which("sh"), shutil.which("curl")
    if shell is None or curl is None:
        assert not os.environ.get("CI"), "curl is missing"
        pytest.skip("curl is missing")
    lines = [line for line in commands() if line.startswith("curl")]
    assert [re.findall("-X ([A-Z]+)", line) for line in lines] == [["PUT"], ["DELETE"], []]
    answers = []
    for line in lines:
        asked = line.replace("http://127.0.0.1:8080", sandbox.base_url)
        ran = subprocess.run(
            [shell, "-c", f"{asked} --fail"],
            env={**os.environ, "KEY": sandbox.key, "no_proxy": "*"},
            capture_output=True,
            check=True,
            timeout=30,
        )
        answers.append(json.loads(ran.stdout))
    shown = json.loads(blocks("json")[0])
    assert steady(answers[0]) == steady(shown)
    assert flat(answers[0]) == flat(shown)
    assert [(answer["protected"], answer["state"]) for answer in answers[1:]] == [(False, "unmuted")] * 2


def flat(value: object) -> object:
    """The names and types alone, volatile ones included."""
    match value:
        case dict():
            return {name: flat(item) for name, item in value.items()}
        case list():
            return [flat(item) for item in value]
        case _:
            return type(value)


# ── the API ──


def test_status_table_is_the_one_of_the_service() -> None:
    """Every code with its status, and no code that nothing answers with."""
    told = {(code, int(status)) for row in table("Statuses") for status in words(row[0]) for code in words(row[1])}
    kinds = KINDS.items()
    assert told == {(code.value, status) for code, kind in kinds for status in (kind.status, kind.also) if status}
    assert {code for code, _ in told} == answered()


def answered() -> set[str]:
    """The codes that some module answers with: the tables that only describe them are left out."""
    described = ("asks.py", "metrics.py", "web/openapi.py", "web/examples.py", "web/components.py")
    text = "\n".join(re.sub(r"Code\.\w+: Kind\(.*", "", body) for _, body in modules(*described))
    return {Code[name].value for name in re.findall(r"\bCode\.([A-Z_]+)", text)}


def test_scopes_are_told() -> None:
    """The scopes of the API table are the closed set."""
    assert {word for row in table("The API") for word in words(row[2])} - {"hold"} == {scope.value for scope in Scope}


async def test_vendor_table_is_what_the_backends_declare() -> None:
    """What each vendor can do is told as its backend declares it."""
    told = {}
    for vendor, parties, actions, evidence, *_ in table("Vendors"):
        told[words(vendor)[0]] = (parties == "yes", set(words(actions)), set(words(evidence)))
    real: dict[str, tuple[bool, set[str], set[str]]] = {}
    for configured in accounts():
        backend = configured.build("account")
        can = backend.capabilities
        known = real.setdefault(backend.vendor.value, (Parties.CALLER in can.parties, set(), set()))
        known[1].update(action.value for action in can.actions - {Action.MUTE, Action.UNMUTE})
        known[2].update(evidence.value for evidence in can.evidence)
        await backend.close()
    assert told == real


def accounts() -> list[AnyBackendSettings]:
    """One account at each vendor; a second at the one that can also do without proof."""
    trees = [fake().settings() for fake in FAKES]
    blind = {"vendor": "voicenter", "base_url": "https://voicenter.example", "evidence": "accepted"}
    return [TypeAdapter[AnyBackendSettings](AnyBackendSettings).validate_python(tree) for tree in [*trees, blind]]


# ── configuration ──


def settings_rows() -> list[tuple[str, ...]]:
    """The table of settings as it has to be; what every backend has stands there once."""
    shared = {*BackendSettings.model_fields, "vendor"}
    rows: dict[str, tuple[str, ...]] = {}
    for found in inventory.documented():
        section, _, leaf = found.path.rpartition(".")
        path = f"backends.<name>.{leaf}" if section.startswith("backends") and leaf in shared else found.path
        kind = " | ".join(vendor.value for vendor in Vendor) if path == "backends.<name>.vendor" else found.type
        default = found.default if found.default in {"none", "required"} else f"`{found.default}`"
        cells = (f"`{path}`", kind, default, found.doc)
        rows.setdefault(path, tuple(cell.replace("|", "\\|") for cell in cells))
    return list(rows.values())


def test_settings_table_is_the_one_of_the_models() -> None:
    """Every setting with its type, default and meaning, as the models have it."""
    rows = settings_rows()
    assert table("Settings") == rows, "the table has to be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_settings_without_effect_are_told() -> None:
    """A setting that the limits call without effect is read by no module; one that begins to work drops out."""
    told = words(limit("without effect"))
    assert set(told) <= {found.path for found in inventory.documented()}
    readers = "\n".join(text for _, text in modules("settings.py", "rules.py", "inventory.py"))
    assert [path for path in told if re.search(rf"\.{path.rpartition('.')[2]}\b", readers)] == []


def limit(phrase: str) -> str:
    """The one point of the limits that has this phrase in it."""
    points = re.split(r"^- ", section("Limits today"), flags=re.MULTILINE)[1:]
    (found,) = (point for point in points if phrase in point)
    return found


def test_several_workers_are_refused(tmp_path: Path) -> None:
    """What the limits say is refused at start is refused, as a mistake in the configuration."""
    assert words(limit("refused at start")) == ["listen.workers"]
    file = tmp_path / "gateway.yaml"
    account = {"vendor": "genesys", "base_url": "https://gws.example", "username": "a", "password": "b"}
    listen = {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0, "workers": 2}
    tree = {
        "environment": "development",
        "listen": listen,
        "store": {"directory": str(tmp_path)},
        "backends": {"gws": account},
        "routes": [{"backends": ["gws"]}],
    }
    file.write_text(json.dumps(tree))
    ran = subprocess.run([PROGRAM, "serve", "--config", file], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == exits.CONFIGURATION
    assert ran.stderr.startswith("listen.workers: ")


# ── metrics ──


def metric_families() -> dict[str, tuple[str, ...]]:
    """Every metric of the gateway's own with its labels, as the registry has them."""
    registry = Metrics({"pbx": Vendor.VOIPNOW}, version="1").registry
    found = {}
    for collector, names in registry._collector_to_names.items():
        if isinstance(collector, MetricWrapperBase):
            name = next((name for name in names if name.endswith(("_total", "_info"))), names[0])
            found[name] = tuple(collector._labelnames)
    return found


def test_metrics_table_is_the_one_of_the_registry() -> None:
    """Every metric with its labels, and no other."""
    told = {}
    for row in table("Metrics"):
        name, _, labels = words(row[0])[0].rstrip("}").partition("{")
        told[name] = tuple(labels.split(",")) if labels else ()
    assert told.pop("process_*") == ()
    assert told.pop("build_info") == ()
    real = metric_families()
    assert real.pop("build_info", ()) == ()
    assert told == real


def test_metrics_that_stay_at_zero_are_told() -> None:
    """A metric that the limits call still is set by no module; one that begins to move drops out."""
    told = set(words(limit("stay at zero")))
    moved_by = {
        "audit_device_up": "device",
        "audit_gap_entries": "gap",
        "audit_last_seal_timestamp_seconds": "sealed",
        "backend_circuit_open": "circuit",
        "redaction_oldest_open_seconds": "open_redactions",
        "redaction_oldest_unprotected_seconds": "open_redactions",
        "redaction_open": "open_redactions",
        "redaction_unprotected_seconds_total": "unprotected",
        "store_request_seconds": "store_request",
    }
    callers = "\n".join(text for _, text in modules("metrics.py"))
    still = {name for name, method in moved_by.items() if not re.search(rf"metrics\.{method}\(", callers)}
    assert told == still


# ── the rest ──


def test_vendor_steps_name_what_is_there() -> None:
    """The files and names that the steps for a new vendor speak of exist, for every vendor that is there."""
    text = section("Add a vendor in three steps")
    files = {word for word in words(text) if re.fullmatch(r"[\w/]+\.py", word)}
    assert files >= {"gateway/backends/registry.py", "gateway/sandbox/fakes.py", "gateway/model.py"}
    assert [file for file in files if not (ROOT / file).exists()] == []
    for vendor in Vendor:
        assert (GATEWAY / "backends" / f"{vendor}.py").exists()
        assert (GATEWAY / "sandbox" / f"{vendor}.py").exists()
        assert f"gateway.backends.{vendor}" in (ROOT / "pyproject.toml").read_text()


def test_paths_in_the_readme_exist() -> None:
    """Every link to a file of the project leads somewhere."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_changelog_is_in_form() -> None:
    """Keep a Changelog: known kinds of change under a version or under what is not released yet."""
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert releases[0] in {"Unreleased", gateway.__version__}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
