"""The page about providers is the adapters' own records, and nothing that somebody wrote down beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
from typer.testing import CliRunner

from hermod.channels.registry import KITS
from starter.cli.app import app

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["providers", *arguments])
    assert result.exit_code == 0
    return result.stdout


def test_page_about_providers_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == printed("--markdown"), "run `make docs`"


def test_providers_as_json_are_all_there() -> None:
    items = orjson.loads(printed("--json"))["items"]
    assert {item["provider"] for item in items} == set(KITS)
    assert all(item["title"] and item["channels"] for item in items)
