"""The least of many times."""

from __future__ import annotations

import random

from gateway.oldest import SPARE, Oldest


def test_it_is_the_least_of_those_that_are_there() -> None:
    """Whatever was put, put again and dropped in between."""
    chance, times, known = random.Random(3), Oldest[str](), dict[str, int]()  # noqa: S311 -- no secret
    for _ in range(5_000):
        name = f"n{chance.randrange(40)}"
        if chance.random() < 0.4:
            times.drop(name)
            known.pop(name, None)
        else:
            known[name] = chance.randrange(1_000)
            times.put(name, known[name])
        found = times.least()
        assert (found[1] if found else None) == min(known.values(), default=None)
        assert found is None or known[found[0]] == found[1]
        assert len(times) == len(known)


def test_what_is_gone_takes_no_room() -> None:
    """One that stays for years must not keep all that came and went after it in memory."""
    times = Oldest[int]()
    times.put(-1, 0)
    for number in range(10_000):
        times.put(number, number + 1)
        times.drop(number)
    assert len(times._heap) <= SPARE + 4
    assert times.least() == (-1, 0)
