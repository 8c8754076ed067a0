"""The base of every model on the wire: frozen, and closed to unknown fields so that a typing mistake is an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def says_nothing(value: object) -> bool:
    """For `exclude_if` of a field that was added to what travels between workflows and activities: left out then, so
    that a worker of the version before, which does not know the field, reads all that says nothing new.
    """
    return not value


_Made = TypeVar("_Made", bound=BaseModel)


_SCALARS: Final = frozenset({str, int, float, bool, bytes, type(None), datetime})


class _Unchecked(set[str]):
    """The fields that were set, of a model that pydantic made without looking at them."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_bytes="base64")

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:  # type: ignore[override]
        return _marked(super().model_construct(_fields_set, **values))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        return _marked(copied) if update else copied


def _marked(model: _Made) -> _Made:
    object.__setattr__(model, "__pydantic_fields_set__", _Unchecked(model.__pydantic_fields_set__))
    return model


def is_unchecked(value: object) -> bool:
    """Whether it is, or holds, a model of `model_copy(update=…)` or `model_construct`, which check nothing."""
    if type(value) in _SCALARS:  # most are, and asking a model's class for its instances takes long
        return False
    if isinstance(value, Model):
        return type(value.__pydantic_fields_set__) is _Unchecked or any(map(is_unchecked, vars(value).values()))
    return isinstance(value, tuple | list) and any(map(is_unchecked, value))


def misplaced(field: str, message: str) -> PydanticCustomError:
    """What a validator of a whole model raises: the caller finds the error at `field`, not at the model."""
    return PydanticCustomError("misplaced", "{message}", {"field": field, "message": message})
