"""redaction-gateway: mute a call at every recorder, prove it, keep it muted."""

__version__ = "0.1.0"
