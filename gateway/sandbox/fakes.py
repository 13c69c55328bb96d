"""Every fake there is: one for each vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.sandbox.genesys import GenesysFake
from gateway.sandbox.verba import VerbaFake
from gateway.sandbox.voicenter import VoicenterFake
from gateway.sandbox.voipnow import VoipNowFake

if TYPE_CHECKING:
    from gateway.sandbox.desk import Fake

FAKES: tuple[type[Fake], ...] = (VerbaFake, VoicenterFake, VoipNowFake, GenesysFake)
