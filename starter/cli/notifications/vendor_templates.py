"""`hermod send --vendor-template`: words that WhatsApp keeps and has approved, and what fills them in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hermod.contracts.notifications.content import Channel
from starter.cli.words import read_bytes
from starter.notifications.parsing import MalformedJson, read_json


def vendor_template(
    channel: Channel, name: str | None, language: str | None, parameters: list[str] | None, components: Path | None
) -> dict[str, Any] | None:
    """The `template` of the API, or None where none is asked for. Raises BadParameter."""
    if name is None:
        if language or parameters or components:
            raise typer.BadParameter("goes with --vendor-template", param_hint="--language, --parameter, --components")
        return None
    if channel is not Channel.WHATSAPP:
        raise typer.BadParameter("WhatsApp alone has such templates", param_hint="--vendor-template")
    if language is None:
        raise typer.BadParameter("say with --language in which one, like en_US", param_hint="--vendor-template")
    if parameters and components:
        raise typer.BadParameter("give --parameter or --components, and not both", param_hint="--parameter")
    found: Any = []
    if components:
        found = _list(components)
    elif parameters:
        found = [{"type": "body", "parameters": [{"type": "text", "text": one} for one in parameters]}]
    return {"name": name, "language": language, "components": found}


def _list(file: Path) -> Any:
    try:
        return read_json(read_bytes(file))
    except MalformedJson as error:
        raise typer.BadParameter(f"{file} is {error}", param_hint="--components") from None
