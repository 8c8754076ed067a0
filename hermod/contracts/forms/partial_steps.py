"""What travels between SavePartial and its activity: names and states, never what a visitor entered."""

from __future__ import annotations

from hermod.contracts.forms.forms import PartialStatus
from hermod.contracts.values.model import Model


class PartialLook(Model):
    """What a look at a partial found, after all that was new has been told.

    The next look is due in `seconds`; None: nothing will happen by itself any more.
    """

    status: PartialStatus | None
    """None: there is no such partial. Histories say so; today a look at one fails as NoSuchRecord."""
    revision: int = 0
    abandonments: int = 0
    seconds: float | None = None
    has_changed: bool = False
    """Whether something changed while this was told."""


class SavePartialResult(Model):
    status: PartialStatus | None
    revision: int
    abandonments: int
