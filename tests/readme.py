"""The README and the pages of docs/ as tests read them: sections, tables, words, commands; and the modules that they
speak of."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
# The pages whose tables are compared with the code: a heading stands in one of them only.
REFERENCE = tuple(PAGES[f"{name}.md"] for name in ("README", "docs/configuration", "docs/trail", "docs/metrics"))
GATEWAY = ROOT / "gateway"
PROGRAM = Path(sys.executable).with_name("redaction-gateway")


def section(heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    pattern = re.compile(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
    found = [text for page in REFERENCE for text in pattern.findall(page)]
    assert len(found) == 1, f"{len(found)} sections {heading!r}"
    return str(found[0])


def table(heading: str) -> list[tuple[str, ...]]:
    """The rows of the first table under a heading, without its head."""
    text = section(heading)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(re.split(r"\s*(?<!\\)\|\s*", line.strip("| "))) for line in lines[2:]]


def words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def prose(page: str) -> str:
    """Without the blocks, whose ends a search for words would take for its own."""
    return re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def commands(page: str = README) -> list[str]:
    """Every command line that a reader is told to type."""
    typed = "\n".join([*blocks("console", page), *blocks("sh", page)]).replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in typed.splitlines() if line.strip()]


def modules(*without: str) -> Iterator[tuple[str, str]]:
    for file in sorted(GATEWAY.rglob("*.py")):
        name = file.relative_to(GATEWAY).as_posix()
        if name not in without:
            yield name, file.read_text()


def limit(phrase: str) -> str:
    """The one point of the limits that has this phrase in it; nothing where there is none."""
    points = re.split(r"^- ", section("Limits today"), flags=re.MULTILINE)[1:]
    found = [point for point in points if phrase in point]
    assert len(found) <= 1
    return "".join(found)
