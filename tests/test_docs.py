"""What is written down is true: commands and paths of every page, and the CHANGELOG, against the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest
from readme import GATEWAY, PAGES, PROGRAM, README, ROOT, blocks, commands, prose, section, table, words

import gateway
from gateway.cli import exits
from gateway.cli.main import _parser
from gateway.model import Vendor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

# An event and a read-back race: which of them was the proof is not the same every time.
VOLATILE = {"observed_at", "requested_at", "updated_at", "exposure_ms", "hash", "evidence"}


# ── commands ──


def test_the_first_screen_is_the_example() -> None:
    """The commands and the answer stand before any heading but the name itself."""
    before = README.split("\n## ", 1)[0]
    assert before.count("\n# ") == 0
    assert all(word in before for word in ("make run", "make test", "curl", '"protected": true'))


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    """Every `make …` that is written down is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^\$? ?make ([a-z-]+)", "\n".join(commands(PAGES[page])), re.MULTILINE))
    named |= {word.removeprefix("make ") for word in words(prose(PAGES[page])) if re.fullmatch(r"make [a-z-]+", word)}
    assert {"run", "test"} <= named or page != "README.md"
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_command_lines_parse(page: str) -> None:
    """Every command line of the program that is written down is one that it takes."""
    lines = [shlex.split(line, comments=True) for line in commands(PAGES[page])]
    ours = [line[1:] for line in lines if line and line[0].endswith("redaction-gateway")]
    said = words(prose(PAGES[page]))
    ours += [shlex.split(re.sub(r"[][]", "", word))[1:] for word in said if word.startswith("redaction-gateway ")]
    for arguments in ours:
        _parser().parse_args(arguments)
    assert {line[0] for line in ours} >= {"keys", "check", "serve", "sandbox"} or page != "README.md"


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = parser._subparsers
    choices = groups._group_actions[0].choices if groups else None
    return dict(cast("dict[str, argparse.ArgumentParser]", choices)) if choices else {}


def test_command_table_is_complete() -> None:
    """The table of the command line has every command with every option, and no other."""
    told = {}
    for row in table("Command line"):
        name, *options = re.sub(r"[][]", "", words(row[0])[0]).removeprefix("redaction-gateway ").split(" --")
        verbs = " ".join(word for word in name.split() if word.islower())
        told[verbs] = {option.split()[0] for option in options}
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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The gateway in its sandbox as a process of its own, as `make run` starts it."""
    with tempfile.TemporaryDirectory(prefix="rgw-") as directory:  # short enough to hold a socket
        yield from running(Path(directory))


def running(directory: Path) -> Iterator[Sandbox]:
    log = directory / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [PROGRAM, "sandbox", "--json", "--directory", directory / "data"], stdout=subprocess.PIPE, stderr=errors
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
    lines = [line.replace("http://127.0.0.1:8080", sandbox.base_url) for line in commands() if line.startswith("curl")]
    assert [re.findall("-X ([A-Z]+)", line) for line in lines] == [["PUT"], ["DELETE"], []]
    answers = [typed(line, sandbox) for line in lines]
    shown = json.loads(blocks("json")[0])
    assert steady(answers[0]) == steady(shown)
    assert flat(answers[0]) == flat(shown)
    assert [(answer["protected"], answer["state"]) for answer in answers[1:]] == [(False, "unmuted")] * 2


def typed(line: str, sandbox: Sandbox) -> dict[str, object]:
    """What a curl that somebody types is answered."""
    shell, curl = shutil.which("sh"), shutil.which("curl")
    if shell is None or curl is None:
        assert not os.environ.get("CI"), "curl is missing"
        pytest.skip("curl is missing")
    said = {"KEY": sandbox.key, "URL": f"{sandbox.base_url}/v1/calls/demo-call/redaction", "no_proxy": "*"}
    ran = subprocess.run(
        [shell, "-c", f"{line} --fail"], env={**os.environ, **said}, capture_output=True, check=True, timeout=30
    )
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


def test_the_curls_for_a_crm_do_what_they_say(sandbox: Sandbox) -> None:
    """Muted, seen, dropped; and the unmute that names a person."""
    lines = [line for line in commands(PAGES["docs/crm.md"]) if line.startswith("curl")]
    assert [re.findall("-X ([A-Z]+)", line) for line in lines] == [["PUT"], [], ["DELETE"], ["POST"]]
    answers = [typed(line, sandbox) for line in lines]
    assert [answer["protected"] for answer in answers] == [True, True, False, False]
    assert [len(cast("list[object]", answer["holds"])) for answer in answers] == [1, 1, 0, 0]


def flat(value: object) -> object:
    """The names and types alone, volatile ones included."""
    match value:
        case dict():
            return {name: flat(item) for name, item in value.items()}
        case list():
            return [flat(item) for item in value]
        case _:
            return type(value)


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


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a file of the project, and to a heading of one, leads there."""
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def anchors(page: str) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    """Who opens docs/ finds each page, and the index from the first page."""
    index = set(re.findall(r"\]\(([^)#]+)\)", PAGES["docs/README.md"]))
    pages = {page.removeprefix("docs/") for page in PAGES if re.fullmatch(r"docs/[\w-]+\.md", page)} - {"README.md"}
    assert pages <= index
    assert "](docs/README.md)" in README


def test_changelog_is_in_form() -> None:
    """Keep a Changelog: known kinds of change under a version or under what is not released yet."""
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert releases[0] in {"Unreleased", gateway.__version__}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
