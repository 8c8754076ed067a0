"""Stores the histories and fingerprints of all scenarios anew: `python -m pytest tests/replay/record.py`.

Only after a change that breaks old histories on purpose, when no workflow of the old code runs any more. Histories of
released versions stay beside the new ones.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.replay.scenarios import SCENARIOS, fingerprint, play
from tests.replay.test_replay import FINGERPRINTS, HISTORIES
from tests.support.product import ProductFixture


@pytest.mark.parametrize("name", SCENARIOS)
async def test_record(skipping: ProductFixture, house: ProductFixture, name: str) -> None:
    history = await play(name, skipping, house)
    stored_history = _without_traces(json.loads(history.to_json()))
    (HISTORIES / f"{name}.json").write_text(json.dumps(stored_history, indent=1) + "\n")
    stored = json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}
    stored[name] = fingerprint(list(history.events))
    FINGERPRINTS.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")


def _without_traces(part: Any) -> Any:
    """The history without what tells of the machine that recorded it: stack traces and process identities."""
    if isinstance(part, dict):
        return {key: _without_traces(value) for key, value in part.items() if key not in ("stackTrace", "identity")}
    return [_without_traces(one) for one in part] if isinstance(part, list) else part
