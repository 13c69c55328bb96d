"""Production does not start with what is unsafe: exit 78, and the name of it; nothing of what was written."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import run, script
from unsafe import PROCESS, UNSAFE, House, Unsafe

from gateway import footing
from gateway.cli.main import main
from gateway.sources import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Starting a process takes a second: in a short run only where that is the point.
STARTED = {**UNSAFE, **PROCESS} if os.environ.get("SOAK") else PROCESS


@pytest.fixture
def house() -> Iterator[House]:
    home = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield House(home)
    shutil.rmtree(home, ignore_errors=True)


def names(said: str) -> set[str]:
    """What the lines are about; of a file its name."""
    return {line.partition(": ")[0].rpartition("/")[2] for line in said.splitlines()}


def test_without_any_of_them_it_is_fine(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration that each is planted into is valid: nothing else is what is refused below."""
    for name, value in house.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--config", house.written()]) == 0


def test_there_are_enough_of_them() -> None:
    """Names are told apart, and the list cannot shrink unnoticed."""
    assert len(UNSAFE) + len(PROCESS) >= 50


@pytest.mark.pci("2.2")
@pytest.mark.parametrize("unsafe", UNSAFE.values(), ids=UNSAFE)
def test_what_is_unsafe_is_refused_by_its_name(
    house: House, unsafe: Unsafe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """78, and this name alone."""
    unsafe.arrange(house)
    for name, value in house.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--config", house.written()]) == 78
    said = capsys.readouterr()
    assert (said.out, names(said.err)) == ("", {unsafe.name})
    assert "word" not in said.err.replace("a password", "").replace("PASSWORD", "").replace(
        "user name and password", ""
    )


@pytest.mark.parametrize("unsafe", STARTED.values(), ids=STARTED)
def test_a_process_does_not_start_with_it(house: House, unsafe: Unsafe) -> None:
    """`serve` itself: 78 and the name, before it listens or makes a store."""
    unsafe.arrange(house)
    ran = script("serve", "--config", house.written(), cwd=house.home, environ=house.environ)
    assert (ran.returncode, ran.stdout, names(ran.stderr)) == (78, "", {unsafe.name})
    assert not (house.home / "data").exists()


def test_all_of_them_are_named_at_once(house: House) -> None:
    """Whoever has made several mistakes is told of all of them by one start."""
    together = ("no-pepper", "vendor-in-the-clear", "proxies-everybody", "tls-key-readable", "secret-writable", "debug")
    for name in together:
        UNSAFE[name].arrange(house)
    ran = run("serve", "--config", house.written(), cwd=house.home, environ=house.environ)
    assert (ran.returncode, names(ran.stderr)) == (78, {UNSAFE[name].name for name in together})


@pytest.mark.parametrize("version", ["3.13.9", "2.99.0", "3.9.5"])
def test_an_older_http_library_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever got installed: below the floor nothing starts, in development neither."""
    monkeypatch.setattr("aiohttp.__version__", version)
    with pytest.raises(ConfigurationError) as caught:
        footing.checked({}, production=False)
    assert caught.value.faults == (("aiohttp", "must be 3.14 or later"),)


@pytest.mark.parametrize("version", ["3.14.0", "3.20.1", "4.0.0a1"])
def test_a_newer_one_is_taken(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are compared as numbers; what tells tales is refused in production only."""
    monkeypatch.setattr("aiohttp.__version__", version)
    footing.checked({"SSLKEYLOGFILE": "/dev/null"}, production=False)


class _Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_at_the_start_is_not_looked_through_again() -> None:
    """It is no longer among what the collector looks at; what comes later is, and goes when nobody has it."""
    thresholds, there = gc.get_threshold(), _Ring()
    try:
        footing.settle()
        later = _Ring()
        looked_through = {id(one) for one in gc.get_objects()}
        assert (id(there) in looked_through, id(later) in looked_through) == (False, True)
        assert gc.get_threshold() > thresholds
        gone = weakref.ref(later)
        del later
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
