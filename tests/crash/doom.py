"""Where a gateway dies: named places in the product, at which a process that is armed for one ends itself by SIGKILL,
or stands still by SIGSTOP until somebody lets it go on.

The product knows nothing of it: its functions are wrapped, in a process of the tests only. A place whose function
is renamed or not passed any more shows, because nobody dies there.
"""

from __future__ import annotations

import asyncio
import enum
import importlib
import inspect
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Only = Callable[..., bool]


class When(enum.StrEnum):
    BEFORE = "before"
    BYTE = "byte"  # the first byte of it is on the wire
    SENT = "sent"  # all of it is, and nobody has waited for the answer
    AFTER = "after"
    STOPPED = "stopped"  # before, and only for as long as somebody wants


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`function` of `module`, when `only` says yes to its arguments."""

    module: str
    function: str
    when: When
    only: Only


@dataclass(frozen=True, slots=True, kw_only=True)
class Doom:
    """Die at the `passage`-th time at `place` from when the file `armed` is there."""

    place: str
    passage: int
    armed: Path


def _always(*_: object, **__: object) -> bool:
    return True


def _step(name: str) -> Only:
    return lambda _, change, **__: change.op.endswith(f".{name}")


def _healed(_: object, change: Any, **__: object) -> bool:  # noqa: ANN401 -- the product's own word
    return b'"healed":true' in change.entry


def _action(name: str) -> Only:
    return lambda _, command, *__: command.action == name


def _notes(_: object, lines: Any, **__: object) -> bool:  # noqa: ANN401 -- as above
    return any(type(line).__name__ == "Note" for line in lines)


def _acks(_: object, lines: Any, **__: object) -> bool:  # noqa: ANN401 -- as above
    return any(type(line).__name__ == "Ack" for line in lines)


def _packed(word: bytes) -> Only:
    return lambda _, data: word in data


def _places() -> dict[str, Place]:
    found: dict[str, Place] = {}

    def add(name: str, where: str, *whens: When, only: Only = _always) -> None:
        module, _, function = where.partition(":")
        for when in whens:
            found[f"{name}.{when}"] = Place(module=module, function=function, when=when, only=only)

    both = (When.BEFORE, When.AFTER)
    for step in ("intended", "outcome", "reverted", "abandoned", "looked", "muted"):
        add(f"commit.{step}", "gateway.store.redis:RedisStore.commit", *both, only=_step(step))
        add(f"commit.{step}", "gateway.store.wire:Wire._write", When.SENT, only=_packed(f".{step}\r\n".encode()))
    add("commit.healed", "gateway.store.redis:RedisStore.commit", *both, only=_healed)
    for name in ("claim", "loosen", "release", "queues", "entries", "trail", "load"):
        add(name, f"gateway.store.redis:RedisStore.{name}", *both)
    add("journal.note", "gateway.audit.segments:Segments.append", *both, only=_notes)
    add("journal.written", "gateway.audit.segments:Segments._write", When.AFTER, only=_notes)
    add("journal.ack", "gateway.audit.segments:Segments.append", *both, only=_acks)
    add("journal.recall", "gateway.audit.journal:Journal.open", *both)
    for action in ("mute", "unmute"):
        add(f"command.{action}", "gateway.line:Line.apply", *both, only=_action(action))
    add("command", "gateway.backends.wire:write", When.BYTE, When.SENT, only=_to_vendor)
    add("asked", "gateway.backends.wire:answered", When.STOPPED, only=_resumes)
    add("send", "gateway.backends.wire:sent", When.STOPPED, only=_resumes)
    add("evidence", "gateway.line:Line.observe", *both)
    add("answer.mute", "gateway.service:Service.mute", *both)
    add("answer.unmute", "gateway.service:Service.unmute", *both)
    add("answer", "aiohttp.web:Response.write_eof", When.BEFORE, When.SENT, only=_of_call)
    add("healer.verify", "gateway.heal:Healer._heal", *both)
    return found


def _of_call(response: Any) -> bool:  # noqa: ANN401 -- as above
    return b'"call_id"' in (response.body or b"")


def _to_vendor(_: object, data: bytes) -> bool:
    return data.startswith(b"POST /verba") and b"mute=" in data


def _resumes(_: object, data: bytes, *__: object, **___: object) -> bool:
    return b"mute=0" in data


PLACES = _places()


class _Passing:
    """Counts; the one that it waits for does not return."""

    def __init__(self, doom: Doom) -> None:
        self._doom = doom
        self._left = doom.passage
        self._lock = threading.Lock()

    def is_last(self) -> bool:
        with self._lock:
            if not self._doom.armed.exists():
                return False
            self._left -= 1
            return self._left == 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def arm(doom: Doom) -> None:
    """From now on this process dies there."""
    place = PLACES[doom.place]
    owner: Any = importlib.import_module(place.module)
    *path, name = place.function.split(".")
    for part in path:
        owner = getattr(owner, part)
    original, passing = getattr(owner, name), _Passing(doom)
    wrap = _awaited if inspect.iscoroutinefunction(original) else _called
    setattr(owner, name, wrap(original, place, passing))


def _awaited(original: Callable[..., Any], place: Place, passing: _Passing) -> Callable[..., Any]:
    @wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- whatever is wrapped
        here = place.only(*arguments, **named) and passing.is_last()
        if here and place.when is When.BEFORE:
            die()
        if here and place.when is When.STOPPED:
            os.kill(os.getpid(), signal.SIGSTOP)
            return await original(*arguments, **named)
        try:
            value = await original(*arguments, **named)
        except Exception:
            if here:
                die()
            raise
        if here and place.when is When.SENT:
            await asyncio.sleep(0)  # what was written leaves the process at the end of the loop's turn
            await asyncio.sleep(0)
        if here:
            die()
        return value

    return wrapped


def _called(original: Callable[..., Any], place: Place, passing: _Passing) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- as above
        here = place.only(*arguments, **named) and passing.is_last()
        if here and place.when is When.BEFORE:
            die()
        if here and place.when is When.STOPPED:
            os.kill(os.getpid(), signal.SIGSTOP)
            return original(*arguments, **named)
        if here and place.when is When.BYTE:
            transport, data = arguments
            arguments = (transport, data[:1])
        value = original(*arguments, **named)
        if here and place.when is When.AFTER:
            die()
        if here:
            loop = asyncio.get_running_loop()
            loop.call_soon(partial(loop.call_soon, die))
        return value

    return wrapped
