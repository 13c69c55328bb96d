"""One worker as its keeper sees it: a process that is started again when it dies."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.crew import line
from gateway.crew.line import Line
from gateway.crew.merge import NOTHING, merged, read

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence

    from gateway.crew.merge import Counted

_log = structlog.stdlib.get_logger("crew")

METRICS_SECONDS = 2.0  # a worker that does not answer by then is shown as it was
STOP_SECONDS = 15.0  # longer than a gateway takes for the work under way
REST_SECONDS = 0.1  # before one that died is started again; twice as long after each that died soon
LONGEST_REST_SECONDS = 5.0


class Member:
    """`command` starts the worker; it is given the number of its end of the line, and the `files` that `command`
    speaks of. `turned` is called whenever it
    becomes ready or ceases to be, `died` with its exit status when it ended without having been told to."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        *,
        files: Sequence[int] = (),
        turned: Callable[[], None],
        died: Callable[[int], None],
    ) -> None:
        self.ready = False
        self._number = number
        self._command = command
        self._files = files
        self._turned = turned
        self._died = died
        self._process: Process | None = None
        self._line: Line | None = None
        self._answer: asyncio.Future[str] | None = None
        self._before, self._now = NOTHING, NOTHING  # what dead ones had counted, and the present one when last asked
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def keep(self) -> None:
        """Until `end` is called and the worker has ended."""
        rest = REST_SECONDS
        while not self._ending.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._one_life()
            if self._ending.is_set():
                return
            _log.error("worker.died", worker=self._number, code=code)
            self._died(code)
            lived = asyncio.get_running_loop().time() - began
            rest = REST_SECONDS if lived > LONGEST_REST_SECONDS else min(2 * rest, LONGEST_REST_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._ending.wait()

    async def _one_life(self) -> int:
        """Its exit status."""
        ours, theirs = line.pair()
        with theirs:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                pass_fds=[*self._files, theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        self._line = await Line.on(ours)
        if self._ending.is_set():
            process.terminate()
        await self._hear(self._line)
        code = await self._over(process)
        self._line.close()
        self._line = self._answer = None  # what is asked from now on is asked of the next one
        self._before, self._now = merged([self._before, self._now.lasting()]), NOTHING
        return code

    async def _hear(self, worker: Line) -> None:
        async for name, value in worker.heard():
            match name:
                case line.READY:
                    self._turn(ready=bool(value))
                case line.METRICS if self._answer is not None and not self._answer.done():
                    self._answer.set_result(str(value))
                case _:
                    pass
        self._turn(ready=False)

    def _turn(self, *, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._turned()

    async def _over(self, process: Process) -> int:
        """It has closed its end of the line: it ends by itself, or is made to."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    async def counted(self) -> Counted:
        """What this worker, and those before it, have counted."""
        asked = self._line
        text = await self._asked()
        now = None if text is None else await asyncio.to_thread(read, text)
        if now is not None and self._line is asked:  # or it is gone, and counted among those before
            self._now = now
        return merged([self._before, self._now])

    async def _asked(self) -> str | None:
        if self._line is None or not self.ready:
            return None
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            await self._line.say(line.METRICS)
        answer = self._answer
        done, _ = await asyncio.wait({answer}, timeout=METRICS_SECONDS)
        return answer.result() if done else None

    def end(self) -> None:
        """Told to finish the work under way; `keep` returns when it has."""
        self._ending.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
