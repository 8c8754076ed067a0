"""The soak in short: all of its load for some seconds, every check, and its verdict."""

from __future__ import annotations

import json

import pytest

from tests.support.processes import python

_OPTIONS = ("--minutes", "0.15", "--rate", "0.4", "--drain", "1.2", "--json")


@pytest.mark.timeout(360)
def test_soak_is_run_for_seconds_every_promise_is_kept() -> None:
    with python("-m", "benchmarks.soak", *_OPTIONS) as running:
        said, _ = running.communicate()
    assert "\n{" in said, said
    # What the end of the run logs comes after the figures, on the same stream.
    figures, _ = json.JSONDecoder().raw_decode(said, said.index("\n{") + 1)
    assert figures["broken"] == {}
    assert running.returncode == 0
    for kind in ("messages", "webhook deliveries", "analytics events"):
        assert figures["accepted"][kind] > 0
    assert {found["lost"] for found in figures["found"].values()} == {0}
