"""What the documents for users name is there: commands, options, make's targets, files, and everything of the map."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from starter.cli.app import app
from tests.support.documents import NOT_RUN, PAGES, PREAMBLE, Block, blocks, inline_commands, read
from tests.support.processes import REPOSITORY

ALL = [block for page in PAGES for block in blocks(page)]


def faults_of(words: list[str]) -> list[str]:
    """What of `hermod …` there is not: a command, or an option of it. What follows a shell's operator is left out."""
    found: Any = get_command(app)
    rest = words[1:]
    while hasattr(found, "commands"):
        if not rest or rest[0] in ("…", "--help", "-h", "--version"):
            return []
        name = rest.pop(0)
        if name not in found.commands:
            return [f"no command {name!r} in {' '.join(words)!r}"]
        found = found.commands[name]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [f"no option {name} in {' '.join(words)!r}" for name in given if name not in known | {"--help", "-h"}]


def alternatives(words: list[str]) -> list[list[str]]:
    """`hermod dlq list|show` are two commands."""
    for place, word in enumerate(words):
        if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word):
            return [
                every for one in word.split("|") for every in alternatives([*words[:place], one, *words[place + 1 :]])
            ]
    return [words]


@pytest.mark.parametrize("page", PAGES)
def test_document_names_a_command_in_its_text_there_is_one(page: str) -> None:
    named = [words for text in inline_commands(page) for words in alternatives(text.replace("'", "").split())]
    assert [fault for words in named for fault in faults_of(words)] == []


@pytest.mark.parametrize("page", PAGES)
def test_document_names_a_target_of_make_there_is_one(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    text = read(page)
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES)
def test_document_links_to_a_file_there_is_one(page: str) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", read(page))
    assert [link for link in links if not Path(REPOSITORY, page).parent.joinpath(link).exists()] == []


def test_command_of_a_document_is_not_run_it_is_one_that_is_there() -> None:
    """What the test of all commands leaves out: that its files, options and commands exist is seen here."""
    left_out = [command for block in ALL for command in block.not_run]
    assert {start for start in NOT_RUN if any(command.startswith(start) for command in left_out)} == set(NOT_RUN)
    worker = (REPOSITORY / "worker.py").read_text()
    for command in left_out:
        words = shlex.split(command, comments=True)
        for file in re.findall(r"(?:-f|--file) (\S+)", command):
            assert (REPOSITORY / file).is_file(), command
        if words[:2] == ["python", "worker.py"]:
            options = {word.partition("=")[0].removeprefix("--") for word in words if word.startswith("--")}
            assert [name for name in options if not re.search(rf"^    {name}: Annotated", worker, re.MULTILINE)] == []
        if words[0] == "docker" and "hermod" in words:
            assert faults_of([word for word in words[words.index("hermod") :] if word != ">>" and word != ".env"]) == []


def test_block_of_a_document_is_run_as_a_whole_or_not_at_all() -> None:
    """A command that is run never stands beside one that is not: nobody would see that it is left out."""
    beside = [block.commands for block in ALL if block.not_run and len(block.not_run) < len(block.commands)]
    assert [commands for commands in beside if not commands[0].startswith("cp .env.example .env")] == []


def test_preamble_is_the_readmes_and_the_only_one() -> None:
    assert [block.page for block in ALL if PREAMBLE in block.text] == ["README.md"]
    settings = re.compile(r"^(?:export )?(?:URL|KEY|AUTH|JSON|SANDBOX|HERMOD)=", re.MULTILINE)
    assert [block.page for block in ALL if settings.search(block.text) and PREAMBLE not in block.text] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md" and blocks(page)])
def test_page_has_commands_it_leads_to_the_preamble(page: str) -> None:
    assert "](../README.md#the-first-hour)" in read(page)


@pytest.mark.parametrize("block", ALL, ids=lambda block: f"{block.page}:{block.line}")
def test_command_stands_on_an_address_it_is_one_of_the_preamble(block: Block) -> None:
    """Ports may be others; and an id with dots in it is nobody's."""
    assert re.findall(r"127\.0\.0\.1:(?!9900)\d+|localhost:\d{4}|\b(?:msg|whe|whd|sub|rpl)_…", block.text) == []


def test_map_of_the_readme_names_what_is_there() -> None:
    table = read("README.md").partition("## Map")[2].partition("\n\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([^`]+)`", table))
    paths = [
        name for name in named if re.fullmatch(r"[A-Za-z_.][\w.-]*(/[\w.-]*)*", name) and ("/" in name or "." in name)
    ]
    missing = [name for name in paths if not any((REPOSITORY / base / name).exists() for base in ("", *_ROOMS))]
    assert missing == []
    for room in _ROOMS:
        row = next(line for line in table.splitlines() if line.startswith(f"| `{room}/`"))
        folders = [
            path.name for path in (REPOSITORY / room).iterdir() if path.is_dir() and not path.name.startswith("_")
        ]
        assert [name for name in folders if f"`{name}/`" not in row] == [], room


_ROOMS = ("workflows", "activities", "starter", "hermod", "web", "devstack", "tests")
"""Root folders whose row names every folder in them."""
