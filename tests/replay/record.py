"""Stores the histories and fingerprints of all scenarios anew: `python -m pytest tests/replay/record.py`.

Only after a change that breaks old histories on purpose, when no workflow of the old code runs any more. Histories of
released versions stay beside the new ones.
"""

from __future__ import annotations

import json

import pytest

from tests.replay.scenarios import SCENARIOS, fingerprint, play
from tests.replay.test_replay import FINGERPRINTS, HISTORIES
from tests.support.product import House


@pytest.mark.parametrize("name", SCENARIOS)
async def test_record(skipping: House, house: House, name: str) -> None:
    history = await play(name, skipping, house)
    (HISTORIES / f"{name}.json").write_text(json.dumps(json.loads(history.to_json()), indent=1) + "\n")
    stored = json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}
    stored[name] = fingerprint(list(history.events))
    FINGERPRINTS.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")
