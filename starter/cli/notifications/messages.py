"""`hermod send`, `status` and `cancel`."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Annotated, Any

import typer

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Category, MessageView, Receipt, Submission
from hermod.contracts.priorities import DEFAULT_PRIORITY
from starter.cli.json_files import read_object
from starter.cli.moments import ahead
from starter.cli.notifications.batch_files import assignments
from starter.cli.notifications.send_batch import send_batch
from starter.cli.notifications.story import print_story
from starter.cli.notifications.vendor_templates import vendor_template
from starter.cli.notifications.waiting import GOOD, until_end
from starter.cli.notifications.waits import Retry, retry_of
from starter.cli.options import (
    AccountName,
    Bcc,
    ByChannel,
    Cc,
    CollapseKey,
    Components,
    Data,
    DataFile,
    Files,
    GuaranteeName,
    Headers,
    Html,
    HtmlFile,
    IdempotencyKey,
    Image,
    Language,
    Link,
    Locale,
    MediaUrls,
    Metadata,
    NotAfter,
    Parameters,
    Priority,
    ReplyTo,
    SendAt,
    Sender,
    Subject,
    Template,
    Timeout,
    TimeToLive,
    Title,
    To,
    VendorTemplate,
    Wait,
    Words,
    WordsFile,
)
from starter.cli.output import Json, complain, hint, print_json, say
from starter.cli.session import FAILED, TenantName, client, command
from starter.cli.words import pair, words
from starter.notifications.parsing import message_from

MessageId = Annotated[str, typer.Argument(help="msg_…, as `hermod send` printed it.")]


def add_to(root: typer.Typer) -> None:
    root.command("send")(send)
    root.command("send-batch")(send_batch)
    root.command("status")(status)
    root.command("cancel")(cancel)


@command
async def send(
    to: To,
    channel: ByChannel = None,
    subject: Subject = None,
    text: Words = None,
    text_file: WordsFile = None,
    html: Html = None,
    html_file: HtmlFile = None,
    title: Title = None,
    template: Template = None,
    locale: Locale = None,
    sender: Sender = None,
    cc: Cc = None,
    bcc: Bcc = None,
    reply_to: ReplyTo = None,
    header: Headers = None,
    attach: Files = None,
    media_url: MediaUrls = None,
    image: Image = None,
    url: Link = None,
    collapse_key: CollapseKey = None,
    ttl: TimeToLive = None,
    vendor_template_name: VendorTemplate = None,
    language: Language = None,
    parameter: Parameters = None,
    components: Components = None,
    data: Data = None,
    data_file: DataFile = None,
    metadata: Metadata = None,
    priority: Priority = DEFAULT_PRIORITY,
    category: Annotated[Category, typer.Option(help="What kind of message it is.")] = Category.TRANSACTIONAL,
    guarantee: GuaranteeName = None,
    send_at: SendAt = None,
    not_after: NotAfter = None,
    account: AccountName = None,
    retry: Retry = None,
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
      hermod send --to ada@example.com --subject Bill --html-file bill.html --cc bob@example.com \\
             --attach bill.pdf --send-at +2h --idempotency-key bill:42 --retry 2s,10s,1m
      hermod send --to ada@example.com --template welcome --locale de --data name=Ada
      hermod send --to +14155550100 --channel whatsapp --vendor-template order_ready --language en_US --parameter 42
    """
    channel = channel or _channel_of(to)
    vendors = vendor_template(channel, vendor_template_name, language, parameter, components)
    if vendors and template:
        raise typer.BadParameter("give --template or --vendor-template, and not both", param_hint="--template")
    fields: dict[str, Any] = {
        "channel": channel,
        "to": read_object(Path(to[1:])) if channel is Channel.PUSH and to.startswith("@") else to,
        "subject": subject,
        "html": words("html", html, html_file),
        "title": title,
        "template": vendors or template,
        "locale": locale,
        "from": sender,
        "cc": cc or None,
        "bcc": bcc or None,
        "reply_to": reply_to or None,
        "headers": dict(pair("header", one) for one in header or ()) or None,
        "image": image,
        "url": url,
        "collapse_key": collapse_key,
        "ttl_seconds": ttl,
        "attachments": [_attachment(file) for file in attach or ()] or None,
        "media_urls": media_url or None,
        "data": (read_object(data_file) if data_file else {}) | (_assigned(data) or {}) or None,
        "metadata": _assigned(metadata),
        "priority": priority,
        "category": category,
        "guarantee": guarantee,
        "send_at": ahead(send_at),
        "not_after": ahead(not_after),
        "provider_account": account,
        "retry": retry_of(retry) if retry is not None else None,
    }
    asked = _checked(fields, words("text", text, text_file), idempotency_key)
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


def _checked(fields: dict[str, Any], said: str | None, idempotency_key: str | None) -> Submission:
    """The message that the options come to. Raises InvalidInput."""
    fields["text" if fields["channel"] is Channel.EMAIL else "body"] = said
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
