"""Whose fault an error of ClickHouse is, by its class and code."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from hermod.analytics.faults import DATA, Missing, TooMuch, translated
from hermod.contracts.errors import Unavailable
from hermod.ports.analytics import Refused

PLACE = "http://clickhouse:8123"


@pytest.mark.parametrize("code", sorted(DATA))
def test_rows_are_what_is_wrong_are_refused(code: int) -> None:
    error = translated(DatabaseError("Cannot parse 'ada@example.com'", code=code), PLACE)
    assert type(error) is Refused
    assert str(error) == f"{DATA[code]} ({code})"


@pytest.mark.parametrize("code", [60, 81])
def test_table_is_missing_is_told_apart(code: int) -> None:
    assert type(translated(DatabaseError("text", code=code), PLACE)) is Missing


@pytest.mark.parametrize("code", [16, 47, 62, 115, 202, 210, 242, 243, 252, 394, 497, 516, 999, 9999])
def test_anything_else_with_a_code_may_be_put_right(code: int) -> None:
    error = translated(DatabaseError("Cannot parse 'ada@example.com'", code=code), PLACE)
    assert type(error) is Unavailable
    assert str(error) == f"ClickHouse at {PLACE} answers with code {code}"


@pytest.mark.parametrize("code", [159, 160, 241])
def test_limit_is_reached_is_told_apart_and_may_come_again(code: int) -> None:
    error = translated(DatabaseError("text", code=code), PLACE)
    assert type(error) is TooMuch
    assert isinstance(error, Unavailable)


def test_no_answer_names_what_happened_and_nothing_of_the_request() -> None:
    refused = NewConnectionError(None, "no")  # type: ignore[arg-type]
    wrapped = OperationalError("Error for http://user:secret@clickhouse")
    wrapped.__cause__ = MaxRetryError(None, "/", refused)  # type: ignore[arg-type]
    assert str(translated(wrapped, PLACE)) == f"ClickHouse at {PLACE} does not answer (NewConnectionError)"
    assert type(translated(ValueError("half an answer"), PLACE)) is Unavailable
