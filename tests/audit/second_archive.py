"""The second verifier on archives, with `second` and the standard library alone: `faults_in` is what is wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any

from second import Second, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Heads = dict[int, tuple[int, str]]
EMPTY = (0, "")


def heads_of(members: dict[str, Any]) -> Heads:
    return {int(number): (seq, digest) for number, (seq, digest) in members.items()}


def root_of(heads: Heads) -> str:
    text = "".join("{} {} {}\n".format(number, *heads.get(number, EMPTY)) for number in range(64))
    return hashlib.sha256(text.encode()).hexdigest()


def sound(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        return signed(public, message, signature)
    except (ValueError, IndexError):
        return False


class SecondOfArchives(Second):
    """Goes through the segments once; what it knows of calls and checkpoints goes with it."""

    def check_all(self, directory: Path) -> list[str]:
        self.directory = directory
        self.calls: dict[tuple[int, str, str], str] = {}
        self.starts: set[tuple[int, str]] = set()
        self.lost: list[tuple[int, int, int, list[str]]] = []
        self.seen: set[tuple[int, int, str]] = set()
        names = sorted(path.name for path in directory.glob("????????.manifest.json"))
        self.require(names, "no segment")
        before: dict[str, Any] | None = None
        hash_ = ""
        for number, name in enumerate(names, 1):
            line = (directory / name).read_bytes().removesuffix(b"\n")
            manifest = self.opened(line)
            said = manifest["type"], manifest["version"], manifest["n"], manifest["previous"]
            self.require(said == ("archive.manifest", 1, number, hash_), "manifests")
            if before is None:
                self.begins(manifest["begins"])
            self.require(before in (None, manifest["begins"]), "segments")
            before, hash_ = manifest["ends"], hashlib.sha256(line).hexdigest()
            self.checkpoints(manifest)
            self.segment(manifest)
        self.came_back()
        self.require(self.wrong or all(sound(*one) for one in self.pending), "not signed")
        return self.wrong

    def begins(self, base: dict[str, Any]) -> None:
        self.anchored = not base["n"]
        self.newest: tuple[int, str] = base["n"], base["hash"]
        self.heads = heads_of(base["buckets"])
        self.sealer = 0
        self.signers: list[str] = []

    def lines(self, manifest: dict[str, Any], kind: str) -> Iterator[bytes]:
        """The file's lines, when it is the file that is meant."""
        name = f"{manifest['n']:08}.{kind}.jsonl.gz"
        data = (self.directory / name).read_bytes()
        self.require(manifest["files"].get(name) == hashlib.sha256(data).hexdigest(), "another file")
        yield from gzip.decompress(data).splitlines(keepends=True)

    # Checkpoints

    def checkpoints(self, manifest: dict[str, Any]) -> None:
        for data in self.lines(manifest, "seals"):
            line = data.removesuffix(b"\n")
            one = self.opened(line)
            follows = (one["type"], one["version"], one["n"] - 1, one["previous"]) == ("checkpoint", 1, *self.newest)
            self.require(follows, "checkpoints")
            self.require(one["key"] not in self.signers[:-1], "a key came back")
            self.signers += [one["key"]] if one["key"] not in self.signers else []
            self.newest = one["n"], hashlib.sha256(line).hexdigest()
            self.heads |= heads_of(one["buckets"])
            self.require(root_of(self.heads) == one["root"], "root")
            self.lost += [(int(n), had, kept, gone) for n, (had, kept, *gone) in one.get("lost", {}).items()]
        ends = manifest["ends"]
        same = self.newest == (ends["n"], ends["hash"]) and root_of(self.heads) == root_of(heads_of(ends["buckets"]))
        self.require(same, "not up to its end")

    # Entries

    def segment(self, manifest: dict[str, Any]) -> None:
        begins, ends, floor = (heads_of(manifest[name]["buckets"]) for name in ("begins", "ends", "floor"))
        at = {n: (floor if n in manifest["anew"] else begins).get(n, EMPTY) for n in range(64)}
        for number in manifest["anew"]:
            self.calls = {call: link for call, link in self.calls.items() if call[0] != number}
            self.starts = {start for start in self.starts if start[0] != number}
        count, self.sealer = 0, 0 if 0 in manifest["anew"] else self.sealer
        for line in self.lines(manifest, "entries"):
            count += 1
            self.entry(line, at)
            self.started(json.loads(line), manifest["ends"]["n"])
        self.require(count == manifest["entries"], "another number of entries")
        self.require(all(at[n] == ends.get(n, EMPTY) for n in range(64)), "not as sealed")

    def entry(self, line: bytes, at: Heads) -> None:
        entry = json.loads(line)
        number, seq, link = entry["bucket"], entry["seq"], entry["hash"]
        prefix = b'{"bucket":%d,"seq":%d,"at":%d,"hash":"%b",' % (number, seq, entry["at"], link.encode())
        self.require(line.startswith(prefix) and line.endswith(b"}\n"), "another form")
        newest, digest = at[number]
        self.require(seq == newest + 1, "numbers")
        at[number] = seq, hashlib.sha256(digest.encode() + line).hexdigest()
        about = (number, entry["tenant"], entry["call_id"]) if "call_id" in entry else (number, "", "")
        own, before = b"{" + line[len(prefix) : -1], self.calls.get(about, "")
        follows = bool(before) and self.linked(before, own, link)
        starting = not follows and self.linked("", own, link)
        self.require(follows or starting or not (before or self.anchored), "chain")
        self.require(not starting or (number, link) not in self.starts, "begun twice")
        self.starts |= {(number, link)} if starting else set()
        self.calls[about] = link
        for form in (own, own.replace(b'"healed":true,', b"", 1)):
            self.seen |= {(number, seq, hashlib.sha256(form).hexdigest())} if self.lost else set()

    def started(self, entry: dict[str, Any], newest: int) -> None:
        """What a sealer wrote down of its first checkpoint, sealed by a later one."""
        if entry["type"] == "seal.started" and "call_id" not in entry:
            risen = self.sealer < entry["checkpoint"] < newest
            self.require(risen and not entry.get("count"), "seals put back")
            self.sealer = entry["checkpoint"]

    def came_back(self) -> None:
        """Sealed entries that were lost stand there again."""
        for number, had, kept, gone in self.lost:
            back = {digest for n, seq, digest in self.seen if n == number and seq > kept}
            self.require(len(back & set(gone)) == had - kept, "lost")


def faults_in(directory: Path, hmac_keys: list[bytes], public_keys: list[bytes]) -> list[str]:
    try:
        return SecondOfArchives(hmac_keys, public_keys).check_all(directory)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return [f"unreadable: {error!r}"]
