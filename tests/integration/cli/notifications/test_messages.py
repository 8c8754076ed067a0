"""`hermod send`, `send-batch`, `status`, `cancel`, `dlq`: what is printed, what is stored, and how it ends."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from hermod.contracts.notifications.messages import Status
from tests.integration.cli.conftest import Cli, send
from tests.support.product import ProductFixture


async def test_message_is_sent_is_stored_though_temporal_is_away(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "bill.txt").write_text("Thank you")
    times = ("--send-at", "+2h", "--not-after", "+3h")
    message = await send(cli, "--attach", "bill.txt", "--priority", "9", "--metadata", "order=42", *times)
    story = await cli.json("status", message)
    assert (story["status"], story["priority"], story["metadata"]) == ("pending", 9, {"order": "42"})
    shown = (await cli.run("status", message)).stdout
    assert "ada@example.com" in shown
    assert f"message/shop/{message}" in shown
    (row,) = await cli.hermod.core.storage.database.rows(text("SELECT body FROM message_contents"), {})
    assert orjson.loads(row.body)["attachments"] == [
        {"filename": "bill.txt", "content_type": "text/plain", "content_base64": "VGhhbmsgeW91"}
    ]


async def test_key_is_repeated_sends_nothing_again(cli: Cli) -> None:
    await cli.ready()
    assert await send(cli, "--idempotency-key", "k") == await send(cli, "--idempotency-key", "k")
    assert await cli.stored() == 1


async def test_channel_is_left_out_is_seen_from_the_address(cli: Cli) -> None:
    await cli.ready()
    result = await cli.run("send", "--to", "+14155550100", "--text", "hello", code=1)
    assert "no provider account for sms" in result.stderr
    await cli.run("send", "--to", "a-device", "--title", "hello", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--to", "ada@nowhere", "--subject", "a", "--text", "b"], 1, "to: "),
        (["--to", "ada@example.com", "--text", "b"], 1, "subject: missing"),
        (["--to", "ada@example.com", "--subject", "a"], 1, "text: missing"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--account", "x"], 1, "there is no account x"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--not-after", "2020-01-01T00:00:00Z"], 1, "past"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--idempotency-key", ""], 1, "--idempotency-key"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--send-at", "soon"], 2, "2030-05-01T12:00:00Z"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--send-at", "2030-05-01"], 2, "time zone"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--attach", "nothing"], 2, "nothing"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--priority", "11"], 2, "priority"),
        (["--to", "a@example.com", "--subject", "a", "--text", "b", "--metadata", "x"], 2, "field=value"),
        (["--subject", "a"], 2, "--to"),
        (["--to", "a@example.com", "--colour", "red"], 2, "--colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_send_is_used_wrongly_says_what_is_wrong_and_stores_nothing(
    cli: Cli, arguments: list[str], code: int, said: str
) -> None:
    await cli.ready()
    result = await cli.run("send", *arguments, code=code)
    assert said in result.stderr
    assert result.stdout == ""
    assert await cli.stored() == 0


LINES = [
    '{"channel": "email", "to": "a@example.com", "subject": "a", "text": "b"}',
    "",
    '{"channel": "email", "to": "nobody", "subject": "a", "text": "b"}',
    "{oops",
    '{"channel": "email", "to": "b@example.com", "subject": "a", "text": "b", "provider_account": "other"}',
    '{"channel": "email", "to": "c@example.com", "subject": "a", "text": "b", "idempotency_key": "c"}',
]


async def test_file_has_bad_lines_lists_them_and_sends_the_others(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "news.jsonl").write_text("\n".join(LINES))
    result = await cli.run("send-batch", "news.jsonl", code=1)
    assert result.stdout == "2 accepted, 3 rejected\n"
    said = result.stderr.splitlines()
    assert [line.split(":")[0] for line in said] == ["line 3", "line 4", "line 5"]
    assert await cli.stored() == 2


ONE = '{"to": "a@example.com", "subject": "a", "text": "b"}'
TWO = '{"to": "b@example.com", "subject": "a", "text": "b"}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "a.csv",
            'to,subject,text,metadata.order\r\na@example.com,Hello,"two\r\nlines",42\r\nb@example.com,Hello,x,\r\n',
        ),
        ("a.json", f'{{"messages": [\n {ONE},\n {TWO}]}}'),
        ("a.txt", f"[{ONE}, {TWO}]"),
        ("-", f"\ufeff{ONE}\n{TWO}\n"),
    ],
    ids=["csv", "document", "list", "stdin"],
)
async def test_file_of_any_form_is_sent(cli: Cli, tmp_path: Path, name: str, content: str) -> None:
    await cli.ready()
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    answer = await cli.json("send-batch", name, "--set", "channel=email", stdin=content)
    assert (answer["accepted"], answer["rejected"]) == (2, [])
    assert await cli.stored() == 2


async def test_file_is_sent_again_with_the_same_key_stores_nothing_more(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "news.jsonl").write_text(LINES[0] + "\n" + LINES[0])
    first = await cli.json("send-batch", "news.jsonl", "--idempotency-key", "may")
    again = await cli.json("send-batch", "news.jsonl", "--idempotency-key", "may")
    assert first["messages"] == again["messages"]
    assert await cli.stored() == 2


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("missing.jsonl", None, 2, "cannot read"),
        ("a.json", b'{"messages": {}}', 1, "neither"),
        ("a.json", b"{", 1, "not JSON"),
        ("a.csv", b"to,to\nx,y\n", 1, "columns"),
        ("a.jsonl", b"\xff\xfe", 1, "UTF-8"),
    ],
)
async def test_file_cannot_be_read_says_why(
    cli: Cli, tmp_path: Path, name: str, content: bytes | None, code: int, said: str
) -> None:
    await cli.ready()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert said in (await cli.run("send-batch", name, code=code)).stderr
    assert await cli.stored() == 0


async def test_empty_file_is_sent_sends_nothing(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    (tmp_path / "a.jsonl").write_text("\n")
    assert (await cli.run("send-batch", "a.jsonl")).stdout == "0 accepted, 0 rejected\n"


async def test_dead_letters_are_listed_retried_resolved_and_discarded(cli: Cli) -> None:
    await cli.ready()
    failed, unknown, gone, fine = [await send(cli) for _ in range(4)]
    for message, status in ((failed, Status.FAILED), (unknown, Status.UNKNOWN), (gone, Status.FAILED)):
        await cli.put_into(message, status)
    listed = {one["id"] for one in (await cli.json("dlq", "list"))["items"]}
    assert listed == {failed, unknown, gone}
    assert (await cli.json("dlq", "show", unknown))["status"] == "unknown"
    assert (await cli.run("dlq", "discard", gone)).stdout == f"{gone} discarded\n"
    refused = await cli.json("dlq", "retry", failed, unknown, fine, code=1)
    assert [one["id"] for one in refused["messages"]] == [failed]
    assert {one["id"] for one in refused["refused"]} == {unknown, fine}
    await cli.run("dlq", "resolve", unknown, "--outcome", "sent")
    assert (await cli.run("dlq", "list")).stdout == "no dead letters\n"


async def test_all_dead_letters_are_retried_only_when_confirmed(cli: Cli) -> None:
    await cli.ready()
    for _ in range(3):
        await cli.put_into(await send(cli), Status.FAILED)
    await cli.run("dlq", "retry", code=2)
    await cli.run("dlq", "retry", "--all", stdin="n\n", code=1)
    assert len((await cli.json("dlq", "list"))["items"]) == 3
    await cli.run("dlq", "retry", "--all", "--channel", "sms", "--yes")
    assert len((await cli.json("dlq", "list"))["items"]) == 3
    await cli.run("dlq", "retry", "--all", stdin="y\n")
    assert (await cli.json("dlq", "list"))["items"] == []


async def test_message_is_cancelled_once(cli: Cli) -> None:
    await cli.ready()
    message = await send(cli)
    assert (await cli.run("cancel", message)).stdout == f"{message} cancelled\n"
    assert "the message is cancelled" in (await cli.run("cancel", message, code=1)).stderr
    assert "there is no message" in (await cli.run("status", "msg_1", code=1)).stderr


async def test_send_waits_for_the_end_tells_the_story(running: tuple[Cli, ProductFixture]) -> None:
    cli, house = running
    await house.add_account("main")
    story = await cli.json("send", "--to", "ada@example.com", "--subject", "a", "--text", "b", "--wait")
    assert (story["status"], [one["outcome"] for one in story["attempts"]]) == ("sent", ["accepted"])
    refused = await cli.run("send", "--to", "bounced@example.com", "--subject", "a", "--text", "b", "--wait",
                            code=1)  # fmt: skip
    assert "is failed" in refused.stderr
    assert "recipient_rejected" in refused.stdout
