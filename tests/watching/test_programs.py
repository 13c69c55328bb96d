"""A program that is missing is no reason to call a run whole."""

from __future__ import annotations

import pytest
from programs import needed


def test_a_developer_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told what to do."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="tests/tools"):
        needed("no-such-program")


def test_a_run_that_has_to_be_whole_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is skipped there."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="no-such-program is missing"):
        needed("no-such-program")
