"""Stores the histories of a released version: `python -m pytest tests/replay/record_released.py` in a tree of that
version, with this file and `courses.py` in it.
"""

from __future__ import annotations

import json

import pytest
from temporalio.client import Client

from tests.replay.courses import COURSES, Course, closed, played
from tests.replay.record import _without_traces
from tests.replay.test_replay import HISTORIES


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.__name__)
async def test_record(temporal: Client, course: Course) -> None:
    async with played(temporal) as scene:
        history = await closed(await course(scene))
    stored = json.dumps(_without_traces(json.loads(history.to_json())), indent=1)
    (HISTORIES / f"{course.__name__}.released.json").write_text(stored + "\n")
