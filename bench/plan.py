"""How much is asked: a whole run, or a quick one that only shows the direction."""

from __future__ import annotations

from dataclasses import dataclass

from bench.asks import Scene
from bench.field import BARE, BARE_DISK, BARE_UNSYNCED, DIRECT, DISK, GATEWAY, NODE, STOCK, STOCKS, UNSYNCED, WORKERS
from bench.figures import MANY, SOME
from bench.rounds import Heat

_ALL = (GATEWAY, STOCK, NODE, DIRECT, BARE)
_DISKS = (DISK, UNSYNCED, BARE_DISK, BARE_UNSYNCED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`share` of the requests of a whole run, in so many rounds; growth up to `largest` open redactions, of which so
    many are `asked` for in a round; `profiled` PUTs show where their time goes."""

    rounds: int
    share: float
    largest: int
    asked: int
    scrapes: int
    profiled: int
    whole: bool = True
    most: int = MANY

    def heats(self, names: frozenset[str]) -> list[Heat]:
        """One round, for those of `names` that run."""
        wanted = [
            (Scene.ANSWER, 1, 300, _ALL),
            (Scene.ANSWER, SOME, 1200, _ALL),
            (Scene.ANSWER, 2 * SOME, 1600, (WORKERS, STOCKS)),  # as many for each process as one alone has
            (Scene.ANSWER, MANY, 1600, _ALL),
            (Scene.ANSWER_SLOW, SOME, 640, (GATEWAY, STOCK, NODE, DIRECT)),
            (Scene.READBACK, SOME, 600, (GATEWAY, STOCK, NODE)),
            (Scene.READBACK_SLOW, SOME, 320, (GATEWAY, STOCK, NODE)),
            (Scene.ANSWER, 1, 100, _DISKS),
            (Scene.ANSWER, SOME, 400, _DISKS),
        ]
        heats: dict[tuple[Scene, int, tuple[str, ...]], Heat] = {}
        for scene, connections, count, group in wanted:
            at_once, present = min(connections, self.most), tuple(name for name in group if name in names)
            heat = Heat(
                scene=scene, connections=at_once, count=max(2 * at_once, int(self.share * count)), names=present
            )
            heats.setdefault((scene, at_once, present), heat)
        return [heat for heat in heats.values() if heat.names]


WHOLE = Plan(rounds=7, share=1.0, largest=100_000, asked=600, scrapes=15, profiled=1_500)
QUICK = Plan(rounds=3, share=0.25, largest=2_000, asked=100, scrapes=5, profiled=400)
SMOKE = Plan(rounds=1, share=0.0, largest=10, asked=8, scrapes=1, profiled=8, whole=False, most=4)
