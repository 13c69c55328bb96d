"""What is written down about the chart is true: the table of values, the example, the commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import yaml
from charts import CHART, ROOT, changed, from_tree, objects, run
from kubelet import laid_out
from looks import gateway

from gateway import settings
from gateway.cli.main import _parser

if TYPE_CHECKING:
    from pathlib import Path

README = (CHART / "README.md").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
LINE = re.compile(r"( *)(?:# ?(?P<comment>.*)|(?P<key>\w+):(?: (?P<value>.*))?)")


def explained() -> list[tuple[str, str, str]]:
    """Every value with its default and the comment above it, as values.yaml has them; `config` apart."""
    rows: list[tuple[str, str, str]] = []
    above: list[str] = []
    comment: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        found = LINE.fullmatch(line)
        if found is None or found["comment"] is not None:
            comment = [*comment, found["comment"]] if found else []
            continue
        above = [*above[: len(found[1]) // 2], found["key"]]
        if above[0] != "config" and comment:
            rows.append((".".join(above), default(above), " ".join(comment)))
        comment = []
    return rows


def default(path: list[str]) -> str:
    node = VALUES
    for part in path:
        node = node[part]
    return f"`{json.dumps(node)}`"


def leaves(node: object, *path: str) -> set[str]:
    if not isinstance(node, dict) or not node:
        return {".".join(path)}
    return {leaf for key, value in node.items() for leaf in leaves(value, *path, key)}


def test_every_value_is_explained() -> None:
    """Each has a comment of its own, or is part of one that has."""
    rows = [path for path, _, _ in explained()]
    other = {name: of for name, of in VALUES.items() if name != "config"}
    bare = [leaf for leaf in leaves(other) if not any(f"{leaf}.".startswith(f"{row}.") for row in rows)]
    assert bare == []


def test_values_table_is_the_one_of_the_file() -> None:
    """Every value with its default and meaning."""
    rows = [f"| `{path}` | {value} | {text.replace('|', chr(92) + '|')} |" for path, value, text in explained()]
    table = README.rpartition("|---|---|---|\n")[2].splitlines()
    assert table == rows, "the table has to be:\n" + "\n".join(rows)


def test_the_example_is_enough(tmp_path: Path) -> None:
    """The values that are shown render, and with the Valkey of the trial, too."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    tree = yaml.safe_load(shown)
    assert from_tree(tree, tmp_path).code == 0
    assert from_tree(changed(tree, valkey__enabled=True, valkey__passwordSecret="valkey"), tmp_path).code == 0


def test_the_secrets_that_are_made_are_enough(tmp_path: Path) -> None:
    """With the files that the commands write, the gateway takes what the example renders."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    steps = [line for line in README.splitlines() if line.startswith(("mkdir ", "for key ", "printf "))]
    subprocess.run(["/bin/sh", "-ec", "\n".join(steps)], cwd=tmp_path, check=True)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    found = objects(from_tree(yaml.safe_load(shown), tmp_path).out)
    read = settings.load(None, laid_out(found, gateway(found), {"gateway": made}, tmp_path / "pod"))
    assert read.production
    assert not read.store.embedded


def test_commands_are_helms_and_ours() -> None:
    """Every helm command is one that helm has, with those options, and every command of the gateway is one."""
    typed = re.findall(r"^(helm .*)$", README + (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {line.split()[1] for line in typed} >= {"install", "test", "upgrade"}
    for line in typed:
        _, command, *words = shlex.split(line)
        known = run(command, "--help").out
        assert f"helm {command}" in known
        for word in words:
            assert not word.startswith("--") or word in known, line
    for line in re.findall(r"`redaction-gateway ([^`]+)`", README):
        _parser().parse_args(shlex.split(line))


def test_paths_are_there() -> None:
    """Files of the project that the text names exist; what others bring along is named by the templates."""
    named = set(re.findall(r"`((?:files|config|docs)/[\w./-]+)`", README))
    there = "\n".join(file.read_text() for file in (CHART / "templates").glob("*.yaml"))
    for name in named:
        assert (ROOT / name).exists() or (CHART / name).exists() or name.partition(".")[0].rstrip("/") in there, name
