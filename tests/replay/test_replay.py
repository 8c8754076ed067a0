"""A workflow's code may not change what a run of yesterday did: histories replay, and commands keep their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from starter.temporal.connection import DATA_CONVERTER
from tests.replay.scenarios import SCENARIOS, fingerprint, play
from tests.support.product import ProductFixture
from worker import WORKFLOW_CLASSES, workflow_runner

HISTORIES: Final = Path(__file__).parent / "histories"
FINGERPRINTS: Final = Path(__file__).parent / "fingerprints.json"

CURE: Final = (
    "A worker with this code would stop every such workflow that is under way with a non-determinism error: messages "
    "already accepted would hang until the code is rolled back. Keep the old order for old runs with "
    "workflow.patched(), or, when no workflow of the old code runs any more, record anew: "
    "python -m pytest tests/replay/record.py"
)


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_stored_history_replays_with_the_present_code(path: Path) -> None:
    replayer = Replayer(workflows=WORKFLOW_CLASSES, workflow_runner=workflow_runner(), data_converter=DATA_CONVERTER)
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None, f"{path.stem} does not replay: {result.replay_failure}. {CURE}"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_commands_keep_their_order(skipping: ProductFixture, house: ProductFixture, name: str) -> None:
    history = await play(name, skipping, house)
    expected = json.loads(FINGERPRINTS.read_text())[name]
    assert fingerprint(list(history.events)) == expected, f"{name} makes other commands than before. {CURE}"


def test_every_scenario_has_a_stored_history() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} >= set(SCENARIOS)


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_history_is_small_and_free_of_personal_data(path: Path) -> None:
    text = path.read_text()
    assert "ada@example.com" not in text
    assert "Hello" not in text
    assert len(json.dumps(json.loads(text))) < 40_000
