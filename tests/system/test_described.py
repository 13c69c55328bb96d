"""What is generated from the shipped description, against a whole gateway: no server error, no answer that is not
described. 2,000 requests in every run, 50,000 with ``SOAK=1``, `CASES` of them where that says so.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import described_hooks
from processes import ask

from gateway import app, settings
from gateway.sandbox import demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
DESCRIPTION = HERE.parents[1] / "openapi.json"
FEW = 2_000
LEAST = int(os.environ.get("CASES", "50000" if os.environ.get("SOAK") else str(FEW)))
EACH = 210 if LEAST == FEW else LEAST // 4  # there are a thousand that are not drawn, and four methods that are
BACKENDS = dict(zip(described_hooks.BACKENDS, ("verba", "voipnow", "genesys"), strict=True))
# What was answered is not learned from: the requests are those of the description, the same in every run. A request
# in good form may still not be granted: another version, more than a recorder can, no such call; 502 is a recorder's
# no to a user whom it does not know. 503 and 504 are what a machine that stands still comes to; a failure of ours is
# a 500. The systematic part ("coverage") knows nothing of the hooks, so that it cannot tell which of its requests are
# in good form. All other checks are on.
CONFIGURATION = """
hooks = "described_hooks"
request-timeout = 120  # a machine that stands still is nobody's fault
[phases]
coverage.extra-data-sources.responses = false
fuzzing.extra-data-sources.responses = false
coverage.checks.positive_data_acceptance.enabled = false
fuzzing.error-feedback.enabled = false
[checks]
enabled = true
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503, 504]
positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 412, 422, 502, 503, 504]
"""


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[tuple[app.Running, str]]:
    """A gateway before the recorders that may be asked at any time, with one call that they all have."""
    async with demo.desk(directory, port=0) as desk:
        for name in BACKENDS.values():
            desk.fakes[name].add_call(described_hooks.CALL, extension="8856")
        client = desk.settings.clients[demo.CLIENT].model_copy(update={"requests_per_second": 1e6})
        changes = {
            "backends": {name: desk.settings.backends[fake] for name, fake in BACKENDS.items()},
            "clients": {demo.CLIENT: client},
            "routes": (settings.Route(backends=tuple(BACKENDS)),),
        }
        async with app.running(desk.settings.model_copy(update=changes)) as state:
            yield state, desk.key


async def generated(state: app.Running, key: str, directory: Path) -> tuple[int, int, str]:
    """The exit code of one run of schemathesis, how many requests passed every check, and all that it says."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "schemathesis"), "run", str(DESCRIPTION), "--no-color", "--seed", "1"),
        *("--url", f"http://127.0.0.1:{state.port}", "-H", f"X-API-Key: {key}"),
        *("--max-examples", str(EACH), "--continue-on-failure", "--suppress-health-check", "all"),
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    said = output.decode()
    passed = re.search(r"^ *[0-9,]+ generated, ([0-9,]+) passed", said, re.MULTILINE)
    return process.returncode or 0, int(passed[1].replace(",", "")) if passed else 0, said


async def test_every_answer_is_one_of_the_description(tmp_path: Path) -> None:
    """Statuses, headers, types and bodies are the described ones; what the description allows is not refused as
    malformed, what it forbids is; without a key nothing is done."""
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    async with desk(tmp_path / "data") as (state, key):
        code, passed, said = await generated(state, key, tmp_path)
        metrics = await asyncio.to_thread(ask, "GET", f"http://127.0.0.1:{state.admin_port}/metrics")
    assert code == 0, said
    assert passed >= LEAST, said
    assert b'"internal-error"' not in metrics.body
