"""What a client may be allowed to do, and what it must show: the closed sets."""

from __future__ import annotations

import enum


class Scope(enum.StrEnum):
    MUTE = "redaction:mute"
    UNMUTE = "redaction:unmute"
    READ = "redaction:read"
    CONTROL = "recording:control"
    AUDIT = "audit:read"
    FORCE = "redaction:force"


class TokenRule(enum.StrEnum):
    """Whether a person's token comes with the client's key; an optional one is checked when it comes."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"
