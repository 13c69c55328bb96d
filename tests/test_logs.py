"""One chain for all records, and nothing secret leaves it."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata
import uuid
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from gateway import cards, logs
from gateway.audit.chain import link
from gateway.audit.entry import Entry, EntryType
from gateway.logs import Scrubber

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict

CARD = "4111 1111-1111.1111"
DIGITS = "4111111111111111"
SECRET = "vendor-Key+7(x)"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """What a test configures ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    access = logging.getLogger("aiohttp.access").level
    yield
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(access)
    structlog.reset_defaults()


class Lines:
    """What was written, read back."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.records[-1]


@pytest.fixture
def lines() -> Lines:
    lines = Lines()
    logs.configure(production=True, secrets=[SECRET, f"{SECRET}-longer", "abc", ""], stream=lines.stream)
    return lines


def test_a_record_is_one_json_line_with_time_level_and_logger(lines: Lines) -> None:
    """In UTC, to the microsecond, with its fields."""
    logs.get("recorders").info("recorder.confirmed", backend="pbx", took_ms=12, ratio=0.5, proven=True, none=None)
    record = lines.last
    when = record.pop("timestamp")
    assert when.endswith("Z")
    assert datetime.fromisoformat(when).utcoffset() is not None
    assert record == {
        "event": "recorder.confirmed",
        "level": "info",
        "logger": "recorders",
        "backend": "pbx",
        "took_ms": 12,
        "ratio": 0.5,
        "proven": True,
        "none": None,
    }


def test_foreign_records_come_through_the_same_chain(lines: Lines) -> None:
    """A library's record has the same members, its arguments filled in and its extras kept."""
    logging.getLogger("asyncio").warning("slow %s", "task", extra={"seconds": 3})
    record = lines.last
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "slow task", "level": "warning", "logger": "asyncio", "seconds": 3}


def test_a_warning_of_python_becomes_a_record(lines: Lines) -> None:
    """And does not go to standard error by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", UserWarning, stacklevel=1)
    assert lines.last["logger"] == "py.warnings"
    assert "old thing" in lines.last["event"]


def test_what_a_request_bound_is_in_every_record_of_it(lines: Lines) -> None:
    """Own and foreign ones alike."""
    with structlog.contextvars.bound_contextvars(request_id="8f14e45f"):
        logs.get("web").info("request.served")
        logging.getLogger("aiohttp.server").error("oops")
    logs.get("web").info("request.served")
    assert [record.get("request_id") for record in lines.records] == ["8f14e45f", "8f14e45f", None]


def test_the_trail_is_a_stream_of_its_own(lines: Lines) -> None:
    """By the name of its logger, which is all a collector needs."""
    logs.get("audit").info("entry.written", seq=1)
    assert lines.last["logger"] == "audit"


def test_debug_records_and_access_lines_are_left_out(lines: Lines) -> None:
    """The access line holds the request line; one canonical record a request replaces it."""
    logs.get("web").debug("noise.made")
    logging.getLogger("redis").debug("noise")
    logging.getLogger("aiohttp.access").critical("GET /v1/calls/1/redaction")
    assert lines.text == ""


def fail(text: str, *, cause: Exception | None) -> None:
    local = "local-" + "value"
    if local:
        raise ValueError(text) from cause


@dataclass
class Thing:
    number: str

    def __str__(self) -> str:
        return f"thing {self.number}"


@pytest.mark.parametrize("canary", [CARD, SECRET, f"{SECRET}-longer", "4111111111111111"])
def test_no_card_and_no_secret_leaves_whatever_holds_it(lines: Lines, canary: str) -> None:
    """Event, field, name, nested, foreign argument, extra, bytes, object, exception, its cause, stack."""
    logs.get("x").info(f"event {canary}", field=canary, nested={canary: [canary, (canary, {canary})]})
    logs.get("x").info("bytes", content=canary.encode(), thing=Thing(canary), **{canary: 1})
    logging.getLogger("lib").error("argument %s and %r", canary, canary, extra={"extra": canary})
    try:
        fail(f"bad answer {canary}", cause=KeyError(canary))
    except ValueError as error:
        logs.get("x").exception("adapter.failed", error=error)
        logging.getLogger("lib").exception("failed")
    logs.get("x").info("stack", stack_info=True)
    assert len(lines.records) == 6
    assert canary not in lines.text
    assert "1111" not in lines.text
    assert "vendor-Key" not in lines.text
    assert "-longer" not in lines.text


def test_numbers_that_are_cards_are_masked_and_others_stay_numbers(lines: Lines) -> None:
    """A card is not always a text."""
    logs.get("x").info("e", card=4111111111111111, real=4111111111111111.0, small=7, part=0.5)
    record = lines.last
    assert (record["card"], record["real"]) == ("*" * 16, "*" * 16 + ".*")
    assert (record["small"], record["part"]) == (7, 0.5)


def test_what_is_too_deep_is_still_masked(lines: Lines) -> None:
    """Nesting is no way around, and a structure that holds itself ends."""
    deep: Any = [CARD]
    for _ in range(20):
        deep = [deep]
    logs.get("x").info("e", deep=deep)
    loop: list[Any] = []
    loop.append(loop)
    logs.get("x").info("e", loop=loop)
    assert len(lines.records) == 2
    assert "1111" not in lines.text


def test_short_secrets_are_not_masked(lines: Lines) -> None:
    """Three letters would be found in every word and hide nothing."""
    logs.get("x").info("alphabet", text="abcdef")
    assert lines.last["text"] == "abcdef"


@pytest.mark.parametrize("key", ["hash", "previous", "op", "request_id"])
def test_digests_and_ids_of_our_own_are_left_whole(lines: Lines, key: str) -> None:
    """One in fifty digests looks like a card number; seals in the log must stay checkable."""
    digest = ("ab" + "4111111111111111" + "0" * 64)[:64]
    name = str(uuid.UUID("4111111111111111a111111111111111"))
    logs.get("x").info("e", **{key: digest})
    assert lines.last[key] == digest
    logs.get("x").info("e", **{key: name})
    assert lines.last[key] == name
    logs.get("x").info("e", other=digest)
    assert lines.last["other"] != digest


@pytest.mark.parametrize(
    "value",
    ["4111111111111111", "4111-1111-1111-1111", "4111-1111-1111-1111a", "4" * 32, f"x {'a' * 32} 4111111111111111"],
)
def test_only_the_whole_form_of_a_digest_or_id_is_left(lines: Lines, value: str) -> None:
    """A caller's card number does not pass as a request id."""
    logs.get("x").info("e", request_id=value)
    assert lines.last["request_id"] != value


