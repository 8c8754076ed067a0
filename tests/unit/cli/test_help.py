"""Every command teaches: a text, options with explanations, and for what is typed by hand an example."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import typer
from pydantic import AliasChoices
from typer.main import get_command
from typer.testing import CliRunner

from hermod.settings import Settings
from starter.cli.app import app

WITH_EXAMPLE = {
    *("send", "send-batch", "emit", "dlq retry", "dlq discard", "dlq resolve", "accounts put"),
    *("tenants create", "keys create", "keys revoke", "schedules pause", "token"),
    *("suppressions add", "suppressions remove", "partials show", "journey"),
    *(f"webhooks endpoints {verb}" for verb in ("create", "update", "delete", "rotate", "enable", "test")),
}
PROMISED = {
    *("send", "send-batch", "emit", "status", "cancel", "token", "doctor", "secrets rotate", "secrets new-key"),
    *("dlq list", "dlq show", "dlq retry", "dlq discard", "accounts put", "accounts list"),
    *("suppressions list", "suppressions add", "suppressions remove"),
    *(
        f"webhooks endpoints {verb}"
        for verb in ("create", "list", "show", "update", "delete", "rotate", "enable", "test")
    ),
    *("tenants create", "tenants list", "keys create", "keys revoke", "keys list"),
    *("schedules apply", "schedules list", "schedules pause", "schedules resume", "schedules run"),
}


def commands(of: typer.Typer = app) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    root = get_command(of)
    yield from walk("", root)


def walk(prefix: str, group: object) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, found in getattr(group, "commands", {}).items():
        path = f"{prefix} {name}".strip()
        if hasattr(found, "commands"):
            yield from walk(path, found)
        else:
            yield path, found


COMMANDS = dict(commands())


def test_commands_of_the_contract_are_there() -> None:
    assert PROMISED - set(COMMANDS) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_asked_for_help_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options
    result = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    if name in WITH_EXAMPLE:
        assert "Example" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_example_exports_a_variable_it_is_none_that_means_something_else_to_a_worker(name: str) -> None:
    """`API_TOKEN` is what the worker sends to the tenant's own backend: no place for an administrator's token."""
    exported = set(re.findall(r"export ([A-Z_]+)=", COMMANDS[name].help or ""))
    assert exported & variables_of(Settings) == set()


def variables_of(settings: type[Settings]) -> set[str]:
    aliases = [field.validation_alias for field in settings.model_fields.values()]
    return {str(alias.choices[0]) for alias in aliases if isinstance(alias, AliasChoices)}


def test_command_is_left_out_shows_the_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "hermod doctor" in result.output


def test_command_is_unknown_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["sned"]).exit_code == 2


def test_version_is_asked_for_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.strip() != "") == (0, True)
