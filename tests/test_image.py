"""The image's recipe: what it takes in is there and is enough, what it leaves out stays out, and how it runs."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway.cli.main import _parser
from gateway.metrics import CONTENT_TYPE, Page
from gateway.settings import Listen, Store
from gateway.sources import FILE_VARIABLE
from gateway.web.admin import build_admin
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    stage: int
    word: str
    rest: str

    @property
    def exec_form(self) -> list[str] | None:
        """The words of a command that needs no shell."""
        found = re.search(r"\[.*\]\Z", self.rest, re.DOTALL)
        return [str(word) for word in json.loads(found[0])] if found else None


def steps() -> Iterator[Step]:
    text = re.sub(r"^#.*\n", "", RECIPE, flags=re.MULTILINE).replace("\\\n", " ")
    stage = -1
    for line in filter(None, text.splitlines()):
        word, rest = line.split(maxsplit=1)
        stage += word == "FROM"
        yield Step(stage=stage, word=word, rest=rest)


STEPS = tuple(steps())
LAST = max(step.stage for step in STEPS)


def of(word: str, stage: int | None = None) -> list[Step]:
    return [step for step in STEPS if step.word == word and stage in {None, step.stage}]


def only(word: str) -> Step:
    (found,) = of(word, LAST)
    return found


def copied() -> list[str]:
    """What is taken from the project, as it is named there."""
    sources = (shlex.split(step.rest)[:-1] for step in of("COPY") if "--from" not in step.rest)
    return [name for names in sources for name in names]


def test_two_stages_on_the_same_python() -> None:
    """What builds does not run; and the environment that is carried over finds the interpreter it was made with."""
    images = [step.rest.split()[0] for step in of("FROM")]
    assert len(images) == 2
    assert len(set(images)) == 1
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert images[0] == f"python:{wanted}-slim"


def test_everything_installed_has_a_hash() -> None:
    """One install comes from the lock by its hashes, which names all there is to install; every other one can reach no
    index and pulls in nothing."""
    installs = [
        part for step in of("RUN") for part in re.split(r"&&", step.rest) if " install " in part and "pip" in part
    ]
    assert len(installs) == 2
    locked, own = installs
    assert {"--no-deps", "--require-hashes"} <= set(locked.split())
    assert '-r "requirements${EXTRA:+-$EXTRA}.lock"' in locked
    assert "ARG EXTRA=\n" in RECIPE  # none unless somebody asks
    assert "--only-binary :all:" in locked
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(own.split())
    assert "index-url" not in RECIPE


def locked(name: str) -> list[str]:
    """Each package of a lock, with its hashes."""
    packages = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    return [re.sub(r"\n *#.*", "", package).strip() for package in packages]


def test_the_lock_with_tracing_is_the_other_and_more() -> None:
    """The same packages by the same hashes, and what the extra needs as the tests use it."""
    plain, more, tested = ({*locked(f"requirements{name}.lock")} for name in ("", "-tracing", "-dev"))
    assert plain < more <= tested
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["tracing"]
    added = {package.partition("==")[0] for package in more - plain}
    assert {re.split("[<>=]", one)[0] for one in wanted} <= added


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-tracing.lock"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    """The lock that the image is built from names a hash for each package, and no index."""
    lock, packages = (ROOT / name).read_text(), locked(name)
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert "index-url" not in lock


def test_what_built_it_is_not_in_it() -> None:
    """The environment never had pip, and the build back end is taken out of it again."""
    built = " ".join(step.rest for step in of("RUN", 0))
    assert "venv --without-pip" in built
    (back_end,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert f"uninstall --yes {re.split('[<>=]', back_end)[0]}" in built
    assert of("RUN", LAST) == []


def test_byte_code_does_not_go_by_times() -> None:
    """A layer rounds the times of files: byte code that is compared with them would be made anew at every start, since
    none can be written."""
    built = " ".join(step.rest for step in of("RUN", 0))
    assert built.count("install --no-cache-dir --no-compile ") == 2
    assert "/venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /venv/lib" in built


def test_hadolint_is_content() -> None:
    """The linter of recipes has nothing to say, and is told to overlook nothing."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "hadolint ignore" not in RECIPE


def test_it_does_not_run_as_root() -> None:
    """A numeric user other than 0, set before anything is run and owner of the only directory that is written."""
    user = only("USER").rest
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (data,) = json.loads(only("VOLUME").rest)
    assert [step.rest for step in of("COPY", LAST) if f"--chown={user}" in step.rest] == [
        f"--from=build --chown={user} {data} {data}"
    ]
    assert f"install -d -m 0700 {data}" in of("RUN", 0)[-1].rest


