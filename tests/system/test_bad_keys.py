"""Whoever tries keys does not keep out, nor slow down, the one who has a good one: measured, in a long run only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import PATIENCE_SECONDS, ask, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT, CONNECTIONS, QUIET = int(os.environ.get("BAD_KEYS", "100000")), 64, 1_000
STRANGERS = Path(__file__).with_name("strangers.py")


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99) - 1]


def asked(url: str, key: str, goes_on: Callable[[int], bool]) -> list[float]:
    """Seconds of each mute, one after the other; each of them is proven."""
    took: list[float] = []
    while goes_on(len(took)):
        began = time.perf_counter()
        reply = ask("PUT", f"{url}/v1/calls/demo-call/redaction", key=key)
        took.append(time.perf_counter() - began)
        assert reply.status == 200, reply.body
    return took


@pytest.mark.skipif("SOAK" not in os.environ, reason="a measurement of minutes: SOAK=1")
@pytest.mark.timeout(1_800)
def test_a_good_key_is_as_quick_beside_a_hundred_thousand_bad_ones(tmp_path: Path) -> None:
    """From the same address, as fast as they are answered; none gets in; within twice the quiet p99."""
    with sandbox(tmp_path / "data") as process:
        url, key = process.said["base_url"], process.said["key"]
        arguments = (url.rpartition(":")[2], str(COUNT), str(CONNECTIONS))
        with subprocess.Popen(
            [sys.executable, STRANGERS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as strangers:
            assert strangers.stdout is not None
            assert strangers.stdin is not None
            assert strangers.stdout.readline() == b"ready\n"
            asked(url, key, lambda done: done < 20)
            quiet = asked(url, key, lambda done: done < QUIET)
            began = time.monotonic()
            strangers.stdin.close()
            beside = asked(url, key, lambda _: strangers.poll() is None)
            seconds = time.monotonic() - began
            assert strangers.stdout.read() == b"0\n"
            assert strangers.wait(PATIENCE_SECONDS) == 0
    ratio = p99(beside) / p99(quiet)
    print(  # noqa: T201 -- it is a measurement
        f"{COUNT} bad keys in {seconds:.0f} s; p99 of {len(quiet)} mutes alone {1000 * p99(quiet):.1f} ms,"
        f" of {len(beside)} beside them {1000 * p99(beside):.1f} ms: {ratio:.2f} times"
    )
    assert ratio <= 2
