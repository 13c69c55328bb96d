"""The parser, and what every command has in common: the configuration file and the exit codes.

A command's module is imported when it is asked for: each needs other parts, and all together start slowly. Nothing that
takes long to import stands at the head of this one: what is imported stays, and looking through it for garbage again
and again while it grows takes a tenth of a start.
"""

from __future__ import annotations

import argparse
import gc
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import gateway
from gateway.cli.exits import CONFIGURATION, USAGE, WRONG, Unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODULES = {name: name for name in ("serve", "check", "keys", "audit", "sandbox")} | {"openapi": "describe"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 fine, 1 something is wrong, 2 usage, 78 configuration."""
    words = sys.argv[1:] if arguments is None else arguments
    with uncollected():
        parsed = _parser(*words[:1]).parse_args(words)
    return guarded(lambda: parsed.run(parsed))


@contextmanager
def uncollected() -> Iterator[None]:
    """Nobody looks for garbage while the block imports."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def guarded(run: Callable[[], int]) -> int:
    """What `run` gives; what it raises is said, and has an exit code of its own."""
    from gateway.sources import ConfigurationError  # noqa: PLC0415 -- as the module's docstring says
    from gateway.store.contract import StoreError, StoreUnfit  # noqa: PLC0415 -- as above

    try:
        return run()
    except ConfigurationError as error:
        for path, message in error.faults:
            sys.stderr.write(f"{path}: {message}\n")
        return CONFIGURATION
    except StoreUnfit as error:
        sys.stderr.write(f"store: must not be used: {error}\n")
        return CONFIGURATION
    except Unwritable as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    except StoreError as error:
        sys.stderr.write(f"store: {error}\n")
        return WRONG


def _parser(asked: str = "") -> argparse.ArgumentParser:
    """With the command that is asked for, or with all where none is: then help or what is wrong is to be printed."""
    parser = argparse.ArgumentParser(prog="redaction-gateway", description=gateway.__doc__)
    parser.add_argument("--version", action="version", version=gateway.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in [asked] if asked in MODULES else MODULES:
        import_module(f"gateway.cli.{MODULES[name]}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