def test_the_names_of_the_journals_files_are_left_whole(lines: Lines) -> None:
    """Whoever has to look at one is told which; no other name, nor a card number in the place of one."""
    names = [f"{slot}-{number:016}.{end}" for slot in (0, 17) for number in (1, 47, 10**9) for end in ("jsonl", "torn")]
    for name in names:
        logs.get("journal").error("journal.broken", file=name, lines=1)
        assert lines.last["file"] == name
    for name in (f"0-{DIGITS}.jsonl", f"{DIGITS}-0000000000000001.jsonl", f"0-0000000000000001.jsonl {DIGITS}"):
        logs.get("journal").error("journal.broken", file=name, lines=1)
        assert DIGITS not in lines.text


def test_tracebacks_show_no_local_variables(lines: Lines) -> None:
    """In development neither, where a rich traceback would."""
    for production in (True, False):
        logs.configure(production=production, stream=lines.stream)
        try:
            fail("plain", cause=None)
        except ValueError:
            logs.get("x").exception("e")
    assert lines.text.count("ValueError: plain") == 2
    assert "local-value" not in lines.text


def test_development_has_lines_to_read() -> None:
    """The same chain and masks, another last step."""
    lines = Lines()
    logs.configure(production=False, stream=lines.stream)
    logs.get("x").info("recorder.confirmed", backend="pbx", number=CARD)
    assert "recorder.confirmed" in lines.text
    assert "backend=pbx" in lines.text
    assert "1111" not in lines.text
    assert not lines.text.startswith("{")


def test_a_logger_made_before_configuration_follows_it(lines: Lines) -> None:
    """Modules make theirs when imported; and a second configuration replaces the first."""
    early = logs.get("early")
    early.info("first.logged")
    later = Lines()
    logs.configure(production=True, stream=later.stream)
    early.info("second.logged")
    assert [record["event"] for record in lines.records] == ["first.logged"]
    assert [record["event"] for record in later.records] == ["second.logged"]


def test_records_can_be_captured_after_a_logger_was_used(lines: Lines) -> None:
    """Tests of other modules rely on it; a cached logger would go on writing."""
    logger = logs.get("x")
    logger.info("first.logged")
    with structlog.testing.capture_logs() as captured:
        logger.info("second.logged")
    assert [record["event"] for record in captured] == ["second.logged"]
    assert [record["event"] for record in lines.records] == ["first.logged"]


