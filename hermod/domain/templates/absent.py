"""What stands for a name that the data does not have, in a text: an error that says which."""

from __future__ import annotations

from functools import partial
from typing import Any

from jinja2 import StrictUndefined, UndefinedError
from jinja2.exceptions import TemplateRuntimeError
from jinja2.utils import missing


class MissingVariable(TemplateRuntimeError):
    """A name that the data does not have. `owner` is the object that lacks it, or `missing` for the data itself."""

    def __init__(self, owner: Any, name: str | None, message: str | None = None) -> None:
        super().__init__(message)
        self.owner = owner
        self.name = name


class Absent(StrictUndefined):
    """Every use is an error that knows what was asked of whom, except `is defined` and the filter `default`."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        known = partial(MissingVariable, obj, name) if hint is None and exc is UndefinedError else exc
        super().__init__(hint, obj, name, known)  # type: ignore[arg-type]
