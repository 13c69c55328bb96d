"""The option that names the configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import settings

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
    """The settings that the option, the environment and mounted secrets make; `ConfigurationError` otherwise."""
    return settings.load(arguments.config, os.environ)
