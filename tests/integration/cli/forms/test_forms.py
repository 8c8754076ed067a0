"""`hermod forms`, `hermod submit` and `hermod submissions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Cli

FORM: dict[str, Any] = {
    "name": "Sign up",
    "schema": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}},
}


async def with_form(cli: Cli, tmp_path: Path) -> Path:
    await cli.ready()
    file = tmp_path / "form.json"
    file.write_text(json.dumps(FORM))
    await cli.run("forms", "put", "signup", str(file))
    return file


async def test_form_is_put_listed_shown_and_deleted(cli: Cli, tmp_path: Path) -> None:
    file = await with_form(cli, tmp_path)
    assert "says the same already" in (await cli.run("forms", "put", "signup", str(file))).stdout
    assert [one["id"] for one in (await cli.json("forms", "list"))["items"]] == ["signup"]
    assert (await cli.json("forms", "show", "signup"))["schema"] == FORM["schema"]
    assert "email" in (await cli.run("forms", "show", "signup")).stdout
    assert await cli.json("forms", "delete", "signup") == {"id": "signup", "deleted": True}
    assert "no forms yet" in (await cli.run("forms", "list")).stdout


async def test_submission_is_taken_and_followed(cli: Cli, tmp_path: Path) -> None:
    await with_form(cli, tmp_path)
    first = await cli.json("submit", "signup", '{"email": "ada@example.com"}', "--idempotency-key", "k-1")
    assert await cli.json("submit", "signup", '{"email": "ada@example.com"}', "--idempotency-key", "k-1") == first
    shown = (await cli.run("submissions", "show", first["id"])).stdout
    assert "ada@example.com" in shown
    assert [one["id"] for one in (await cli.json("submissions", "list", "--form", "signup"))["items"]] == [first["id"]]
    assert "only one that failed can be retried" in (await cli.run("submissions", "retry", first["id"], code=1)).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["submit", "signup", "{}"], 1, "data.email: missing"),
        (["submit", "nowhere", "{}"], 1, "there is no form nowhere"),
        (["submit", "signup", "{"], 2, "JSON"),
        (["forms", "put", "Sign Up", "FILE"], 1, "id"),
        (["forms", "put", "signup", "/nowhere.json"], 2, "cannot read"),
        (["forms", "show", "nowhere"], 1, "there is no form nowhere"),
    ],
)
async def test_wrong_use_is_explained(cli: Cli, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    file = await with_form(cli, tmp_path)
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    assert said in (await cli.run(*given, code=code)).stderr
