"""`hermod templates`, and `hermod send --template`."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from tests.integration.cli.conftest import Cli


@pytest.fixture
async def shop(cli: Cli) -> Cli:
    await cli.ready()
    return cli


async def test_template_is_put_from_files_listed_shown_and_tried_out(shop: Cli, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>Hello {{ name }}, {{ user.city }}</p>\n")
    put = (
        "templates",
        "put",
        "welcome",
        "--channel",
        "email",
        "--subject",
        "Hi {{ name }}",
        "--html-file",
        "page.html",
    )
    first = await shop.run(*put)
    assert first.stdout == "stored welcome/en@1\n"
    assert "text: made from the HTML" in first.stderr
    assert (await shop.run(*put)).stdout == "welcome/en@1 says the same already\n"
    german = {"channel": "email", "locale": "de", "subject": "Hallo", "text": "Hallo {{ name }}"}
    await shop.run("templates", "put", "welcome", "-", "--default", stdin=orjson.dumps(german).decode())
    (listed,) = (await shop.json("templates", "list"))["items"]
    assert (listed["locales"], listed["default_locale"], listed["version"]) == (["de", "en"], "de", 2)
    assert "welcome" in (await shop.run("templates", "list")).stdout
    shown = (await shop.run("templates", "show", "welcome")).stdout.splitlines()
    assert [line.split("\t")[:4] for line in shown[1:]] == [
        ["2", "de", "yes", "name"],
        ["1", "en", "yes", "name, user"],
    ]
    assert "Hello {{ name }}" in (await shop.run("templates", "show", "welcome", "--version", "1")).stdout
    preview = ("templates", "preview", "welcome", "--locale", "en-GB", "--data", "name=Ada", "--data", "user.city=Graz")
    said = (await shop.run(*preview)).stdout
    assert "welcome/en@1" in said
    assert "text:\nHello Ada, Graz" in said
    (tmp_path / "data.json").write_text('{"name": "Ada"}')
    found = await shop.json("templates", "preview", "welcome", "--data-file", "data.json")
    assert (found["template"], found["text"]) == ("welcome/de@2", "Hallo Ada")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["put", "welcome", "--channel", "sms"], 1, "body: missing"),
        (["put", "UPPER", "--channel", "sms", "--body-file", "body.txt"], 1, "name: must consist of"),
        (["put", "welcome", "--channel", "sms", "--body-file", "body.txt"], 1, "body: line 1: "),
        (["put", "welcome", "--channel", "sms", "--body-file", "nothing.txt"], 2, "cannot read"),
        (["put", "welcome", "body.txt"], 2, "not JSON"),
        (["show", "welcome"], 1, "there is no template welcome"),
        (["preview", "welcome"], 1, "there is no template welcome"),
        (["preview", "welcome", "--locale", "english"], 1, "locale: must be a locale"),
        (["preview", "welcome", "--data", "x"], 2, "field=value"),
    ],
)
async def test_command_is_wrong_says_what_is(
    shop: Cli, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    (tmp_path / "body.txt").write_text("{{ x")
    result = await shop.run("templates", *arguments, code=code)
    assert said in " ".join(result.stderr.split())


async def test_message_is_sent_by_template(shop: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Hello {{ name }}")
    await shop.run("templates", "put", "welcome", "--channel", "email", "--subject", "Hi", "--text-file", "text.txt")
    send = ("send", "--to", "ada@example.com", "--template", "welcome", "--locale", "de")
    lacking = await shop.run(*send, code=1)
    assert "data.name: missing" in lacking.stderr
    await shop.run(*send, "--data", "name=Ada")
    (row,) = await shop.hermod.core.storage.database.rows(text("SELECT body FROM message_contents"), {})
    assert orjson.loads(row.body)["text"] == "Hello Ada"
