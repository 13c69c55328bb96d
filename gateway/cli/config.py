"""The option that names the configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import footing, settings

if TYPE_CHECKING:
    import argparse


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="F",
        help="configuration file (default: GATEWAY_CONFIG, else config/gateway.yaml)",
    )


def load(arguments: argparse.Namespace) -> settings.Settings:
    """The settings that the option, the environment and mounted secrets make, in a process that may use them;
    `ConfigurationError` otherwise."""
    found = settings.load(arguments.config, os.environ)
    footing.checked(os.environ, production=found.production)
    return found
