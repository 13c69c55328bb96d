"""Runs commands of the gateway by fork, so that dozens of starts cost what one does; ends with its own standard input.

One JSON object a line. In: what to run, where its words go. Out: ``{"code": …}`` when it is over, negative for a
signal. Each child is ``redaction-gateway`` from the parser on.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from dataclasses import dataclass

import orjson

from gateway.cli.main import _parser, main

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    words: list[str]
    cwd: str
    environ: dict[str, str]
    out: str
    err: str


def carry_out(order: Order) -> None:
    """In the child."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, (name, how) in enumerate(
        ((os.devnull, os.O_RDONLY), (order.out, os.O_WRONLY), (order.err, os.O_WRONLY))
    ):
        os.dup2(os.open(name, how), number)
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.environ)
    code = 70
    try:
        code = main(order.words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001 -- the process ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def obey() -> None:
    _parser()  # imports every command
    gc.freeze()
    for line in sys.stdin.buffer:
        order = Order(**orjson.loads(line))
        pid = os.fork()
        if not pid:
            carry_out(order)
        _, status = os.waitpid(pid, 0)
        sys.stdout.buffer.write(orjson.dumps({"code": os.waitstatus_to_exitcode(status)}) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    obey()
