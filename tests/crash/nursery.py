"""Starts gateways by fork, so that hundreds of starts cost what one does; ends with its own standard input.

One JSON object a line. In: what to start. Out: ``{"started": pid}``, and for each that is over
``{"ended": pid, "status": …}`` (negative: the signal). Each child is ``redaction-gateway serve`` from its first
line on, in a session of its own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import doom
import orjson

import gateway.cli.serve  # noqa: F401 -- once before the forks, not in each
from gateway.audit import journal
from gateway.cli.main import main
from gateway.store.watch import StoreWatch

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What to start: a configuration file, where its words go, where it dies ("" for nowhere). A `patient` one does
    not count a slow answer as none."""

    config: str
    log: str
    place: str = ""
    passage: int = 0
    armed: str = ""
    patient: bool = False


def be_patient() -> None:
    """A busy machine is neither a hanging disk nor a store that is away."""
    journal.JOURNAL_SECONDS = 5.0
    ours = [module for name, module in sys.modules.items() if name.startswith("gateway.")]
    for name in ("MUTE_STORE_SECONDS", "STORE_SECONDS", "COMMAND_SECONDS"):
        for module in ours:
            if name in module.__dict__:
                module.__dict__[name] = 5.0
    assert StoreWatch._probe.__kwdefaults__ is not None
    StoreWatch._probe.__kwdefaults__["within"] = 5.0


def serve(start: Start) -> None:
    """In the child."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(start.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if start.patient:
        be_patient()
    if start.place:
        doom.arm(doom.Doom(place=start.place, passage=start.passage, armed=Path(start.armed)))
    code = 70
    try:
        code = main(["serve", "--config", start.config])
    except BaseException:  # noqa: BLE001 -- the process ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def say(**words: int) -> None:
    sys.stdout.buffer.write(orjson.dumps(words) + b"\n")
    sys.stdout.buffer.flush()


def reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        say(ended=pid, status=os.waitstatus_to_exitcode(status))


def nurse() -> None:
    woken, waking = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    asked = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            asked += data
        *lines, asked = asked.split(b"\n")
        for line in lines:
            start = Start(**orjson.loads(line))
            pid = os.fork()
            if not pid:
                serve(start)
            say(started=pid)
        reap()


if __name__ == "__main__":
    nurse()
