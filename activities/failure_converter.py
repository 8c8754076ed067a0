"""How errors become failures of a history: without what says nothing to whoever reads it, and without personal data."""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import FailureError

from activities.errors import is_expected


class FailureConverter(DefaultFailureConverter):
    """An expected failure has no stack trace: its text says what happened. An error that nobody has foreseen has one,
    and its class in place of its text, which may quote a record."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        super().to_failure(exception, payload_converter, failure)
        if is_expected(exception):
            failure.stack_trace = ""
        elif not isinstance(exception, FailureError):
            failure.message = f"{type(exception).__name__}: the place is in the stack trace, and in the worker's log"
