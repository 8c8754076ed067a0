"""`--retry` of messages, accounts, tenants and endpoints: `sms`, or `2s,10s,1m`; and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from hermod.contracts.notifications.retries import RetrySource

Retry = Annotated[
    str | None,
    typer.Option(
        metavar="WAITS", help="A preset like sms or fallback, or the waits after each attempt, like 2s,10s,1m."
    ),
]

WHOSE: Final[dict[RetrySource | None, str]] = {
    "message": "the message's own",
    "account": "its account's",
    "channel": "its channel's",
    "tenant": "its tenant's",
    "built_in": "as built in",
    None: "",
}


def retry_of(text: str) -> object:
    """As the API takes it; what is neither stays as it is, and the contract says what it should be."""
    if text[:1].isalpha():
        return text
    return [_number(one.strip()) for one in text.replace(";", ",").split(",")]


def shown(retry: str | Sequence[float] | None) -> str | None:
    """For people: `sms`, or `2 s, 10 s, 60 s`."""
    return retry if retry is None or isinstance(retry, str) else ", ".join(f"{wait:g} s" for wait in retry)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text
