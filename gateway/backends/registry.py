"""Every vendor there is: the one line that a new one adds to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.backends.genesys import GenesysSettings
from gateway.backends.verba import VerbaSettings
from gateway.backends.voicenter import VoicenterSettings
from gateway.backends.voipnow import VoipNowSettings

AnyBackendSettings = Annotated[
    VerbaSettings | VoicenterSettings | VoipNowSettings | GenesysSettings,
    Field(discriminator="vendor"),
]
