"""The base of every model on the wire: frozen, and closed to unknown fields so that a typing mistake is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def says_nothing(value: object) -> bool:
    """For `exclude_if` of a field that was added to what travels between workflows and activities: left out then, so
    that a worker of the version before, which does not know the field, reads all that says nothing new.
    """
    return not value


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_bytes="base64")


def misplaced(field: str, message: str) -> PydanticCustomError:
    """What a validator of a whole model raises: the caller finds the error at `field`, not at the model."""
    return PydanticCustomError("misplaced", "{message}", {"field": field, "message": message})
