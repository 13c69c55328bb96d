"""The console script as a process, and what a CRM and an operator do with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

SCRIPT = Path(sys.executable).parent / "redaction-gateway"
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever came over the wire
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running gateway; `said` is the line that it printed for programs (empty for none)."""

    popen: subprocess.Popen[bytes]
    said: Mapping[str, Any]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE_SECONDS)


def ask(method: str, url: str, *, key: str | None = None, body: object = None) -> Reply:
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    data = None if body is None else orjson.dumps(body)
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 -- loopback only
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:  # noqa: S310 -- as above
            return Reply(status=response.status, headers=response.headers, body=response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(status=error.code, headers=error.headers, body=error.read())


_forks: list[subprocess.Popen[bytes]] = []


@contextmanager
def forking() -> Iterator[None]:
    """What `run` needs."""
    forks = Path(__file__).with_name("forks.py")
    with subprocess.Popen([sys.executable, forks], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as popen:
        _forks.append(popen)
        try:
            yield
        finally:
            _forks.remove(popen)
            _stdin(popen).close()


def run(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One command to its end, in a process of its own that does not import everything anew; `script` does."""
    (popen,) = _forks
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        out.touch()
        err.touch()
        files = {"out": str(out), "err": str(err)}
        order = {"words": arguments, "cwd": str(cwd), "environ": environment(environ), **files}
        _stdin(popen).write(orjson.dumps(order) + b"\n")
        _stdin(popen).flush()
        code: int = orjson.loads(_answer(popen))["code"]
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def _stdin(popen: subprocess.Popen[bytes]) -> IO[bytes]:
    assert popen.stdin is not None
    return popen.stdin


def _answer(popen: subprocess.Popen[bytes]) -> bytes:
    """A command that does not end takes the process that carries it out with it."""
    assert popen.stdout is not None
    ready, _, _ = select.select([popen.stdout], [], [], PATIENCE_SECONDS)
    if not ready:
        popen.kill()
    assert ready, "the command does not end"
    return _line(popen.stdout)


def script(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """As an operator types it."""
    return subprocess.run(
        [SCRIPT, *arguments],
        cwd=cwd,
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without any setting of a gateway."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, **(extra or {})}


@contextmanager
def started(
    *arguments: str, cwd: Path, errors: Path, environ: Mapping[str, str] | None = None, output: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block, if it is not over by then. What it says goes to the file `output`; in
    the pipe that there is otherwise, it waits once nobody reads."""
    with errors.open("ab") as stream, output.open("ab") if output else nullcontext(subprocess.PIPE) as said:
        popen = subprocess.Popen([SCRIPT, *arguments], cwd=cwd, env=environment(environ), stdout=said, stderr=stream)
        try:
            yield popen
        finally:
            if popen.poll() is None:
                popen.terminate()
            popen.wait(PATIENCE_SECONDS)
            if popen.stdout is not None:
                popen.stdout.close()


@contextmanager
def sandbox(directory: Path) -> Iterator[Process]:
    """The sandbox for programs, ready to be asked."""
    directory.mkdir(exist_ok=True)
    arguments = ("sandbox", "--json", "--directory", str(directory))
    with started(*arguments, cwd=directory, errors=directory / "stderr") as popen:
        line = _line(popen.stdout)
        assert line, (directory / "stderr").read_text()
        yield Process(popen=popen, said=orjson.loads(line))


def _line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
