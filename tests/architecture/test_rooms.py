"""Small rooms with honest names: how long files and functions are, and what modules are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, modules, parsed, place

MODULE_LINES = 400
WORKFLOW_LINES = 200
FUNCTION_LINES = 60
VAGUE = {"base", "common", "helpers", "manager", "misc", "util", "utils"}
"""Names that say nothing about what is inside, so that everything ends up there."""


def limit(path: Path) -> int:
    return WORKFLOW_LINES if path in modules("workflows") else MODULE_LINES


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_module_is_written_stays_small() -> None:
    lengths = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules() + modules("tests")}
    limits = {place(path): limit(path) for path in modules() + modules("tests")}
    assert {name: lines for name, lines in lengths.items() if lines > limits[name]} == {}


def test_function_is_written_stays_small() -> None:
    """Its parameters are a list, and not counted: a command has one for each of its options."""
    long = {
        f"{place(path)}:{node.lineno} {node.name}": lines
        for path in modules()
        if "versions" not in path.parts
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.body[0].lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_module_is_named_says_what_is_inside() -> None:
    every = modules() + modules("tests")
    assert [place(path) for path in every if VAGUE & {path.stem, *path.parent.parts}] == []


@pytest.mark.parametrize("top", ["workflows", "activities", "hermod"])
def test_package_is_imported_runs_nothing(top: str) -> None:
    """The sandbox loads a workflow's packages too; an empty `__init__` keeps that under a millisecond."""
    packages = [path for path in modules(top) if path.name == "__init__.py"]
    assert packages
    assert [place(path) for path in packages if path.read_text(encoding="utf-8").strip()] == []


def test_workflow_file_holds_one_workflow_of_its_own_name() -> None:
    wrong = []
    for path in modules("workflows"):
        classes = [node for node in parsed(path).body if isinstance(node, ast.ClassDef)]
        found = [each.name for each in classes if "workflow.defn" in "".join(map(ast.unparse, each.decorator_list))]
        expected = "".join(word.capitalize() for word in path.stem.split("_"))
        if found not in ([], [expected]):
            wrong.append(f"{place(path)}: {', '.join(found)}")
    assert wrong == []


ROOMS = ("activities", "benchmarks", "devstack", "hermod", "starter", "tests", "web", "workflows")
FOLDER_ENTRIES = 14
LARGER = {
    "benchmarks/soak": 15,
    "devstack/sandbox": 18,
    "devstack/sandbox/providers": 41,
    "starter": 16,
    "tests/faults": 19,
    "tests/integration/delivery": 15,
    "tests/replay/histories": 99,
    "tests/support": 22,
    "tests/unit/channels/email": 16,
    "tests/unit/sandbox/providers": 15,
    "tests/unit/starter": 15,
    "tests/unit": 21,
}
"""Folders with more, and how many they may have: a number here may only fall. Histories are data."""


def test_folder_has_about_a_dozen_entries() -> None:
    """Counted without `__init__`, `__main__` and `conftest`: what a reader looks through to find a thing."""
    entries: dict[str, set[str]] = {}
    for path in files():
        parts = path.relative_to(ROOT).parts
        for depth in range(1, len(parts)):
            entries.setdefault("/".join(parts[:depth]), set()).add(Path(parts[depth]).stem)
    counts = {
        folder: len(names - {"__init__", "__main__", "conftest"})
        for folder, names in entries.items()
        if folder.partition("/")[0] in ROOMS
    }
    crowded = {folder: count for folder, count in counts.items() if count > LARGER.get(folder, FOLDER_ENTRIES)}
    assert crowded == {}


RETIRED = frozenset(
    "AlonePatience Appointments BOOKKEEPING Carried CloseOrder Crowded DeliveryOrder Delivering EndpointStream Forged "
    "Gathering Happening IngestOrder MessageDesk Naps NextAccount PatienceInTurn PaymentDesk Pulse ReceiptBook "
    "ReplayStepOrder Sifted Trade TurnedAway UNTIL_DONE Unanswered UnderWay Unrecorded as_requests note_trouble nudge "
    "promise_keeps_to record_in_the_end record_last_words some_at_once spare_the_collector tell_cancelled".split()
)
"""What the field's own words have replaced."""


def test_retired_words_stay_away() -> None:
    found = {
        f"{place(path)}: {node.id if isinstance(node, ast.Name) else node.name}"
        for path in modules() + modules("tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.id if isinstance(node, ast.Name) else node.name) in RETIRED
    }
    assert found == set()
