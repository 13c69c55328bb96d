"""Which open redaction an event is about, and whether it is news that should not be.

Knows the open redactions that this process has had to do with lately, as it last saw them. That is only an index:
whoever is nudged asks the store and the recorder before anything is believed.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from gateway.evidence import counted, covers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.backends.contract import Backend, Heard
    from gateway.model import CallKey, Recorder, Redaction

REMEMBERED = 10_000  # open redactions


class Listening:
    def __init__(self) -> None:
        self._open: OrderedDict[CallKey, Redaction] = OrderedDict()
        self._by_name: defaultdict[str, set[CallKey]] = defaultdict(set)
        self._doubted: set[CallKey] = set()
        self._nudge: Callable[[CallKey], None] | None = None

    @asynccontextmanager
    async def listening(self, backends: Iterable[Backend], nudge: Callable[[CallKey], None]) -> AsyncIterator[None]:
        """While the block runs, `nudge` gets every call that a recorder says it records though it must be silent."""
        self._nudge = nudge
        try:
            async with AsyncExitStack() as stack:
                for backend in backends:
                    await stack.enter_async_context(backend.listening(partial(self.heard, backend.name)))
                yield
        finally:
            self._nudge = None

    def saw(self, redaction: Redaction) -> None:
        """This is how the redaction is now."""
        self._forget(redaction.key)
        if not redaction.open:
            self._doubted.discard(redaction.key)
            return
        self._remember(redaction)
        if redaction.key in self._doubted and _settled(redaction):
            self._suspect(redaction.key)

    def heard(self, backend: str, heard: Heard) -> None:
        """A recorder said this of a call. While the redaction is being worked on anyway, the doubt is kept until
        that has come to its end."""
        for key in self._meant(backend, heard):
            redaction = self._open[key]
            if heard.seen.muted & redaction.wanted == redaction.wanted or redaction.order is not None:
                continue
            if _settled(redaction):
                self._suspect(key)
            else:
                self._doubted.add(key)

    def _suspect(self, key: CallKey) -> None:
        self._doubted.discard(key)
        if self._nudge is not None:
            self._nudge(key)

    def _meant(self, backend: str, heard: Heard) -> set[CallKey]:
        names = [_call_name(backend, call_id) for call_id in heard.call_ids]
        names += [_extension_name(backend, extension) for extension in heard.extensions]
        return {key for name in names for key in self._by_name.get(name, ())}

    def _remember(self, redaction: Redaction) -> None:
        self._open[redaction.key] = redaction
        for recorder in redaction.recorders:
            self._by_name[_name(recorder)].add(redaction.key)
        if len(self._open) > REMEMBERED:
            oldest = next(iter(self._open))
            self._forget(oldest)
            self._doubted.discard(oldest)

    def _forget(self, key: CallKey) -> None:
        redaction = self._open.pop(key, None)
        for recorder in redaction.recorders if redaction else ():
            names = self._by_name[_name(recorder)]
            names.discard(key)
            if not names:
                del self._by_name[_name(recorder)]


def _settled(redaction: Redaction) -> bool:
    """All recorders were seen silent, so that nobody is at work on it."""
    return all(one.fault is None and covers(one.seen, redaction.wanted) for one in counted(redaction))


def _name(recorder: Recorder) -> str:
    target = recorder.target
    if target.call_id is not None:
        return _call_name(recorder.backend, target.call_id)
    return _extension_name(recorder.backend, target.extension or "")


def _call_name(backend: str, call_id: str) -> str:
    return f"{backend}:call:{call_id}"


def _extension_name(backend: str, extension: str) -> str:
    return f"{backend}:extension:{extension}"