def test_standard_output_is_where_it_is_at_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is kept of a stream that was replaced since."""
    logs.configure(production=True)
    logs.get("x").info("e")
    assert json.loads(capsys.readouterr().out)["event"] == "e"


def test_a_record_that_cannot_be_written_breaks_nothing_and_is_not_repeated(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    """The standard handler would print it with its arguments."""

    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError(CARD)

    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, logs._Lines)]
    logs.get("x").info("e", value=Unprintable())
    logging.getLogger("lib").error("needs %d", CARD)
    lines.stream.close()
    logs.get("x").info("e", number=CARD)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["log.lost"] * 3


def test_a_lone_surrogate_does_not_lose_the_record(lines: Lines) -> None:
    """Bytes that a client sent as a header can be no text at all."""
    logs.get("x").info("e", header="caf\udce9")
    assert lines.last["event"] == "e"


FORGED = 'x\n2026-01-01T00:00:00Z [info] key.added\r{"event":"key.added"}\u2028\x85\x1b[2J\x00\x7f'


@pytest.mark.parametrize("production", [True, False], ids=["production", "development"])
def test_no_text_makes_a_second_line(production: bool) -> None:  # noqa: FBT001 -- a parameter's two values
    """Whatever is said, in an event of ours or in a foreign record's text, is one line without a control character."""
    stream = io.StringIO()
    logs.configure(production=production, stream=stream)
    logs.get("gateway").info("thing.done", client=FORGED, many=[FORGED], **{FORGED: 1})
    logging.getLogger("foreign").warning("said %s", FORGED)
    lines = stream.getvalue().split("\n")
    assert [bool(line) for line in lines] == [True, True, False]
    assert stream.getvalue().splitlines() == lines[:2]
    assert not any(unicodedata.category(letter) == "Cc" for line in lines for letter in line)


@pytest.mark.parametrize("production", [True, False])
def test_the_log_has_every_entry_as_its_hash_has_it(production: bool) -> None:  # noqa: FBT001 -- a parameter's two values
    """Thousands of entries as a gateway makes them, as many as it takes to meet each member that looks like a card
    number: each line has the entry whole, its hash and its place."""
    stream, random = io.StringIO(), Random(7)  # noqa: S311 -- entries to be had again, no secrets
    logs.configure(production=production, stream=stream)
    alike: Counter[str] = Counter()
    for number in range(3_000):
        entry = _entry(random)
        hash_, at = link(b"k" * 32, "", entry.canonical()), random.randrange(*_TIMES)
        alike.update(
            name for name, value in orjson.loads(entry.canonical()).items() if cards.scrub(str(value)) != str(value)
        )
        stream.truncate(stream.seek(0))
        logs.get("audit").info(
            "entry.written", bucket=17, seq=number, at=at, hash=hash_, entry=entry.canonical().decode()
        )
        shown, said = _said(stream.getvalue(), production=production)
        assert link(b"k" * 32, "", shown.encode()) == said["hash"] == hash_
        assert (said["at"], said["seq"], said["bucket"]) == (str(at), str(number), "17")
        assert orjson.loads(shown) == orjson.loads(entry.canonical())
    assert alike.keys() >= {"op", "request_id", "call_id", "actor", "node", "node_ms", "address", "key", "target"}


_TIMES = (1_700_000_000_000, 1_900_000_000_000)


def _entry(random: Random) -> Entry:
    def some() -> str:
        return str(uuid.UUID(int=random.getrandbits(128)))

    return Entry(
        type=EntryType.MUTE_CONFIRMED,
        tenant="acme",
        call_id=some(),
        op=some().replace("-", ""),
        node=f"{random.randrange(10**11, 10**12)}-{random.randrange(100)}",
        node_ms=random.randrange(*_TIMES),
        client="crm",
        kid="k0000000",
        actor=some(),
        address=str(random.choice((IPv4Address(random.getrandbits(32)), IPv6Address(random.getrandbits(128))))),
        request_id=random.choice((some(), some().replace("-", ""))),
        exposure_ms=random.randrange(10**5),
        revision=random.randrange(10**4),
        version=random.randrange(10**4),
        key=some()[-12:] + some()[:4],
        target=some(),
    )


def _said(line: str, *, production: bool) -> tuple[str, dict[str, str]]:
    if production:
        said = {name: str(value) for name, value in orjson.loads(line).items()}
        return said["entry"], said
    shown = re.search(r"entry='(.*)' ", line)
    assert shown is not None
    return shown[1], dict(re.findall(r"\b(at|seq|bucket|hash)=(\S+)", line.replace(shown[0], "")))


def test_an_entry_of_the_trail_is_masked_only_where_it_is_not_our_own() -> None:
    """Times, operations and request ids of our making stay, though they look like card numbers; a call's id and
    whatever else holds one does not."""
    mask = Scrubber(())
    time, op = 1_700_000_000_004, "a4111111111111111bcdef0123456789"
    assert cards.scrub(str(time)) != str(time)
    entry = f'{{"call_id":"4111111111111111","node_ms":{time},"op":"{op}","request_id":"{op}"}}'
    said = mask(None, "info", {"event": "entry.written", "at": time, "entry": entry, "other": entry, "seq": DIGITS})
    assert said["at"] == time
    assert said["entry"] == entry.replace("4111111111111111", "****************", 1)
    assert str(time) not in str(said["other"])
    assert DIGITS not in str(said["seq"])
    assert DIGITS not in str(mask(None, "info", {"event": "x", "at": int(DIGITS), "entry": f'"op":"{DIGITS}"'}))


