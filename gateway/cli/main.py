"""The parser, and what every command has in common: the configuration file and the exit codes."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import gateway
from gateway.cli import audit, check, describe, keys, sandbox, serve
from gateway.cli.exits import CONFIGURATION, WRONG
from gateway.settings import ConfigurationError
from gateway.store.contract import StoreUnavailable, StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 fine, 1 something is wrong, 2 usage, 78 configuration."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except ConfigurationError as error:
        for path, message in error.faults:
            sys.stderr.write(f"{path}: {message}\n")
        return CONFIGURATION
    except StoreUnfit as error:
        sys.stderr.write(f"store: must not be used: {error}\n")
        return CONFIGURATION
    except StoreUnavailable as error:
        sys.stderr.write(f"store: {error}\n")
        return WRONG
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="redaction-gateway", description=gateway.__doc__)
    parser.add_argument("--version", action="version", version=gateway.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (serve, check, keys, audit, sandbox, describe):
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
