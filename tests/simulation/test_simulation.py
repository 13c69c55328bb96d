"""Whatever goes wrong in whatever order, the promises of the design hold: thousands of runs of the product's own
parts in simulated time. `SIM_SEEDS` says how many, `SIM_FROM` where they begin."""

from __future__ import annotations

import os

import pytest
import simulate

SEEDS = int(os.environ.get("SIM_SEEDS", "2000"))
FIRST = int(os.environ.get("SIM_FROM", "0"))
CHUNK = max(100, SEEDS // 400)
CHUNKS = [range(at, min(at + CHUNK, FIRST + SEEDS)) for at in range(FIRST, FIRST + SEEDS, CHUNK)]


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_every_promise_holds_in_every_run(seeds: range) -> None:
    """I1 to I6 and I8, that no hold is lost, and that nothing is stumbled over."""
    answers = unmutes = 0
    with simulate.stage():
        for seed in seeds:
            outcome = simulate.run(seed)
            assert not outcome.breaches, f"{outcome.breaches[0]}\nreplay: {outcome.replay}"
            answers += outcome.answers
            unmutes += outcome.unmutes
    assert answers > 2 * len(seeds)
    assert unmutes > len(seeds) / 4


def test_a_seed_tells_the_same_story_twice() -> None:
    """What a failing run prints can be played again."""
    with simulate.stage():
        assert simulate.run(7) == simulate.run(7)
