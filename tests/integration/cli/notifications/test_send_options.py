"""What `hermod send` and `hermod submit` take: everything that the API takes, in the API's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.notifications.content import CONTENT_OF
from hermod.contracts.notifications.messages import Options
from starter.cli.app import app
from tests.integration.cli.conftest import Cli, send
from tests.unit.cli.test_help import commands

ROWS = text("""
    SELECT m.*, c.body FROM messages m JOIN message_contents c ON c.message_id = m.id ORDER BY m.created_at DESC
""")
ELSEWHERE = {"from": "from", "provider_account": "account", "attachments": "attach", "ttl_seconds": "ttl",
             "template": "template", "retry": "retry"}  # fmt: skip
"""Fields whose option has another name."""


async def account_for(cli: Cli, channel: str) -> None:
    """A tenant with an account for the channel."""
    await cli.run("tenants", "create", "shop")
    await cli.run("accounts", "put", "main", "--channel", channel, "--provider", "sandbox", "--credential", "api_key=k",
                  "--base-url", "http://127.0.0.1:9")  # fmt: skip


async def content(cli: Cli, *arguments: str) -> dict[str, Any]:
    """What was stored of a message that the command sent."""
    answer = await cli.json("send", *arguments)
    rows = await cli.hermod.core.storage.database.rows(ROWS, {})
    (body,) = [row.body for row in rows if row.id == answer["id"]]
    return dict(json.loads(body))


def test_every_field_of_a_message_has_an_option() -> None:
    options = {name for one in dict(commands(app))["send"].params for name in one.opts}
    fields = {
        (model.model_fields[name].alias or name)
        for model in (*CONTENT_OF.values(), Options)
        for name in model.model_fields
    }
    missing = {name for name in fields if f"--{ELSEWHERE.get(name, name).replace('_', '-')}" not in options}
    missing_in_the_plural = {name for name in missing if f"--{name.removesuffix('s').replace('_', '-')}" not in options}
    assert missing_in_the_plural == set()


async def test_email_has_copies_replies_and_headers(cli: Cli) -> None:
    await cli.ready()
    sent = await content(
        cli, "--to", "ada@example.com", "--subject", "Hi", "--text", "x", "--cc", "bob@example.com", "--cc",
        "Eve <eve@example.com>", "--bcc", "audit@example.com", "--reply-to", "help@example.com", "--header",
        "X-Order=42", "--header", "List-Id=a=b",
    )  # fmt: skip
    assert sent["cc"] == ["bob@example.com", "Eve <eve@example.com>"]
    assert sent["bcc"] == ["audit@example.com"]
    assert sent["reply_to"] == ["help@example.com"]
    assert sent["headers"] == {"X-Order": "42", "List-Id": "a=b"}


async def test_html_and_text_come_from_files(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "bill.html").write_text("<p>Größe</p>", encoding="utf-8")
    (tmp_path / "bill.txt").write_text("Größe\n", encoding="utf-8")
    sent = await content(cli, "--to", "ada@example.com", "--subject", "Hi", "--html-file", "bill.html",
                         "--text-file", "bill.txt")  # fmt: skip
    assert (sent["html"], sent["text"]) == ("<p>Größe</p>", "Größe\n")
    words = await content(cli, "--to", "ada@example.com", "--subject", "Hi", "--html", "<p>x</p>")
    assert words["html"] == "<p>x</p>"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--html", "bill.html"), 2, "--html-file"),
        (("--html", "<p>x</p>", "--html-file", "bill.html"), 2, "--html-file"),
        (("--text", "x", "--text-file", "bill.html"), 2, "--text-file"),
        (("--html-file", "nowhere.html"), 2, "nowhere.html"),
        (("--html-file", "latin.html"), 2, "UTF-8"),
        (("--text", "x", "--header", "X-Order"), 2, "name=value"),
        (("--text", "x", "--retry", "often"), 1, "retry: must be one of"),
        (("--text", "x", "--retry", "2s,soon"), 1, "retry.1: must be"),
        (("--text", "x", "--vendor-template", "welcome"), 2, "WhatsApp alone"),
    ],
)
async def test_option_makes_no_sense_is_refused_by_its_name(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    await cli.ready()
    (tmp_path / "bill.html").write_text("<p>x</p>")
    (tmp_path / "latin.html").write_bytes(b"\xfc")
    result = await cli.run("send", "--to", "ada@example.com", "--subject", "Hi", *arguments, code=code)
    assert said in result.stderr
    assert await cli.stored() == 0


async def test_retry_is_a_preset_or_waits_and_the_story_tells_it(cli: Cli) -> None:
    await cli.ready()
    own = await send(cli, "--retry", "2s,10s,1m")
    assert (await cli.json("status", own))["retry"] == [2, 10, 60]
    assert "2 s, 10 s, 60 s (the message's own)" in (await cli.run("status", own)).stdout
    own = await send(cli, "--retry", "fallback")
    assert (await cli.json("status", own))["retry"] == "fallback"
    assert "notification (as built in)" in (await cli.run("status", await send(cli))).stdout


async def test_retry_of_accounts_and_tenants_is_set_shown_and_taken_away(cli: Cli) -> None:
    await cli.ready()
    assert await cli.json("tenants", "retry", "shop") == {"default": None, "channels": {}}
    shown = await cli.json("tenants", "retry", "shop", "--default", "1m", "--channel", "sms=fallback")
    assert shown == {"default": [60], "channels": {"sms": "fallback"}}
    shown = await cli.json("tenants", "retry", "shop", "--channel", "email=2s,10s", "--remove", "sms")
    assert shown == {"default": [60], "channels": {"email": [2, 10]}}
    lines = (await cli.run("tenants", "retry", "shop")).stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["tenant", "shop"], ["default", "60 s"], ["email", "2 s, 10 s"],
    ]  # fmt: skip
    view = await cli.json("status", await send(cli))
    assert (view["retry"], view["retry_from"]) == ([2, 10], "channel")
    assert (
        "there is no default for push" in (await cli.run("tenants", "retry", "shop", "--remove", "push", code=2)).stderr
    )
    assert (await cli.json("tenants", "retry", "shop", "--remove", "default"))["default"] is None
    put = await cli.json("accounts", "put", "main", "--channel", "email", "--provider", "sandbox", "--retry", "5s,1h",
                         "--base-url", "http://127.0.0.1:9")  # fmt: skip
    assert put["retry"] == [5, 3600]
    assert "5 s, 3600 s" in (await cli.run("accounts", "list")).stdout


async def test_whatsapp_message_is_of_a_vendors_template(cli: Cli, tmp_path: Path) -> None:
    await account_for(cli, "whatsapp")
    to = ("--channel", "whatsapp", "--to", "+14155550100", "--vendor-template", "order_ready", "--language", "en_US")
    sent = await content(cli, *to, "--parameter", "Ada", "--parameter", "42")
    words = [{"type": "text", "text": "Ada"}, {"type": "text", "text": "42"}]
    components = [{"type": "body", "parameters": words}]
    assert sent["template"] == {"name": "order_ready", "language": "en_US", "components": components}
    (tmp_path / "parts.json").write_text(json.dumps([{"type": "header", "parameters": []}]))
    sent = await content(cli, *to, "--components", "parts.json")
    assert sent["template"]["components"] == [{"type": "header", "parameters": []}]
    for more in (("--template", "x"), ("--parameter", "a", "--components", "parts.json")):
        await cli.run("send", *to, *more, code=2)
    await cli.run("send", *to[:-2], code=2)


async def test_push_has_picture_link_and_life_time(cli: Cli, tmp_path: Path) -> None:
    await account_for(cli, "push")
    sent = await content(
        cli, "--channel", "push", "--to", "a-device-token", "--title", "Hi", "--image",
        "https://shop.example.com/a.png", "--url", "https://shop.example.com/", "--collapse-key", "order-42",
        "--ttl", "3600",
    )  # fmt: skip
    assert (sent["image"], sent["url"]) == ("https://shop.example.com/a.png", "https://shop.example.com/")
    assert (sent["collapse_key"], sent["ttl_seconds"]) == ("order-42", 3600)
    subscription = {"endpoint": "https://push.example.com/1", "keys": {"p256dh": "k", "auth": "a"}}
    (tmp_path / "browser.json").write_text(json.dumps(subscription))
    sent = await content(cli, "--channel", "push", "--to", "@browser.json", "--title", "Hi", "--data", "order=42")
    assert (sent["to"], sent["data"]) == (subscription, {"order": "42"})


async def test_data_comes_from_a_file(cli: Cli, tmp_path: Path) -> None:
    await account_for(cli, "push")
    (tmp_path / "data.json").write_text('{"order": {"id": 7}, "name": "Bob"}')
    push = ("--channel", "push", "--to", "a-device-token", "--title", "Hi")
    sent = await content(cli, *push, "--data-file", "data.json", "--data", "name=Ada")
    assert sent["data"] == {"order": {"id": 7}, "name": "Ada"}


async def test_lines_of_a_file_have_waits(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "people.csv").write_text(
        "to,subject,text,channel,retry\n"
        "a@example.com,Hi,x,email,2s;10s\nb@example.com,Hi,x,email,sms\nc@example.com,Hi,x,email,\n"
    )
    sent = await cli.json("send-batch", "people.csv", "--set", "retry=5")
    retries = [(await cli.json("status", one["id"]))["retry"] for one in sent["messages"]]
    assert retries == [[2, 10], "sms", [5]]


async def test_submission_has_metadata(cli: Cli, tmp_path: Path) -> None:
    await cli.run("tenants", "create", "shop")
    (tmp_path / "form.json").write_text(json.dumps({"name": "Signup", "schema": {"type": "object"}}))
    await cli.run("forms", "put", "signup", "form.json")
    answer = await cli.json("submit", "signup", "{}", "--metadata", "campaign=may", "--metadata", "page=/a")
    shown = await cli.json("submissions", "show", answer["id"])
    assert shown["metadata"] == {"campaign": "may", "page": "/a"}
    lines = (await cli.run("submissions", "show", answer["id"])).stdout.splitlines()
    assert ["metadata.campaign", "may"] in [line.split() for line in lines]
