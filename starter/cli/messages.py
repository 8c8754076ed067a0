"""`hermod send`, `status` and `cancel`."""

from __future__ import annotations

import base64
import mimetypes
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hermod.contracts.content import Channel
from hermod.contracts.messages import Category, MessageView, Receipt, Submission
from hermod.contracts.priorities import DEFAULT_PRIORITY
from starter.cli.batch_files import assignments
from starter.cli.moments import moment
from starter.cli.options import (
    AccountName,
    ByChannel,
    Data,
    Files,
    GuaranteeName,
    Html,
    IdempotencyKey,
    Locale,
    MediaUrls,
    Metadata,
    NotAfter,
    Priority,
    SendAt,
    Sender,
    Subject,
    Template,
    Timeout,
    Title,
    To,
    Wait,
    Words,
)
from starter.cli.output import Json, complain, hint, print_json, say
from starter.cli.send_batch import send_batch
from starter.cli.session import FAILED, TenantName, client, command
from starter.cli.story import print_story
from starter.cli.waiting import GOOD, until_end
from starter.intake import message_from

MessageId = Annotated[str, typer.Argument(help="msg_…, as `hermod send` printed it.")]


def add_to(root: typer.Typer) -> None:
    root.command("send")(send)
    root.command("send-batch")(send_batch)
    root.command("status")(status)
    root.command("cancel")(cancel)


def _moment(text: str) -> datetime:
    try:
        return moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@command
async def send(
    to: To,
    channel: ByChannel = None,
    subject: Subject = None,
    text: Words = None,
    html: Html = None,
    title: Title = None,
    template: Template = None,
    locale: Locale = None,
    sender: Sender = None,
    attach: Files = None,
    media_url: MediaUrls = None,
    data: Data = None,
    metadata: Metadata = None,
    priority: Priority = DEFAULT_PRIORITY,
    category: Annotated[Category, typer.Option(help="What kind of message it is.")] = Category.TRANSACTIONAL,
    guarantee: GuaranteeName = None,
    send_at: SendAt = None,
    not_after: NotAfter = None,
    account: AccountName = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    tenant: TenantName = None,
    as_json: Json = False,
) -> None:
    """Send one message.

    It is stored when this returns, and sent whatever happens from then on.

    \b
    Examples:
      hermod send --to ada@example.com --subject Hello --text "It works"
      hermod send --to +14155550100 --text "Code 481516" --priority 10 --wait
      hermod send --to ada@example.com --subject Bill --html "$(cat bill.html)" \\
             --attach bill.pdf --send-at +2h --idempotency-key bill:42
      hermod send --to ada@example.com --template welcome --locale de --data name=Ada
    """
    fields: dict[str, Any] = {
        "channel": channel or _channel_of(to),
        "to": to,
        "subject": subject,
        "html": html,
        "title": title,
        "template": template,
        "locale": locale,
        "from": sender,
        "attachments": [_attachment(file) for file in attach or ()] or None,
        "media_urls": media_url or None,
        "data": _assigned(data),
        "metadata": _assigned(metadata),
        "priority": priority,
        "category": category,
        "guarantee": guarantee,
        "send_at": _moment(send_at) if send_at else None,
        "not_after": _moment(not_after) if not_after else None,
        "provider_account": account,
    }
    asked = _checked(fields, text, idempotency_key)
    _answer(*await _hand_over(asked, tenant, timeout if wait else None), as_json)


@command
async def status(message: MessageId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Tell a message's story: where it is, every attempt, every decision, what comes next."""
    async with client(tenant) as hermod:
        view = await hermod.status(message)
    if as_json:
        print_json(view)
    else:
        print_story(view)


@command
async def cancel(message: MessageId, tenant: TenantName = None, as_json: Json = False) -> None:
    """Withdraw a message that waits. One that is on its way, or has ended, stays as it is."""
    async with client(tenant) as hermod:
        receipt = await hermod.cancel(message)
    if as_json:
        print_json(receipt)
    else:
        say(f"{receipt.id} {receipt.status.value}")


def _checked(fields: dict[str, Any], words: str | None, idempotency_key: str | None) -> Submission:
    """The message that the options come to. Raises InvalidInput."""
    fields["text" if fields["channel"] is Channel.EMAIL else "body"] = words
    given = {name: value for name, value in fields.items() if value is not None}
    return message_from(given, idempotency_key=idempotency_key, key_field="--idempotency-key")


async def _hand_over(
    asked: Submission, tenant: str | None, timeout: float | None
) -> tuple[Receipt, MessageView | None]:
    """The receipt, and with a time to wait the story, as far as it has come by then."""
    async with client(tenant) as hermod:
        receipt = await hermod.take(asked)
        return receipt, await until_end(hermod, receipt.id, within=timeout) if timeout is not None else None


def _answer(receipt: Receipt, view: MessageView | None, as_json: bool) -> None:
    if as_json:
        print_json(view or receipt)
    elif view is None:
        say(f"{receipt.id} {receipt.status.value}")
        hint(f"follow it: hermod status {receipt.id}")
    else:
        print_story(view)
    if view is not None and view.status not in GOOD:
        complain(f"{view.id} is {view.status.value}" + (f": {view.error}" if view.error else ""))
        raise typer.Exit(FAILED)


def _channel_of(to: str) -> Channel:
    if "@" in to:
        return Channel.EMAIL
    if to.startswith("+"):
        return Channel.SMS
    raise typer.BadParameter("say with --channel what this is an address of", param_hint="--to")


def _assigned(pairs: list[str] | None) -> dict[str, Any] | None:
    try:
        return assignments(pairs or ()) or None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _attachment(file: Path) -> dict[str, str]:
    kind, packed = mimetypes.guess_type(file.name)
    return {
        "filename": file.name,
        "content_type": kind if kind and not packed else "application/octet-stream",
        "content_base64": base64.b64encode(file.read_bytes()).decode(),
    }
