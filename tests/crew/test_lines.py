"""Lines of several processes on one pipe."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

from gateway.crew import lines

WRITER = """
import sys
from gateway.crew import lines
stream = lines.shared(1, int(sys.argv[1]))
sys.stderr.write("ready\\n"); sys.stdin.read()
for _ in range(600):
    stream.write(sys.argv[2] * 9000 + "\\n")
    stream.flush()
"""


def test_no_line_has_another_ones_in_it() -> None:
    """Two processes write lines longer than the pipe has room for, so that each has to wait in the middle of every one:
    each line that comes out is one writer's."""
    turn = lines.turn()
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(turn), word],
            stdin=subprocess.PIPE,
            stdout=write,
            stderr=subprocess.PIPE,
            pass_fds=[turn],
        )
        for word in ("a", "b")
    ]
    for writer in writers:
        assert writer.stderr is not None
        assert writer.stderr.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    os.close(write)
    with os.fdopen(read, "rb") as out:
        found = out.read().splitlines()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    for writer in writers:
        assert writer.stderr is not None
        writer.stderr.close()
    os.close(turn)
    assert sorted(found) == [b"a" * 9000] * 600 + [b"b" * 9000] * 600
