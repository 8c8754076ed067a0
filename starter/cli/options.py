"""The options of `hermod send`, each with its words for `--help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hermod.contracts.content import Channel
from hermod.contracts.messages import Guarantee

To = Annotated[str, typer.Option(metavar="ADDRESS", help="Email address, phone number with +, or device token.")]
ByChannel = Annotated[
    Channel | None, typer.Option("--channel", help="Default: email for an address, sms for a +number.")
]
Subject = Annotated[str | None, typer.Option(help="Subject of an email.")]
Words = Annotated[str | None, typer.Option("--text", "--body", help="The words.")]
Html = Annotated[str | None, typer.Option(help="The words of an email as HTML.")]
Title = Annotated[str | None, typer.Option(help="Title of a push notification.")]
Sender = Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Default: the provider account's.")]
Files = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, readable=True, help="A file for an email."),
]
MediaUrls = Annotated[list[str] | None, typer.Option(metavar="URL", help="A picture or film for an MMS.")]
Data = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="For a push or a template.")]
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
