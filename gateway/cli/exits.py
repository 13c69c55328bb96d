"""The exit codes."""

from __future__ import annotations

FINE = 0
WRONG = 1
USAGE = 2
CONFIGURATION = 78
