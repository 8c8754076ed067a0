"""What an adapter makes of a message before it calls anybody: a failure there is the message's, as nothing has left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hermod.channels.redaction import one_line
from hermod.contracts.notifications.outcomes import AnyOutcome, MessageRejected
from hermod.ports.notifications.sender import Outgoing
from hermod.telemetry import get_logger

ERROR_CODE: Final = "not_composed"

Made = TypeVar("Made")

_log = get_logger(__name__)


class Uncomposed(Exception):
    """No request could be made of a message."""

    def __init__(self, outcome: MessageRejected) -> None:
        self.outcome = outcome
        super().__init__(outcome.error)


def composed(message: Outgoing, compose: Callable[[Outgoing], Made]) -> Made:
    """What `compose` makes of the message. Raises Uncomposed for whatever goes wrong there.

    A ValueError says what is wrong with the content. Everything else is a mistake of ours: it is logged, and its text,
    which may quote the content, goes no further.
    """
    try:
        return compose(message)
    except UnicodeError:
        error = "it holds text that cannot be written as UTF-8"
        raise Uncomposed(MessageRejected(error_code=ERROR_CODE, error=error)) from None
    except ValueError as fault:
        raise Uncomposed(MessageRejected(error_code=ERROR_CODE, error=one_line(str(fault)))) from None
    except Exception as mistake:
        _log.error("not_composed", error=type(mistake).__name__, message_id=message.id, tenant=message.tenant)
        error = f"it could not be composed: {type(mistake).__name__}"
        raise Uncomposed(MessageRejected(error_code=ERROR_CODE, error=error)) from mistake


def composable(
    messages: Sequence[Outgoing], compose: Callable[[Outgoing], object]
) -> tuple[list[Outgoing], dict[str, AnyOutcome]]:
    """The messages that a request can be made of, and what the others come to, by id."""
    refused: dict[str, AnyOutcome] = {}
    for one in messages:
        try:
            composed(one, compose)
        except Uncomposed as fault:
            refused[one.id] = fault.outcome
    return [one for one in messages if one.id not in refused], refused
