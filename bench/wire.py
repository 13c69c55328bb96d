"""HTTP as the bench speaks it: messages of a known length, one after the other on a connection that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(slots=True)
class Messages:
    """Cuts what arrives into whole messages."""

    _data: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Head and body of every message that is whole by now."""
        self._data += data
        found: list[tuple[bytes, bytes]] = []
        while (cut := self._data.find(_END)) >= 0:
            head = bytes(self._data[:cut])
            end = cut + len(_END) + length(head)
            if len(self._data) < end:
                break
            found.append((head, bytes(self._data[cut + len(_END) : end])))
            del self._data[:end]
        return found


def length(head: bytes) -> int:
    """How long the body is; 0 where the head does not say."""
    lower = head.lower()
    at = lower.find(_LENGTH)
    return int(lower[at + len(_LENGTH) :].partition(b"\r")[0]) if at >= 0 else 0


def status(head: bytes) -> int:
    return int(head[9:12])


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in {"PUT", "POST"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + _END + body


def reply(body: bytes, kind: bytes, code: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (code, kind, len(body), body)
