"""The store is gone, with everything in it: what journal and log have makes the trail again, and says what it lacks."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import TYPE_CHECKING

import orjson
import pytest
from house import House, housed

from gateway.model import CallKey
from gateway.store.contract import bucket

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator
    from pathlib import Path

# A numeric id may look like a card number: the log has it masked.
LUHN = "voipnow-4111111111111111"
LUHN_BUCKET = bucket(CallKey(tenant="acme", call_id=LUHN))


@pytest.fixture
async def house(short_dir: Path) -> AsyncIterator[House]:
    async with housed(short_dir) as house:
        await house.start()
        yield house


async def busy(house: House) -> set[bytes]:
    """Calls muted and let go at all vendors, somebody turned away; gives every line of the trail, and who asks
    for it is in it."""
    for vendor, fake in house.fakes.items():
        fake.add_call(f"{vendor}-1", extension="8856")
        assert (await house.mute(f"{vendor}-1"))[0] == 200
    house.fakes["voipnow"].add_call(LUHN, extension="8857")
    assert (await house.mute(LUHN))[0] == 200
    assert (await house.ask("DELETE", LUHN))[0] == 200
    assert (await house.ask("GET", LUHN, headers={"X-API-Key": "none"}))[0] == 401
    assert (await house.mute("verba-1", hold="second"))[0] == 200
    exported = await house.cli("audit", "export")
    assert exported.returncode == 0, exported.stderr
    return set(exported.stdout.encode().splitlines()[:-1])


async def loss(house: House, number: int = signal.SIGTERM) -> None:
    """The gateway ends, and everything in the store's directory but the journal is deleted."""
    await house.stop(number)
    for path in (house.home / "data").iterdir():
        if path.name != "journal":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


async def rebuilt(house: House, *words: str) -> tuple[subprocess.CompletedProcess[str], list[bytes], str]:
    """What the command said, the lines, and what `audit verify` says of them; it accepts them."""
    file = house.home / "again.jsonl"
    done = await house.cli("audit", "rebuild", *words, "--output", str(file))
    verdict = await house.cli("audit", "verify", str(file), *(("--log", words[0]) if words else ()))
    assert verdict.returncode == 0, (verdict.stdout, done.stderr)
    return done, file.read_bytes().splitlines(), verdict.stdout


def empty(house: House) -> str:
    nothing = house.home / "nothing"
    nothing.mkdir(exist_ok=True)
    return str(nothing)


@pytest.mark.pci("10.3")
@pytest.mark.parametrize("number", [signal.SIGKILL, *([signal.SIGTERM] if os.environ.get("SOAK") else ())], ids=str)
async def test_a_lost_trail_is_made_again(house: House, number: int) -> None:
    """From journal and log: byte for byte what was exported before, nothing missing, and that it was made again is
    its last entry; also when the gateway was killed."""
    before = await busy(house)
    await house.until(lambda: any("trail.exported" in one["entry"] for one in house.logged("entry.found")))
    await loss(house, number)
    done, lines, verdict = await rebuilt(house, str(house.log))
    assert done.returncode == 0, done.stderr
    assert before <= set(lines)
    assert "put together again from journal and log; 0 entries are missing" in verdict
    assert "note: hole" not in verdict
    last = orjson.loads(lines[-2])
    assert (last["type"], last["client"], last["count"]) == ("trail.rebuilt", "operator", 0)


@pytest.mark.pci("10.3")
async def test_the_last_segment_of_an_archive_is_missed_by_the_log(house: House) -> None:
    """Where each run of `audit archive` ended is an entry, and the log has it as soon as it is sealed: a segment that
    is taken away at the end is found, whoever owns store and archive. The log agrees with an archive that is whole."""
    await busy(house)
    archive, done = house.home / "archive", None
    async with asyncio.timeout(60):
        while done is None or "with segment 2 " not in done.stdout:
            await house.mute("verba-1")
            done = await house.cli("audit", "archive", str(archive))
    await house.until(lambda: any('"trail.archived"' in one["entry"] for one in house.logged("entry.found")[-1:]))
    await house.stop()
    whole = await house.cli("audit", "verify", str(archive), "--log", str(house.log))
    assert (whole.returncode, "no checkpoint" in whole.stdout) == (0, False), whole.stdout
    for path in sorted(archive.iterdir())[3:]:
        path.unlink()
    assert (await house.cli("audit", "verify", str(archive))).returncode == 0
    cut = await house.cli("audit", "verify", str(archive), "--log", str(house.log))
    assert cut.returncode == 1
    assert "truncated: it was archived up to checkpoint" in cut.stdout


async def test_what_is_missing_is_named(house: House) -> None:
    """The log alone lacks what it has masked, the journal alone what is about no call: holes with their numbers, and
    the rest verifies; a log that somebody changed does not."""
    before = await busy(house)
    await loss(house)
    done, lines, verdict = await rebuilt(house, str(house.log), "--journal", empty(house))
    assert done.returncode == 1
    masked = {line for line in before if LUHN.encode() in line}
    assert before - set(lines) == masked
    assert f"of bucket {LUHN_BUCKET}" in verdict
    assert f"{len(masked)} entries are missing" in verdict

    done, lines, _ = await rebuilt(house)
    assert done.returncode == 0, "the journal knows of nothing else"
    assert masked <= set(lines)
    assert not any(b'"access.denied"' in line for line in lines)

    forged = house.home / "forged.jsonl"
    forged.write_bytes(house.log.read_bytes().replace(rb"\"protected\":true", rb"\"protected\":false", 1))
    file = house.home / "again.jsonl"
    words = ("--journal", empty(house), "--output", str(file))
    assert (await house.cli("audit", "rebuild", str(forged), *words)).returncode == 1
    assert (await house.cli("audit", "verify", str(file))).returncode == 1