def test_data_goes_to_the_volume() -> None:
    """The default directory of the store, from where the image runs, is the volume."""
    place = Path(only("WORKDIR").rest) / Store().directory
    assert [str(place)] == json.loads(only("VOLUME").rest)


def test_nothing_else_is_written() -> None:
    """No byte code either: the root file system may be read-only."""
    variables = dict(word.split("=", 1) for word in shlex.split(only("ENV").rest))
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert Path(variables[FILE_VARIABLE]).is_absolute()


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
def test_no_shell_is_needed(word: str) -> None:
    """Signals reach the gateway itself, and the image works where it has no shell."""
    assert only(word).exec_form


def test_it_serves_unless_told_otherwise() -> None:
    """Entry point and default arguments make a command line that the program takes."""
    entry, arguments = only("ENTRYPOINT").exec_form, only("CMD").exec_form
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert entry == list(scripts)
    assert _parser().parse_args(arguments).run
    assert only("STOPSIGNAL").rest == "SIGTERM"


def test_the_ports_are_the_default_ones() -> None:
    """What is said to be exposed is what is listened on, and health is asked where health is told."""
    listen = Listen()
    assert only("EXPOSE").rest.split() == [str(listen.port), str(listen.admin_port)]
    assert f", {listen.admin_port}," in (only("HEALTHCHECK").exec_form or [""])[-1]


@pytest.mark.parametrize(("path", "healthy"), [("/livez", True), ("/nothing", False)])
async def test_the_health_check_tells_health(path: str, *, healthy: bool) -> None:
    """Run against the real admin port: 0 for an answer that is good, anything else for one that is not."""
    app = build_admin(ready=lambda: True, metrics=lambda _: Page(b"", CONTENT_TYPE))
    async with listening(app, Bind(host="127.0.0.1", grace_seconds=1.0)) as port:
        assert (await checked(port, path) == 0) is healthy


async def test_the_health_check_tells_death() -> None:
    """Nobody there is not health."""
    app = build_admin(ready=lambda: True, metrics=lambda _: Page(b"", CONTENT_TYPE))
    async with listening(app, Bind(host="127.0.0.1", grace_seconds=1.0)) as port:
        pass
    assert await checked(port, "/livez") != 0


async def checked(port: int, path: str) -> int:
    """The exit status of the image's health check, asked of `port`."""
    (_, flag, code) = only("HEALTHCHECK").exec_form or ("", "", "")
    here = code.replace("9090", str(port)).replace("/livez", path)
    process = await asyncio.create_subprocess_exec(sys.executable, flag, here, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


def test_labels_are_those_of_the_project() -> None:
    """Title, description and version are not a second truth."""
    labels = dict(word.split("=", 1) for word in shlex.split(only("LABEL").rest))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == project["name"]
    assert labels[f"{prefix}description"] == project["description"]
    assert labels[f"{prefix}version"] == project["version"] == gateway.__version__


def ignored(path: str) -> bool:
    """Whether the build never sees `path`: the last pattern that fits it, or a folder above it, decides."""
    out = False
    folders = [path, *(str(parent) for parent in Path(path).parents)]
    for line in IGNORED:
        pattern = line.removeprefix("!").removeprefix("**/")
        names = folders if not line.startswith("**/") else [Path(name).name for name in folders]
        if any(fnmatch.fnmatchcase(name, pattern) for name in names):
            out = not line.startswith("!")
    return out


def test_what_is_copied_is_there_and_let_in() -> None:
    """Every path that the recipe takes exists, and .dockerignore lets it through."""
    assert copied()
    for name in copied():
        assert (ROOT / name).exists(), name
        assert not ignored(name), name
    assert not ignored("gateway/store/functions.lua")


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        "data/sandbox.json",
        "config/gateway.yaml",
        "secrets/audit__pepper",
        ".env",
        "tests/conftest.py",
        "gateway/__pycache__/app.cpython-311.pyc",
    ],
)
def test_nothing_else_gets_in(path: str) -> None:
    """Data, keys, history and caches never get into a layer by accident."""
    assert ignored(path)


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """The project builds from the copied paths alone, without an index, and carries its data files."""
    for name in copied():
        source, place = ROOT / name, tmp_path / "src" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        skip = shutil.ignore_patterns("__pycache__")
        _ = shutil.copytree(source, place, ignore=skip) if source.is_dir() else shutil.copy(source, place)
    flags = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", *flags, "--wheel-dir", tmp_path, "."],
        cwd=tmp_path / "src",
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull},
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {file.relative_to(ROOT).as_posix() for file in (ROOT / "gateway").rglob("*") if file.is_file()}
    assert held >= {file for file in files if "__pycache__" not in file}
    assert "gateway/store/functions.lua" in held
