"""One chain for every log record, the gateway's own and foreign ones, to standard output.

Whatever reaches the chain leaves it without card numbers and without the secrets it was told. One line is one
JSON object in production; development has lines to read.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import orjson
import structlog

from gateway import cards

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

_MASK = "***"
_SHORTEST_SECRET = 4  # masking what is shorter would garble every line and hide nothing
_DEEPEST = 8
# Digests and ids of the gateway's own making look like card numbers once in a while; whole ones are let through.
_OWN = frozenset({"hash", "previous", "op", "request_id"})
_FORM = r"(?=[0-9-]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_OWN_FORM = re.compile(rf"{_FORM}(?:\.[a-z]+)?")
# So do the names of the journal's files: no card number begins with so many zeros.
_OWN_FILE = re.compile(r"[0-9]{1,4}-0{6}[0-9]{10}\.(?:jsonl|torn)")
# A line's own time has twelve digits in a row at most.
_OWN_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
# So do times; no card number of that length begins so.
_TIME = range(10**12, 2 * 10**12)
_LONG = 10 ** (cards.SHORTEST - 1)  # what is below has fewer digits than any card number
_NUMBER = re.compile("[0-9-]+")
# In an entry of the trail they stand beside its members, and beside names of machines and ids of the same form that
# others made.
_OWN_MEMBERS = re.compile(
    r'"node_ms":1[0-9]{12}(?=[,}])'
    rf'|"(?:op|request_id|call_id|target|actor)":"{_FORM}"'
    r'|"node":"[A-Za-z0-9][A-Za-z0-9._-]*"'
    r'|"address":"(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}"'
    r'|"key":"[0-9a-f]{16}"'
)
_NODE_TIME = re.compile(r'"node_ms":1[0-9]{12}(?=[,}])')
_TRACED = frozenset({"exc_info", "stack_info"})
_NAMES = 1_000
_LOST = '{"event":"log.lost","level":"error","logger":"logs"}\n'
# What ends a line or moves a terminal's cursor, where the renderer leaves it as it is.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DELETE = "\x7f"  # the only one in ASCII that JSON does not escape
# The access log of the HTTP server prints the request line; one canonical line a request replaces it. The library that
# sends spans has a word for each of them; that the collector is lost is said once.
_SILENCED = ("aiohttp.access", "opentelemetry")


def configure(*, production: bool, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send all logging through the one chain; replaces what was configured before.

    `secrets` are masked wherever they turn up. `stream` is standard output unless given.
    """
    handler, scrubber = _Lines(stream), Scrubber(secrets)
    handler.setFormatter(_formatter(scrubber, production=production))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    last: Processor = _Own(scrubber) if production else structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=handler.named if production else structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> FilteringBoundLogger:
    """The logger `name`; may be called before `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


class _Lines(logging.Handler):
    """One write a line. What cannot be formatted is said to be lost; its content is not repeated."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._known: dict[str, _Named] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 -- logging must never break, nor the standard handler print the record
            self.handleError(record)
            return
        self.line(line)

    def line(self, text: str) -> None:
        stream = self._stream or sys.stdout
        try:
            stream.write(text + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 -- as above
            sys.stderr.write(_LOST)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 -- as the base class has it
        sys.stderr.write(_LOST)

    def named(self, name: str = "") -> _Named:
        """What structlog hands the finished lines of logger `name` to."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Named(name, self.line)
        return known


class _Named:
    """Where lines end that are made already: no record of the standard library is made of them once more."""

    __slots__ = ("critical", "error", "info", "name", "warning")

    def __init__(self, name: str, line: Callable[[str], None]) -> None:
        self.name = name
        self.info = self.warning = self.error = self.critical = line


class _Own:
    """The last processor of our own records in production: the line that the formatter would make of one, without
    the detour."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._stamps = Stamps()
        self._stack = structlog.processors.StackInfoRenderer()

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        try:
            event["logger"] = logger.name
            event = structlog.stdlib.add_log_level(logger, method, event)
            is_clear = self._scrubber.clear(event)  # before the time is in it, which always is
            event["timestamp"] = self._stamps.at(time.time_ns())
            if is_clear:
                return _render_json(logger, method, event)
            if not _TRACED.isdisjoint(event):
                event = structlog.processors.format_exc_info(logger, method, self._stack(logger, method, event))
            return _render_json(logger, method, self._scrubber(logger, method, event))
        except Exception:  # noqa: BLE001 -- logging must never break
            sys.stderr.write(_LOST)
            raise structlog.DropEvent from None


class Stamps:
    """Times as they stand in a line: those of one second have all in common but its fraction."""

    def __init__(self) -> None:
        self._second = -1
        self._said = ""

    def at(self, ns: int) -> str:
        """As `TimeStamper` writes what was `ns` nanoseconds after the epoch: a whole second has no fraction."""
        second, micros = divmod(ns // 1_000, 1_000_000)
        if second != self._second:
            self._said, self._second = datetime.fromtimestamp(second, UTC).isoformat()[:-6], second
        return f"{self._said}.{micros:06}Z" if micros else f"{self._said}Z"


class Scrubber:
    """The processor that masks: every text in a record, however deep, and in tracebacks."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self._known = tuple(sorted(known, key=lambda secret: (-len(secret), secret)))
        self._secrets = re.compile("|".join(map(re.escape, self._known)))
        self._shortest = min(map(len, self._known), default=cards.SHORTEST)
        self._may_be_number = any(_NUMBER.fullmatch(secret) for secret in self._known)
        self._names: dict[str, str] = {}  # of fields, as they come out
        self._kept: set[str] = set()  # those that come out as they are

    def clear(self, event: EventDict) -> bool:
        """Nothing in `event` is to be masked, and nothing is in it but words and numbers under names that were met
        before. Nearly every line is such: all of its words are looked at at once, a letter between each two."""
        if not self._kept.issuperset(event):
            return False
        words: list[str] = []
        for key, value in event.items():
            kind = type(value)
            if kind is str:
                words.append(_NODE_TIME.sub(":", value, count=1) if key == "entry" else value)
            elif kind is int:
                if (value >= _LONG or value <= -_LONG or self._may_be_number) and not _is_time(key, value):
                    words.append(repr(value))
            elif kind is float:
                words.append(repr(value))
            elif value is not None and kind is not bool:
                return False
        return self._clear("x".join(words))

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG002 -- structlog's signature
        return {self._name(str(key)): self._field(key, value) for key, value in event.items()}

    def _name(self, name: str) -> str:
        """Nearly all are the same few."""
        found = self._names.get(name)
        if found is None:
            found = self._text(name)
            if len(self._names) < _NAMES:
                self._names[name] = found
                if found == name and name not in _TRACED:
                    self._kept.add(name)
        return found

    def _field(self, key: str, value: object) -> object:
        if isinstance(value, str):
            return self._word(key, value)
        if isinstance(value, int) and _is_time(key, value):
            return value
        return self._clean(value, _DEEPEST)

    def _word(self, key: str, value: str) -> str:
        if key == "entry":
            return self._entry(value)
        if key == "file" and _OWN_FILE.fullmatch(value):
            return value
        if key == "timestamp" and _OWN_TIME.fullmatch(value):
            return value
        return value if key in _OWN and _OWN_FORM.fullmatch(value) else self._text(value)

    def _entry(self, text: str) -> str:
        """The trail can be made whole from these lines: of an entry only what is not of our making is masked."""
        if self._clear(_NODE_TIME.sub(":", text, count=1)):
            return text
        own = [*_OWN_MEMBERS.finditer(text)]
        begins, ends = [0, *(one.end() for one in own)], [*(one.start() for one in own), len(text)]
        parts = [self._text(text[begin:end]) for begin, end in zip(begins, ends, strict=True)]
        kept = [one.group() for one in own]
        return "".join(part + member for part, member in zip(parts, [*kept, ""], strict=True))

    def _clean(self, value: object, depth: int) -> object:
        match value:
            case None | bool():
                return value
            case int() if -_LONG < value < _LONG and not self._may_be_number:
                return value
            case int() | float():
                return self._number(value)
            case Mapping() if depth:
                return {self._text(str(key)): self._clean(item, depth - 1) for key, item in value.items()}
            case list() | tuple() | set() | frozenset() if depth:
                return [self._clean(item, depth - 1) for item in value]
            case _:
                return self._text(str(value))

    def _number(self, value: float) -> object:
        text = repr(value)
        return value if self._text(text) == text else self._text(text)

    def _text(self, text: str) -> str:
        """Also without the halves of characters that a header may hold: no line could be written with them."""
        if self._clear(text):
            return text
        plain = self._secrets.sub(_MASK, text) if self._known else text
        return cards.scrub(plain).encode(errors="backslashreplace").decode()

    def _clear(self, text: str) -> bool:
        """There is nothing to mask, as can be seen at once."""
        if not text.isascii():
            return False
        if len(text) < self._shortest and len(text) < cards.SHORTEST:
            return True
        return not cards.may_hold(text) and not any(map(text.__contains__, self._known))


def _is_time(key: str, value: int) -> bool:
    return key == "at" and value in _TIME


def _formatter(scrubber: Scrubber, *, production: bool) -> structlog.stdlib.ProcessorFormatter:
    renderer: Processor = (
        _render_json
        if production
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    one_line: tuple[Processor, ...] = () if production else (_on_one_line,)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            scrubber,
            *one_line,
            renderer,
        ],
    )


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:  # noqa: ARG001 -- structlog's signature
    text = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if text.isascii() and _DELETE not in text else _escaped(text)


def _on_one_line(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:  # noqa: ARG001 -- structlog's signature
    """Names and a record's text are printed as they are; values are not."""
    named = {_escaped(key): value for key, value in event.items()}
    return {**named, "event": _escaped(str(event["event"]))}


def _escaped(text: str) -> str:
    """A line stays one line, whoever reads it: some take U+0085 or U+2028 for an end."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
