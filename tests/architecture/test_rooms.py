"""Small rooms with honest names: how long files and functions are, and what modules are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import modules, parsed, place

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
