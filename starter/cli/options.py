"""The options of `hermod send`, each with its words for `--help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.messages import Guarantee
from starter.cli.words import file_option, words_option

To = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Email address, phone number with +, device token, or @FILE with a browser's push subscription.",
    ),
]
ByChannel = Annotated[
    Channel | None, typer.Option("--channel", help="Default: email for an address, sms for a +number.")
]
Subject = Annotated[str | None, typer.Option(help="Subject of an email.")]
Words = Annotated[str | None, typer.Option("--text", "--body", metavar="WORDS", help="The words.")]
WordsFile = Annotated[Path | None, file_option("The words, from a file.", "--text-file", "--body-file")]
Html = Annotated[str | None, words_option("The words of an email as HTML.")]
HtmlFile = Annotated[Path | None, file_option("The HTML, from a file.")]
Cc = Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="In copy; may be repeated.")]
Bcc = Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="In copy, unseen; may be repeated.")]
ReplyTo = Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="Where answers go; may be repeated.")]
Headers = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Of an email; may be repeated.")
]
Image = Annotated[str | None, typer.Option(metavar="URL", help="Picture of a push notification.")]
Link = Annotated[str | None, typer.Option("--url", metavar="URL", help="What a push notification opens.")]
CollapseKey = Annotated[str | None, typer.Option(help="A push notification replaces earlier ones with the same.")]
TimeToLive = Annotated[
    int | None,
    typer.Option("--ttl", metavar="SECONDS", min=0, help="So long a push waits for its device."),
]
VendorTemplate = Annotated[
    str | None,
    typer.Option("--vendor-template", metavar="NAME", help="A template that WhatsApp has approved, not words."),
]
Language = Annotated[str | None, typer.Option(metavar="CODE", help="Of the vendor's template: en_US.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", help="The next blank in the vendor's template; may be repeated.")
]
Components = Annotated[
    Path | None, file_option("All of what fills the vendor's template in, as the vendor has it: a JSON list.")
]
Title = Annotated[str | None, typer.Option(help="Title of a push notification.")]
Sender = Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Default: the provider account's.")]
Files = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, readable=True, help="A file for an email."),
]
MediaUrls = Annotated[list[str] | None, typer.Option(metavar="URL", help="A picture or film for an MMS.")]
Data = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="For a push or a template.")]
DataFile = Annotated[Path | None, file_option("The data, as a JSON object; - for standard input.")]
Template = Annotated[
    str | None, typer.Option(metavar="NAME", help="A stored template, instead of words; name@3 pins it.")
]
Locale = Annotated[str | None, typer.Option(metavar="LOCALE", help="The recipient's: en, de-AT, zh-Hant-TW.")]
Metadata = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the message.")]
Priority = Annotated[int, typer.Option(min=1, max=10, help="10 is the most urgent.")]
GuaranteeName = Annotated[
    Guarantee | None, typer.Option(help="When nobody knows whether it was sent: again, or never twice.")
]
SendAt = Annotated[str | None, typer.Option(metavar="TIME", help="Not before: +10m, +2h, +3d, 2030-05-01T12:00:00Z.")]
NotAfter = Annotated[str | None, typer.Option(metavar="TIME", help="Worthless after this time.")]
AccountName = Annotated[str | None, typer.Option(help="Only by this provider account.")]
IdempotencyKey = Annotated[str | None, typer.Option(help="The same key again sends nothing again.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its end, and fail where it is not sent.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait with --wait.")]