class _Everything(Scrubber):
    """Looks at each field by itself, always."""

    def clear(self, event: EventDict) -> bool:  # noqa: ARG002 -- as the original
        return False


_WORDS: tuple[Any, ...] = (
    *("request.served", "crm", "", "12 3", "127.0.0.1", "1", "4111", "111111111", DIGITS, CARD, f"x{DIGITS}", "9" * 12),
    *(
        SECRET,
        SECRET[:6],
        SECRET[6:],
        "pass",
        "word",
        "12345678",
        "1234",
        '"',
        "\\",
        "\n",
        "\x7f",
        "é",
        "\udce9",
        "٤" * 16,
    ),
    *(
        "a" * 32,
        "ab" + DIGITS + "0" * 46,
        "0-0000000000000001.jsonl",
        f"0-{DIGITS}.jsonl",
        "2026-11-21T09:00:00.123456Z",
    ),
    *(0, -1, 10**12 - 1, 10**12, -(10**12), int(DIGITS), 1_700_000_000_004, 12345678, 10**30, True, False, None),
    *(0.5, 12.345, float(DIGITS), 1e-7, 1.2345678901234567e-5, float("nan"), 12345678.0),
    *([], ["a"], (CARD,), {"a": 1}, {DIGITS: CARD}, {SECRET}, b"x", Thing("1"), Thing(DIGITS), EntryType.CARD_FOUND),
)
_FIELDS = (
    *("at", "entry", "hash", "op", "request_id", "file", "timestamp", "level", "logger", "client", "code", "seq"),
    *("exc_info", "stack_info", DIGITS, SECRET, "n\x7f", "pass", "word"),
)


@pytest.mark.parametrize(
    "secrets", [(), (SECRET, "password"), (SECRET, "12345678"), ("1xpass", "0.5", "1e-0"), ("info", "x" * 9)]
)
def test_a_line_that_is_looked_at_as_a_whole_is_the_same_as_field_by_field(secrets: tuple[str, ...]) -> None:
    """Thousands of records of every kind of field, each made both ways; most of them need the quick way only."""
    random, quick = Random(3), 0  # noqa: S311 -- records to be had again, no secrets
    whole, apart = logs._Own(Scrubber(secrets)), logs._Own(_Everything(secrets))
    for number in range(6_000):
        event = {name: random.choice(_WORDS) for name in random.sample(_FIELDS, random.randrange(5))}
        event |= {"entry": _entry(random).canonical().decode()} if random.random() < 0.3 else {}
        event |= {"event": random.choice(("e", "f", CARD, SECRET)), f"new_{number % 50}": 1}
        if event.get("exc_info") or event.get("stack_info"):  # the stack is another one in each of the two
            continue
        quick += whole._scrubber.clear(dict(event))
        lines = [_line(made, dict(event)) for made in (whole, apart)]
        assert lines[0] == lines[1]
    assert quick > 500


def test_times_are_those_of_the_library() -> None:
    """Within a second, at its end, at its very beginning, and back again."""
    random, stamps = Random(8), logs.Stamps()  # noqa: S311 -- times to be had again
    times = [1_795_251_600 * 10**9 + step for step in (0, 999, 1_000, 999_999_999, 10**9, 10**9 + 1_000, 0)]
    times += [random.randrange(2 * 10**18) // 10**9 * 10**9 + random.randrange(10**9) for _ in range(500)]
    for ns in times:
        when = datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns % 10**9 // 1_000)
        assert stamps.at(ns) == when.isoformat().replace("+00:00", "Z")


def test_a_traceback_is_never_passed_by() -> None:
    """What is still to be written out is not clear, whatever was met under its name before."""
    mask = Scrubber(())
    for name in ("exc_info", "stack_info", "code"):
        mask(None, "info", {name: True})
        assert mask.clear({name: True}) is (name == "code")


@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_delete_character_is_left_in_a_line(*, ascii_only: bool) -> None:
    """It is the one control character that JSON leaves as it is."""
    lines = Lines()
    logs.configure(production=True, stream=lines.stream)
    for _ in range(2):
        logs.get("x").info("e", said="\x7f" if ascii_only else "\x7fé")
        assert "\x7f" not in lines.text
        assert "\\u007f" in lines.text


def _line(made: logs._Own, event: EventDict) -> str | None:
    try:
        line = made(logs._Named("gateway", print), "info", event)
    except structlog.DropEvent:
        return None
    return re.sub(r'("timestamp":")[^"]*', r"\1", line)
