"""What a Verba server says, and what it means: pure. Which of the facts are V and which I: `verba`."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from gateway.backends.contract import AmbiguousCall, NoSuchCall, Receipt, Refused, Seen, Unconfirmed
from gateway.model import Evidence, Fault, Parties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from gateway.backends.http import HttpReply

SEARCH_CALLS = "SearchCalls"
PAGE = 100
"""How many calls a search is asked for."""

SEVERAL = 2
"""How many calls an ambiguous extension has at least."""

_NOT_FOUND = re.compile(r"\bcall\b[^.]*\b(?:cannot|can not|could not) be found", re.IGNORECASE)
_SEVERAL = re.compile(r"\b(?:more than (?:one|1)|multiple|several)\b", re.IGNORECASE)
_FLAGS = {"true": True, "false": False}


class Complaint(enum.Enum):
    """What the server has against a request."""

    NONE = enum.auto()
    NO_SUCH_CALL = enum.auto()
    SEVERAL_CALLS = enum.auto()
    LOGIN = enum.auto()
    UNKNOWN = enum.auto()  # a no to something that was not asked
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`attributes` are those of the Response element; `found` the calls that a search has brought."""

    complaint: Complaint
    attributes: Mapping[str, str]
    found: tuple[Element, ...] = ()


# Parse


def parse(reply: HttpReply, action: str) -> Answer:
    """What the server says to `action`. `Unconfirmed` for anything that cannot be read as an answer to it."""
    if reply.status in {401, 403}:
        return Answer(complaint=Complaint.LOGIN, attributes={})
    reply.expect_ok()
    root = reply.xml()
    if root.tag == "verbacdrlist" and action == SEARCH_CALLS:
        return Answer(complaint=Complaint.NONE, attributes={}, found=tuple(root.iter("verbacdr")))
    return _parse_response(root, action)


def _parse_response(root: Element, action: str) -> Answer:
    responses = root.findall("Response")
    if root.tag != "VerbaApi" or len(responses) != 1:
        raise Unconfirmed(Fault.BAD_ANSWER)
    attributes = responses[0].attrib
    complaint = _complaint(attributes, " ".join(responses[0].itertext()), action)
    if complaint is Complaint.NONE and action == SEARCH_CALLS and root.find(".//verbacdrlist") is None:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return Answer(complaint=complaint, attributes=attributes, found=tuple(root.iter("verbacdr")))


def _complaint(attributes: Mapping[str, str], text: str, action: str) -> Complaint:
    code, expected = attributes.get("code", ""), attributes.get("type") == action
    if not code.isdecimal() or (code == "0" and not expected):
        raise Unconfirmed(Fault.BAD_ANSWER)
    if code == "0":
        return Complaint.NONE
    if not expected:
        return Complaint.UNKNOWN
    return _wording(text)


def _wording(text: str) -> Complaint:
    if _SEVERAL.search(text):
        return Complaint.SEVERAL_CALLS
    return Complaint.NO_SUCH_CALL if _NOT_FOUND.search(text) else Complaint.OTHER


# Judge


def expect_yes(answer: Answer) -> None:
    """Pass code 0; raise what any other answer means."""
    match answer.complaint:
        case Complaint.NONE:
            return
        case Complaint.NO_SUCH_CALL:
            raise NoSuchCall
        case Complaint.SEVERAL_CALLS:
            raise AmbiguousCall
        case Complaint.LOGIN:
            raise Refused(Fault.UNAUTHENTICATED)
        case Complaint.UNKNOWN:
            raise Unconfirmed(Fault.BAD_ANSWER)
        case Complaint.OTHER:
            raise Refused(Fault.REFUSED)
        case unknown:
            assert_never(unknown)


def judge_command(answer: Answer) -> Receipt:
    """A yes is accepted, which is not done; one with the flags of a state answers another question."""
    expect_yes(answer)
    if answer.attributes.keys() & {"callerMuted", "calledMuted"}:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return Receipt()


def judge_state(answer: Answer) -> Seen:
    expect_yes(answer)
    caller = _flag(answer, "callerMuted")
    called = _flag(answer, "calledMuted")
    muted = (Parties.CALLER if caller else Parties.NONE) | (Parties.CALLED if called else Parties.NONE)
    return Seen(muted=muted, evidence=Evidence.READBACK)


def _flag(answer: Answer, name: str) -> bool:
    flag = _FLAGS.get(answer.attributes.get(name, ""))
    if flag is None:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return flag


def judge_token(answer: Answer) -> str:
    if answer.complaint is not Complaint.NONE:
        raise Refused(Fault.UNAUTHENTICATED)
    token = answer.attributes.get("token", "")
    if not token:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return token


def judge_search(answer: Answer, extension: str, *, least: int = SEVERAL) -> tuple[str, ...]:
    """The ids of the calls of exactly `extension`, at least so many.

    `AmbiguousCall` where the answer leaves a doubt which calls those are: a full page, a call without numbers, a
    number that only ends in the extension (it may be the same party written in full), too few calls.
    """
    expect_yes(answer)
    numbers = [_numbers(found) for found in answer.found]
    if len(answer.found) >= PAGE or any(_doubtful(known, extension) for known in numbers):
        raise AmbiguousCall
    ids = {
        found.findtext("ccdr_id", "") for found, known in zip(answer.found, numbers, strict=True) if extension in known
    }
    if len(ids) < least or "" in ids:
        raise AmbiguousCall
    return tuple(sorted(ids))


def _numbers(found: Element) -> frozenset[str]:
    """The numbers in a call's metadata, without the host of an address. The members' names are V for the
    caller (`source_caller_id`), I for the called."""
    texts = [(child.text or "").strip() for child in found if child.tag.endswith("caller_id")]
    return frozenset(text.removeprefix("sip:").partition("@")[0] for text in texts if text)


def _doubtful(numbers: frozenset[str], extension: str) -> bool:
    ends_alike = any(number.endswith(extension) for number in numbers)
    return not numbers or (ends_alike and extension not in numbers)
