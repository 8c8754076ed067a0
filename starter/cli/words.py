"""Words that a command takes: as they are (`--html`), or from a file (`--html-file`), wherever there are both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import typer

_OF_FILES: Final = frozenset({".html", ".htm", ".mjml", ".txt", ".md", ".j2", ".jinja"})


def words_option(help_text: str) -> Any:
    return typer.Option(metavar="WORDS", help=help_text)


def file_option(help_text: str, *names: str) -> Any:
    return typer.Option(*names, metavar="FILE", help=help_text, allow_dash=True)


def words(option: str, given: str | None, file: Path | None) -> str | None:
    """What `--option` says, or the file of `--option-file`. Raises BadParameter."""
    if file is None:
        if given is not None and _names_a_file(given):
            raise typer.BadParameter(f"takes the words themselves; write --{option}-file {given}", param_hint=option)
        return given
    if given is not None:
        raise typer.BadParameter(f"give --{option} or --{option}-file, and not both", param_hint=option)
    return read_text(file)


def read_text(file: Path) -> str:
    """A file, or standard input for `-`. Raises BadParameter."""
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8") from None


def read_bytes(file: Path) -> bytes:
    """A file, or standard input for `-`. Raises BadParameter."""
    try:
        return typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from None


def pair(option: str, text: str) -> tuple[str, str]:
    """`name=value` of an option. Raises BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"write --{option} name=value", param_hint=option)
    return name, value


def _names_a_file(text: str) -> bool:
    """One that is there: nobody sends its name."""
    return len(text) < 256 and Path(text).suffix.lower() in _OF_FILES and Path(text).is_file()
