"""pyproject.toml's requirements and requirements.lock, as data."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement

from tests.architecture.tree import ROOT

LOCK = ROOT / "requirements.lock"


def normal(name: str) -> str:
    """A distribution's name in the one spelling that can be compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[Requirement]:
    """Everything that pyproject.toml asks for: to run, embedded, and to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    lines = [*project["project"]["dependencies"], *(line for group in (*extras, *groups) for line in group)]
    return [Requirement(line) for line in lines]


def declared() -> set[str]:
    return {normal(requirement.name) for requirement in requirements()}


def locked() -> dict[str, list[str]]:
    """The locked packages: `name==version` with its markers, and the hashes that its files may have."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.partition(" --hash")[0].strip(): re.findall(r"--hash=(\S+)", line) for line in lines}
