"""One thread for what blocks: handed over and handed back with less ado than a pool has for many."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    _Job = tuple[Callable[[], Any], asyncio.Future[Any]]

_T = TypeVar("_T")


class OneThread:
    """It begins with the first work that there is. A process that ends does not wait for it."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """What `work` gives or raises, once all that was handed over before is done. It is done also when nobody waits
        for it any more. `RuntimeError` once it is closed."""
        if self._closed:
            raise RuntimeError("the thread is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=_keep_working, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        done: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._jobs.put((work, done))
        return done

    def close(self, *, wait: bool) -> None:
        """No more work will come; what is there is still done."""
        self._closed = True
        self._jobs.put(None)
        if wait and self._thread is not None:
            self._thread.join()


def _keep_working(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _work(*job)
        del job  # what it holds is not kept while there is nothing to do


def _work(work: Callable[[], _T], done: asyncio.Future[_T]) -> None:
    try:
        told: tuple[Callable[..., None], object] = _give, work()
    except BaseException as error:  # noqa: BLE001 -- it is for whoever waits
        told = _throw, error
    with suppress(RuntimeError):  # the loop has ended, and everybody with it
        done.get_loop().call_soon_threadsafe(told[0], done, told[1])


def _give(done: asyncio.Future[_T], result: _T) -> None:
    if not done.done():
        done.set_result(result)


def _throw(done: asyncio.Future[_T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
