"""JSON objects that commands read from files, for what nobody should type: credentials, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from starter.notifications.parsing import MalformedJson, read_json


def read_object(file: Path) -> dict[str, Any]:
    """The object in the file, or on standard input for `-`. Raises BadParameter."""
    try:
        text = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        found = read_json(text)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from None
    except MalformedJson as error:
        raise typer.BadParameter(f"{file} is {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} does not hold a JSON object")
    return found
