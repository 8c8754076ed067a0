"""Who may import or read what, where import-linter cannot look: single modules, parts of others' packages, uses."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.architecture.lock import declared, normal
from tests.architecture.tree import PRODUCT, ROOT, imports, modules, parsed, place

ENVIRONMENT_READERS = {
    "hermod/settings.py",
    "devstack/options.py",  # ports and folders of the embedded parts, which the product knows nothing of
    "devstack/servers/process.py",  # hands a short list of variables on to the servers it starts
    "devstack/cluster.py",  # hands the whole environment on to our own processes
}
CALLERS_OF_TEMPORAL = ("starter", "devstack", "worker.py", "benchmarks")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv"}
STARTERS_OF_THE_WORKER = ("devstack", "benchmarks", "worker.py")


def outside(*tops: str) -> list[Path]:
    return modules(*(top for top in PRODUCT if top not in tops))


def reads_environment(path: Path) -> bool:
    uses = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
    return bool(uses & ENVIRONMENT or imports(path) & {*ENVIRONMENT, "pydantic_settings"})


def imported_from(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imports(path))


def test_environment_is_read_in_one_place() -> None:
    readers = {place(path) for path in modules() if reads_environment(path)}
    assert readers - ENVIRONMENT_READERS == set()


def test_temporal_client_is_called_by_the_starter_only() -> None:
    assert [place(path) for path in outside(*CALLERS_OF_TEMPORAL) if imported_from(path, "temporalio.client")] == []


def test_worker_is_imported_by_the_dev_stack_only() -> None:
    assert [place(path) for path in outside(*STARTERS_OF_THE_WORKER) if imported_from(path, "worker")] == []


def test_product_imports_no_tests() -> None:
    assert [place(path) for path in modules() if imported_from(path, "tests")] == []


def test_third_party_import_is_declared_by_this_project() -> None:
    """What another package happens to bring along may be gone with its next version."""
    ours = {Path(name).stem for name in PRODUCT} | {"tests"}
    names = {
        top
        for path in modules() + modules("tests")
        for name in imports(path)
        if (top := name.partition(".")[0]) not in ours and top not in sys.stdlib_module_names
    }
    distributions = packages_distributions()
    wanted = declared()
    undeclared = {name for name in names if not wanted & {normal(each) for each in distributions.get(name, [name])}}
    assert undeclared == set()


def test_provider_folder_knows_no_other_provider() -> None:
    """What two of them share is a module beside the folders, so that a provider can be taken away like it was added."""
    folders = sorted(
        path.parent for path in modules("hermod") if path.name == "kit.py" and path.parent.name != "channels"
    )
    assert folders
    packages = {folder: ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    wrong = [
        f"{place(path)} imports {package}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for other, package in packages.items()
        if other != folder and imported_from(path, package)
    ]
    assert wrong == []


def test_sandbox_knows_no_adapter() -> None:
    """The two sides of a provider check each other only as long as neither is made of the other."""
    sandbox = [path for path in modules("devstack") if "sandbox" in path.parts]
    assert sandbox
    assert [place(path) for path in sandbox if imported_from(path, "hermod.channels")] == []


def test_error_is_logged_without_its_text() -> None:
    """`exc_info` and `exception()` print the text of an error, which may quote what somebody has written;
    `hermod.telemetry.fault` has its class and its places."""
    wrong = [
        f"{place(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.keyword) and node.arg in ("exc_info", "stack_info"))
        or (isinstance(node, ast.Constant) and node.value == "exc_info")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("_log.exception", "logging.exception"))
    ]
    assert wrong == []
